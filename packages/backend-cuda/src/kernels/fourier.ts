import type { KernelConfig, TensorInfo } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import type { Expression } from '../sources/elementwise.js';
import { FOURIER_DIRECT, FOURIER_PASS } from '../sources/fourier.js';
import { evaluate } from './evaluate.js';
import { cudaKernel, pairs, sizeOf } from './kernel.js';

/** The inverse transform's division by its length. */
export const SCALE: Expression = { name: 'scale', code: 'x * s0', type: 'float', scalars: 1 };

/** Transforms the last axis. */
function transform(backend: CudaBackend, z: TensorInfo, inverse: boolean): TensorInfo {
  const n = z.shape.at(-1) ?? 1;
  const size = sizeOf(z.shape);
  const out = backend.makeOutput(z.shape, 'complex64');
  if (size === 0) return out;
  const sign = inverse ? 1 : -1;
  const [from, to] = [backend.address(z), backend.address(out)];
  const passes = Math.log2(n);
  if (n > 1 && Number.isInteger(passes)) {
    backend.withScratch([8 * size], (scratch) => {
      let [source, target] = [from, passes % 2 === 1 ? to : scratch];
      for (let half = 1; half < n; half *= 2) {
        const values = [size / 2, target, source, n, half, sign];
        backend.runEach(FOURIER_PASS.name, () => FOURIER_PASS, size / 2, values);
        source = target;
        target = target === to ? scratch : to;
      }
    });
  } else {
    const values = [size, to, from, n, sign];
    backend.runEach(FOURIER_DIRECT.name, () => FOURIER_DIRECT, size, values);
  }
  if (inverse) {
    const numbers = pairs(out);
    const { shape } = numbers;
    evaluate(backend, SCALE, [numbers], {
      shape,
      dtype: 'float32',
      scalars: [1 / n],
      into: numbers,
    });
  }
  return out;
}

/** The kernels of this file. */
export const fourierKernels = (): KernelConfig[] => [
  cudaKernel('FFT', ({ inputs, backend }) => transform(backend, inputs.input!, false)),
  cudaKernel('IFFT', ({ inputs, backend }) => transform(backend, inputs.input!, true)),
];
