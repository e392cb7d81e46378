/** The fixed binary losses, functions of the margin `m = y f` with y in {−1, 1}, that EnsLoss is compared with. */
import { checkNumber, checkTensor } from '@orth/backend';
import {
  abs,
  add,
  customGrad,
  exp,
  type GradSaveFunc,
  log1p,
  mul,
  neg,
  pow,
  relu,
  sigmoid,
  step,
  sub,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { checkBinary, marginsOf } from './binaryMargins.js';
import { type LossOptions, resolveLossOptions } from './lossArguments.js';
import { reduceLoss } from './reduction.js';

/** A loss of margins and its derivative. */
interface MarginLoss {
  value(margins: Tensor): Tensor;
  derivative(margins: Tensor): Tensor;
}

/** `log(1 + exp(−m))` without overflow. */
const softplusOfNegative = (m: Tensor) => add(relu(neg(m)), log1p(exp(neg(abs(m)))));

const LOGISTIC: MarginLoss = {
  value: softplusOfNegative,
  derivative: (m) => neg(sigmoid(neg(m))),
};

const HINGE: MarginLoss = {
  value: (m) => relu(sub(1, m)),
  derivative: (m) => neg(step(sub(1, m))),
};

const EXPONENTIAL: MarginLoss = {
  value: (m) => exp(neg(m)),
  derivative: (m) => neg(exp(neg(m))),
};

const focal = (gamma: number): MarginLoss => ({
  value: (m) => mul(pow(sigmoid(neg(m)), gamma), softplusOfNegative(m)),
  derivative: (m) => {
    const q = sigmoid(neg(m));
    // q^γ (γ (1 − q) ℓ + q): no power below γ, which at q = 0 would be infinite.
    return neg(mul(pow(q, gamma), add(mul(mul(sigmoid(m), gamma), softplusOfNegative(m)), q)));
  },
});

function binaryLoss(
  caller: string,
  { value, derivative }: MarginLoss,
  scores: Tensor,
  labels: Tensor,
  options: LossOptions,
  own: readonly string[] = [],
): Tensor {
  checkTensor(caller, 'scores', scores);
  const { reduction, weights, checkValues } = resolveLossOptions(
    caller,
    options,
    own,
    scores.shape,
  );
  checkBinary(caller, scores, labels, checkValues);
  return tidy(() => {
    const op = customGrad((m, save) => {
      (save as GradSaveFunc)([m as Tensor]);
      return {
        value: value(m as Tensor),
        gradFunc: (dy: Tensor, saved: Tensor[]) => mul(dy, derivative(saved[0]!)),
      };
    });
    return reduceLoss(op(marginsOf(scores, labels)), weights, reduction);
  });
}

/**
 * Logistic loss `log(1 + exp(−m))`, binary cross-entropy of logits.
 *
 * @param scores - logits, any shape, float32, finite
 * @param labels - same shape, in {0, 1} or in {−1, 1}
 * @returns in nats; a scalar, or for `reduction: 'none'` the shape of `scores`
 * @throws TypeError for an unknown option or another dtype; RangeError for another shape, an empty batch, and, where values
 *   are checked, for other labels or scores that are not finite
 */
export function logisticLoss(scores: Tensor, labels: Tensor, options: LossOptions = {}): Tensor {
  return binaryLoss('logisticLoss', LOGISTIC, scores, labels, options);
}

/**
 * Hinge loss `max(0, 1 − m)`; its gradient at `m = 1` is 0.
 * @param scores - any shape, float32, finite
 * @param labels - same shape, in {0, 1} or in {−1, 1}
 * @returns a scalar, or for `reduction: 'none'` the shape of `scores`
 * @throws as {@link logisticLoss}
 */
export function hingeLoss(scores: Tensor, labels: Tensor, options: LossOptions = {}): Tensor {
  return binaryLoss('hingeLoss', HINGE, scores, labels, options);
}

/**
 * Exponential loss `exp(−m)`, which overflows below a margin of −88: clip the gradient's norm in training.
 * @param scores - any shape, float32, finite
 * @param labels - same shape, in {0, 1} or in {−1, 1}
 * @returns a scalar, or for `reduction: 'none'` the shape of `scores`
 * @throws as {@link logisticLoss}
 */
export function exponentialLoss(scores: Tensor, labels: Tensor, options: LossOptions = {}): Tensor {
  return binaryLoss('exponentialLoss', EXPONENTIAL, scores, labels, options);
}

/** Options of {@link focalLoss}. */
export interface FocalOptions extends LossOptions {
  /** Power of the probability of the wrong class, >= 0; 0 is the logistic loss. Default 2 */
  readonly gamma?: number;
}

/**
 * Focal loss `(1 − p)^γ · (−log p)` with `p = σ(m)`, without class weights.
 * @param scores - logits, any shape, float32, finite
 * @param labels - same shape, in {0, 1} or in {−1, 1}
 * @returns in nats; a scalar, or for `reduction: 'none'` the shape of `scores`
 * @throws as {@link logisticLoss}; RangeError if `gamma` is negative
 * @see Lin et al. 2017, arXiv 1708.02002, eq. 4
 */
export function focalLoss(scores: Tensor, labels: Tensor, options: FocalOptions = {}): Tensor {
  const { gamma = 2 } = options;
  checkNumber('focalLoss', 'gamma', gamma, { min: 0 });
  return binaryLoss('focalLoss', focal(gamma), scores, labels, options, ['gamma']);
}
