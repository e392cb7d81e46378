/** `FFT` and `IFFT` over the last axis of complex64 tensors. */
import type { KernelConfig, TensorInfo } from '@tensorflow/tfjs-core';
import { fourierTransform } from './fourier.js';
import { floats, type KernelArguments, wasmKernel } from './heap.js';

const fft =
  (inverse: boolean) =>
  ({ inputs, backend }: KernelArguments): TensorInfo => {
    const input = inputs.input!;
    const out = backend.makeOutput(input.shape, 'complex64');
    const length = input.shape[input.shape.length - 1]!;
    fourierTransform(floats(backend, input), floats(backend, out), length, inverse);
    return out;
  };

/** The kernels of this file. */
export const fftKernels = (): KernelConfig[] => [
  wasmKernel('FFT', fft(false)),
  wasmKernel('IFFT', fft(true)),
];
