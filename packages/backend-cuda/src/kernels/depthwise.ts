import type { KernelConfig, TensorInfo } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import {
  DEPTHWISE,
  DEPTHWISE_FILTER_GRADIENT,
  DEPTHWISE_INPUT_GRADIENT,
} from '../sources/window.js';
import { type Activation, applyEpilogue } from './activation.js';
import { cudaKernel, relabel, sizeOf, withWorkspace } from './kernel.js';
import { reduceAxis } from './reduce.js';
import {
  type ConvolutionAttributes,
  type ConvolutionInfo,
  channelsLast,
  convolutionInfo,
  inFormat,
  lastShape,
  windowSizes,
  windowValues,
} from './window.js';

/** Output pixels that one thread of the filter's gradient sums over at most, while there are threads to spare. */
const PIXELS_A_PART = 256;
const MOST_PARTS = 256;

const multiplierOf = (info: ConvolutionInfo) => info.outChannels / info.inChannels;

function forward(
  backend: CudaBackend,
  x: TensorInfo,
  filter: TensorInfo,
  info: ConvolutionInfo,
): TensorInfo {
  const { batchSize, outHeight, outWidth, outChannels } = info;
  const out = backend.makeOutput([batchSize, outHeight, outWidth, outChannels], 'float32');
  const count = sizeOf(out.shape);
  backend.runEach(DEPTHWISE.name, () => DEPTHWISE, count, [
    count,
    ...[out, x, filter].map((t) => backend.address(t)),
    ...windowValues(windowSizes(info)),
    info.inChannels,
    multiplierOf(info),
  ]);
  return out;
}

function filterGradient(
  backend: CudaBackend,
  x: TensorInfo,
  dy: TensorInfo,
  info: ConvolutionInfo,
): TensorInfo {
  const shape = [info.filterHeight, info.filterWidth, info.inChannels, multiplierOf(info)];
  const results = sizeOf(shape);
  const pixels = info.batchSize * info.outHeight * info.outWidth;
  const parts = Math.max(1, Math.min(MOST_PARTS, Math.ceil(pixels / PIXELS_A_PART)));
  const partial = backend.makeOutput([parts, ...shape], 'float32');
  const count = parts * results;
  backend.runEach(DEPTHWISE_FILTER_GRADIENT.name, () => DEPTHWISE_FILTER_GRADIENT, count, [
    count,
    ...[partial, x, dy].map((t) => backend.address(t)),
    ...windowValues(windowSizes(info)),
    info.inChannels,
    multiplierOf(info),
    info.batchSize,
    parts,
  ]);
  if (parts === 1) return relabel(partial, shape);
  return withWorkspace(backend, (space) => {
    space.keep(partial);
    const sizes = { outer: 1, length: parts, inner: results };
    return relabel(reduceAxis(backend, 'sum', partial, sizes, { dtype: 'float32' }), shape);
  });
}

function inputGradient(
  backend: CudaBackend,
  dy: TensorInfo,
  filter: TensorInfo,
  info: ConvolutionInfo,
): TensorInfo {
  const { batchSize, inHeight, inWidth, inChannels } = info;
  const out = backend.makeOutput([batchSize, inHeight, inWidth, inChannels], 'float32');
  const count = sizeOf(out.shape);
  backend.runEach(DEPTHWISE_INPUT_GRADIENT.name, () => DEPTHWISE_INPUT_GRADIENT, count, [
    count,
    ...[out, dy, filter].map((t) => backend.address(t)),
    ...windowValues(windowSizes(info)),
    inChannels,
    multiplierOf(info),
  ]);
  return out;
}

interface FusedAttributes extends ConvolutionAttributes {
  readonly activation?: Activation;
  readonly leakyreluAlpha?: number;
}

/** The kernels of this file. */
export const depthwiseKernels = (): KernelConfig[] => [
  cudaKernel<ConvolutionAttributes>('DepthwiseConv2dNative', ({ inputs, attrs, backend }) =>
    withWorkspace(backend, (space) => {
      const { dataFormat } = attrs;
      const x = channelsLast(backend, space, inputs.x!, dataFormat);
      const info = convolutionInfo(x.shape, inputs.filter!.shape, attrs, true);
      return inFormat(backend, space, forward(backend, x, inputs.filter!, info), dataFormat);
    }),
  ),
  cudaKernel<FusedAttributes>('FusedDepthwiseConv2D', ({ inputs, attrs, backend }) => {
    const x = inputs.x!;
    const info = convolutionInfo(x.shape, inputs.filter!.shape, attrs, true);
    const out = forward(backend, x, inputs.filter!, info);
    applyEpilogue(backend, out, {
      bias: inputs.bias,
      slope: inputs.preluActivationWeights,
      alpha: attrs.leakyreluAlpha,
      ...(attrs.activation && { activation: attrs.activation }),
    });
    return out;
  }),
  cudaKernel<ConvolutionAttributes & { filterShape: number[] }>(
    'DepthwiseConv2dNativeBackpropFilter',
    ({ inputs, attrs, backend }) => {
      const x = inputs.x!;
      const info = convolutionInfo(x.shape, attrs.filterShape, attrs, true);
      return filterGradient(backend, x, inputs.dy!, info);
    },
  ),
  cudaKernel<ConvolutionAttributes & { inputShape: number[] }>(
    'DepthwiseConv2dNativeBackpropInput',
    ({ inputs, attrs, backend }) => {
      const images = lastShape(attrs.inputShape, attrs.dataFormat);
      const info = convolutionInfo(images, inputs.filter!.shape, attrs, true);
      return inputGradient(backend, inputs.dy!, inputs.filter!, info);
    },
  ),
];
