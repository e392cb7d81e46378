import { checkTensor } from '@orth/backend';
import {
  concat,
  conv2d,
  conv2dTranspose,
  customGrad,
  getBackend,
  getKernel,
  matMul,
  reshape,
  slice,
  stack,
  stridedSlice,
  type Tensor,
  type Tensor4D,
  tidy,
} from '@tensorflow/tfjs-core';
import { kernelSizes, type PerAxis } from './convShape.js';

/**
 * Convolution on a torus, as the theory of orthogonal convolutions has it: the image is continued periodically, by
 * `⌊(k − 1) / 2⌋` before and the rest after. Differentiable, also on backends that have no gradient for convolution kernels.
 *
 * @param x - shape `[batch, height, width, in]`
 * @param kernel - shape `[kh, kw, in, out]`
 * @param stride - a number, or one an axis; the image's sides must be multiples. Default 1
 * @returns shape `[batch, height / stride, width / stride, out]`
 * @throws TypeError or RangeError if shapes or stride do not fit
 * @example
 * const y = circularConv2d(x, kernel, 2);
 */
export function circularConv2d(x: Tensor, kernel: Tensor, stride: PerAxis = 1): Tensor4D {
  checkTensor('circularConv2d', 'kernel', kernel, { rank: 4 });
  const { taps, strides, inChannels } = kernelSizes('circularConv2d', kernel, stride);
  checkTensor('circularConv2d', 'x', x, { shape: [null, null, null, inChannels] });
  taps.forEach((_, i) => {
    if (x.shape[i + 1]! % strides[i]! === 0) return;
    const rule = `must have sides that are multiples of the stride [${strides}]`;
    throw new RangeError(`circularConv2d: x ${rule}, got shape [${x.shape}]`);
  });
  return tidy(() => {
    const padded = taps.reduce((y, k, i) => wrap(y, i + 1, k), x);
    return convolve(padded as Tensor4D, kernel as Tensor4D, strides as [number, number]);
  });
}

/**
 * {@link circularConv2d} along one axis.
 * @param x - shape `[batch, length, in]`
 * @param kernel - shape `[k, in, out]`
 * @returns shape `[batch, length / stride, out]`
 * @throws TypeError or RangeError if shapes or stride do not fit
 */
export function circularConv1d(x: Tensor, kernel: Tensor, stride = 1): Tensor {
  checkTensor('circularConv1d', 'kernel', kernel, { rank: 3 });
  const { taps, strides, inChannels, outChannels } = kernelSizes('circularConv1d', kernel, stride);
  checkTensor('circularConv1d', 'x', x, { shape: [null, null, inChannels] });
  const [batch, length] = x.shape as [number, number];
  if (length % stride !== 0) {
    const rule = `must have a length that is a multiple of the stride ${stride}`;
    throw new RangeError(`circularConv1d: x ${rule}, got shape [${x.shape}]`);
  }
  return tidy(() => {
    const image = reshape(x, [batch, length, 1, inChannels]);
    const taps2d = reshape(kernel, [taps[0]!, 1, inChannels, outChannels]);
    const y = circularConv2d(image, taps2d, [strides[0]!, 1]);
    return reshape(y, [batch, length / stride, outChannels]);
  });
}

/** Continues an axis periodically for k taps. */
function wrap(x: Tensor, axis: number, k: number): Tensor {
  const size = x.shape[axis]!;
  const before = Math.floor((k - 1) / 2);
  const after = k - 1 - before;
  if (k === 1) return x;
  const take = (from: number, count: number) => {
    const begin = x.shape.map((_, i) => (i === axis ? from : 0));
    return slice(
      x,
      begin,
      x.shape.map((n, i) => (i === axis ? count : n)),
    );
  };
  const parts: Tensor[] = [];
  if (before % size > 0) parts.push(take(size - (before % size), before % size));
  const whole = Math.floor(before / size) + 1 + Math.floor(after / size);
  for (let i = 0; i < whole; i++) parts.push(x);
  if (after % size > 0) parts.push(take(0, after % size));
  return concat(parts, axis);
}

/** Convolution without padding, with a gradient on every backend. */
export function convolve(
  x: Tensor4D,
  kernel: Tensor4D,
  strides: readonly [number, number],
): Tensor4D {
  const step: [number, number] = [...strides];
  if (getKernel('Conv2DBackpropFilter', getBackend())) return conv2d(x, kernel, step, 'valid');
  const op = customGrad((image, filter, save) => {
    const [a, b] = [image as Tensor4D, filter as Tensor4D];
    (save as (tensors: Tensor[]) => void)([a, b]);
    return {
      value: conv2d(a, b, step, 'valid'),
      gradFunc: (dy: Tensor, saved: Tensor[]) => {
        const [input, taps] = saved as [Tensor4D, Tensor4D];
        return [
          conv2dTranspose(dy as Tensor4D, taps, input.shape, step, 'valid'),
          filterGradient(input, dy as Tensor4D, taps.shape, step),
        ];
      },
    };
  });
  return op(x, kernel) as Tensor4D;
}

/** For each tap the product of what it saw with the outputs' gradient. */
function filterGradient(
  x: Tensor4D,
  dy: Tensor4D,
  [kh, kw, C, M]: readonly [number, number, number, number],
  [sh, sw]: readonly [number, number],
): Tensor {
  return tidy(() => {
    const [batch, height, width] = dy.shape;
    const outputs = reshape(dy, [batch * height * width, M]);
    const taps: Tensor[] = [];
    for (let i = 0; i < kh; i++) {
      for (let j = 0; j < kw; j++) {
        const end = [batch, i + (height - 1) * sh + 1, j + (width - 1) * sw + 1, C];
        const seen = stridedSlice(x, [0, i, j, 0], end, [1, sh, sw, 1]);
        taps.push(matMul(reshape(seen, [batch * height * width, C]), outputs, true));
      }
    }
    return reshape(stack(taps), [kh, kw, C, M]);
  });
}
