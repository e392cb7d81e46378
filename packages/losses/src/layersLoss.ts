import { mean, reshape, type Tensor, tidy } from '@tensorflow/tfjs-core';
import type { LossOptions } from './lossArguments.js';

/** A loss of this package: predictions, labels, options. */
export type Loss<Options> = (predictions: Tensor, labels: Tensor, options?: Options) => Tensor;

/**
 * Turns a loss into the shape that `model.compile({ loss })` of tf.layers wants: `(yTrue, yPred)`, one number an example,
 * so that sample and class weights of `fit` apply; tf.layers takes the mean. Where an example has several losses (scores
 * `[B, units]`, sequences) its number is their mean, as with tf.layers' own.
 *
 * The model's last layer must give logits: no softmax or sigmoid. Labels may be `[…, n]`, or class indices `[…]` or
 * `[…, 1]` where tf.layers lets them through (`fitDataset`; `fit` wants targets of the outputs' shape, so one-hot).
 * Weights are left to `fit`.
 *
 * @param loss - `compSumLoss`, `hingeLoss`, …
 * @param options - the loss's own
 * @example
 * model.compile({ optimizer: 'adam', loss: asLayersLoss(compSumLoss, { tau: 1.7 }) });
 */
export function asLayersLoss<Options extends LossOptions>(
  loss: Loss<Options>,
  options?: Omit<Options, 'reduction' | 'weights'>,
): (yTrue: Tensor, yPred: Tensor) => Tensor {
  const own = { ...options, reduction: 'none' } as Options;
  return (yTrue, yPred) => tidy(() => perExample(loss(yPred, withoutLastAxis(yTrue, yPred), own)));
}

/** Losses `[B, …]` as `[B]`: tf.layers multiplies by weights `[B]`, which a column would spread over all pairs. */
export const perExample = (losses: Tensor): Tensor =>
  losses.rank < 2 ? losses : mean(reshape(losses, [losses.shape[0]!, -1]), 1);

/** Indices `[…, 1]` for predictions `[…, n]` become `[…]`. */
export function withoutLastAxis(labels: Tensor, predictions: Tensor): Tensor {
  const n = predictions.shape.at(-1)!;
  const isColumn = labels.rank === predictions.rank && labels.shape.at(-1) === 1;
  return isColumn && n > 1 ? reshape(labels, labels.shape.slice(0, -1)) : labels;
}
