/**
 * Gradients of elementwise kernels and `matMul` that tfjs-core has wrong for operands that broadcast, or lacks. For every
 * backend; the faults were found by finite differences.
 */
import {
  broadcast_util,
  type GradConfig,
  getGradient,
  registerGradient,
  reshape,
  sum,
  type Tensor,
  zeros,
} from '@tensorflow/tfjs-core';

/** Sums a gradient over the axes along which the operand was repeated. */
function unbroadcast(dy: Tensor, shape: number[]): Tensor {
  const axes = broadcast_util.getReductionAxes(shape, dy.shape);
  return reshape(axes.length > 0 ? sum(dy, axes) : dy, shape);
}

/** tfjs's gradient of a binary kernel, which forgets that its operands may have been broadcast. */
function broadcastable(kernelName: string): GradConfig {
  const original = getGradient(kernelName);
  return {
    ...original,
    gradFunc(dy, saved, attrs) {
      const [a, b] = saved as [Tensor, Tensor];
      const gradients = original.gradFunc(dy, saved, attrs);
      return {
        a: () => unbroadcast(gradients.a!(), a.shape),
        b: () => unbroadcast(gradients.b!(), b.shape),
      };
    },
  };
}

/** Piecewise constant kernels: no gradient, yet they may stand between x and y (`where(greater(x, 0), x, y)`). */
function constant(kernelName: string, inputs: string[]): GradConfig {
  return {
    kernelName,
    inputsToSave: inputs,
    gradFunc: (_dy, saved) =>
      Object.fromEntries(
        inputs.map((name, i) => [name, () => zeros((saved as Tensor[])[i]!.shape)]),
      ),
  };
}

/** Registers this file's gradients. */
export function registerElementwiseGradients(): void {
  for (const name of ['Maximum', 'Minimum', 'SquaredDifference', 'BatchMatMul']) {
    registerGradient(broadcastable(name));
  }
  const comparisons = ['Greater', 'Less', 'LessEqual', 'Equal', 'NotEqual'];
  for (const name of [...comparisons, 'LogicalAnd', 'LogicalOr']) {
    registerGradient(constant(name, ['a', 'b']));
  }
  for (const name of ['LogicalNot', 'All', 'Any']) registerGradient(constant(name, ['x']));
}
