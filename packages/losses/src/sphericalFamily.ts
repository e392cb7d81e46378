/** What the dense losses of the spherical family share: arguments, labels as distributions, reduction. */
import { checkTensor } from '@orth/backend';
import {
  abs,
  add,
  cast,
  customGrad,
  div,
  type GradSaveFunc,
  log,
  max,
  maximum,
  mul,
  neg,
  oneHot,
  reshape,
  scalar,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { toIndices } from './logLikelihood.js';
import { checkEach, checkLabels, type LossOptions, resolveLossOptions } from './lossArguments.js';
import { reduceLoss } from './reduction.js';

/**
 * Loss of each row of `logits` `[B, n]` for distributions `labels` `[B, n]`: `Σ_k y_k L(target k)`, `[B]`; and its gradient
 * with respect to the logits for a gradient `dy` `[B, 1]` of the losses.
 */
export interface DenseSpherical {
  value(logits: Tensor, labels: Tensor): Tensor;
  gradient(dy: Tensor, logits: Tensor, labels: Tensor): Tensor;
}

/**
 * Runs a loss of the family on checked arguments.
 *
 * @param own - names of the loss's own options
 * @returns the reduced loss
 */
export function denseSpherical(
  caller: string,
  logits: Tensor,
  labels: Tensor,
  options: LossOptions,
  own: readonly string[],
  loss: DenseSpherical,
): Tensor {
  checkTensor(caller, 'logits', logits, { minRank: 1 });
  const n = logits.shape.at(-1)!;
  if (n < 2) {
    throw new RangeError(
      `${caller}: logits must have 2 classes or more on the last axis, got shape [${logits.shape}]`,
    );
  }
  const batch = logits.shape.slice(0, -1);
  const { reduction, weights, checkValues } = resolveLossOptions(caller, options, own, batch);
  const form = checkLabels(caller, labels, logits, checkValues);
  return tidy(() => {
    const rows = logits.size / n;
    const y =
      form === 'indices'
        ? cast(oneHot(toIndices(labels, form), n), 'float32')
        : cast(reshape(labels, [rows, n]), 'float32');
    const op = customGrad((o, save) => {
      (save as GradSaveFunc)([o as Tensor, y]);
      return {
        value: loss.value(o as Tensor, y),
        gradFunc: (dy: Tensor, [x, q]: Tensor[]) => loss.gradient(reshape(dy, [rows, 1]), x!, q!),
      };
    });
    const losses = op(reshape(logits, [rows, n]));
    if (checkValues) {
      checkEach(caller, 'logits', losses, 'be finite (loss)', (value) => !Number.isNaN(value));
    }
    return reduceLoss(reshape(losses, batch), weights, reduction);
  });
}

/**
 * `−log` of the target's share of a score `f(o) > 0` over the classes, where `f` is quadratic: `f/M²` is computed from
 * `o/M`, with M the greatest |o| of the row (1 at least), so that no square overflows.
 *
 * @param scaled - `f(o) / M²` for `o` and M, `[B, n]` and `[B, 1]`
 * @param slope - `f′(o) / M`
 */
export function shareLoss(
  scaled: (o: Tensor, M: Tensor) => Tensor,
  slope: (o: Tensor, M: Tensor) => Tensor,
): DenseSpherical {
  const largest = (o: Tensor) => maximum(max(abs(o), -1, true), scalar(1));
  return {
    value: (o, y) =>
      tidy(() => {
        const f = scaled(o, largest(o));
        const total = sum(f, -1, true);
        return neg(sum(mul(y, sub(log(f), log(total))), -1));
      }),
    gradient: (dy, o, y) =>
      tidy(() => {
        const M = largest(o);
        const f = scaled(o, M);
        const total = sum(f, -1, true);
        const mass = sum(y, -1, true);
        // f′ (Σy / Σf − y / f), with one factor M left to divide by.
        const factor = sub(div(mass, total), div(y, f));
        return mul(dy, div(mul(slope(o, M), factor), M));
      }),
  };
}

/**
 * Squared error to a one-hot target, `Σ_k (o_k − [k = c])²`; for distributions its mean over targets,
 * `Σ o² − 2 Σ y o + 1`. The sum over classes, not their mean.
 *
 * @param logits - `[…, n]`, float32, n >= 2
 * @param labels - class indices `[…]`, or distributions `[…, n]`
 * @returns a scalar, or for `reduction: 'none'` shape `[…]`
 * @throws TypeError for an unknown option or another dtype; RangeError for a wrong shape or, where values are checked, for
 *   labels out of range or NaN
 * @see Vincent, de Brébisson and Bouthillier 2015, arXiv 1412.7091
 */
export function oneHotSquaredLoss(
  logits: Tensor,
  labels: Tensor,
  options: LossOptions = {},
): Tensor {
  return denseSpherical('oneHotSquaredLoss', logits, labels, options, [], SQUARED);
}

const SQUARED: DenseSpherical = {
  // Σ (o − y)² + 1 − Σ y²: nothing cancels where the error is small.
  value: (o, y) => tidy(() => add(sum(square(sub(o, y)), -1), sub(scalar(1), sum(square(y), -1)))),
  gradient: (dy, o, y) => tidy(() => mul(dy, mul(2, sub(o, y)))),
};
