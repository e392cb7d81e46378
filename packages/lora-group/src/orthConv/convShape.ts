import { checkInteger, checkTensor } from '@orth/backend';
import type { Tensor } from '@tensorflow/tfjs-core';

/**
 * Padding of a convolution: `'circular'` as on a torus; `'same'` with zeros, as tfjs's; `'valid'` none. `'zero'` is another
 * word for `'same'`.
 */
export type ConvPadding = 'circular' | 'same' | 'zero' | 'valid';

/** All words for paddings. */
export const PADDINGS: readonly ConvPadding[] = ['circular', 'same', 'zero', 'valid'];

/** A number for every spatial axis, or one an axis. */
export type PerAxis = number | readonly number[];

/** Numbers for `dim` axes. */
export function perAxis(caller: string, name: string, value: PerAxis, dim: number): number[] {
  const list = typeof value === 'number' ? Array.from({ length: dim }, () => value) : [...value];
  if (list.length !== dim) {
    throw new RangeError(`${caller}: ${name} must be a number or ${dim} numbers, got [${list}]`);
  }
  for (const each of list) checkInteger(caller, name, each, { min: 1 });
  return list;
}

/** Sizes of a convolution's kernel. */
export interface KernelSizes {
  /** Spatial axes, 1 or 2. */
  readonly dim: number;
  /** Taps on each axis. */
  readonly taps: readonly number[];
  readonly strides: readonly number[];
  readonly inChannels: number;
  readonly outChannels: number;
}

/** Reads a kernel `[k, in, out]` or `[kh, kw, in, out]`. */
export function kernelSizes(caller: string, kernel: unknown, stride: PerAxis): KernelSizes {
  checkTensor(caller, 'kernel', kernel, { minRank: 2 });
  const { shape, rank } = kernel as Tensor;
  if (rank !== 3 && rank !== 4) {
    throw new RangeError(
      `${caller}: kernel must have shape [k, in, out] or [kh, kw, in, out], got shape [${shape}]`,
    );
  }
  const dim = rank - 2;
  const strides = perAxis(caller, 'stride', stride, dim);
  const [inChannels, outChannels] = shape.slice(dim) as [number, number];
  return { dim, taps: shape.slice(0, dim), strides, inChannels, outChannels };
}

/** The product of numbers. */
export const product = (list: readonly number[]): number => list.reduce((a, b) => a * b, 1);

/** `C ΠS`: as many output channels make the layer's matrix square. */
export const squareChannels = ({ inChannels, strides }: KernelSizes): number =>
  inChannels * product(strides);

/** Whether the layer's matrix has more rows than columns. */
export const isColumnCase = (sizes: KernelSizes): boolean =>
  sizes.outChannels > squareChannels(sizes);
