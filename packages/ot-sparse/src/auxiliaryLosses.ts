import { checkInteger, checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  argMax,
  cast,
  div,
  erf,
  mean,
  mul,
  oneHot,
  ones,
  reshape,
  type Scalar,
  slice,
  softmax,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
  topk,
} from '@tensorflow/tfjs-core';

/** Options of {@link auxiliaryLosses}. */
export interface AuxiliaryLossesOptions {
  /** Experts a token asks for, 1 … E. Default 1 */
  readonly k?: number;
  /** Standard deviation · E of the noise that chooses, > 0. Default 1 */
  readonly noiseStd?: number;
  /** Scores with the noise that chose, same shape. Default: the scores themselves */
  readonly noisyScores?: Tensor;
}

/** Losses that keep experts evenly used: scalars, differentiable; the caller disposes them. */
export interface AuxiliaryLosses {
  /** Squared coefficient of variation of the experts' summed gates. */
  readonly importance: Scalar;
  /** Squared coefficient of variation of the experts' mean probability to be chosen under fresh noise. */
  readonly load: Scalar;
  /** E² times the mean over experts of mean gate · share of tokens that prefer the expert; 1 where even. */
  readonly gshard: Scalar;
}

/**
 * Auxiliary losses of token choice, averaged over groups. Made of tensor operations: nothing is read back.
 *
 * @param scores - logits `[…, S, E]` float32, without noise
 * @throws TypeError or RangeError for another kind or shape, k outside 1 … E, or `noiseStd` <= 0
 * @see Shazeer et al. 2017, arXiv 1701.06538, appendix A (importance, load); Lepikhin et al. 2020, arXiv 2006.16668 (GShard);
 *   as in Riquelme et al. 2021 (V-MoE)
 * @example
 * const { importance } = auxiliaryLosses(scores);
 * const loss = tf.add(task, tf.mul(0.01, importance));
 */
export function auxiliaryLosses(
  scores: Tensor,
  options: AuxiliaryLossesOptions = {},
): AuxiliaryLosses {
  const caller = 'auxiliaryLosses';
  checkOptions(caller, options, ['k', 'noiseStd', 'noisyScores']);
  const { k = 1, noiseStd = 1, noisyScores = scores } = options;
  checkTensor(caller, 'scores', scores, { minRank: 2 });
  checkTensor(caller, 'noisyScores', noisyScores, { shape: scores.shape });
  const experts = scores.shape.at(-1)!;
  checkInteger(caller, 'k', k, { min: 1, max: experts });
  checkNumber(caller, 'noiseStd', noiseStd, { above: 0 });
  return {
    importance: tidy(() => squaredVariation(sum(softmax(scores), -2))),
    load: tidy(() => {
      const inclusion = inclusionProbability(scores, noisyScores, k, noiseStd / experts);
      return squaredVariation(mean(inclusion, -2));
    }),
    gshard: tidy(() => {
      const shares = mean(indicator(argMax(noisyScores, -1), experts), -2);
      const gates = mean(softmax(noisyScores), -2);
      return mul(experts * experts, mean(mul(gates, shares))) as Scalar;
    }),
  };
}

/** Ones at the indices. Cast: asked for float32, tfjs's wasm kernel gives wrong values; and it refuses length 1. */
const indicator = (indices: Tensor, length: number): Tensor =>
  length === 1 ? ones([...indices.shape, 1]) : cast(oneHot(indices, length), 'float32');

/** Mean over groups of Var/mean² (population) along the last axis. */
function squaredVariation(x: Tensor): Scalar {
  const centre = mean(x, -1, true);
  const variance = mean(square(sub(x, centre)), -1, true);
  return mean(div(variance, square(centre))) as Scalar;
}

/** Φ((score − the k-th largest noisy score)/σ): how likely fresh noise puts an expert among a token's k. */
function inclusionProbability(
  scores: Tensor,
  noisyScores: Tensor,
  k: number,
  deviation: number,
): Tensor {
  const experts = scores.shape.at(-1)!;
  const { indices } = topk(noisyScores, k, true);
  const begin = new Array(indices.rank).fill(0);
  begin[indices.rank - 1] = k - 1;
  const last = slice(indices, begin, [...indices.shape.slice(0, -1), 1]);
  // topk has no gradient: the threshold is picked by its index.
  const picked = reshape(indicator(last, experts), scores.shape);
  const threshold = sum(mul(noisyScores, picked), -1, true);
  const z = div(sub(scores, threshold), deviation * Math.SQRT2);
  return mul(0.5, add(1, erf(z)));
}
