import {
  getKernelsForBackend,
  type KernelConfig,
  registerKernel,
  unregisterKernel,
} from '@tensorflow/tfjs-core';
import { batchNormKernels } from './batchNorm.js';
import { binaryKernels } from './binary.js';
import { complexKernels } from './complex.js';
import { conv2dKernels } from './conv2d.js';
import { createKernels } from './create.js';
import { depthwiseKernels } from './depthwise.js';
import { einsumKernels } from './einsum.js';
import { fourierKernels } from './fourier.js';
import { hostKernels } from './hostFallback.js';
import { indexedKernels } from './indexed.js';
import { BACKEND } from './kernel.js';
import { matMulKernels } from './matMul.js';
import { movementKernels } from './movement.js';
import { poolKernels } from './pool.js';
import { reduceKernels } from './reduce.js';
import { unaryKernels } from './unary.js';

const FAMILIES: readonly (() => KernelConfig[])[] = [
  unaryKernels,
  binaryKernels,
  complexKernels,
  movementKernels,
  createKernels,
  reduceKernels,
  indexedKernels,
  matMulKernels,
  einsumKernels,
  conv2dKernels,
  depthwiseKernels,
  poolKernels,
  batchNormKernels,
  fourierKernels,
];

/** Kernels that run on the device. */
export const deviceKernels = (): KernelConfig[] => FAMILIES.flatMap((family) => family());

/** Removes every kernel of this backend. */
export function unregisterKernels(): void {
  for (const { kernelName } of getKernelsForBackend(BACKEND)) unregisterKernel(kernelName, BACKEND);
}

/** Registers ours, and the cpu backend's for everything else. */
export function registerKernels(): void {
  unregisterKernels();
  const ours = deviceKernels();
  for (const config of [...ours, ...hostKernels(ours)]) registerKernel(config);
}
