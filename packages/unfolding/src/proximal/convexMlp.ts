/** Input-convex multilayer perceptron with skip connections, and its gradient. */
import {
  add,
  matMul,
  mul,
  reshape,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
} from '@tensorflow/tfjs-core';
import { sharpSigmoid, sharpSoftplus } from './activations.js';
import type { ConvexNetwork, WeightSpec, Weights } from './convexNetwork.js';

/**
 * `z₀ = s(x W₀)`, `z_k = s(z_{k−1} U_k + x V_k + c_k)` for k = 1 … L, `ψ = z_L U_{L+1} + x V_{L+1} + c_{L+1}`, with
 * s = softplus of sharpness β; all `U >= 0`. Matrices are `[in, out]`.
 */
export function convexMlp(
  dim: number,
  hidden: number,
  layers: number,
  beta: number,
): ConvexNetwork {
  const last = layers + 1;
  const specs: WeightSpec[] = [
    { name: 'W0', shape: [dim, hidden], fanIn: dim, nonNegative: false },
  ];
  for (let k = 1; k <= last; k++) {
    const out = k === last ? 1 : hidden;
    specs.push(
      { name: `U${k}`, shape: [hidden, out], fanIn: hidden, nonNegative: true },
      { name: `V${k}`, shape: [dim, out], fanIn: dim, nonNegative: false },
      { name: `c${k}`, shape: [out], fanIn: dim, nonNegative: false },
    );
  }
  const at = (w: Weights, name: string) => w[name] as unknown as Tensor2D;
  /** Arguments of the softplus in layers 0 … L, and z_L. */
  const forward = (w: Weights, x: Tensor2D) => {
    const sums = [matMul(x, at(w, 'W0'))];
    let z = sharpSoftplus(sums[0]!, beta) as Tensor2D;
    for (let k = 1; k < last; k++) {
      const skip = add(matMul(x, at(w, `V${k}`)), w[`c${k}`]!);
      const a = add(matMul(z, at(w, `U${k}`)), skip) as Tensor2D;
      sums.push(a);
      // The gradient does not need the last z.
      z = sharpSoftplus(a, beta) as Tensor2D;
    }
    return { sums, z };
  };
  return {
    inputShape: [dim],
    specs,
    potential(w, x) {
      const { z } = forward(w, x as Tensor2D);
      const skip = add(matMul(x as Tensor2D, at(w, `V${last}`)), w[`c${last}`]!);
      return reshape(add(matMul(z, at(w, `U${last}`)), skip), [x.shape[0]!]) as Tensor1D;
    },
    gradient(w, x) {
      const { sums } = forward(w, x as Tensor2D);
      // d is the derivative in the argument of layer k's softplus.
      let d = mul(
        sharpSigmoid(sums[last - 1]!, beta),
        reshape(w[`U${last}`]!, [1, hidden]),
      ) as Tensor2D;
      let g: Tensor = reshape(w[`V${last}`]!, [1, dim]);
      for (let k = last - 1; k >= 1; k--) {
        g = add(g, matMul(d, at(w, `V${k}`), false, true));
        const back = matMul(d, at(w, `U${k}`), false, true);
        d = mul(sharpSigmoid(sums[k - 1]!, beta), back) as Tensor2D;
      }
      return add(g, matMul(d, at(w, 'W0'), false, true));
    },
  };
}
