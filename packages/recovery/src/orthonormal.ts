import { checkInteger, checkOptions, type Random, seededRandom } from '@orth/backend';
import { type Tensor2D, tensor2d } from '@tensorflow/tfjs-core';
import type { DenseMatrix } from './denseMatrix.js';

/**
 * Makes the rows of a matrix orthonormal from top to bottom, in place: Gram–Schmidt, twice, which is as orthogonal as
 * Householder's QR.
 * @returns how many rows are left, the others having been combinations of those before; they come first
 */
export function orthonormalizeRows(rows: Float64Array[], from = 0): number {
  let count = from;
  for (let i = from; i < rows.length; i++) {
    const row = rows[i]!;
    const before = norm(row);
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < count; j++) {
        const other = rows[j]!;
        const overlap = dot(row, other);
        for (let k = 0; k < row.length; k++) row[k]! -= overlap * other[k]!;
      }
    }
    const after = norm(row);
    if (!(after > 1e-10 * before)) continue;
    for (let k = 0; k < row.length; k++) row[k]! /= after;
    rows[count++] = row;
  }
  return count;
}

/** `Σ x_i y_i`. */
export function dot(x: Float64Array, y: Float64Array): number {
  let total = 0;
  for (let i = 0; i < x.length; i++) total += x[i]! * y[i]!;
  return total;
}

const norm = (x: Float64Array) => Math.sqrt(dot(x, x));

/** `columns` orthonormal columns of length `rows`, uniformly distributed (QR of a Gaussian matrix, signs fixed). */
export function orthonormalColumns(random: Random, rows: number, columns: number): DenseMatrix {
  const basis: Float64Array[] = [];
  while (basis.length < columns) {
    basis.push(Float64Array.from({ length: rows }, () => random.normal()));
    basis.length = orthonormalizeRows(basis, basis.length - 1);
  }
  const data = new Float64Array(rows * columns);
  basis.forEach((column, j) => {
    for (let i = 0; i < rows; i++) data[i * columns + j] = column[i]!;
  });
  return { shape: [rows, columns], data };
}

/**
 * A random orthogonal matrix, uniform over the orthogonal group.
 *
 * @param n - rows and columns, integer >= 1
 * @param options.seed - integer. Default 0
 * @returns shape `[n, n]`, float32; the caller disposes it
 * @throws TypeError or RangeError for a bad `n`, seed or option
 * @example
 * const D0 = randomOrthogonal(20, { seed: 1 });
 */
export function randomOrthogonal(n: number, options: { readonly seed?: number } = {}): Tensor2D {
  checkInteger('randomOrthogonal', 'n', n, { min: 1 });
  checkOptions('randomOrthogonal', options, ['seed']);
  const { data } = orthonormalColumns(seededRandom(options.seed ?? 0), n, n);
  return tensor2d(Float32Array.from(data), [n, n]);
}
