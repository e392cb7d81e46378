import { checkNumber, checkTensor } from '@orth/backend';
import {
  customGrad,
  divNoNan,
  type GradSaveFunc,
  mul,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { checkEach, isWeight, shouldCheckValues } from './lossArguments.js';
import { checkPredictions, type PredictionOptions } from './lossPredictions.js';
import { pairCosts, pairSlopes } from './patchPairs.js';

/** Options of {@link relativeLossObjective}. */
export interface RelativeLossOptions extends PredictionOptions {
  /** Inside the logarithm, which bounds the cost of a pair by `−log ε`; >= 0. Default 1e−6 */
  readonly epsilon?: number;
  /** A weight >= 0 for each image, float32, shape `[N]`: its pairs count so many times. Default: 1 each */
  readonly weights?: Tensor;
}

/**
 * Relative loss prediction: how badly predictions order the actual losses of an image's patches. Mean over all pairs with
 * `l_j > l_i` of `−log(σ(e_j − e_i) + ε)`, the pairs of the whole batch counting alike; ties are no pairs.
 *
 * Unchanged when a constant is added to an image's predictions, and under any increasing map of the targets: it learns to
 * rank whatever has a loss, patches, tokens or examples. 0 with gradient 0 where no pair is left.
 *
 * Time and memory grow with `N M²`; beyond 2²² pairs images are taken a few at a time.
 *
 * @param predictions - `e`, shape `[N, M]`, float32
 * @param targets - actual losses `l`, same shape; no gradient flows to them
 * @param options - see {@link RelativeLossOptions}
 * @returns a scalar, in nats; log 2 for predictions that are all equal
 * @throws TypeError for an unknown option or another dtype; RangeError for another shape, an empty batch, a negative
 *   epsilon, and, where values are checked, for numbers that are not finite
 * @example
 * const loss = add(reconstruction.mean, relativeLossObjective(lossPredictions, reconstruction.perPatch));
 * @see Wang et al. 2023, "Hard Patches Mining", arXiv 2304.05919, relative loss; the author's code
 */
export function relativeLossObjective(
  predictions: Tensor,
  targets: Tensor,
  options: RelativeLossOptions = {},
): Tensor {
  const caller = 'relativeLossObjective';
  checkPredictions(caller, predictions, targets, options, ['epsilon', 'weights']);
  const { epsilon = 1e-6, weights } = options;
  checkNumber(caller, 'epsilon', epsilon, { min: 0 });
  if (weights !== undefined) {
    checkTensor(caller, 'weights', weights, { shape: [predictions.shape[0]!] });
    if (shouldCheckValues(caller, options.checkValues)) {
      checkEach(caller, 'weights', weights, 'be finite and >= 0', isWeight);
    }
  }
  return tidy(() => {
    const op = customGrad((e, save) => {
      const held = [e as Tensor, targets, ...(weights ? [weights] : [])];
      (save as GradSaveFunc)(held);
      const { cost, pairs } = pairCosts({ predictions: e as Tensor, targets, weights }, epsilon);
      return {
        value: divNoNan(cost, pairs),
        gradFunc: (dy: Tensor, [x, l, w]: Tensor[]) => {
          const { slopes, pairs: count } = pairSlopes(
            { predictions: x!, targets: l!, weights: w },
            epsilon,
          );
          return mul(slopes, divNoNan(dy, count));
        },
      };
    });
    return op(predictions);
  });
}
