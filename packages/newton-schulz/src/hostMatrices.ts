import { checkFinite, checkTensor } from '@orth/backend';
import type { Tensor } from '@tensorflow/tfjs-core';
import { type Svd, svd } from './svd.js';

/** Matrices of a batch on the host, each with its short side as rows. */
export interface HostMatrices {
  readonly matrices: readonly Float64Array[];
  /** Short side. */
  readonly k: number;
  /** Long side. */
  readonly l: number;
  /** Whether the matrices are transposes of those in the tensor. */
  readonly tall: boolean;
}

/**
 * Splits the values of a tensor `[…, m, n]` into wide float64 matrices.
 * @throws TypeError or RangeError for a bad tensor, or entries that are not finite
 */
export function toHost(
  caller: string,
  x: Tensor,
  values: Float32Array | Int32Array | Uint8Array,
): HostMatrices {
  checkFinite(caller, 'x', values);
  const [m, n] = x.shape.slice(-2) as [number, number];
  const tall = m > n;
  const matrices = Array.from({ length: x.size / (m * n) }, (_, i) => {
    const matrix = Float64Array.from(values.subarray(i * m * n, (i + 1) * m * n));
    return tall ? transpose(matrix, m, n) : matrix;
  });
  return { matrices, k: Math.min(m, n), l: Math.max(m, n), tall };
}

/** The matrix `rows × columns`, row-major, as `columns × rows`. */
export function transpose(x: Float64Array, rows: number, columns: number): Float64Array {
  const y = new Float64Array(x.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) y[j * rows + i] = x[i * columns + j]!;
  }
  return y;
}

/** Checks a tensor, reads it back, and decomposes its matrices. */
export async function decompose(caller: string, x: Tensor): Promise<Svd[]> {
  checkTensor(caller, 'x', x, { minRank: 2 });
  const { matrices, k, l } = toHost(caller, x, await x.data());
  return matrices.map((matrix) => svd(matrix, k, l));
}
