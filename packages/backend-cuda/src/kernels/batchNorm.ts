import type { KernelConfig } from '@tensorflow/tfjs-core';
import type { Expression } from '../sources/elementwise.js';
import { evaluate } from './evaluate.js';
import { cudaKernel } from './kernel.js';

/** `(x − mean) / √(variance + ε) · scale + offset`, over those of the last two that there are. */
export function batchNormExpression(scale: boolean, offset: boolean): Expression {
  const names = ['w', 'v'];
  const factor = scale ? ` * ${names.shift()}` : '';
  const sum = offset ? ` + ${names.shift()}` : '';
  return {
    name: `FusedBatchNorm${scale ? '_scale' : ''}${offset ? '_offset' : ''}`,
    code: `(x - y) * (1.0f / sqrtf(z + s0))${factor}${sum}`,
    type: 'float',
    scalars: 1,
  };
}

/** The kernel of this file. */
export const batchNormKernels = (): KernelConfig[] => [
  cudaKernel<{ varianceEpsilon?: number }>('FusedBatchNorm', ({ inputs, attrs, backend }) => {
    const { x, mean, variance, scale, offset } = inputs;
    const operands = [x, mean, variance, scale, offset].filter((t) => t != null);
    const expression = batchNormExpression(scale != null, offset != null);
    const scalars = [attrs.varianceEpsilon ?? 0.001];
    return evaluate(backend, expression, operands, { shape: x!.shape, dtype: 'float32', scalars });
  }),
];
