import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import { describe, expect, it } from 'vitest';
import { evaluate, slopesAtS, slopesAtT, sumSoftplus, tabulate } from '../src/chebyshevCells.js';
import { sumOverCells } from '../src/pairCells.js';

const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const logistic = (x: number) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const total = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);

describe('sums by cells', () => {
  it.each([
    ['in one cell', 1e-3, 0],
    ['in a few cells', 1, 0],
    ['in many', 100, 0],
    ['in more than an array holds', 1e7, 0],
    ['without fractions', 1e17, 0],
    ['far below', 3, 60],
    ['far above', 3, -60],
  ])('%s agree with all pairs to 1e-9', (_, scale, shift) => {
    const random = seededRandom(1);
    const t = Array.from({ length: 150 }, () => scale * random.normal());
    const s = Array.from({ length: 120 }, () => shift + scale * random.normal());
    const T = tabulate((visit) => t.forEach(visit));
    const S = tabulate((visit) => s.forEach(visit));
    const want = total(t.flatMap((a) => s.map((b) => softplus(a - b))));
    expect(Math.abs(sumSoftplus(T, S) / want - 1)).toBeLessThan(1e-9);
    const [atS, atT] = [slopesAtS(T, S), slopesAtT(T, S)];
    const close = (got: number, exact: number) =>
      expect(Math.abs(got - exact)).toBeLessThanOrEqual(1e-9 * exact + 1e-300);
    for (const x of s) {
      const i = Math.floor(x);
      close(evaluate(atS, S.find(i), i, x), total(t.map((a) => logistic(a - x))));
    }
    for (const x of t) {
      const i = Math.floor(x);
      close(evaluate(atT, T.find(i), i, x), total(s.map((b) => logistic(x - b))));
    }
  });

  it('of a million and a million numbers take a moment, a trillion pairs', () => {
    const random = seededRandom(2);
    const draw = () => Float32Array.from({ length: 1_000_000 }, () => random.uniform());
    const sum = sumOverCells('test', draw(), { scores: draw() }, 0.05);
    const { positives, negatives } = sum.gradients(1);
    // Only differences matter.
    const [p, n] = [positives, negatives].map((g) => g.reduce((a, b) => a + b, 0)) as [
      number,
      number,
    ];
    expect(Math.abs(p + n)).toBeLessThan(1e-5 * n);
    // E softplus((t − s) / τ) for independent uniform numbers, by the density 1 − |x| of their difference.
    let mean = 0;
    for (let i = 0; i < 200_000; i++) {
      const x = -1 + (i + 0.5) / 100_000;
      mean += ((1 - Math.abs(x)) * softplus(x / 0.05)) / 100_000;
    }
    expect(Math.abs(sum.value / 1e12 / mean - 1)).toBeLessThan(0.01);
  });

  it('leave out what does not count, and refuse what has no finite sum', () => {
    const sum = sumOverCells(
      'test',
      [1, Infinity],
      { scores: [0, 5, -Infinity], counts: [1, 0, 1] },
      1,
    );
    expect(sum.value).toBeCloseTo(softplus(-1), 9);
    const { positives, negatives } = sum.gradients(1);
    expectTensorClose(positives, [-logistic(-1), 0]);
    expectTensorClose(negatives, [logistic(-1), 0, 0]);
    for (const [p, n] of [
      [[Number.NaN], [0]],
      [[0], [Infinity]],
      [[-Infinity], [0]],
    ] as const) {
      expect(() => sumOverCells('test', p, { scores: n }, 1)).toThrow(/finite loss/);
    }
  });
});
