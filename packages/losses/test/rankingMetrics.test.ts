import { seededRandom } from '@orth/backend';
import { tensor1d, tensor2d } from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  areaOverCurve,
  mrrAtK,
  mwLossFromScores,
  ndcgAtK,
  pooledHardAuc,
  rocAuc,
  rocCurve,
} from '../src/index.js';

/** By looking at each pair. */
function pairs(p: readonly number[], n: readonly number[]) {
  let [above, equal] = [0, 0];
  for (const a of p) for (const b of n) above += Number(a > b);
  for (const a of p) for (const b of n) equal += Number(a === b);
  const all = p.length * n.length;
  return { auc: (above + equal / 2) / all, ties: equal / all, over: (all - above - equal) / all };
}

const scores = fc.array(fc.integer({ min: -4, max: 4 }), { minLength: 1, maxLength: 12 });

describe('areas', () => {
  it('agree with a look at each pair, ties counting one half', async () => {
    await fc.assert(
      fc.asyncProperty(scores, scores, async (p, n) => {
        const want = pairs(p, n);
        expect(await rocAuc(p, n)).toBeCloseTo(want.auc, 12);
        expect(await areaOverCurve(p, n)).toBeCloseTo(want.over, 12);
        const curve = await rocCurve(p, n);
        const { falsePositiveRate: x, truePositiveRate: y } = curve;
        let area = 0;
        for (let i = 1; i < x.length; i++) area += ((x[i]! - x[i - 1]!) * (y[i]! + y[i - 1]!)) / 2;
        expect(area).toBeCloseTo(want.auc, 12);
        expect([x[0], y[0], x.at(-1), y.at(-1)]).toEqual([0, 0, 1, 1]);
      }),
      { numRuns: 60 },
    );
  });

  it('are one half where all scores are equal, and add up to 1 with half the ties', async () => {
    expect(await rocAuc([2, 2], [2, 2, 2])).toBe(0.5);
    const [p, n] = [
      [1, 2, 2],
      [2, 0, 3],
    ];
    const { ties } = pairs(p, n);
    expect((await rocAuc(p, n)) + (await areaOverCurve(p, n)) + ties / 2).toBeCloseTo(1, 12);
  });

  it('are bounded by the MW loss at every temperature', async () => {
    const random = seededRandom(3);
    const draw = (shift: number) => Array.from({ length: 40 }, () => shift + random.normal());
    for (const temperature of [0.01, 0.3, 5]) {
      const [p, n] = [draw(0.7), draw(0)];
      const [a, b] = [tensor1d(p), tensor1d(n)];
      const loss = mwLossFromScores(a, b, { temperature });
      const bound = (await loss.data())[0]! / Math.LN2;
      expect(await areaOverCurve(p, n)).toBeLessThanOrEqual(bound);
      for (const x of [a, b, loss]) x.dispose();
    }
  });

  it('take a million scores in a moment', async () => {
    const random = seededRandom(4);
    const draw = (shift: number) =>
      Float32Array.from({ length: 500_000 }, () => shift + random.uniform());
    expect(await rocAuc(draw(0.5), draw(0))).toBeCloseTo(0.875, 2);
  });

  it('refuse empty lists and NaN', async () => {
    await expect(rocAuc([], [1])).rejects.toThrow(/positives must not be empty/);
    await expect(areaOverCurve([1], [Number.NaN])).rejects.toThrow(/negatives must not be NaN/);
  });
});

describe('ranks', () => {
  const s = tensor2d([
    [3, 1, 2, 0],
    [1, 1, 1, 1],
    [0, 1, 2, 3],
  ]);
  const r = tensor2d([
    [0, 1, 2, 0],
    [0, 1, 0, 0],
    [0, 0, 0, 0],
  ]);

  it('count from the best score, ties by index', async () => {
    expect(Array.from(await mrrAtK(s, r))).toEqual([1 / 2, 1 / 2, 0]);
    expect(Array.from(await mrrAtK(s, r, 1))).toEqual([0, 0, 0]);
    const [first, second, third] = await ndcgAtK(s, r, 3);
    const log = Math.log2;
    expect(first).toBeCloseTo((2 / log(3) + 1 / log(4)) / (2 / log(2) + 1 / log(3)), 12);
    expect(second).toBeCloseTo(1 / log(3), 12);
    expect(third).toBe(0);
    const [exponential] = await ndcgAtK(s, r, 3, { gain: 'exponential' });
    expect(exponential).toBeCloseTo((3 / log(3) + 1 / log(4)) / (3 / log(2) + 1 / log(3)), 12);
  });

  it('pool the hardest negatives of all queries', async () => {
    const relevance = tensor2d([
      [0, 1, 0, 0],
      [1, 0, 0, 0],
    ]);
    const table = tensor2d([
      [3, 2, 1, 0],
      [1, 0.5, 0, -1],
    ]);
    expect(await pooledHardAuc(table, relevance, { topNegatives: 1 })).toBe(
      pairs([2, 1], [3, 0.5]).auc,
    );
    expect(await pooledHardAuc(table, relevance)).toBe(pairs([2, 1], [3, 1, 0, 0.5, 0, -1]).auc);
    await expect(
      pooledHardAuc(
        table,
        tensor2d([
          [1, 1, 1, 1],
          [1, 1, 1, 1],
        ]),
      ),
    ).rejects.toThrow(/empty/);
  });

  it('refuse other shapes and k < 1', async () => {
    await expect(mrrAtK(s, r, 0)).rejects.toThrow(/k must be/);
    await expect(ndcgAtK(s, tensor2d([[1]]))).rejects.toThrow(/relevance must have shape/);
    await expect(mrrAtK(tensor1d([1]), r)).rejects.toThrow(/queries, documents/);
  });
});
