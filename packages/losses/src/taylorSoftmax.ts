import { checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  abs,
  add,
  div,
  max,
  maximum,
  mul,
  scalar,
  square,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { LOSS_OPTIONS, type LossOptions } from './lossArguments.js';
import { denseSpherical, shareLoss } from './sphericalFamily.js';

// 1 + o + o²/2 = ((o + 1)² + 1) / 2, which is never below 1/2.
const taylorScore = (o: Tensor, M: Tensor) =>
  mul(add(square(div(add(o, 1), M)), square(div(1, M))), 0.5);
const taylorSlope = (o: Tensor, M: Tensor) => div(add(o, 1), M);

const sphericalScore = (epsilon: number) => {
  const root = Math.sqrt(epsilon);
  return (o: Tensor, M: Tensor) => add(square(div(o, M)), square(div(root, M)));
};
const sphericalSlope = (o: Tensor, M: Tensor) => mul(2, div(o, M));

/**
 * `−log` of the Taylor softmax `(1 + o + o²/2)_c / Σ_k (1 + o + o²/2)_k`: the exponential's second-order expansion in its
 * place. Probabilities as softmax gives, close to its for small logits; a class cannot be driven below the score 1/2,
 * reached at o = −1.
 *
 * Finite, with its gradient, for logits of any finite size.
 *
 * @param logits - `[…, n]`, float32, n >= 2
 * @param labels - class indices `[…]`, or distributions `[…, n]`
 * @returns in nats; a scalar, or for `reduction: 'none'` shape `[…]`
 * @throws TypeError for an unknown option or another dtype; RangeError for a wrong shape or, where values are checked, for
 *   labels out of range or logits that are not finite
 * @see de Brébisson and Vincent 2016, arXiv 1511.05042
 */
export function taylorSoftmaxLoss(
  logits: Tensor,
  labels: Tensor,
  options: LossOptions = {},
): Tensor {
  const loss = shareLoss(taylorScore, taylorSlope);
  return denseSpherical('taylorSoftmaxLoss', logits, labels, options, [], loss);
}

/** Options of {@link sphericalSoftmaxLoss}. */
export interface SphericalSoftmaxOptions extends LossOptions {
  /** Added to each square, > 0. Default 1e−3 */
  readonly epsilon?: number;
}

/**
 * `−log` of the spherical softmax `(o_c² + ε) / Σ_k (o_k² + ε)`. Even in the logits: it may learn a class with the wrong
 * sign, and rank by |o| then.
 *
 * @param logits - `[…, n]`, float32, n >= 2
 * @param labels - class indices `[…]`, or distributions `[…, n]`
 * @returns in nats; a scalar, or for `reduction: 'none'` shape `[…]`
 * @throws as {@link taylorSoftmaxLoss}; RangeError for epsilon <= 0
 * @see de Brébisson and Vincent 2016, arXiv 1511.05042
 */
export function sphericalSoftmaxLoss(
  logits: Tensor,
  labels: Tensor,
  options: SphericalSoftmaxOptions = {},
): Tensor {
  checkOptions('sphericalSoftmaxLoss', options, ['epsilon', ...LOSS_OPTIONS]);
  const { epsilon = 1e-3 } = options;
  checkNumber('sphericalSoftmaxLoss', 'epsilon', epsilon, { above: 0 });
  const loss = shareLoss(sphericalScore(epsilon), sphericalSlope);
  return denseSpherical('sphericalSoftmaxLoss', logits, labels, options, ['epsilon'], loss);
}

/** Probabilities over the last axis from scores as {@link shareLoss} takes them. */
function shares(o: Tensor, score: (o: Tensor, M: Tensor) => Tensor): Tensor {
  return tidy(() => {
    const f = score(o, maximum(max(abs(o), -1, true), scalar(1)));
    return div(f, sum(f, -1, true));
  });
}

/**
 * Taylor softmax over the last axis, see {@link taylorSoftmaxLoss}.
 * @param logits - `[…, n]`, float32
 * @returns probabilities, same shape
 * @throws TypeError or RangeError if `logits` is no float32 tensor of rank >= 1
 */
export function taylorSoftmax(logits: Tensor): Tensor {
  checkTensor('taylorSoftmax', 'logits', logits, { minRank: 1 });
  return shares(logits, taylorScore);
}

/**
 * Spherical softmax over the last axis, see {@link sphericalSoftmaxLoss}.
 * @param logits - `[…, n]`, float32
 * @param options.epsilon - added to each square, > 0. Default 1e−3
 * @returns probabilities, same shape
 * @throws TypeError for an unknown option; TypeError or RangeError if `logits` is no float32 tensor of rank >= 1, or
 *   epsilon <= 0
 */
export function sphericalSoftmax(logits: Tensor, options: { epsilon?: number } = {}): Tensor {
  checkTensor('sphericalSoftmax', 'logits', logits, { minRank: 1 });
  checkOptions('sphericalSoftmax', options, ['epsilon']);
  const { epsilon = 1e-3 } = options;
  checkNumber('sphericalSoftmax', 'epsilon', epsilon, { above: 0 });
  return shares(logits, sphericalScore(epsilon));
}
