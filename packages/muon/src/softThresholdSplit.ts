import { checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  abs,
  add,
  broadcastTo,
  fill,
  max,
  maximum,
  minimum,
  neg,
  reshape,
  sub,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { quantile } from './quantile.js';

/** Options of {@link softThresholdSplit}. */
export interface SoftThresholdOptions {
  /** The threshold is this quantile of |x|, in (0, 1]; 1 splits nothing off. Default 0.9 */
  readonly quantile?: number;
  /** A fixed threshold instead, > 0. */
  readonly threshold?: number;
}

/** The parts of {@link softThresholdSplit}; the caller disposes them. */
export interface SoftThresholdParts {
  /** `x` clipped to ±threshold. */
  readonly base: Tensor;
  /** The rest: `sign(x) max(|x| − threshold, 0)`. */
  readonly outliers: Tensor;
  /** One number a matrix: the shape of x without its last two axes. */
  readonly threshold: Tensor;
}

/** Keeps the threshold of a zero matrix above 0, as the author's code does. */
const EPSILON = 1e-9;

/**
 * Splits outliers off: what of each entry exceeds a quantile of all |entries| of its matrix (interpolated linearly, plus
 * 1e−9). The quantile is found on the host where values can be read at once, on the device elsewhere.
 *
 * @param x - a vector, a matrix, or a batch `[…, m, n]`, float32; not modified
 * @throws TypeError or RangeError for a wrong tensor or option, or if both options are given
 * @example
 * const { base } = softThresholdSplit(momentum, { quantile: 0.9 });
 * @see He et al. 2025, "ROOT", arXiv 2511.20626, eq. for O_t and B_t; the quantile: the authors' code
 */
export function softThresholdSplit(
  x: Tensor,
  options: SoftThresholdOptions = {},
): SoftThresholdParts {
  const caller = 'softThresholdSplit';
  checkOptions(caller, options, ['quantile', 'threshold']);
  checkTensor(caller, 'x', x, { minRank: 1 });
  const { threshold: fixed } = options;
  if (fixed !== undefined && options.quantile !== undefined) {
    throw new TypeError(`${caller}: quantile and threshold must not both be given`);
  }
  const q = options.quantile ?? 0.9;
  checkNumber(caller, 'quantile', q, { above: 0, max: 1 });
  if (fixed !== undefined) checkNumber(caller, 'threshold', fixed, { above: 0 });
  const batch = x.shape.slice(0, -2);
  return tidy(() => {
    const threshold = fixed === undefined ? quantileThreshold(x, q) : fill(batch, fixed, 'float32');
    const base = clip(x, threshold);
    return { base, outliers: sub(x, base), threshold };
  });
}

/** The threshold of each matrix of `x`: the batch's shape. */
export function quantileThreshold(x: Tensor, q: number): Tensor {
  return tidy(() => {
    const batch = x.shape.slice(0, -2);
    const count = batch.reduce((product, n) => product * n, 1);
    const sizes = reshape(abs(x), [count, x.size / count]);
    return reshape(add(q === 1 ? max(sizes, 1) : quantile(sizes, q), EPSILON), batch);
  });
}

/** `x` clipped to ±threshold, one threshold a matrix. */
export function clip(x: Tensor, threshold: Tensor): Tensor {
  return tidy(() => {
    const batch = x.shape.slice(0, -2);
    const one = reshape(threshold, [...batch, ...x.shape.slice(-2).map(() => 1)]);
    // Spread out first: wasm's minimum and maximum are twenty times as slow where they have to broadcast.
    const bound = broadcastTo(one, x.shape);
    return maximum(minimum(x, bound), neg(bound));
  });
}
