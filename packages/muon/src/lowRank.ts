/** What Trion and DCT-AdamW share: ranks, and coordinates in a chosen subspace. */
import { checkNumber, checkOneOf } from '@orth/backend';
import { gather, matMul, reshape, type Tensor, type Tensor3D } from '@tensorflow/tfjs-core';
import { checkBasis, type LowRankBasis } from './dctTables.js';
import type { MatrixPiece, MatrixView } from './matrixView.js';

/** Options of a low-rank projection on vectors of a fixed basis. */
export interface LowRankOptions {
  /**
   * Vectors kept for each matrix: an integer >= 1 that no matrix' shorter side is below, a fraction of the shorter side
   * in (0, 1), or `'full'`. Default 0.25
   */
  readonly rank?: number | 'full';
  /** Basis of the shorter side. Default `'dct2'` */
  readonly basis?: LowRankBasis;
  /** How coordinates are computed; `'auto'` takes products below a side of 2048. Default `'auto'` */
  readonly transform?: 'auto' | 'matmul' | 'fft';
  /** Norm by which vectors are ranked. Default 1 */
  readonly norm?: 1 | 2;
}

/** Defaults of {@link LowRankOptions}. */
export const LOW_RANK_DEFAULTS: Required<LowRankOptions> = {
  rank: 0.25,
  basis: 'dct2',
  transform: 'auto',
  norm: 1,
};

/**
 * Checks the options that do not depend on a matrix.
 * @throws TypeError or RangeError for a bad one
 */
export function checkLowRank(caller: string, options: Required<LowRankOptions>): void {
  const { rank, basis, transform, norm } = options;
  if (rank !== 'full') {
    checkNumber(caller, 'rank', rank, { above: 0 });
    if (rank >= 1 && !Number.isInteger(rank)) {
      throw new RangeError(
        `${caller}: rank must be an integer >= 1, a fraction in (0, 1), or "full", got ${rank}`,
      );
    }
  }
  checkBasis(caller, basis);
  checkOneOf(caller, 'transform', transform, ['auto', 'matmul', 'fft']);
  checkOneOf(caller, 'norm', norm, [1, 2]);
  if (transform === 'fft' && typeof basis === 'function') {
    throw new RangeError(`${caller}: transform must not be "fft" with a basis of one's own`);
  }
}

/**
 * Vectors kept for an `m × n` matrix.
 * @throws RangeError if an integer rank exceeds the shorter side
 */
export function rankOf(caller: string, rank: number | 'full', m: number, n: number): number {
  const short = Math.min(m, n);
  if (rank === 'full') return short;
  if (rank < 1) return Math.max(1, Math.round(rank * short));
  if (rank <= short) return rank;
  throw new RangeError(
    `${caller}: rank must be <= the shorter side of ${m} × ${n}, got ${rank}; use a fraction, or a group`,
  );
}

/**
 * Makes sure that every matrix of a view has the rank.
 * @throws RangeError otherwise
 */
export function checkRanks(caller: string, { pieces }: MatrixView, rank: number | 'full'): void {
  for (const { rows, columns } of pieces) rankOf(caller, rank, rows, columns);
}

/** Numbers in a piece's coordinates: rank times the longer side. */
export const lowSize =
  (rank: number | 'full') =>
  ({ rows, columns }: MatrixPiece): number =>
    rankOf('lowSize', rank, rows, columns) * Math.max(rows, columns);

/** Shape of the coordinates of `m × n` matrices: the longer side stays where it is. */
export function lowShape(m: number, n: number, rank: number): [number, number] {
  return m >= n ? [m, rank] : [rank, n];
}

/** Rows `indices [b, r]` of a basis: `[b, r, k]`. */
export function chosenVectors(table: Tensor, indices: Tensor): Tensor3D {
  const [b, r] = indices.shape as [number, number];
  return reshape(gather(table, reshape(indices, [b * r])), [b, r, table.shape[1]!]) as Tensor3D;
}

/** Coordinates of `a [b, m, n]` along `vectors [b, r, k]`: `[b, m, r]` if m >= n, else `[b, r, n]`. */
export function project(a: Tensor, vectors: Tensor): Tensor {
  const [m, n] = a.shape.slice(-2) as [number, number];
  return m >= n ? matMul(a, vectors, false, true) : matMul(vectors, a);
}

/** From coordinates of `m × n` matrices along `vectors` back to matrices. */
export function back(low: Tensor, vectors: Tensor, m: number, n: number): Tensor {
  return m >= n ? matMul(low, vectors) : matMul(vectors, low, true, false);
}
