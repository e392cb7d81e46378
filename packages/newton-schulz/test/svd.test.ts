import fc from 'fast-check';
import { Matrix, SVD } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { svd } from '../src/svd.js';
import { gaussian } from './reference.js';

const sizes = fc.record({
  seed: fc.integer(),
  k: fc.integer({ min: 1, max: 9 }),
  extra: fc.integer({ min: 0, max: 6 }),
});

describe('svd', () => {
  it('agrees with ml-matrix and rebuilds the matrix', () => {
    fc.assert(
      fc.property(sizes, ({ seed, k, extra }) => {
        const l = k + extra;
        const x = Float64Array.from(gaussian(seed, [k, l]).data);
        const { values, left, right, rank } = svd(x.slice(), k, l);
        const want = new SVD(Matrix.from1DArray(k, l, x), { autoTranspose: true }).diagonal;
        values.forEach((value, i) => {
          expect(Math.abs(value - want[i]!)).toBeLessThan(1e-13 * want[0]! * k);
        });
        expect(rank).toBe(k);
        for (let i = 0; i < k; i++) {
          for (let j = 0; j < l; j++) {
            let sum = 0;
            for (let r = 0; r < k; r++) sum += left[r * k + i]! * values[r]! * right[r * l + j]!;
            expect(Math.abs(sum - x[i * l + j]!)).toBeLessThan(1e-13 * k);
          }
        }
      }),
    );
  });

  it('finds the rank of matrices with repeated and zero rows', () => {
    const row = [1, 2, 3, 4];
    const repeated = svd(Float64Array.from([...row, ...row, 0, 0, 0, 0]), 3, 4);
    expect(repeated.rank).toBe(1);
    expect(repeated.values[0]).toBeCloseTo(Math.sqrt(60), 12);
    expect([...repeated.right.slice(4)].every((v) => v === 0)).toBe(true);
    expect(svd(new Float64Array(6), 2, 3).rank).toBe(0);
  });

  it('keeps small singular values to full relative accuracy', () => {
    // Rows of very different length: the smallest value is that of a well-conditioned matrix with scaled rows.
    const { values } = svd(Float64Array.from([1e12, 2e12, 3e-9, -1e-9]), 2, 2);
    expect(values[0]! / Math.hypot(1e12, 2e12)).toBeCloseTo(1, 14);
    // |det| = |1e12 · −1e−9 − 2e12 · 3e−9| = 7000
    expect((values[0]! * values[1]!) / 7000).toBeCloseTo(1, 12);
  });
});
