import { customGrad, type Tensor, zerosLike } from '@tensorflow/tfjs-core';

/** Computes a tensor through which no gradient flows; tfjs has no `stopGradient`. */
export function constant(input: Tensor, compute: (input: Tensor) => Tensor): Tensor {
  const op = customGrad((x) => ({
    value: compute(x as Tensor),
    gradFunc: () => zerosLike(input),
  }));
  return op(input);
}
