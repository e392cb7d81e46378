import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import type { Expression } from '../sources/elementwise.js';
import { evaluate } from './evaluate.js';

/** tfjs's fused activations. */
export type Activation = 'linear' | 'relu' | 'relu6' | 'elu' | 'sigmoid' | 'prelu' | 'leakyrelu';

/** What follows a product or a convolution. */
export interface Epilogue {
  readonly bias?: TensorInfo | undefined;
  readonly activation?: Activation;
  /** Slopes of `prelu`. */
  readonly slope?: TensorInfo | undefined;
  /** Slope of `leakyrelu`. */
  readonly alpha?: number | undefined;
}

/** Over the sum `t` of product and bias, and the slope `z` (or `y` without a bias). */
const CODE: Record<Activation, (slope: string) => string> = {
  linear: () => 't',
  relu: () => 't < 0 ? 0.0f : t',
  relu6: () => 't < 0 ? 0.0f : t > 6 ? 6.0f : t',
  elu: () => 't >= 0 ? t : expm1f(t)',
  sigmoid: () => '1.0f / (1.0f + expf(-t))',
  prelu: (slope) => `t < 0 ? ${slope} * t : t`,
  leakyrelu: () => 't < 0 ? s0 * t : t',
};

/** The formula of an epilogue. */
export function epilogueExpression(activation: Activation, bias: boolean): Expression {
  const sum = bias ? 'x + y' : 'x';
  return {
    name: `epilogue_${activation}${bias ? '_bias' : ''}`,
    code: `const float t = ${sum}; result = ${CODE[activation](bias ? 'z' : 'y')};`,
    type: 'float',
    scalars: activation === 'leakyrelu' ? 1 : 0,
  };
}

/** Adds the bias and applies the activation in place. */
export function applyEpilogue(
  backend: CudaBackend,
  out: TensorInfo,
  { bias, activation = 'linear', slope, alpha = 0 }: Epilogue,
): void {
  if (!bias && activation === 'linear') return;
  const operands = [out, bias, activation === 'prelu' ? slope : undefined];
  evaluate(
    backend,
    epilogueExpression(activation, bias !== undefined),
    operands.filter((x) => x !== undefined),
    {
      shape: out.shape,
      dtype: 'float32',
      scalars: activation === 'leakyrelu' ? [alpha] : [],
      into: out,
    },
  );
}
