import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '@orth/backend';
import { describe, expect, it } from 'vitest';
import type { Claim, Expectation, Repro } from '../src/harness/repro.js';
import { meets, runRepros, toRow } from '../src/harness/runRepros.js';
import { reproCommand } from '../src/reproCli.js';
import { captureStreams } from './streams.js';

const claim = (ours: number[], expectation: Expectation, effect: Claim['effect'] = 'ratio') => ({
  claim: 'ours is smaller',
  setting: 'none',
  baseline: 'theirs',
  ours: 'ours',
  results: ours.map((value, i) => ({ seed: i + 1, baseline: 2, ours: value })),
  effect,
  expectation,
});

describe('holds', () => {
  it('is computed from the mean, or from every seed', () => {
    const values = [1, 1, 2.2];
    expect(toRow('s', claim(values, { of: 'mean', atMost: 0.8 })).holds).toBe(true);
    expect(toRow('s', claim(values, { of: 'everySeed', atMost: 0.8 })).holds).toBe(false);
    expect(toRow('s', claim(values, { of: 'everySeed', atMost: 1.1 })).holds).toBe(true);
  });

  it('takes bounds from both sides, inclusive, and a strict one', () => {
    expect(meets([0.5], { of: 'mean', atLeast: 0.5, atMost: 0.5 })).toBe(true);
    expect(meets([0.5], { of: 'mean', atLeast: 0.6 })).toBe(false);
    expect(meets([0, -1], { of: 'everySeed', below: 0 })).toBe(false);
    expect(meets([-0.1, -1], { of: 'everySeed', below: 0 })).toBe(true);
  });

  it('is false where a number is missing', () => {
    expect(meets([0.1, Number.NaN, 0.1], { of: 'mean', atMost: 1 })).toBe(false);
    expect(meets([0.1, Number.NaN, 0.1], { of: 'everySeed', atMost: 1 })).toBe(false);
    expect(meets([0.1, Number.NaN, 0.1], { of: 'everySeed', atLeast: 0 })).toBe(false);
  });
});

describe('toRow', () => {
  it('gives mean, spread and the effect of each seed', () => {
    const row = toRow('s', claim([1, 2, 3], { of: 'mean', atLeast: 0 }, 'difference'));
    expect(row.effect.values).toEqual([-1, 0, 1]);
    expect(row.ours).toEqual({ what: 'ours', mean: 2, spread: 1, values: [1, 2, 3] });
    expect(row.baseline).toMatchObject({ what: 'theirs', mean: 2, spread: 0 });
    expect(row.seeds).toEqual([1, 2, 3]);
    expect(row.holds).toBe(true);
  });

  it('refuses fewer than three seeds, one seed thrice, and a claim without a bound', () => {
    expect(() => toRow('s', claim([1, 1], { of: 'mean', atMost: 1 }))).toThrow(RangeError);
    const twice = claim([1, 1, 1], { of: 'mean', atMost: 1 });
    const results = twice.results.map((result) => ({ ...result, seed: 7 }));
    expect(() => toRow('s', { ...twice, results })).toThrow('got [7,7,7]');
    expect(() => toRow('s', claim([1, 1, 1], { of: 'mean' }))).toThrow('must have atMost');
  });
});

describe('runRepros', () => {
  it('keeps the rows of a reproduction that breaks off, and runs the others', async () => {
    const repro = (system: string, breaks: boolean): Repro => ({
      system,
      description: '',
      async *claims() {
        yield claim([1, 1, 1], { of: 'mean', atMost: 1 });
        if (breaks) throw new Error('out of memory');
      },
    });
    const context = { quick: true, seeds: [1, 2, 3], backend: 'cpu', random: seededRandom };
    const { rows, failed } = await runRepros([repro('a', true), repro('b', false)], context);
    expect(rows.map(({ system }) => system)).toEqual(['a', 'b']);
    expect(failed).toEqual([{ system: 'a', message: 'out of memory' }]);
  });
});

describe('repro command', () => {
  const folder = new URL('./repros/', import.meta.url);
  async function repro(argv: string[]) {
    const streams = captureStreams();
    const code = await reproCommand(argv, folder, streams);
    return { code, out: streams.out(), err: streams.err() };
  }

  it('keeps what does not hold in the table, and that is no failure', async () => {
    const scratch = await mkdtemp(join(tmpdir(), 'orth-repro-test-'));
    const file = join(scratch, 'result.json');
    const { code, out } = await repro(['coin', '--quick', '--backend', 'cpu', '--json', file]);
    const report = JSON.parse(await readFile(file, 'utf8'));
    await rm(scratch, { recursive: true });
    expect(code).toBe(0);
    expect(out).toMatch(/each <= 0\.600 +yes +1 2 3/);
    expect(out).toMatch(/mean <= 0\.100 +NO +1 2 3/);
    expect(report.rows.map(({ holds }: { holds: boolean }) => holds)).toEqual([true, false]);
    expect(report.machine.backend).toBe('cpu');
    expect(report.rows[0].setting).toBe('short');
  });

  it('refuses unknown systems and too few seeds', async () => {
    expect(await repro(['dice'])).toMatchObject({
      code: 2,
      err: 'pnpm repro: unknown system dice; known are coin\n',
    });
    expect(await repro(['--seeds', '2'])).toMatchObject({
      code: 2,
      err: 'pnpm repro: --seeds must be an integer >= 3, got "2"\n',
    });
  });

  it('runs as many seeds as asked for', async () => {
    const { out } = await repro(['--seeds', '4', '--backend', 'cpu']);
    expect(out).toContain('1 2 3 4');
  });
});
