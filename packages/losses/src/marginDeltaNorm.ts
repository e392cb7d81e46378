import { checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  clipByValue,
  customGrad,
  div,
  type GradSaveFunc,
  mul,
  neg,
  reshape,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  tidy,
} from '@tensorflow/tfjs-core';
import { checkClasses } from './compSum.js';
import { indicators, toIndices } from './logLikelihood.js';
import {
  checkClassLabels,
  checkNotNaN,
  type LossOptions,
  shouldCheckValues,
} from './lossArguments.js';

/** Options of {@link marginDeltaNorm}. */
export interface MarginDeltaNormOptions extends Pick<LossOptions, 'checkValues'> {
  /** Added to the sum of squares, so that the gradient at equal logits is 0; >= 0. Default 1e−12 */
  readonly epsilon?: number;
}

/** Greatest size at which logits count: two classes masked by −Infinity in both differ by 0. */
const HIGHEST = 1.7e38;

/**
 * How far a perturbation moves the margins of the label, `√(Σ_k (d_y − d_k)² + ε)` with `d` the difference of the logits.
 *
 * At equal logits the gradient is 0, so that a search for the worst perturbation must not start there.
 *
 * @param adversarialLogits - shape `[…, n]`, float32
 * @param logits - of the clean inputs, same shape
 * @param labels - class indices `[…]` or one-hot rows `[…, n]`
 * @returns shape `[…]`; differentiable in both logits
 * @throws TypeError for an unknown option or another dtype; RangeError for a wrong shape, a negative epsilon, and, where
 *   values are checked, labels out of range or NaN
 * @see Mao, Mohri, Zhong 2023, arXiv 2304.07288
 */
export function marginDeltaNorm(
  adversarialLogits: Tensor,
  logits: Tensor,
  labels: Tensor,
  options: MarginDeltaNormOptions = {},
): Tensor {
  const caller = 'marginDeltaNorm';
  checkTensor(caller, 'logits', logits, { minRank: 1 });
  checkTensor(caller, 'adversarialLogits', adversarialLogits, { shape: logits.shape });
  checkClasses(caller, logits);
  checkOptions(caller, options, ['epsilon', 'checkValues']);
  const { epsilon = 1e-12 } = options;
  checkNumber(caller, 'epsilon', epsilon, { min: 0 });
  const checkValues = shouldCheckValues(caller, options.checkValues);
  const form = checkClassLabels(caller, labels, logits, checkValues);
  if (checkValues) {
    checkNotNaN(caller, 'logits', logits);
    checkNotNaN(caller, 'adversarialLogits', adversarialLogits);
  }
  return tidy(() => {
    const n = logits.shape.at(-1)!;
    const B = logits.size / n;
    const flat = (x: Tensor) => reshape(x, [B, n]);
    const norm = ofDifference(
      flat(adversarialLogits),
      flat(logits),
      toIndices(labels, form),
      epsilon,
    );
    return reshape(norm, logits.shape.slice(0, -1));
  });
}

/** The norm, with a gradient that needs no chain through broadcasts and the square root. */
function ofDifference(after: Tensor, before: Tensor, labels: Tensor1D, epsilon: number): Tensor {
  const [B, n] = before.shape as [number, number];
  const op = customGrad((x, y, save) => {
    (save as GradSaveFunc)([x as Tensor, y as Tensor, labels]);
    const value = sqrt(add(sum(square(margins(x as Tensor, y as Tensor, labels)), -1), epsilon));
    return {
      value,
      gradFunc: (dy: Tensor, saved: Tensor[]) => {
        const own = saved[2] as Tensor1D;
        const m = margins(saved[0]!, saved[1]!, own);
        const norm = sqrt(add(sum(square(m), -1, true), epsilon));
        const slope = div(mul(m, reshape(dy, [B, 1])), norm);
        // ∂/∂d_k = −(d_y − d_k) / norm, and at the label the sum of all.
        const total = sum(slope, -1, true);
        const gradient = sub(mul(indicators(own, n), total), slope);
        return [gradient, neg(gradient)];
      },
    };
  });
  return op(after, before);
}

/** `d_y − d_k`, shape `[B, n]`, 0 at the label. */
function margins(after: Tensor, before: Tensor, labels: Tensor1D): Tensor {
  const bound = (x: Tensor) => clipByValue(x, -HIGHEST, HIGHEST);
  const d = sub(bound(after), bound(before));
  const own = sum(mul(d, indicators(labels, before.shape[1]!)), -1, true);
  return sub(own, d);
}
