/** What only a process of its own can show: resuming in a new one, and memory over a long run. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const folder = join(dirname(fileURLToPath(import.meta.url)), 'processes');
const root = join(folder, '../../../..');

const run = (file: string, args: readonly string[], flags: readonly string[] = []) =>
  execFileSync(process.execPath, [...flags, '--import', 'tsx', join(folder, file), ...args], {
    cwd: root,
    encoding: 'utf8',
  });

test('training goes on in a new process, bit for bit, dropout and optimizer too', () => {
  const files = mkdtempSync(join(tmpdir(), 'orth-lora-'));
  try {
    const straight = run('train.ts', ['0', '12']);
    expect(straight).toHaveLength(16 * 3 * 8);
    expect(run('train.ts', ['0', '7', files])).not.toBe(straight);
    expect(run('train.ts', ['7', '12', files])).toBe(straight);
  } finally {
    rmSync(files, { recursive: true });
  }
}, 120_000);

// `growth.ts 10000` finds the same in a minute and a half.
test('a thousand steps leave nothing behind', () => {
  const grown = JSON.parse(run('growth.ts', ['1000'], ['--expose-gc']));
  expect(grown).toMatchObject({ tensors: 0, buffers: 0, steps: 1000 });
  expect(grown.heap).toBeLessThan(5e6);
}, 300_000);
