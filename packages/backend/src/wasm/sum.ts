/**
 * `Sum` over leading axes, which every bias and every broadcast operand needs in its gradient: tfjs transposes the whole
 * tensor first; adding rows needs no copy.
 */
import { type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { floats, type KernelArguments, overriddenKernel } from './heap.js';

interface Attributes {
  readonly axis: number | number[] | null;
  readonly keepDims: boolean;
}

function sum(
  args: KernelArguments<Attributes>,
  original: (args: KernelArguments<Attributes>) => TensorInfo | TensorInfo[],
) {
  const { attrs, backend } = args;
  const x = args.inputs.x!;
  const axes = util.parseAxisParam(attrs.axis as number[], x.shape).sort((a, b) => a - b);
  const isLeading = axes.length < x.shape.length && axes.every((axis, i) => axis === i);
  if (x.dtype !== 'float32' || !isLeading) return original(args);
  const kept = x.shape.slice(axes.length);
  const width = util.sizeFromShape(kept);
  const out = backend.makeOutput(
    attrs.keepDims ? [...axes.map(() => 1), ...kept] : kept,
    'float32',
  );
  const from = floats(backend, x);
  // Long sums keep more digits in float64, and float32 values convert at no cost.
  const sums = new Float64Array(width);
  for (let row = 0; row < from.length; row += width) {
    for (let i = 0; i < width; i++) sums[i]! += from[row + i]!;
  }
  floats(backend, out).set(sums);
  return out;
}

/** The kernel of this file, to be registered after tfjs's own. */
export const sumKernels = (): KernelConfig[] => [overriddenKernel<Attributes>('Sum', sum)];
