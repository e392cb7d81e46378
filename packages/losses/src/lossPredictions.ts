/** Other measures of predicted losses, beside the relative objective. */
import { checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  div,
  divNoNan,
  mean,
  slice,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { constant } from './constant.js';
import { checkEach, type LossOptions, shouldCheckValues } from './lossArguments.js';
import { pairsInOrder } from './patchPairs.js';

/** Options of functions of predicted losses. */
export type PredictionOptions = Pick<LossOptions, 'checkValues'>;

/**
 * Demands predicted and actual losses `[N, M]`, finite where values are checked.
 * @throws TypeError or RangeError otherwise
 */
export function checkPredictions(
  caller: string,
  predictions: Tensor,
  targets: Tensor,
  options: PredictionOptions,
  own: readonly string[] = [],
): void {
  checkTensor(caller, 'predictions', predictions, { rank: 2 });
  checkTensor(caller, 'targets', targets, { shape: predictions.shape });
  checkOptions(caller, options, [...own, 'checkValues']);
  if (!shouldCheckValues(caller, options.checkValues)) return;
  checkEach(caller, 'predictions', predictions, 'be finite', Number.isFinite);
  checkEach(caller, 'targets', targets, 'be finite', Number.isFinite);
}

/**
 * Absolute loss prediction, the ablation: mean squared error to the losses standardised within each image (unbiased
 * variance + 1e−6).
 *
 * @param predictions - shape `[N, M]`, float32, M >= 2
 * @param targets - actual losses, same shape; no gradient flows to them
 * @returns a scalar
 * @throws as {@link relativeLossObjective}; RangeError for fewer than 2 patches
 * @see Wang et al. 2023, arXiv 2304.05919, absolute loss; the author's code
 */
export function absoluteLossObjective(
  predictions: Tensor,
  targets: Tensor,
  options: PredictionOptions = {},
): Tensor {
  const caller = 'absoluteLossObjective';
  checkPredictions(caller, predictions, targets, options);
  const M = targets.shape[1]!;
  if (M < 2) {
    throw new RangeError(
      `${caller}: targets must have 2 patches or more, got shape [${targets.shape}]`,
    );
  }
  return tidy(() => {
    const want = constant(targets, standardize);
    return mean(square(sub(predictions, want)));
  });
}

/**
 * Less the mean, by the root of the unbiased variance + 1e−6, along the last axis. The first entry is taken off before the
 * mean is: what rounding leaves of numbers that are all but equal would be divided by 1e−3.
 */
export function standardize(x: Tensor): Tensor {
  const first = slice(x, new Array(x.rank).fill(0), [...x.shape.slice(0, -1), 1]);
  const shifted = sub(x, first);
  const centred = sub(shifted, mean(shifted, -1, true));
  const variance = div(sum(square(centred), -1, true), x.shape.at(-1)! - 1);
  return div(centred, sqrt(add(variance, 1e-6)));
}

/**
 * Share of the pairs with different actual losses whose predictions are in the right order; equal predictions are not.
 *
 * @param predictions - shape `[N, M]`, float32
 * @param targets - actual losses, same shape
 * @returns a scalar in [0, 1], 0 where there is no pair; no gradient
 * @throws as {@link relativeLossObjective}
 */
export function pairRankingAccuracy(
  predictions: Tensor,
  targets: Tensor,
  options: PredictionOptions = {},
): Tensor {
  checkPredictions('pairRankingAccuracy', predictions, targets, options);
  return tidy(() => {
    const { right, pairs } = pairsInOrder({ predictions, targets });
    return divNoNan(right, pairs);
  });
}
