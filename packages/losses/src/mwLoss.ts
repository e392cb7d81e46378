import { checkOptions } from '@orth/backend';
import {
  reshape,
  type Scalar,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tidy,
} from '@tensorflow/tfjs-core';
import { MW_OPTIONS, type MwScoreOptions, pairLoss, resolveMwOptions } from './mwLossFromScores.js';
import {
  batchScores,
  checkRetrieval,
  RETRIEVAL_OPTIONS,
  type RetrievalOptions,
} from './retrievalScores.js';

/** Options of {@link mwLoss}. The default of `temperature` is 0.01 here. */
export interface MwOptions extends MwScoreOptions, RetrievalOptions {}

/**
 * Mann–Whitney loss of a batch of B queries with one document each: the score of every positive against that of every
 * negative **of the whole batch**, so that scores of different queries become comparable and one threshold serves all.
 * InfoNCE compares within a query only: adding a constant to all scores of a query leaves it as it is, and changes this.
 *
 * Negatives are all other documents for each query, and all B·H hard negatives for every query: B (B (1 + H) − 1) scores,
 * B times as many pairs; how these are summed without being there all at once, {@link mwLossFromScores} tells.
 * Duplicates in a batch hurt more than with InfoNCE: name them by `documentIds`.
 *
 * @param queries - `[B, d]`, float32
 * @param positives - `[B, d]`, float32, each query's document
 * @returns scalar, in nats; differentiable in all embeddings
 * @throws TypeError for an unknown option or another dtype; RangeError for a wrong shape, temperature <= 0, or a batch
 *   without negatives; as {@link mwLossFromScores} for values
 * @example
 * const loss = mwLoss(encode(queries), encode(documents), { temperature: 0.05 });
 * @see Sheikholeslami et al. 2025, arXiv 2510.00137, eq. 3
 */
export function mwLoss(queries: Tensor2D, positives: Tensor2D, options: MwOptions = {}): Scalar {
  checkOptions('mwLoss', options, [...MW_OPTIONS, ...RETRIEVAL_OPTIONS]);
  checkRetrieval('mwLoss', queries, positives, options);
  const resolved = resolveMwOptions('mwLoss', options, 0.01);
  return tidy(() => {
    const scores = batchScores(queries, positives, options);
    const flat = (x: Tensor) => reshape(x, [x.size]) as Tensor1D;
    const { positives: own, all, isNegative } = scores;
    const negatives = {
      scores: flat(all),
      ...(isNegative ? { counts: flat(isNegative) } : { skipEvery: all.shape[1]! + 1 }),
    };
    return pairLoss('mwLoss', own as Tensor1D, negatives, resolved);
  });
}
