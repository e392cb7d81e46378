/** Members of the comp-sum family under the names that they are known by. */
import { checkNumber, checkOptions } from '@orth/backend';
import type { Tensor } from '@tensorflow/tfjs-core';
import { compSum } from './compSum.js';
import { LOSS_OPTIONS, type LossOptions } from './lossArguments.js';

/** Options of {@link generalizedCrossEntropyLoss}. */
export interface GeneralizedCrossEntropyOptions extends LossOptions {
  /** Between cross-entropy (towards 0) and mean absolute error (1), in (0, 1]. Default 0.7 */
  readonly q?: number;
}

/**
 * Cross-entropy `−log p_y` (multinomial logistic loss), {@link compSumLoss} at τ = 1.
 * @param logits - shape `[…, n]`
 * @param labels - class indices `[…]` or distributions `[…, n]`
 * @returns in nats; a scalar, or for `reduction: 'none'` shape `[…]`
 * @throws as {@link compSumLoss}
 * @example
 * optimizer.minimize(() => crossEntropyLoss(model(x), labels));
 */
export function crossEntropyLoss(
  logits: Tensor,
  labels: Tensor,
  options: LossOptions = {},
): Tensor {
  return member('crossEntropyLoss', logits, labels, options, 1);
}

/**
 * Generalised cross-entropy `(1 − p_y^q) / q`, {@link compSumLoss} at τ = 1 + q: less moved by wrong labels.
 * @param logits - shape `[…, n]`
 * @param labels - class indices `[…]` or distributions `[…, n]`
 * @returns a scalar, or for `reduction: 'none'` shape `[…]`
 * @throws as {@link compSumLoss}; RangeError if `q` is not in (0, 1]
 * @see Zhang and Sabuncu 2018, arXiv 1805.07836
 */
export function generalizedCrossEntropyLoss(
  logits: Tensor,
  labels: Tensor,
  options: GeneralizedCrossEntropyOptions = {},
): Tensor {
  const caller = 'generalizedCrossEntropyLoss';
  checkOptions(caller, options, ['q', ...LOSS_OPTIONS]);
  const { q = 0.7, ...rest } = options;
  checkNumber(caller, 'q', q, { above: 0, max: 1 });
  return compSum(caller, logits, labels, { ...rest, tau: 1 + q });
}

/**
 * Mean absolute error `1 − p_y`, {@link compSumLoss} at τ = 2: half of `‖onehot(y) − p‖₁`. Bounded, and slow to leave a
 * bad start.
 * @param logits - shape `[…, n]`
 * @param labels - class indices `[…]` or distributions `[…, n]`
 * @returns a scalar, or for `reduction: 'none'` shape `[…]`
 * @throws as {@link compSumLoss}
 */
export function meanAbsoluteErrorLoss(
  logits: Tensor,
  labels: Tensor,
  options: LossOptions = {},
): Tensor {
  return member('meanAbsoluteErrorLoss', logits, labels, options, 2);
}

/**
 * Sum-exponential loss `Σ_{k≠y} exp(s_k − s_y) = 1/p_y − 1`, {@link compSumLoss} at τ = 0. Its gradient on a wrong example
 * grows as fast as the loss: clip it, or lower the learning rate.
 * @param logits - shape `[…, n]`
 * @param labels - class indices `[…]` or distributions `[…, n]`
 * @returns a scalar, or for `reduction: 'none'` shape `[…]`
 * @throws as {@link compSumLoss}
 */
export function sumExponentialLoss(
  logits: Tensor,
  labels: Tensor,
  options: LossOptions = {},
): Tensor {
  return member('sumExponentialLoss', logits, labels, options, 0);
}

function member(
  caller: string,
  logits: Tensor,
  labels: Tensor,
  options: LossOptions,
  tau: number,
): Tensor {
  checkOptions(caller, options, LOSS_OPTIONS);
  return compSum(caller, logits, labels, { ...options, tau });
}
