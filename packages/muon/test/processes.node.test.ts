/** What only a process of its own can show: resuming in a new one, and memory over a long run. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { OPTIMIZERS } from './processes/optimizers.js';

const folder = join(dirname(fileURLToPath(import.meta.url)), 'processes');
const root = join(folder, '../../../..');

const run = (file: string, args: readonly string[], flags: readonly string[] = []) =>
  execFileSync(process.execPath, [...flags, '--import', 'tsx', join(folder, file), ...args], {
    cwd: root,
    encoding: 'utf8',
  });

test.each(Object.keys(OPTIMIZERS))(
  '%s resumes in a new process, bit for bit',
  (optimizer) => {
    const checkpoint = mkdtempSync(join(tmpdir(), 'orth-muon-'));
    try {
      const straight = run('train.ts', [optimizer, '0', '12']);
      expect(straight.split('\n')).toHaveLength(4);
      expect(run('train.ts', [optimizer, '0', '7', checkpoint])).not.toBe(straight);
      expect(run('train.ts', [optimizer, '7', '12', checkpoint])).toBe(straight);
    } finally {
      rmSync(checkpoint, { recursive: true });
    }
  },
  120_000,
);

test.each(Object.keys(OPTIMIZERS))(
  '10,000 steps of %s leave nothing behind',
  (optimizer) => {
    const grown = JSON.parse(run('growth.ts', [optimizer], ['--expose-gc']));
    expect(grown).toMatchObject({ tensors: 0, buffers: 0, steps: 10_000 });
    expect(grown.heap).toBeLessThan(5e6);
  },
  300_000,
);
