import { checkFinite, checkTensor } from '@orth/backend';
import type { Tensor } from '@tensorflow/tfjs-core';
import { innerProducts, rowsOf, symmetricEigen, transposeRows } from '../lora/hostMatrices.js';

/** How far a matrix is from orthonormal columns (rows, if fewer), by its Gram matrix' difference M from the identity. */
export interface OrthogonalityErrors {
  /** `‖M‖_F` */
  readonly fro: number;
  /** Spectral norm of M: the greatest `|σ² − 1|`. */
  readonly spectral: number;
  /** Greatest entry off the diagonal: the largest inner product of two vectors. */
  readonly maxCoherence: number;
}

/**
 * Measures non-orthogonality on the host in float64; for matrices up to some hundreds a side.
 *
 * @param W - `[m, n]`, or a kernel `[…, in, out]`, viewed as `[… · in, out]`
 * @throws (rejects with) TypeError or RangeError if `W` is no such tensor, or not finite
 */
export async function orthogonalityErrors(W: Tensor): Promise<OrthogonalityErrors> {
  checkTensor('orthogonalityErrors', 'W', W, { minRank: 2 });
  const values = await W.data();
  checkFinite('orthogonalityErrors', 'W', values);
  const columns = W.shape[W.rank - 1]!;
  const rows = rowsOf(values, W.size / columns, columns);
  const short = rows.length < columns ? rows : transposeRows(rows);
  const M = innerProducts(short, short);
  let squares = 0;
  let maxCoherence = 0;
  M.forEach((row, i) => {
    row[i]! -= 1;
    row.forEach((x, j) => {
      squares += x * x;
      if (i !== j) maxCoherence = Math.max(maxCoherence, Math.abs(x));
    });
  });
  const eigenvalues = symmetricEigen(M).values;
  const spectral = eigenvalues.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return { fro: Math.sqrt(squares), spectral, maxCoherence };
}
