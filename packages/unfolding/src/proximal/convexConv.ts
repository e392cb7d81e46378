/** Input-convex convolutional network with skip connections from the shrunken image, and its gradient. */
import {
  add,
  conv2d,
  conv2dTranspose,
  matMul,
  mul,
  reshape,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
} from '@tensorflow/tfjs-core';
import { sharpSigmoid, sharpSoftplus } from './activations.js';
import type { ConvexNetwork, WeightSpec, Weights } from './convexNetwork.js';
import { shrinkImage, spreadImage } from './resizeMean.js';

/** The architecture of a convolutional network. */
export interface ConvexConvShape {
  /** Height and width; each a multiple of the product of the strides. */
  readonly size: readonly [number, number];
  readonly channels: number;
  readonly hidden: number;
  /** Stride of each 3×3 convolution, the first one's first; each 1 or 2. */
  readonly strides: readonly number[];
  /** Width of the dense layer at the end. */
  readonly dense: number;
  /** Whether the first convolution has a bias. */
  readonly firstBias: boolean;
}

/**
 * `z₀ = s(W₀ ∗ x)`, `z_k = s(U_k ∗ z_{k−1} + V_k ∗ x_k + c_k)` with 3×3 convolutions, padding 1 on all sides and x_k the
 * image shrunk to the size of `z_{k−1}`, then a dense layer on both, and `ψ` a non-negative combination of that; all
 * `U >= 0`. NHWC. A valid convolution with a kernel of the image's size, as the authors end with on large images, is this
 * dense layer.
 */
export function convexConv(shape: ConvexConvShape, beta: number): ConvexNetwork {
  const { size, channels, hidden, strides, dense, firstBias } = shape;
  const [H, W] = size;
  const last = strides.length;
  const inputShape = [H, W, channels];
  /** By how much the image is shrunk where layer k reads it. */
  const factors: number[] = [];
  let factor = 1;
  for (const stride of strides) {
    factors.push(factor);
    factor *= stride;
  }
  const [h, w] = [H / factor, W / factor];
  const conv = (name: string, from: number, nonNegative: boolean): WeightSpec => ({
    name,
    shape: [3, 3, from, hidden],
    fanIn: 9 * from,
    nonNegative,
  });
  const bias = (k: number, width: number, fanIn: number): WeightSpec => ({
    name: `c${k}`,
    shape: [width],
    fanIn,
    nonNegative: false,
  });
  const specs: WeightSpec[] = [conv('W0', channels, false)];
  if (firstBias) specs.push(bias(0, hidden, 9 * channels));
  for (let k = 1; k < last; k++) {
    specs.push(conv(`U${k}`, hidden, true), conv(`V${k}`, channels, false));
    specs.push(bias(k, hidden, 9 * channels));
  }
  const [features, pixels] = [h * w * hidden, h * w * channels];
  specs.push(
    { name: `U${last}`, shape: [features, dense], fanIn: features, nonNegative: true },
    { name: `V${last}`, shape: [pixels, dense], fanIn: pixels, nonNegative: false },
    bias(last, dense, pixels),
    { name: `U${last + 1}`, shape: [dense, 1], fanIn: dense, nonNegative: true },
  );

  const kernel = (weights: Weights, name: string) => weights[name] as unknown as Tensor4D;
  const matrix = (weights: Weights, name: string) => weights[name] as unknown as Tensor2D;
  const along = (x: Tensor, W: Tensor4D, stride: number) =>
    conv2d(x as Tensor4D, W, stride, 1, 'NHWC', 1, 'floor');
  const back = (d: Tensor, W: Tensor4D, k: number) => {
    const [height, width] = [H / factors[k]!, size[1] / factors[k]!];
    const out: [number, number, number, number] = [d.shape[0]!, height, width, W.shape[2]];
    return conv2dTranspose(d as Tensor4D, W, out, strides[k]!, 1, 'floor') as Tensor;
  };

  /** Arguments of the softplus in every layer. */
  const forward = (weights: Weights, x: Tensor): Tensor[] => {
    const first = along(x, kernel(weights, 'W0'), strides[0]!);
    const sums: Tensor[] = [firstBias ? add(first, weights.c0!) : first];
    for (let k = 1; k < last; k++) {
      const z = sharpSoftplus(sums[k - 1]!, beta);
      const image = shrinkImage(x, factors[k]!);
      const skip = add(along(image, kernel(weights, `V${k}`), strides[k]!), weights[`c${k}`]!);
      sums.push(add(along(z, kernel(weights, `U${k}`), strides[k]!), skip));
    }
    const z = reshape(sharpSoftplus(sums[last - 1]!, beta), [x.shape[0]!, features]) as Tensor2D;
    const image = reshape(shrinkImage(x, factor), [x.shape[0]!, pixels]) as Tensor2D;
    const skip = add(matMul(image, matrix(weights, `V${last}`)), weights[`c${last}`]!);
    sums.push(add(matMul(z, matrix(weights, `U${last}`)), skip));
    return sums;
  };

  return {
    inputShape,
    specs,
    potential(weights, x) {
      const z = sharpSoftplus(forward(weights, x)[last]!, beta) as Tensor2D;
      return reshape(matMul(z, matrix(weights, `U${last + 1}`)), [x.shape[0]!]) as Tensor1D;
    },
    gradient(weights, x) {
      const B = x.shape[0]!;
      const sums = forward(weights, x);
      const top = reshape(weights[`U${last + 1}`]!, [1, dense]);
      const e = mul(sharpSigmoid(sums[last]!, beta), top) as Tensor2D;
      const small = matMul(e, matrix(weights, `V${last}`), false, true);
      let g = spreadImage(reshape(small, [B, h, w, channels]), factor);
      const down = matMul(e, matrix(weights, `U${last}`), false, true);
      let d = mul(sharpSigmoid(sums[last - 1]!, beta), reshape(down, [B, h, w, hidden]));
      for (let k = last - 1; k >= 1; k--) {
        g = add(g, spreadImage(back(d, kernel(weights, `V${k}`), k), factors[k]!));
        d = mul(sharpSigmoid(sums[k - 1]!, beta), back(d, kernel(weights, `U${k}`), k));
      }
      return add(g, back(d, kernel(weights, 'W0'), 0));
    },
  };
}
