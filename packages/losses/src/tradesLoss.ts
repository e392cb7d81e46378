import { checkNumber, checkTensor } from '@orth/backend';
import {
  add,
  clipByValue,
  exp,
  mul,
  reshape,
  sub,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { compSum } from './compSum.js';
import { logProbabilities } from './logLikelihood.js';
import { checkNotNaN, type LossOptions, resolveLossOptions } from './lossArguments.js';
import { reduceLoss } from './reduction.js';

/** Options of {@link tradesLoss}. */
export interface TradesOptions extends LossOptions {
  /** Weight of the divergence, >= 0. Default 6 */
  readonly beta?: number;
}

/**
 * TRADES, the usual peer of the smooth adversarial loss: cross-entropy on clean inputs plus β times the Kullback–Leibler
 * divergence `KL(p(x) ‖ p(x′))`. Differentiable in both logits.
 *
 * @param logits - of the clean inputs, shape `[…, n]`, float32
 * @param adversarialLogits - of the perturbed inputs, same shape
 * @param labels - class indices `[…]` or distributions `[…, n]`
 * @returns in nats; a scalar, or for `reduction: 'none'` shape `[…]`
 * @throws as {@link compSumLoss}; RangeError if `beta` is negative
 * @see Zhang et al. 2019, arXiv 1901.08573
 */
export function tradesLoss(
  logits: Tensor,
  adversarialLogits: Tensor,
  labels: Tensor,
  options: TradesOptions = {},
): Tensor {
  const caller = 'tradesLoss';
  checkTensor(caller, 'logits', logits, { minRank: 1 });
  checkTensor(caller, 'adversarialLogits', adversarialLogits, { shape: logits.shape });
  const batch = logits.shape.slice(0, -1);
  const { reduction, weights, checkValues } = resolveLossOptions(caller, options, ['beta'], batch);
  const { beta = 6 } = options;
  checkNumber(caller, 'beta', beta, { min: 0 });
  if (checkValues) checkNotNaN(caller, 'adversarialLogits', adversarialLogits);
  return tidy(() => {
    const clean = compSum(caller, logits, labels, { reduction: 'none', checkValues });
    const divergence = klDivergence(logits, adversarialLogits);
    return reduceLoss(add(clean, mul(divergence, beta)), weights, reduction);
  });
}

/**
 * `KL(softmax(s) ‖ softmax(t))` of each row, in nats: the objective of TRADES' inner search.
 * @param s - logits, shape `[…, n]`, float32
 * @param t - logits, same shape
 * @returns shape `[…]`
 * @throws TypeError or RangeError if the two are no float32 tensors of one shape
 */
export function klDivergence(s: Tensor, t: Tensor): Tensor {
  const caller = 'klDivergence';
  checkTensor(caller, 's', s, { minRank: 1 });
  checkTensor(caller, 't', t, { shape: s.shape });
  return tidy(() => {
    const n = s.shape.at(-1)!;
    const rows = (x: Tensor) => logProbabilities(reshape(x, [x.size / n, n]));
    // Bounded, since classes masked in both give 0 · (−∞ + ∞).
    const [p, q] = [s, t].map((x) => clipByValue(rows(x), -1e30, 0)) as [Tensor, Tensor];
    return reshape(sum(mul(exp(p), sub(p, q)), -1), s.shape.slice(0, -1));
  });
}
