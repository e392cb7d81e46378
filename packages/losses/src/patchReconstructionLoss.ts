import { checkBoolean, checkOptions, checkTensor } from '@orth/backend';
import { mean, square, sub, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { constant } from './constant.js';
import { checkEach, type LossOptions, shouldCheckValues } from './lossArguments.js';
import { standardize } from './lossPredictions.js';
import { type PatchOptions, patchify } from './patches.js';
import { checkMask, gatherPatches, indicesOfOnes } from './patchIndices.js';

/** Options of {@link patchReconstructionLoss}. */
export interface ReconstructionOptions extends PatchOptions, Pick<LossOptions, 'checkValues'> {
  /** p, in pixels; divides height and width. No default */
  readonly patchSize: number;
  /** Whether targets are standardised within each patch (unbiased variance + 1e−6). Default false */
  readonly normPixLoss?: boolean;
}

/** What {@link patchReconstructionLoss} gives. */
export interface ReconstructionLoss {
  /** Mean over the masked patches of the batch, a scalar. */
  readonly mean: Tensor;
  /** Of each masked patch, in the order of their indices, shape `[N, M]`: the targets of loss prediction. */
  readonly perPatch: Tensor;
}

/**
 * Mean squared error of reconstructed patches, over the masked ones alone.
 *
 * @param predictions - of the M masked patches of each image in the order of their indices, shape `[N, M, p · p · C]`,
 *   float32; from predictions of all patches take them by {@link gatherPatches}
 * @param images - shape `[N, H, W, C]`, or `[N, C, H, W]` for layout NCHW; no gradient flows to them
 * @param mask - shape `[N, L]`, int32, 1 = masked, M ones in each row
 * @param options - see {@link ReconstructionOptions}
 * @returns both differentiable in the predictions; the caller disposes them
 * @throws TypeError for an unknown option or another dtype; RangeError for shapes that do not go together, and, where values
 *   are checked, for a mask with other entries or rows of other sums, or predictions that are not finite
 * @see He et al. 2022, "Masked Autoencoders", arXiv 2111.06377
 */
export function patchReconstructionLoss(
  predictions: Tensor,
  images: Tensor,
  mask: Tensor,
  options: ReconstructionOptions,
): ReconstructionLoss {
  const caller = 'patchReconstructionLoss';
  checkTensor(caller, 'predictions', predictions, { rank: 3 });
  checkTensor(caller, 'images', images, { rank: 4 });
  checkOptions(caller, options, ['patchSize', 'normPixLoss', 'layout', 'checkValues']);
  const { patchSize, normPixLoss = false, layout = 'NHWC' } = options;
  checkBoolean(caller, 'normPixLoss', normPixLoss);
  const checkValues = shouldCheckValues(caller, options.checkValues);
  const M = predictions.shape[1]!;
  checkMask(caller, mask, M, checkValues);
  if (checkValues) checkEach(caller, 'predictions', predictions, 'be finite', Number.isFinite);
  return tidy(() => {
    const targets = constant(images, (x) => {
      const patches = patchify(x, patchSize, { layout });
      checkTensor(caller, 'mask', mask, { shape: patches.shape.slice(0, 2), dtype: ['int32'] });
      const chosen = gatherPatches(patches, indicesOfOnes(mask, M));
      checkTensor(caller, 'predictions', predictions, { shape: chosen.shape });
      if (normPixLoss && chosen.shape[2] === 1) {
        throw new RangeError(`${caller}: normPixLoss must be false for patches of one value`);
      }
      return normPixLoss ? standardize(chosen) : chosen;
    });
    const perPatch = mean(square(sub(predictions, targets)), -1);
    return { mean: mean(perPatch), perPatch };
  });
}
