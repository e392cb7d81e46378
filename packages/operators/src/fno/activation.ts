/** Activations; GELU keeps Φ(x) for its gradient instead of a graph of nine nodes. */
import { add, customGrad, erf, exp, mul, relu, square, type Tensor } from '@tensorflow/tfjs-core';

/** Names of activations. */
export type Activation = 'gelu' | 'relu';

/** The activations, default first. */
export const ACTIVATIONS: readonly Activation[] = ['gelu', 'relu'];

/** x Φ(x), exact (by erf); its gradient is Φ(x) + x φ(x). */
const gelu = customGrad((x, save) => {
  const z = x as Tensor;
  const cdf = mul(add(erf(mul(z, Math.SQRT1_2)), 1), 0.5);
  (save as (tensors: Tensor[]) => void)([z, cdf]);
  const gradFunc = (dy: Tensor, saved: Tensor[]) => {
    const [y, phi] = saved as [Tensor, Tensor];
    const density = mul(exp(mul(square(y), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    return mul(dy, add(phi, mul(y, density)));
  };
  return { value: mul(z, cdf), gradFunc };
});

/** Applies an activation. */
export function activate(name: Activation, x: Tensor): Tensor {
  return name === 'relu' ? relu(x) : gelu(x);
}
