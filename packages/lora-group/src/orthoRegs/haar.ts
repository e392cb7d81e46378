import { checkInteger, seededRandom } from '@orth/backend';
import { type Tensor2D, tensor2d } from '@tensorflow/tfjs-core';
import { orthonormalRows, transposeRows } from '../lora/hostMatrices.js';

/**
 * A random matrix with orthonormal columns, or rows where these are fewer, uniform over all such (Haar measure): Gram–Schmidt
 * of normal numbers, on the host in float64.
 *
 * @param rows - integer >= 1
 * @param columns - integer >= 1; null for a square matrix
 * @param seed - integer. Default 0
 * @returns shape `[rows, columns]`; the caller disposes it
 * @throws TypeError or RangeError for another size or seed
 * @example
 * const Q = haar(64, 32, 1);
 * @see Mezzadri 2007, "How to Generate Random Matrices from the Classical Compact Groups"
 */
export function haar(rows: number, columns: number | null = null, seed = 0): Tensor2D {
  checkInteger('haar', 'rows', rows, { min: 1 });
  if (columns !== null) checkInteger('haar', 'columns', columns, { min: 1 });
  const width = columns ?? rows;
  const found = haarRows(Math.min(rows, width), Math.max(rows, width), seed);
  const values = rows <= width ? found : transposeRows(found);
  return tensor2d(Float32Array.from(values.flatMap((row) => [...row])), [rows, width]);
}

/** `few` orthonormal rows of length `many`. */
export function haarRows(few: number, many: number, seed: number): Float64Array[] {
  const random = seededRandom(seed);
  return orthonormalRows(
    Array.from({ length: few }, () => Float64Array.from({ length: many }, () => random.normal())),
  );
}
