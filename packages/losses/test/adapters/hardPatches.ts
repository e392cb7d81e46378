import {
  absoluteLossObjective,
  easyToHardSchedule,
  generateMask,
  pairRankingAccuracy,
  patchify,
  patchReconstructionLoss,
  relativeLossObjective,
} from '@orth/losses';
import type { Adapter } from '@orth/testing';
import { fill, grad, type Tensor } from '@tensorflow/tfjs-core';

const byName = (
  wanted: readonly string[],
  make: Readonly<Record<string, () => Tensor>>,
): Record<string, Tensor> => Object.fromEntries(wanted.map((name) => [name, make[name]!()]));

/** Both objectives of predicted losses and their gradients. */
const loss: Adapter = ({ inputs, params, wanted }) => {
  const { lossPred, lossTarget, weights } = inputs as Record<string, Tensor>;
  const { eps: epsilon = 1e-6 } = params;
  const options = { epsilon, ...(weights && { weights }) };
  const relative = (e: Tensor) => relativeLossObjective(e, lossTarget!, options);
  const absolute = (e: Tensor) => absoluteLossObjective(e, lossTarget!);
  return byName(wanted, {
    relative: () => relative(lossPred!),
    relative_grad: () => grad(relative)(lossPred!),
    absolute: () => absolute(lossPred!),
    absolute_grad: () => grad(absolute)(lossPred!),
    accuracy: () => pairRankingAccuracy(lossPred!, lossTarget!),
  });
};

/** The mask with given noise, and the part of it that predictions force. */
const mask: Adapter = ({ inputs, params, wanted }) => {
  const { lossPred, noise } = inputs as Record<string, Tensor>;
  const { maskRatio = 0.75, epoch = 0, totalEpochs = 1, maxAlpha = 0.5 } = params;
  const scheduled = easyToHardSchedule({ epochs: totalEpochs, end: maxAlpha })(epoch);
  const alpha: number = params.alpha ?? scheduled;
  const [N, L] = lossPred!.shape as [number, number];
  const M: number = params.nMask ?? L - Math.floor(L * (1 - maskRatio));
  return byName(wanted, {
    mask: () => generateMask(lossPred!, { maskRatio, alpha, ...(noise && { noise }) }),
    forced: () => {
      const forced = Math.floor(M * alpha);
      if (forced === 0) return fill([N, L], 0, 'int32');
      // A mask of the forced patches alone, of which all are chosen for their prediction.
      return generateMask(lossPred!, { maskRatio: (forced - 0.5) / L, alpha: 1 });
    },
    alpha: () => fill([], scheduled),
  });
};

/** Patches and the loss of the masked ones. */
const reconstruction: Adapter = ({ inputs, params, wanted }) => {
  const { images, pred, mask: hidden } = inputs as Record<string, Tensor>;
  const { patchSize, normPixLoss = false, layout = 'NCHW' } = params;
  const options = { patchSize, normPixLoss, layout };
  const whole = (p: Tensor) => patchReconstructionLoss(p, images!, hidden!, options);
  const { mean, perPatch } = whole(pred!);
  const outputs = byName(wanted, {
    patches: () => patchify(images!, patchSize, { layout }),
    lossMatrix: () => perPatch.clone(),
    lossMean: () => mean.clone(),
    grad_pred: () => grad((p: Tensor) => whole(p).mean)(pred!),
  });
  mean.dispose();
  perPatch.dispose();
  return outputs;
};

export const adapters: Record<string, Adapter> = {
  'losses/hard-patches/loss': loss,
  'losses/hard-patches/mask': mask,
  'losses/hard-patches/recon': reconstruction,
};
