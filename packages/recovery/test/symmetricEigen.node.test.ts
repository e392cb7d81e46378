import { seededRandom } from '@orth/backend';
import { describe, expect, it } from 'vitest';
import { gram, multiply, transposed } from '../src/denseMatrix.js';
import { orthonormalColumns } from '../src/orthonormal.js';
import { partialIsometry, spectralNorm } from '../src/partialIsometry.js';
import { symmetricEigen } from '../src/symmetricEigen.js';

const random = seededRandom(3);

/** `Q diag(values) Qᵀ` with a random `Q`. */
function withSpectrum(values: readonly number[]) {
  const n = values.length;
  const Q = orthonormalColumns(random, n, n);
  const scaled = { shape: Q.shape, data: Q.data.map((x, i) => x * values[i % n]!) };
  return multiply(scaled, transposed(Q)).data;
}

describe('symmetricEigen', () => {
  it.each([
    ['one row', [4]],
    ['two', [3, -2]],
    ['repeated', [2, 2, 2, 1, 1, 0, 0]],
    ['signs and scales', [1e3, 5, 1e-2, 0, -1e-4, -7]],
    ['many', Array.from({ length: 40 }, (_, i) => Math.sin(i) * 10)],
  ])('finds values and vectors: %s', (_, spectrum) => {
    const n = spectrum.length;
    const A = withSpectrum(spectrum);
    const { values, vectors } = symmetricEigen(A, n);
    const scale = Math.max(...spectrum.map(Math.abs));
    const want = [...spectrum].sort((x, y) => y - x);
    want.forEach((x, i) => {
      expect(Math.abs(values[i]! - x)).toBeLessThan(1e-13 * scale * n);
    });
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) {
        const overlap = vectors[i]!.reduce((total, x, k) => total + x * vectors[j]![k]!, 0);
        expect(overlap).toBeCloseTo(i === j ? 1 : 0, 12);
      }
      for (let r = 0; r < n; r++) {
        let image = 0;
        for (let k = 0; k < n; k++) image += A[r * n + k]! * vectors[i]![k]!;
        expect(Math.abs(image - values[i]! * vectors[i]![r]!)).toBeLessThan(1e-12 * scale * n);
      }
    }
  });

  it('takes diagonal, zero and rank-one matrices', () => {
    expect([...symmetricEigen([1, 0, 0, 0, 5, 0, 0, 0, -3], 3).values]).toEqual([5, 1, -3]);
    expect([...symmetricEigen(new Float64Array(16), 4).values]).toEqual([0, 0, 0, 0]);
    const ones = symmetricEigen(new Float64Array(25).fill(1), 5);
    expect(ones.values[0]).toBeCloseTo(5, 12);
    expect(Math.abs(ones.values[4]!)).toBeLessThan(1e-13);
  });

  it('keeps very small and very large matrices apart from 0 and infinity', () => {
    for (const scale of [1e-150, 1e150]) {
      const { values } = symmetricEigen([2 * scale, scale, 0, scale, 2 * scale, 0, 0, 0, scale], 3);
      expect(values[0]! / scale).toBeCloseTo(3, 12);
    }
  });
});

describe('partialIsometry', () => {
  it('is the polar factor at full rank, and drops what is below the cut', () => {
    const n = 6;
    const [U, V] = [orthonormalColumns(random, n, n), orthonormalColumns(random, n, n)];
    const build = (values: readonly number[]) => {
      const scaled = { shape: U.shape, data: U.data.map((x, i) => x * values[i % n]!) };
      return multiply(scaled, transposed(V));
    };
    const full = partialIsometry(build([9, 3, 1, 0.1, 0.01, 1e-3]), 1e-5);
    const want = multiply(U, transposed(V));
    full.data.forEach((x, i) => {
      expect(x).toBeCloseTo(want.data[i]!, 9);
    });
    const low = partialIsometry(build([9, 3, 1e-6, 0, 0, 0]), 1e-5);
    const rank = gram(low).data.reduce((total, x, i) => (i % (n + 1) === 0 ? total + x : total), 0);
    expect(rank).toBeCloseTo(2, 9);
    expect(spectralNorm(low)).toBeCloseTo(1, 9);
    expect(spectralNorm(partialIsometry(build([0, 0, 0, 0, 0, 0]), 0))).toBe(0);
  });
});
