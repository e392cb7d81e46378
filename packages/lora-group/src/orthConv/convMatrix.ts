import { checkOneOf, checkOptions } from '@orth/backend';
import {
  eye,
  pad,
  reshape,
  type Tensor,
  type Tensor2D,
  type Tensor4D,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { circularConv2d, convolve } from './circularConv.js';
import {
  type ConvPadding,
  kernelSizes,
  PADDINGS,
  type PerAxis,
  perAxis,
  product,
} from './convShape.js';

/** A convolution on an image of a certain size. */
export interface ConvMatrixOptions {
  /** Side of the input, or sides. */
  readonly size: PerAxis;
  /** Default 1 */
  readonly stride?: PerAxis;
  /** Default `'circular'` */
  readonly padding?: ConvPadding;
}

/** Names of {@link ConvMatrixOptions}. */
export const MATRIX_OPTIONS: readonly (keyof ConvMatrixOptions)[] = ['size', 'stride', 'padding'];

/**
 * A convolution layer as the matrix that it is: `vec(y) = 𝒦 vec(x)`, y and x flattened channels last, as tfjs does. The convolution
 * of all unit images at once, so for small sizes. Differentiable.
 *
 * @param kernel - `[kh, kw, in, out]`, or `[k, in, out]` of a 1-D convolution
 * @returns shape `[outputs · out, size^d · in]`
 * @throws TypeError or RangeError for a kernel of another rank, a wrong option, or a size that does not fit
 * @example
 * const matrix = convMatrix(kernel, { size: 8, stride: 2 });
 */
export function convMatrix(kernel: Tensor, options: ConvMatrixOptions): Tensor2D {
  checkOptions('convMatrix', options, MATRIX_OPTIONS);
  const { size, stride = 1, padding = 'circular' } = options;
  const { dim, taps, strides, inChannels, outChannels } = kernelSizes('convMatrix', kernel, stride);
  const sides = perAxis('convMatrix', 'size', size, dim);
  checkOneOf('convMatrix', 'padding', padding, PADDINGS);
  sides.forEach((side, i) => {
    const multiple = padding !== 'circular' || side % strides[i]! === 0;
    if (multiple && (padding !== 'valid' || side >= taps[i]!)) return;
    const rule = multiple
      ? `at least the kernel's [${taps}]`
      : `a multiple of the stride [${strides}]`;
    throw new RangeError(`convMatrix: size must be ${rule}, got [${sides}]`);
  });
  const [kh, kw] = [taps[0]!, taps[1] ?? 1];
  const [height, width] = [sides[0]!, sides[1] ?? 1];
  const step: [number, number] = [strides[0]!, strides[1] ?? 1];
  const inputs = product(sides) * inChannels;
  return tidy(() => {
    const images = reshape(eye(inputs), [inputs, height, width, inChannels]) as Tensor4D;
    const taps2d = reshape(kernel, [kh, kw, inChannels, outChannels]) as Tensor4D;
    if (padding === 'circular') {
      return asMatrix(circularConv2d(images, taps2d, step));
    }
    const around = (i: number, k: number, side: number): [number, number] => {
      const total =
        padding === 'valid'
          ? 0
          : Math.max(0, (Math.ceil(side / step[i]!) - 1) * step[i]! + k - side);
      return [Math.floor(total / 2), Math.ceil(total / 2)];
    };
    const padded = pad(images, [[0, 0], around(0, kh, height), around(1, kw, width), [0, 0]]);
    return asMatrix(convolve(padded, taps2d, step));
  });
}

/** `[inputs, …]` as `[…, inputs]`. */
const asMatrix = (y: Tensor): Tensor2D =>
  transpose(reshape(y, [y.shape[0]!, y.size / y.shape[0]!])) as Tensor2D;
