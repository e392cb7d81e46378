/** Spaces, transforms and random search: host code. */
import { seededRandom } from '@orth/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  freeValue,
  hyperSpace,
  hyperValue,
  inverseSoftplus,
  randomSearch,
  type SearchTrial,
} from '../src/index.js';

describe('transforms', () => {
  it('invert each other inside every kind of range', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -5, max: 5, noNaN: true }),
        fc.double({ min: 0.1, max: 20, noNaN: true }),
        fc.double({ min: 0.001, max: 0.999, noNaN: true }),
        (low, width, share) => {
          for (const range of [
            [low, low + width],
            [low, Infinity],
            [-Infinity, low + width],
            [-Infinity, Infinity],
          ] as const) {
            const value = low + width * share;
            expect(hyperValue(freeValue(value, range), range)).toBeCloseTo(value, 5);
          }
        },
      ),
    );
  });

  it('are finite at the ends and for extreme numbers', () => {
    expect(Math.abs(freeValue(0, [0, 0.9]))).toBeLessThan(10);
    expect(hyperValue(freeValue(0.9, [0, 0.9]), [0, 0.9])).toBeCloseTo(0.9, 3);
    expect(inverseSoftplus(1000)).toBe(1000);
    expect(inverseSoftplus(1e-10)).toBeCloseTo(Math.log(1e-10), 5);
    expect(hyperValue(1000, [0, Infinity])).toBe(1000);
    expect(hyperValue(-1000, [0, 1])).toBe(0);
  });
});

describe('hyperSpace', () => {
  const space = hyperSpace({
    dropout: { range: [0, 0.9], init: 0.05 },
    l2: { range: [0, Infinity], init: 1e-4, search: [1e-6, 1], searchScale: 'log' },
    holes: { range: [0, 4], init: 1.5, discrete: true, scale: 2 },
  });

  it('gives initial values back, discrete ones floored', () => {
    const values = space.valuesOf(space.initialFree());
    expect(values.dropout).toBeCloseTo(0.05, 6);
    expect(values.l2).toBeCloseTo(1e-4, 9);
    expect(values.holes).toBe(1);
    expect(space.names).toEqual(['dropout', 'l2', 'holes']);
    const scales = Array.from(space.initialScales(), (raw) => Math.log1p(Math.exp(raw)));
    expect(scales[0]).toBeCloseTo(0.5, 6);
    expect(scales[2]).toBeCloseTo(2, 6);
  });

  it('an integer to begin with stays that integer', () => {
    for (const init of [0, 1, 2, 3]) {
      const one = hyperSpace({ n: { range: [0, 4], init, discrete: true } });
      expect(one.valuesOf(one.initialFree()).n).toBe(init);
    }
  });

  it('other initial values, and random ones from where they should be', () => {
    expect(space.withInit({ dropout: 0.3 }).entries.map(({ init }) => init)).toEqual([
      0.3, 1e-4, 1.5,
    ]);
    const random = seededRandom(1);
    const drawn = Array.from({ length: 400 }, () => space.sample(random));
    for (const { dropout, l2, holes } of drawn) {
      expect(dropout! >= 0 && dropout! <= 0.9 && l2! >= 1e-6 && l2! <= 1).toBe(true);
      expect([0, 1, 2, 3]).toContain(holes);
    }
    const small = drawn.filter(({ l2 }) => l2! < 1e-3).length;
    expect(small).toBeGreaterThan(150);
    expect(small).toBeLessThan(250);
  });

  it.each([
    [{}, /at least one/],
    [{ a: { range: [1, 1], init: 1 } }, /low < high, got \[1,1\]/],
    [{ a: { range: [0, 1], init: 2 } }, /init must lie in the range \[0, 1\], got 2/],
    [{ a: { range: [0, Infinity], init: 0 } }, /init must lie in the range/],
    [{ a: { range: [0, 1], init: 0.5, scale: 0 } }, /scale must be a finite number > 0, got 0/],
    [{ a: { range: [0, 1], init: 0.5, discrete: 1 } }, /discrete must be true or false/],
    [{ a: { range: [0, 1], init: 0.5, search: [0, 2] } }, /search must be a part of the range/],
    [{ a: { range: [0, 1], init: 0.5, searchScale: 'log' } }, /search must be positive/],
    [{ a: { range: [0, 1], init: 0.5, sd: 1 } }, /unknown option "sd"/],
  ] as const)('refuses %o', (entries, message) => {
    expect(() => hyperSpace(entries as never)).toThrow(message);
  });

  it('names what it does not know', () => {
    expect(() => space.indexOf('drop')).toThrow(/unknown hyperparameter "drop"; known are dropout/);
    expect(() => space.withInit({ drop: 1 })).toThrow(/unknown hyperparameter/);
  });
});

describe('randomSearch', () => {
  const space = hyperSpace({ a: { range: [0, 1], init: 0.5 } });
  const quadratic = (given: typeof space) => (given.entries[0]!.init - 0.3) ** 2;

  it('finds the best of its trials, the same for the same seed', async () => {
    const seen: SearchTrial[] = [];
    const options = { trials: 30, seed: 2, onTrial: (trial: SearchTrial) => void seen.push(trial) };
    const { best, trials } = await randomSearch(quadratic, space, options);
    expect(trials).toEqual(seen);
    expect(best!.values.a).toBeCloseTo(0.3, 1);
    expect(best!.loss).toBe(Math.min(...trials.map(({ loss }) => loss)));
    const again = await randomSearch(quadratic, space, { trials: 30, seed: 2 });
    expect(again.trials).toEqual(trials);
  });

  it('counts a run without a number as lost, and can be stopped', async () => {
    const controller = new AbortController();
    const { trials, best } = await randomSearch(
      (_, trial) => (trial === 0 ? Number.NaN : trial),
      space,
      {
        trials: 9,
        signal: controller.signal,
        onTrial: ({ trial }) => {
          if (trial === 2) controller.abort();
        },
      },
    );
    expect(trials.map(({ loss }) => loss)).toEqual([Infinity, 1, 2]);
    expect(best!.loss).toBe(1);
  });

  it('refuses what it cannot do before the first run', async () => {
    let runs = 0;
    const run = () => ++runs;
    const open = hyperSpace({ a: { range: [0, Infinity], init: 1 } });
    await expect(randomSearch(run, open, { trials: 2 })).rejects.toThrow(/search must be finite/);
    await expect(randomSearch(run, space, { trials: 0 })).rejects.toThrow(/trials must/);
    await expect(randomSearch(3 as never, space, { trials: 1 })).rejects.toThrow(/run must be/);
    expect(runs).toBe(0);
  });
});
