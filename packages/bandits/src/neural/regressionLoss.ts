/** Losses of a prediction z against a target y, and their derivatives in z. */
import { sigmoid } from '../linear/logisticModel.js';
import { softplus } from './activations.js';

/** `halfSquare` ½(y − z)², `square` (y − z)², `kl` −y log σ(z) − (1 − y) log(1 − σ(z)). */
export type RegressionLoss = 'halfSquare' | 'square' | 'kl';

/** The loss. */
export function lossAt(kind: RegressionLoss, y: number, z: number): number {
  if (kind === 'kl') return softplus(z) - y * z;
  return (kind === 'square' ? 1 : 0.5) * (y - z) * (y - z);
}

/** ∂/∂z of the loss. */
export function slopeAt(kind: RegressionLoss, y: number, z: number): number {
  if (kind === 'kl') return sigmoid(z) - y;
  return (kind === 'square' ? 2 : 1) * (z - y);
}
