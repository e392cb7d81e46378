import { checkNumber, checkOptions } from '@orth/backend';
import {
  abs,
  div,
  greater,
  max,
  mean,
  mul,
  neg,
  onesLike,
  sigmoid,
  slice,
  softplus,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
  where,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { LOSS_OPTIONS, type LossOptions } from './lossArguments.js';
import { type DenseSpherical, denseSpherical } from './sphericalFamily.js';

/** Options of {@link zLoss}. */
export interface ZLossOptions extends LossOptions {
  /** Slope, > 0. Default 1; 0.1 – 1 is usual */
  readonly a?: number;
  /** z-score at which the loss bends. Default 0; for many classes about that of the top class, 5 – 20 */
  readonly b?: number;
}

/**
 * Z-loss `log(1 + exp(a (b − z))) / a` of the target's z-score `z = (o_c − μ) / σ`, with mean μ and standard deviation σ
 * of the logits. It ranks, as cross-entropy does, and gives no probabilities: adding to all logits, or scaling them by
 * a positive factor, changes nothing.
 *
 * Logits are shifted and scaled before their moments are taken, so that the gradient keeps its digits for logits like
 * `5 ± 1e−3`, and for any finite size. A row of equal logits has z = 0 and gradient 0.
 *
 * Not the penalty `log² Z` that language models call z-loss.
 *
 * @param logits - `[…, n]`, float32, n >= 2
 * @param labels - class indices `[…]`, or distributions `[…, n]` over targets, whose losses are averaged
 * @returns a scalar, or for `reduction: 'none'` shape `[…]`
 * @throws TypeError for an unknown option or another dtype; RangeError for a <= 0, a wrong shape or, where values are
 *   checked, for labels out of range or logits that are not finite
 * @example
 * const loss = zLoss(logits, labels, { a: 0.3, b: 10 });
 * @see de Brébisson and Vincent 2016, arXiv 1604.08859; for a training step that takes O(d²) and not O(n d),
 *   `SphericalOutputLayer`
 */
export function zLoss(logits: Tensor, labels: Tensor, options: ZLossOptions = {}): Tensor {
  checkOptions('zLoss', options, ['a', 'b', ...LOSS_OPTIONS]);
  const { a = 1, b = 0 } = options;
  checkNumber('zLoss', 'a', a, { above: 0 });
  checkNumber('zLoss', 'b', b);
  return denseSpherical('zLoss', logits, labels, options, ['a', 'b'], zScoreLoss(a, b));
}

/** z-scores of a row, and 1/σ, which is 0 where all logits are equal. */
function standardize(o: Tensor): { z: Tensor; inverse: Tensor } {
  // The first logit is subtracted exactly where logits are close together; what is left has no offset to round.
  const first = slice(o, [0, 0], [o.shape[0]!, 1]);
  const shifted = sub(o, first);
  const centred = sub(shifted, mean(shifted, -1, true));
  const largest = max(abs(centred), -1, true);
  const varies = greater(largest, zerosLike(largest));
  const scale = where(varies, largest, onesLike(largest));
  const x = div(centred, scale);
  const exact = sub(x, mean(x, -1, true));
  const deviation = where(varies, sqrt(mean(square(exact), -1, true)), onesLike(largest));
  const inverse = where(varies, div(div(1, deviation), scale), zerosLike(largest));
  return { z: div(exact, deviation), inverse };
}

const zScoreLoss = (a: number, b: number): DenseSpherical => ({
  value: (o, y) =>
    tidy(() => {
      const { z } = standardize(o);
      return sum(mul(y, div(softplus(mul(sub(b, z), a)), a)), -1);
    }),
  gradient: (dy, o, y) =>
    tidy(() => {
      const { z, inverse } = standardize(o);
      // ∂z_c/∂o_k = ([k = c] − 1/n − z_c z_k / n) / σ, for every target c with weight t_c.
      const t = neg(mul(y, sigmoid(mul(sub(b, z), a))));
      const along = mul(z, mean(mul(t, z), -1, true));
      const slope = sub(sub(t, mean(t, -1, true)), along);
      return mul(mul(dy, inverse), slope);
    }),
});
