import { matMul, reshape, type Tensor } from '@tensorflow/tfjs-core';

/** `x W` over the last axis of `x`, which may have any rank >= 1. */
export function linear(x: Tensor, W: Tensor): Tensor {
  if (x.rank === 2) return matMul(x, W);
  const [inSize, outSize] = W.shape as [number, number];
  const y = matMul(reshape(x, [-1, inSize]), W);
  return reshape(y, [...x.shape.slice(0, -1), outSize]);
}
