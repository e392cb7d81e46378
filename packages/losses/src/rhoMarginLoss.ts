import { checkNumber, checkTensor } from '@orth/backend';
import {
  clipByValue,
  div,
  log1p,
  mul,
  reshape,
  sub,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { checkClasses, isCrossEntropy } from './compSum.js';
import { exactExpm1 } from './exactExpm1.js';
import { indicators, toIndices } from './logLikelihood.js';
import {
  checkClassLabels,
  checkNotNaN,
  type LossOptions,
  resolveLossOptions,
} from './lossArguments.js';
import { reduceLoss } from './reduction.js';

/** Options of {@link rhoMarginLoss}. */
export interface RhoMarginOptions extends LossOptions {
  /** Member of the comp-sum family, >= 0. Default 1 */
  readonly tau?: number;
  /** Margin from which a class costs nothing, > 0. Default 1 */
  readonly rho?: number;
}

/**
 * Comp-sum ρ-margin loss `Φ_τ(Σ_{k≠y} clamp(1 − (s_y − s_k)/ρ, 0, 1))`, with `Φ_1(v) = log(1 + v)` and
 * `Φ_τ(v) = ((1 + v)^(1 − τ) − 1) / (1 − τ)`. For measuring, not for training: its gradient is 0 almost everywhere that
 * matters.
 *
 * @param logits - shape `[…, n]`, float32
 * @param labels - class indices `[…]` or one-hot rows `[…, n]`
 * @returns a scalar, or for `reduction: 'none'` shape `[…]`; at most `Φ_τ(n − 1)` each
 * @throws as {@link compSumLoss}; RangeError if `rho` is not > 0
 * @see Mao, Mohri, Zhong 2023, arXiv 2304.07288
 */
export function rhoMarginLoss(
  logits: Tensor,
  labels: Tensor,
  options: RhoMarginOptions = {},
): Tensor {
  const caller = 'rhoMarginLoss';
  checkTensor(caller, 'logits', logits, { minRank: 1 });
  checkClasses(caller, logits);
  const batch = logits.shape.slice(0, -1);
  const own = ['tau', 'rho'];
  const { reduction, weights, checkValues } = resolveLossOptions(caller, options, own, batch);
  const { tau = 1, rho = 1 } = options;
  checkNumber(caller, 'tau', tau, { min: 0 });
  checkNumber(caller, 'rho', rho, { above: 0 });
  const form = checkClassLabels(caller, labels, logits, checkValues);
  if (checkValues) checkNotNaN(caller, 'logits', logits);
  return tidy(() => {
    const n = logits.shape.at(-1)!;
    const s = clipByValue(reshape(logits, [logits.size / n, n]), -1e38, 1e38);
    const indicator = indicators(toIndices(labels, form), n);
    const ownLogit = sum(mul(s, indicator), -1, true);
    const each = clipByValue(sub(1, div(sub(ownLogit, s), rho)), 0, 1);
    // The label's own term is clamp(1 − 0) = 1.
    const v = sub(sum(each, -1), 1);
    const a = tau - 1;
    const losses = isCrossEntropy(tau) ? log1p(v) : div(exactExpm1(mul(log1p(v), -a)), -a);
    return reduceLoss(reshape(losses, batch), weights, reduction);
  });
}
