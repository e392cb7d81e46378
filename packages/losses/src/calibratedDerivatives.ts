/** Random loss derivatives that a convex, classification-calibrated loss could have. */
import {
  div,
  maximum,
  neg,
  pow,
  reshape,
  scatterND,
  type Tensor,
  type Tensor1D,
  tensor1d,
  topk,
} from '@tensorflow/tfjs-core';
import { inverseBoxCox } from './inverseBoxCox.js';

/** What shapes the derivatives. */
export interface DerivativeShape {
  /** Least derivative, < 0. */
  readonly floor: number;
  /** Derivatives at margins m > 1 are divided by m to this power; 0 leaves them. */
  readonly tailPower: number;
}

/**
 * `max(−v, floor)` for `v` the inverse Box–Cox transform of `z`, in ascending order. On the host: sorting some hundred
 * numbers there is cheaper than sending them to a device and sorting them there.
 */
export function sortedDerivatives(
  z: ArrayLike<number>,
  lambda: number,
  floor: number,
): Float32Array {
  const drawn = Float32Array.from(z, (value) =>
    Math.max(-Math.min(inverseBoxCox(value, lambda), -floor), floor),
  );
  return drawn.sort();
}

/**
 * Gives the k smallest margins the derivatives in their order, the rest 0, and lowers those at margins above 1.
 *
 * @param margins - shape `[B]`
 * @param sorted - k <= B derivatives, ascending
 * @returns shape `[B]`
 */
export function assignDerivatives(
  margins: Tensor,
  sorted: Float32Array,
  { tailPower }: DerivativeShape,
): Tensor {
  const k = sorted.length;
  const smallest = topk(neg(margins) as Tensor1D, k).indices;
  const values = tensor1d(sorted, 'float32');
  const assigned: Tensor = scatterND(reshape(smallest, [k, 1]), values, [margins.size]);
  if (tailPower === 0) return assigned;
  const tail = maximum(margins, 1);
  return div(assigned, tailPower === 1 ? tail : pow(tail, tailPower));
}
