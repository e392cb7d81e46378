/** Margins of a label over every other class, and the way back from their derivatives. */
import { add, mul, sub, sum, type Tensor, type Tensor1D } from '@tensorflow/tfjs-core';
import { indicators } from './logLikelihood.js';

/** Where a label's margin over itself is put: behind all others. */
const BEHIND = 1e38;

/**
 * `s_y − s_k`, shape `[B, n]`; a number larger than all at k = y.
 * @param logits - shape `[B, n]`, finite
 * @param labels - shape `[B]`
 */
export function pairMargins(logits: Tensor, labels: Tensor1D): Tensor {
  const own = indicators(labels, logits.shape[1]!);
  const score = sum(mul(logits, own), -1, true);
  return add(sub(score, logits), mul(own, BEHIND));
}

/**
 * From derivatives `d_k` of the margins to pseudo-losses `mean_k d_k (s_y − s_k)` and their slopes in the logits.
 *
 * @param derivatives - shape `[B, n]`; those at the label are not used
 * @returns `value` of shape `[B]`, `slopes` of shape `[B, n]`
 */
export function multiclassSlopes(
  logits: Tensor,
  labels: Tensor1D,
  derivatives: Tensor,
): { value: Tensor; slopes: Tensor } {
  const n = logits.shape[1]!;
  const own = indicators(labels, n);
  const others = mul(mul(derivatives, sub(1, own)), 1 / (n - 1));
  const slopes = sub(mul(own, sum(others, -1, true)), others);
  // Slopes sum to 0 in a row, so the label's score may be taken off: small differences of large logits keep their digits.
  const relative = sub(logits, sum(mul(logits, own), -1, true));
  return { value: sum(mul(slopes, relative), -1), slopes };
}
