import { backend_util, type TensorInfo } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import { WINDOW_PARAMETERS, type WindowSizes } from '../sources/window.js';
import { transpose } from './copyView.js';
import type { Workspace } from './kernel.js';

type Shape4D = [number, number, number, number];

/** Attributes of tfjs's convolutions, forward and backward. */
export interface ConvolutionAttributes {
  readonly strides: number | [number, number];
  readonly pad: 'valid' | 'same' | number | backend_util.ExplicitPadding;
  readonly dataFormat?: 'NHWC' | 'NCHW';
  readonly dilations?: number | [number, number];
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/** What {@link backend_util.computeConv2DInfo} and `computePool2DInfo` tell. */
export type ConvolutionInfo = ReturnType<typeof backend_util.computeConv2DInfo>;

/** Sizes for the kernels, of a convolution or pooling in NHWC order. */
export function windowSizes(info: ConvolutionInfo): WindowSizes {
  return {
    inHeight: info.inHeight,
    inWidth: info.inWidth,
    outHeight: info.outHeight,
    outWidth: info.outWidth,
    windowHeight: info.filterHeight,
    windowWidth: info.filterWidth,
    strideY: info.strideHeight,
    strideX: info.strideWidth,
    dilationY: info.dilationHeight,
    dilationX: info.dilationWidth,
    padTop: info.padInfo.top,
    padLeft: info.padInfo.left,
  };
}

/** The same as parameters of a kernel. */
export const windowValues = (sizes: WindowSizes): number[] =>
  WINDOW_PARAMETERS.map((name) => sizes[name]);

/** tfjs's own reading of a convolution, for images in NHWC order. */
export function convolutionInfo(
  images: readonly number[],
  filter: readonly number[],
  { strides, pad, dilations = 1, dimRoundingMode }: ConvolutionAttributes,
  depthwise: boolean,
): ConvolutionInfo {
  return backend_util.computeConv2DInfo(
    images as Shape4D,
    filter as Shape4D,
    strides,
    dilations,
    pad,
    dimRoundingMode,
    depthwise,
  );
}

const TO_LAST = [0, 2, 3, 1];
const TO_FIRST = [0, 3, 1, 2];

/** A shape in NHWC order. */
export const lastShape = (shape: readonly number[], dataFormat: string | undefined): number[] =>
  dataFormat === 'NCHW' ? TO_LAST.map((axis) => shape[axis]!) : [...shape];

/** Images in NHWC order, in which all kernels work. */
export function channelsLast(
  backend: CudaBackend,
  space: Workspace,
  images: TensorInfo,
  dataFormat: string | undefined,
): TensorInfo {
  return dataFormat === 'NCHW' ? space.keep(transpose(backend, images, TO_LAST)) : images;
}

/** A result in the order that was asked for. */
export function inFormat(
  backend: CudaBackend,
  space: Workspace,
  images: TensorInfo,
  dataFormat: string | undefined,
): TensorInfo {
  return dataFormat === 'NCHW' ? transpose(backend, space.keep(images), TO_FIRST) : images;
}
