import { seededRandom } from '@orth/backend';
import { describe, expect, it } from 'vitest';
import {
  matrix64,
  productTransposed,
  relativeError,
  symmetricProduct,
  transpose64,
} from '../src/reference/matrix64.js';
import {
  MUON_QUINTIC,
  newtonSchulz64,
  newtonSchulzPlain64,
  orthogonalityError64,
} from '../src/reference/newtonSchulz64.js';
import { adam64 } from '../src/reference/optimizers64.js';

const random = seededRandom(5);
const gaussian = (rows: number, columns: number) =>
  matrix64(
    rows,
    columns,
    Array.from({ length: rows * columns }, () => random.normal()),
  );

describe('float64 references', () => {
  it('multiply as the definition says', () => {
    const [a, b] = [gaussian(3, 7), gaussian(5, 7)];
    const got = productTransposed(a, b);
    const want = Array.from({ length: 15 }, (_, ij) => {
      const [i, j] = [Math.floor(ij / 5), ij % 5];
      let sum = 0;
      for (let k = 0; k < 7; k++) sum += a.data[i * 7 + k]! * b.data[j * 7 + k]!;
      return sum;
    });
    expect(relativeError(got.data, want)).toBeLessThan(1e-14);
    expect(symmetricProduct(a, a).data).toEqual(productTransposed(a, a).data);
    expect(transpose64(transpose64(a)).data).toEqual(a.data);
  });

  it('iterate in the Gram form as in the plain form, wide and tall', () => {
    const rows = Array<typeof MUON_QUINTIC>(5).fill(MUON_QUINTIC);
    for (const x of [gaussian(8, 21), gaussian(12, 12), gaussian(21, 8)]) {
      const error = relativeError(newtonSchulz64(x, rows).data, newtonSchulzPlain64(x, rows).data);
      expect(error).toBeLessThan(1e-9);
    }
  });

  it('give the scalar map of a diagonal matrix', () => {
    const [a, b, c] = MUON_QUINTIC;
    const p = (s: number) => a * s + b * s ** 3 + c * s ** 5;
    const x = matrix64(2, 3, [3, 0, 0, 0, 4, 0]);
    const got = newtonSchulz64(x, [MUON_QUINTIC, MUON_QUINTIC], 0);
    expect(got.data[0]).toBeCloseTo(p(p(0.6)), 12);
    expect(got.data[4]).toBeCloseTo(p(p(0.8)), 12);
  });

  it('measure orthogonality on the short side', () => {
    expect(orthogonalityError64(matrix64(2, 3, [1, 0, 0, 0, 1, 0]))).toBe(0);
    expect(orthogonalityError64(matrix64(3, 2, [2, 0, 0, 1, 0, 0]))).toBeCloseTo(3 / Math.SQRT2);
  });

  it("take Adam's first step of one learning rate against the gradient's sign", () => {
    const options = { learningRate: 0.1, beta1: 0.9, beta2: 0.95, epsilon: 0 };
    const [up, down] = adam64([[3, -0.5]], options);
    expect(up).toBeCloseTo(-0.1, 12);
    expect(down).toBeCloseTo(0.1, 12);
  });

  it('find a wrong length and NaN', () => {
    expect(relativeError([1, 2], [1])).toBeNaN();
    expect(relativeError([Number.NaN], [1])).toBeNaN();
  });
});
