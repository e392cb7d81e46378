import { seededRandom } from '@orth/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ColumnEvaluator } from '../src/columnEvaluator.js';
import { kthLargest, Selection, simplexThreshold } from '../src/columnSelection.js';
import { compact } from '../src/compactProblem.js';
import { maxAbs, randomProblem, semiDual, sortedProjection, sum } from './reference.js';

const vector = fc.array(fc.double({ min: -10, max: 10, noNaN: true }), {
  minLength: 1,
  maxLength: 40,
});

describe('column kernels', () => {
  it('kthLargest is that of the sorted array', () => {
    fc.assert(
      fc.property(vector, fc.nat(), (values, seed) => {
        const k = 1 + (seed % values.length);
        const sorted = [...values].sort((x, y) => y - x);
        expect(kthLargest(Float64Array.from(values), values.length, k)).toBe(sorted[k - 1]);
      }),
    );
  });

  it('keepLargest takes the first of equal entries, in order', () => {
    const selection = new Selection(6);
    selection.values.set([1, 3, 2, 3, 2, 2]);
    selection.rows.set([0, 1, 2, 3, 4, 5]);
    selection.length = 6;
    expect(selection.keepLargest(4)).toBe(2);
    expect([...selection.rows.subarray(0, 4)]).toEqual([1, 2, 3, 4]);
    expect([...selection.values.subarray(0, 4)]).toEqual([3, 2, 3, 2]);
  });

  it('simplexThreshold projects on the simplex from any guess', () => {
    fc.assert(
      fc.property(
        vector,
        fc.double({ min: 1e-3, max: 10, noNaN: true }),
        fc.double({ min: -30, max: 30 }),
        (values, z, guess) => {
          const theta = simplexThreshold(Float64Array.from(values), values.length, z, guess);
          const want = sortedProjection(values, values.length, z);
          expect(
            maxAbs(
              values.map((v) => Math.max(0, v - theta)),
              want,
            ),
          ).toBeLessThan(1e-12 * 40);
        },
      ),
    );
  });

  it('simplexThreshold keeps a small mass beside large scores', () => {
    const values = Float64Array.of(1e4, 1e4 - 2 ** -20, 9e3);
    const theta = simplexThreshold(values, 3, 2 ** -18, Number.NaN);
    expect(values.reduce((total, v) => total + Math.max(0, v - theta), 0)).toBe(2 ** -18);
  });
});

describe('ColumnEvaluator', () => {
  // One k for the slots, one for the selection, one without a bound.
  it.each([1, 2, 5, 40, 60])('gives values and marginals of the semi-dual, k = %i', (k) => {
    const problem = randomProblem(k, 60, 25);
    const { m, n, a, b } = problem;
    const gamma = 0.5;
    const evaluator = new ColumnEvaluator(compact(problem), gamma, k);
    const theta = new Float64Array(n).fill(Number.NaN);
    const [rows, columns] = [new Float64Array(m), new Float64Array(n)];
    const random = seededRandom(7);
    const alpha = Float64Array.from({ length: m }, () => 0.3 * random.normal());
    // Along a path of shrinking steps, so that candidate lists are made, used, and fail.
    for (let step = 0; step < 60; step++) {
      const squares = evaluator.evaluate(alpha, theta, true, rows, columns);
      const value =
        alpha.reduce((total, x, i) => total + x * a[i]!, 0) -
        theta.reduce((total, x, j) => total + x * b[j]!, 0) -
        squares;
      expect(value).toBeCloseTo(semiDual(problem, k, gamma, alpha), 11);
      expect(maxAbs(columns, b)).toBeLessThan(1e-14);
      const plan = new Float64Array(m);
      for (let j = 0; j < n; j++) {
        const s = Array.from(alpha, (x, i) => (x - problem.cost[i * n + j]!) / gamma);
        sortedProjection(s, k, b[j]!).forEach((t, i) => {
          plan[i]! += t;
        });
      }
      expect(maxAbs(rows, plan)).toBeLessThan(1e-13);
      const size = step % 7 === 0 ? 0.3 : 0.2 * 0.9 ** step;
      for (let i = 0; i < m; i++) alpha[i]! += size * random.normal();
    }
  });

  it.each([1, 4, 60])('gives the dual at given thresholds, k = %i', (k) => {
    const problem = randomProblem(3, 60, 10);
    const { m, n, cost } = problem;
    const gamma = 2;
    const evaluator = new ColumnEvaluator(compact(problem), gamma, k);
    const [rows, columns] = [new Float64Array(m), new Float64Array(n)];
    const random = seededRandom(8);
    const alpha = Float64Array.from({ length: m }, () => random.normal());
    for (let step = 0; step < 30; step++) {
      const theta = Float64Array.from({ length: n }, () => 0.2 * random.normal());
      const squares = evaluator.evaluate(alpha, theta, false, rows, columns);
      let want = 0;
      for (let j = 0; j < n; j++) {
        const top = Array.from(alpha, (x, i) => x - cost[i * n + j]! - theta[j]!)
          .sort((x, y) => y - x)
          .slice(0, k)
          .map((x) => Math.max(0, x));
        want += top.reduce((total, x) => total + x * x, 0) / (2 * gamma);
        expect(columns[j]).toBeCloseTo(sum(top) / gamma, 12);
      }
      expect(squares).toBeCloseTo(want, 11);
      for (let i = 0; i < m; i++) alpha[i]! += 0.05 * 0.8 ** step * random.normal();
    }
  });

  it('measures ties at the k-th place', () => {
    const problem = { ...randomProblem(1, 4, 1), cost: Float64Array.of(0.1, 0.1, 0.1, 0.4) };
    const margin = (k: number) =>
      new ColumnEvaluator(compact(problem), 1, k).visit(
        new Float64Array(4),
        new Float64Array(1),
        true,
        () => {},
      );
    expect(margin(2)).toBe(0);
    expect(margin(3)).toBeCloseTo(0.3, 15);
    expect(margin(4)).toBe(Infinity);
  });
});
