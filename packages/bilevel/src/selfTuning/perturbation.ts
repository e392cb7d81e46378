import type { Random } from '@orth/backend';
import { add, log, mul, softplus, sum, type Tensor, tensor2d, tidy } from '@tensorflow/tfjs-core';
import type { HyperSpace } from './hyperSpace.js';

/** Standard normal noise `[batch, H]`; hyperparameters that are shared in a batch have equal rows. */
export function drawNoise(space: HyperSpace, batch: number, random: Random): Tensor {
  const { size, entries } = space;
  const noise = new Float32Array(batch * size);
  for (const [i, { sharedInBatch }] of entries.entries()) {
    let value = random.normal();
    for (let b = 0; b < batch; b++) {
      if (b && !sharedInBatch) value = random.normal();
      noise[b * size + i] = value;
    }
  }
  return tensor2d(noise, [batch, size]);
}

/**
 * `h + softplus(σ_raw) ε`, the perturbed free hyperparameters, `[batch, H]`; differentiable in h and σ_raw.
 *
 * @param h - free numbers, `[H]`
 * @param rawScales - `[H]`
 * @param noise - ε, `[batch, H]`
 */
export function perturb(h: Tensor, rawScales: Tensor, noise: Tensor): Tensor {
  return tidy(() => add(h, mul(softplus(rawScales), noise)));
}

/**
 * Entropy of the perturbation, `Σ_i log(softplus(σ_raw,i) √(2πe))`, in nats; a scalar, differentiable.
 *
 * @param rawScales - `[H]`
 */
export function perturbationEntropy(rawScales: Tensor): Tensor {
  const constant = 0.5 * Math.log(2 * Math.PI * Math.E);
  return tidy(() => sum(add(log(softplus(rawScales)), constant)));
}
