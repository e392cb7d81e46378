import { add, mean, mul, rsqrt, square, sub, type Tensor, tidy } from '@tensorflow/tfjs-core';

/** CLIP's. */
const EPSILON = 1e-5;

/** Layer normalisation over the last axis. */
export function layerNorm(x: Tensor, scale: Tensor, bias: Tensor): Tensor {
  return tidy(() => {
    const centred = sub(x, mean(x, -1, true));
    const variance = mean(square(centred), -1, true);
    return add(mul(mul(centred, rsqrt(add(variance, EPSILON))), scale), bias);
  });
}
