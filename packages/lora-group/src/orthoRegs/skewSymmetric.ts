import { checkTensor } from '@orth/backend';
import {
  concat,
  customGrad,
  gather,
  reshape,
  sub,
  type Tensor,
  tensor1d,
  tidy,
  transpose,
  zeros,
} from '@tensorflow/tfjs-core';

/** Size of the matrix whose strict upper triangle has `entries` entries, or NaN. */
export function triangleSize(entries: number): number {
  const size = (1 + Math.sqrt(1 + 8 * entries)) / 2;
  return Number.isInteger(size) ? size : Number.NaN;
}

const swap = (x: Tensor) => transpose(x, [0, 2, 1]);

/**
 * Skew-symmetric matrices `P = −Pᵀ` from their strict upper triangles, row by row. Differentiable.
 *
 * @param v - shape `[…, n (n − 1) / 2]`
 * @returns shape `[…, n, n]`
 * @throws TypeError or RangeError if the last axis of `v` is no number of the form `n (n − 1) / 2`
 * @example
 * skewSymmetric(tf.tensor1d([1, 2, 3])).print(); // [[0, 1, 2], [-1, 0, 3], [-2, -3, 0]]
 */
export function skewSymmetric(v: Tensor): Tensor {
  checkTensor('skewSymmetric', 'v', v, { minRank: 1, allowEmpty: true });
  const entries = v.shape[v.rank - 1]!;
  const n = triangleSize(entries);
  if (Number.isNaN(n)) {
    throw new RangeError(
      `skewSymmetric: v must have n (n - 1) / 2 entries in its last axis, got shape [${v.shape}]`,
    );
  }
  const batch = v.shape.slice(0, -1);
  return tidy(() =>
    reshape(skewBlocks(reshape(v, [batch.reduce((a, b) => a * b, 1), entries]), n), [
      ...batch,
      n,
      n,
    ]),
  );
}

/** The same for `[blocks, n (n − 1) / 2]`. Gathers both ways, as tfjs's gradient of a gather is slow. */
export function skewBlocks(v: Tensor, n: number): Tensor {
  const [blocks, entries] = v.shape as [number, number];
  if (entries === 0) return zeros([blocks, n, n]);
  // Entry (i, j) of the upper triangle, or the column of zeros behind the last entry.
  const upper = new Int32Array(n * n).fill(entries);
  const places = new Int32Array(entries);
  for (let i = 0, at = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++, at++) {
      upper[i * n + j] = at;
      places[at] = i * n + j;
    }
  }
  const op = customGrad((input) => {
    const padded = concat([input as Tensor, zeros([blocks, 1])], 1);
    const U = reshape(gather(padded, tensor1d(upper, 'int32'), 1), [blocks, n, n]);
    return {
      value: sub(U, swap(U)),
      gradFunc: (dP: Tensor) =>
        gather(reshape(sub(dP, swap(dP)), [blocks, n * n]), tensor1d(places, 'int32'), 1),
    };
  });
  return op(v);
}
