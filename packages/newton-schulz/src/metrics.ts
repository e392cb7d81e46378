import { checkTensor } from '@orth/backend';
import { div, eye, norm, sub, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { decompose } from './hostMatrices.js';
import { shortGram } from './normalize.js';

/**
 * How far the rows (or columns, if fewer) of `x` are from orthonormal: `‖X Xᵀ − I‖_F / √k` on the short side k.
 * 0 for an orthogonal matrix, about `2 |s − 1|` if all singular values are s.
 *
 * @param x - matrix or batch of matrices, shape `[…, m, n]`, float32
 * @returns shape `[…]`, float32
 * @throws TypeError or RangeError if `x` has rank < 2, another dtype, or is empty
 * @example
 * orthogonalityError(orthogonalize(x)).print();
 */
export function orthogonalityError(x: Tensor): Tensor {
  checkTensor('orthogonalityError', 'x', x, { minRank: 2 });
  const k = shortSide(x);
  return tidy(() => div(norm(sub(shortGram(x), eye(k)), 'euclidean', [-2, -1]), Math.sqrt(k)));
}

/**
 * Root mean square distance to a reference per singular value: `‖X − R‖_F / √k` on the short side k.
 *
 * @param x - matrix or batch of matrices, shape `[…, m, n]`, float32
 * @param reference - same shape; usually {@link exactPolar} or {@link polar} of what `x` came from
 * @returns shape `[…]`, float32
 * @throws TypeError or RangeError if `x` has rank < 2, another dtype, or is empty, or the shapes differ
 */
export function polarError(x: Tensor, reference: Tensor): Tensor {
  checkTensor('polarError', 'x', x, { minRank: 2 });
  checkTensor('polarError', 'reference', reference, { shape: x.shape });
  return tidy(() => div(norm(sub(x, reference), 'euclidean', [-2, -1]), Math.sqrt(shortSide(x))));
}

const shortSide = (x: Tensor) => Math.min(...x.shape.slice(-2));

/**
 * Singular values, computed on the host in float64.
 *
 * @param x - matrix or batch of matrices, shape `[…, m, n]`, float32
 * @returns those of each matrix in descending order, flat: `k = min(m, n)` numbers a matrix
 * @throws TypeError or RangeError if `x` has rank < 2, another dtype, is empty, or holds NaN or an infinity, by rejecting
 */
export async function singularValues(x: Tensor): Promise<Float64Array> {
  const parts = await decompose('singularValues', x);
  return Float64Array.from(parts.flatMap(({ values }) => [...values]));
}

/**
 * The largest `|σ − 1|` over all singular values of all matrices.
 * @param x - matrix or batch of matrices, shape `[…, m, n]`, float32
 * @throws as {@link singularValues}
 */
export async function spectralError(x: Tensor): Promise<number> {
  const parts = await decompose('spectralError', x);
  return Math.max(...parts.map(({ values }) => distanceFromOne(values)));
}

function distanceFromOne(values: Float64Array): number {
  return values.reduce((worst, value) => Math.max(worst, Math.abs(value - 1)), 0);
}

/** What {@link singularValueSummary} finds. */
export interface SingularValueSummary {
  /** The largest singular value. */
  readonly largest: number;
  /** The smallest singular value. */
  readonly smallest: number;
  /** `largest / smallest`; Infinity without full rank. */
  readonly condition: number;
  /** Least rank over the matrices, in float64 rounding. */
  readonly rank: number;
  /** Root mean square of `σ − 1`. */
  readonly rmsError: number;
  /** Largest `|σ − 1|`. */
  readonly spectralError: number;
}

/**
 * The singular values of all matrices in a few numbers.
 * @param x - matrix or batch of matrices, shape `[…, m, n]`, float32
 * @throws as {@link singularValues}
 */
export async function singularValueSummary(x: Tensor): Promise<SingularValueSummary> {
  const parts = await decompose('singularValueSummary', x);
  const largest = Math.max(...parts.map(({ values }) => values[0]!));
  const smallest = Math.min(...parts.map(({ values }) => values.at(-1)!));
  const rank = Math.min(...parts.map((part) => part.rank));
  const squares = parts.map(({ values }) => values.reduce((sum, s) => sum + (s - 1) ** 2, 0));
  const count = parts.length * parts[0]!.k;
  return {
    largest,
    smallest,
    condition: Math.max(...parts.map(({ values }) => values[0]! / values.at(-1)!)),
    rank,
    rmsError: Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / count),
    spectralError: Math.max(...parts.map(({ values }) => distanceFromOne(values))),
  };
}
