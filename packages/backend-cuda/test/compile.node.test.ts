/** The kernels through NVIDIA's own compiler, where that is installed: down to machine code, for each architecture. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { allSources } from './catalogue.js';

/** Volta, Ampere, Hopper; of one that a compiler no longer knows, its successor. */
const WANTED = [70, 80, 90];

function knownArchitectures(): number[] {
  try {
    const list = execFileSync('nvcc', ['--list-gpu-arch'], { encoding: 'utf8' });
    return [...list.matchAll(/compute_(\d+)/g)].map(([, number]) => Number(number));
  } catch {
    return [];
  }
}

const known = knownArchitectures().sort((a, b) => a - b);
const architectures = [
  ...new Set(WANTED.map((wanted) => known.find((have) => have >= wanted))),
].filter((architecture) => architecture !== undefined);
const sources = allSources();

test('each kernel has a parameter for each letter of its signature', () => {
  const letters: Record<string, RegExp> = { p: /\*/, i: /^(unsigned|int) /, f: /^float / };
  for (const { name, signature, code } of sources) {
    const list = /extern "C" __global__ void \w+\(([^)]*)\)/.exec(code)?.[1]?.split(', ') ?? [];
    expect(list.length, name).toBe(signature.length);
    list.forEach((parameter, i) => {
      const type = signature[i]!;
      expect(parameter, name).toMatch(letters[type]!);
      if (type !== 'p') expect(parameter, name).not.toContain('*');
    });
    expect(code, name).toContain(`void ${name}(`);
  }
});

const skipped =
  'skipped: CUDA kernels by nvcc. It is not on this machine; install the CUDA toolkit.';

if (known.length === 0) test.skip(skipped, () => {});
else {
  const missing = WANTED.filter((wanted) => !known.includes(wanted));
  const without = missing.length > 0 ? ` (this nvcc has no sm_${missing.join(', sm_')})` : '';
  test(`nvcc compiles all ${sources.length} kernels for sm_${architectures.join(', sm_')}${without}`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'orth-backend-cuda-'));
    try {
      // A namespace each: helpers of the same name are in many of them.
      const code = sources.map(({ code }, i) => `namespace kernel${i} {\n${code}}\n`).join('');
      writeFileSync(join(folder, 'kernels.cu'), code);
      const targets = architectures.flatMap((n) => ['-gencode', `arch=compute_${n},code=sm_${n}`]);
      // The compiler's own optimiser takes most of the time and finds no errors.
      const flags = [
        '--fatbin',
        // Helpers that not every kernel uses.
        '--diag-suppress',
        '177',
        '-std=c++17',
        '-Werror',
        'all-warnings',
        '-Xptxas',
        '-O0',
        '--threads',
        '2',
      ];
      const { status, stderr, stdout } = spawnSync(
        'nvcc',
        [...flags, ...targets, '-o', join(folder, 'kernels.fatbin'), join(folder, 'kernels.cu')],
        { encoding: 'utf8' },
      );
      expect(status, `${stdout}${stderr}`.slice(0, 4000)).toBe(0);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, 180_000);
}
