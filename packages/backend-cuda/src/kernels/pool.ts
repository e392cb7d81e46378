import { backend_util, type KernelConfig, type TensorInfo } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import type { KernelSource } from '../driver/cudaDriver.js';
import { storageOf } from '../sources/types.js';
import {
  AVERAGE_POOL,
  AVERAGE_POOL_GRADIENT,
  MAX_POOL_GRADIENT,
  maxPoolSource,
} from '../sources/window.js';
import { cudaKernel, sizeOf } from './kernel.js';
import { type ConvolutionInfo, windowSizes, windowValues } from './window.js';

interface Attributes {
  readonly filterSize: number | [number, number];
  readonly strides: number | [number, number];
  readonly pad: 'valid' | 'same' | number;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

const infoOf = (images: number[], attrs: Attributes): ConvolutionInfo =>
  backend_util.computePool2DInfo(
    images as [number, number, number, number],
    attrs.filterSize,
    attrs.strides,
    1,
    attrs.pad,
    attrs.dimRoundingMode,
  );

function run(
  backend: CudaBackend,
  source: KernelSource,
  out: TensorInfo,
  inputs: readonly TensorInfo[],
  info: ConvolutionInfo,
): TensorInfo {
  const count = sizeOf(out.shape);
  backend.runEach(source.name, () => source, count, [
    count,
    ...[out, ...inputs].map((t) => backend.address(t)),
    ...windowValues(windowSizes(info)),
    info.inChannels,
  ]);
  return out;
}

/** The kernels of this file. */
export const poolKernels = (): KernelConfig[] => [
  cudaKernel<Attributes>('MaxPool', ({ inputs, attrs, backend }) => {
    const x = inputs.x!;
    const info = infoOf(x.shape, attrs);
    const out = backend.makeOutput(info.outShape, x.dtype);
    return run(backend, maxPoolSource(storageOf(x.dtype)), out, [x], info);
  }),
  cudaKernel<Attributes>('MaxPoolGrad', ({ inputs, attrs, backend }) => {
    const { dy, input } = inputs;
    const out = backend.makeOutput(input!.shape, 'float32');
    return run(backend, MAX_POOL_GRADIENT, out, [dy!, input!], infoOf(input!.shape, attrs));
  }),
  cudaKernel<Attributes>('AvgPool', ({ inputs, attrs, backend }) => {
    const x = inputs.x!;
    const info = infoOf(x.shape, attrs);
    return run(backend, AVERAGE_POOL, backend.makeOutput(info.outShape, 'float32'), [x], info);
  }),
  cudaKernel<Attributes>('AvgPoolGrad', ({ inputs, attrs, backend }) => {
    const { dy, input } = inputs;
    const out = backend.makeOutput(input!.shape, 'float32');
    return run(backend, AVERAGE_POOL_GRADIENT, out, [dy!], infoOf(input!.shape, attrs));
  }),
];
