import { checkNumber, checkTensor } from '@orth/backend';
import {
  cast,
  customGrad,
  exp,
  type GradSaveFunc,
  greater,
  mul,
  neg,
  reshape,
  sum,
  type Tensor,
  tensor1d,
  tidy,
  where,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { exactExpm1 } from './exactExpm1.js';
import {
  expectedLogLikelihood,
  labelLogLikelihood,
  logProbabilities,
  toIndices,
} from './logLikelihood.js';
import { checkLabels, type LossOptions, readClasses, resolveLossOptions } from './lossArguments.js';
import { reduceLoss } from './reduction.js';

/** Options of {@link compSumLoss}. */
export interface CompSumOptions extends LossOptions {
  /**
   * Member of the family, >= 0: 0 is sum-exponential, 1 cross-entropy, between 1 and 2 generalised cross-entropy (for
   * noisy labels; 1.7 is usual), 2 mean absolute error. Default 1
   */
  readonly tau?: number;
}

/** Below this |τ − 1| the family is cross-entropy to float32. */
const NEAR_ONE = 1e-6;

/**
 * Comp-sum loss of logits `s` and a label `y`: with `p = softmax(s)` and `a = τ − 1`,
 * `(1 − p_y^a) / a`, which tends to `−log p_y` as τ → 1. Its gradient is `p_y^a (p_k − [k = y])`.
 *
 * For a distribution `q` over labels it is `Σ_y q_y` times the loss at y. Value and gradient are finite for logits of any
 * finite size when τ >= 1; for τ < 1 the loss of a wrong example grows like `p_y^(τ − 1)` and overflows once
 * `log p_y < −88 / (1 − τ)`. A logit of −Infinity takes its class out; where it is the label's own, the loss is
 * `1 / (τ − 1)` for τ > 1 and Infinity otherwise. Differentiable in the logits, to any order.
 *
 * @param logits - shape `[…, n]`, float32, n >= 2
 * @param labels - class indices in [0, n), shape `[…]`, int32 or float32; or distributions (one-hot or soft), shape
 *   `[…, n]`, entries >= 0 that sum to 1
 * @param options - see {@link CompSumOptions}
 * @returns in nats for τ = 1; a scalar, or for `reduction: 'none'` shape `[…]`
 * @throws TypeError for an unknown option or another dtype; RangeError for a wrong shape or an empty batch, τ < 0 or not
 *   finite, and where values are checked (see {@link LossOptions.checkValues}) for labels out of range, NaN or +Infinity
 *   among the logits, or a row of −Infinity alone
 * @example
 * const loss = compSumLoss(logits, labels, { tau: 1.7 });
 * @see Mao, Mohri, Zhong 2023, "Cross-Entropy Loss Functions", arXiv 2304.07288
 */
export function compSumLoss(logits: Tensor, labels: Tensor, options: CompSumOptions = {}): Tensor {
  return compSum('compSumLoss', logits, labels, options);
}

/** {@link compSumLoss} under the name of its caller. */
export function compSum(
  caller: string,
  logits: Tensor,
  labels: Tensor,
  options: CompSumOptions,
): Tensor {
  checkTensor(caller, 'logits', logits, { minRank: 1 });
  checkClasses(caller, logits);
  const batch = logits.shape.slice(0, -1);
  const { reduction, weights, checkValues } = resolveLossOptions(caller, options, ['tau'], batch);
  const { tau = 1 } = options;
  checkNumber(caller, 'tau', tau, { min: 0 });
  const form = checkLabels(caller, labels, logits, false);
  const n = logits.shape.at(-1)!;
  const classes = checkValues ? readClasses(caller, labels, form, n) : undefined;
  return tidy(() => {
    const s = logits.rank === 2 ? logits : reshape(logits, [logits.size / n, n]);
    const l =
      classes || form === 'indices'
        ? labelLogLikelihood(
            s,
            classes ? tensor1d(classes, 'int32') : toIndices(labels, form),
            classes,
          )
        : undefined;
    const losses = l ? fromLogProbabilities(l, tau) : ofDistributions(s, labels, tau);
    if (checkValues) checkResult(caller, losses);
    return reduceLoss(reshape(losses, batch), weights, reduction);
  });
}

/**
 * Demands two classes or more.
 * @throws RangeError otherwise
 */
export function checkClasses(caller: string, logits: Tensor): void {
  if (logits.shape.at(-1)! >= 2) return;
  throw new RangeError(
    `${caller}: logits must have 2 classes or more on the last axis, got shape [${logits.shape}]`,
  );
}

/** NaN, +Infinity, and rows of −Infinity alone make NaN of their row's loss: one number a row to read, not n. */
function checkResult(caller: string, losses: Tensor): void {
  const row = losses.dataSync().findIndex(Number.isNaN);
  if (row < 0) return;
  throw new RangeError(
    `${caller}: logits must hold no NaN, no +Infinity, and a finite number in each row, got a row without (${row})`,
  );
}

/** Whether float32 cannot tell the member from cross-entropy. */
export const isCrossEntropy = (tau: number) => Math.abs(tau - 1) < NEAR_ONE;

/** `(1 − exp(a ℓ)) / a` of log-probabilities ℓ: expm1 keeps the digits of small losses. */
function fromLogProbabilities(l: Tensor, tau: number): Tensor {
  if (isCrossEntropy(tau)) return neg(l);
  const a = tau - 1;
  const op = customGrad((x, save) => {
    (save as GradSaveFunc)([x as Tensor]);
    return {
      value: mul(exactExpm1(mul(x as Tensor, a)), -1 / a),
      gradFunc: (dy: Tensor, saved: Tensor[]) => neg(mul(dy, exp(mul(saved[0]!, a)))),
    };
  });
  return op(l);
}

function ofDistributions(logits: Tensor, given: Tensor, tau: number): Tensor {
  const labels = cast(reshape(given, logits.shape), 'float32');
  if (isCrossEntropy(tau)) return neg(expectedLogLikelihood(logits, labels));
  const l = logProbabilities(logits);
  // A label of probability 0 does not count: not even an infinite loss, which for τ < 1 it may have.
  const counted = where(greater(labels, 0), l, zerosLike(l));
  return sum(mul(labels, fromLogProbabilities(counted, tau)), -1);
}
