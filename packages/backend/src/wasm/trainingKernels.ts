import {
  engine,
  getKernel,
  getKernelsForBackend,
  type KernelConfig,
  registerKernel,
  unregisterKernel,
} from '@tensorflow/tfjs-core';
import { globalRegistry } from '../globalRegistry.js';
import { matMulKernels } from './batchMatMul.js';
import { complexKernels } from './complex.js';
import { convolutionKernels } from './convolutionBackprop.js';
import { paddingKernels } from './convolutionPadding.js';
import { depthwiseKernels } from './depthwiseConv2dBackprop.js';
import { dilationKernels } from './dilation2d.js';
import { einsumKernels } from './einsum.js';
import { fftKernels } from './fft.js';
import { gatherKernels } from './gather.js';
import { maxPoolKernels } from './maxPool.js';
import { repairedKernels } from './repairs.js';
import { sliceKernels } from './slice.js';
import { sumKernels } from './sum.js';
import { transposeKernels } from './transpose.js';
import { segmentKernels } from './unsortedSegmentSum.js';

/** In this order: later families build on earlier ones (complex tensors go through those that move elements). */
const FAMILIES: readonly (() => KernelConfig[])[] = [
  matMulKernels,
  sliceKernels,
  gatherKernels,
  transposeKernels,
  sumKernels,
  segmentKernels,
  paddingKernels,
  convolutionKernels,
  depthwiseKernels,
  maxPoolKernels,
  dilationKernels,
  complexKernels,
  einsumKernels,
  fftKernels,
  repairedKernels,
];

const state = globalRegistry('wasm-training-kernels', () => ({ registered: false }));

/**
 * Completes tfjs's wasm backend for training: registers the kernels it lacks (gradients of embeddings and
 * convolutions, einsum, complex numbers, Fourier transforms) and faster ones for those that training uses most.
 *
 * `useBackend('wasm')` calls it; call it yourself only if you choose the backend with `tf.setBackend('wasm')`. May be
 * called before or after that, and more than once.
 *
 * @throws Error if `@tensorflow/tfjs-backend-wasm` has not been imported
 * @example
 * import '@tensorflow/tfjs-backend-wasm';
 * registerWasmTrainingKernels();
 * await tf.setBackend('wasm');
 */
export function registerWasmTrainingKernels(): void {
  if (state.registered) return;
  if (getKernelsForBackend('wasm').length === 0) {
    throw new Error(
      "registerWasmTrainingKernels: tfjs's wasm backend is not loaded; import '@tensorflow/tfjs-backend-wasm' first",
    );
  }
  // Not findBackend, which would start it.
  const running: object | undefined = engine().registry.wasm;
  for (const family of FAMILIES) {
    for (const config of family()) {
      // tfjs warns on the console when a kernel is replaced, unless it was removed before.
      if (getKernel(config.kernelName, 'wasm')) unregisterKernel(config.kernelName, 'wasm');
      registerKernel(config);
      // tfjs runs setups when a backend becomes active; one that is active already would miss ours.
      if (running) config.setupFunc?.(running as never);
    }
  }
  state.registered = true;
}
