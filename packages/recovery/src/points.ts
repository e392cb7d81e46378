import { checkBoolean } from '@orth/backend';
import { type DenseMatrix, type MatrixInput, readMatrix } from './denseMatrix.js';

/**
 * Reads points, one a row, scaled to unit length unless told otherwise.
 * @throws TypeError or RangeError, by rejecting, for a bad matrix, or a zero row that is to be scaled
 */
export async function readPoints(
  caller: string,
  X: MatrixInput,
  normalize: boolean,
): Promise<DenseMatrix> {
  checkBoolean(caller, 'normalize', normalize);
  const points = await readMatrix(caller, 'X', X);
  if (normalize) normalizeRows(caller, points);
  return points;
}

function normalizeRows(caller: string, { shape: [rows, columns], data }: DenseMatrix): void {
  for (let i = 0; i < rows; i++) {
    const row = data.subarray(i * columns, (i + 1) * columns);
    const norm = Math.hypot(...row);
    if (norm === 0) {
      throw new RangeError(`${caller}: X must have no zero row when normalised, got one at ${i}`);
    }
    for (let j = 0; j < columns; j++) row[j]! /= norm;
  }
}
