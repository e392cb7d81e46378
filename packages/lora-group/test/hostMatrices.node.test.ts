/** The host's linear algebra by what has to hold: reconstruction, orthogonality, order. */
import { seededRandom } from '@orth/backend';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  innerProducts,
  orthonormalRows,
  rowsOf,
  symmetricEigen,
  topSvd,
  transposeRows,
} from '../src/lora/hostMatrices.js';

const random = (rows: number, columns: number, seed: number) => {
  const source = seededRandom(seed);
  return rowsOf(
    Array.from({ length: rows * columns }, () => source.normal()),
    rows,
    columns,
  );
};

const distance = (x: readonly Float64Array[], y: readonly Float64Array[]) =>
  Math.max(...x.map((row, i) => Math.max(...row.map((value, j) => Math.abs(value - y[i]![j]!)))));

const identity = (n: number) =>
  Array.from({ length: n }, (_, i) =>
    Float64Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)),
  );

const size = fc.integer({ min: 1, max: 24 });
const seed = fc.integer({ min: 0, max: 1e6 });

test('symmetricEigen: orthogonal vectors that rebuild the matrix, values in order', () => {
  fc.assert(
    fc.property(size, seed, fc.boolean(), (n, key, degenerate) => {
      const X = random(n, degenerate ? Math.ceil(n / 2) : n, key);
      const G = innerProducts(X, X);
      const copy = G.map((row) => row.slice());
      const { values, vectors } = symmetricEigen(copy);
      expect(distance(innerProducts(vectors, vectors), identity(n))).toBeLessThan(1e-12);
      const scaled = vectors.map((row, i) => row.map((v) => v * values[i]!));
      const rebuilt = innerProducts(transposeRows(scaled), transposeRows(vectors));
      expect(distance(rebuilt, G)).toBeLessThan(1e-11 * Math.max(1, values[0]!));
      for (let i = 1; i < n; i++) expect(values[i]!).toBeLessThanOrEqual(values[i - 1]!);
    }),
  );
});

test('topSvd of full rank rebuilds any matrix; of lower rank it leaves the tail', () => {
  fc.assert(
    fc.property(size, size, seed, (rows, columns, key) => {
      const X = random(rows, columns, key);
      const k = Math.min(rows, columns);
      const { values, left, right } = topSvd(X, k);
      const scaled = left.map((row, i) => row.map((v) => v * values[i]!));
      const rebuilt = innerProducts(transposeRows(scaled), transposeRows(right));
      expect(distance(rebuilt, X)).toBeLessThan(1e-6);
    }),
  );
});

test('a matrix of zeros and one of equal values have their SVD, too', () => {
  const zeros = topSvd(rowsOf(new Float64Array(12), 3, 4), 2);
  expect([...zeros.values]).toEqual([0, 0]);
  const ones = topSvd(rowsOf(new Float64Array(12).fill(2), 3, 4), 2);
  expect(ones.values[0]).toBeCloseTo(2 * Math.sqrt(12), 12);
  expect(ones.values[1]).toBeLessThan(1e-6);
});

test('orthonormalRows: orthonormal, and directions of their own for dependent rows', () => {
  fc.assert(
    fc.property(size, seed, (n, key) => {
      const X = random(n, n + 3, key);
      // The last row repeats the first.
      const rows = n > 1 ? [...X.slice(0, -1), X[0]!] : X;
      const Q = orthonormalRows(rows);
      expect(distance(innerProducts(Q, Q), identity(n))).toBeLessThan(1e-12);
      expect(distance([Q[0]!], [X[0]!.map((v) => v / Math.hypot(...X[0]!))])).toBeLessThan(1e-12);
    }),
  );
});
