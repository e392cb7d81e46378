/** Reductions and `Transpose`: what moves or sums whole tensors. */
import { backend_util, type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { GraphBuilder } from '../native/graphBuilder.js';
import { type KernelArguments, type NodeKernel, nativeKernel } from './kernel.js';
import { operandsOf } from './operands.js';

/** Elements from which the native kernels are faster: measured, see README. */
const FROM = 2 ** 12;

interface ReduceAttributes {
  readonly axis: number | number[];
  readonly keepDims: boolean;
}

/**
 * By tfjs's name: ONNX's name, and whether axes are an input (since operator set 13) or an attribute there. Not `Max`
 * and `Min`: ONNX Runtime's overlook NaN.
 */
const REDUCTIONS = {
  Sum: { operator: 'ReduceSum', axesAsInput: true },
  Mean: { operator: 'ReduceMean', axesAsInput: false },
} as const;

function reduction(name: keyof typeof REDUCTIONS): KernelConfig {
  const { operator, axesAsInput } = REDUCTIONS[name];
  const kernel = (
    args: KernelArguments<ReduceAttributes>,
    wasm: NodeKernel<ReduceAttributes>,
  ): TensorInfo => {
    const { inputs, attrs, backend } = args;
    const x = inputs.x!;
    const axes = util.parseAxisParam(attrs.axis, x.shape);
    const size = util.sizeFromShape(x.shape);
    if (x.dtype !== 'float32' || size < FROM || axes.length === 0) return wasm(args);
    const [reduced] = backend_util.computeOutAndReduceShapes(x.shape, axes);
    const shape = attrs.keepDims ? backend_util.expandShapeToKeepDim(reduced, axes) : reduced;
    const out = backend.makeOutput(shape, 'float32');
    const { onnx, tensor } = operandsOf(backend);
    const program = onnx.program(`${operator}${axes}`, () => {
      const g = new GraphBuilder(['x']);
      return g.build(
        axesAsInput
          ? g.op(operator, ['x', g.integers(...axes)], { keepdims: 0 })
          : g.op(operator, ['x'], { axes, keepdims: 0 }),
      );
    });
    program([tensor(x)], [tensor(out, reduced)]);
    return out;
  };
  return nativeKernel<ReduceAttributes>(name, kernel);
}

interface TransposeAttributes {
  readonly perm: number[];
}

function transpose(
  args: KernelArguments<TransposeAttributes>,
  wasm: NodeKernel<TransposeAttributes>,
): TensorInfo {
  const { inputs, attrs, backend } = args;
  const { perm } = attrs;
  const x = inputs.x!;
  if (x.dtype !== 'float32' || util.sizeFromShape(x.shape) < FROM) return wasm(args);
  const out = backend.makeOutput(
    perm.map((axis) => x.shape[axis]!),
    'float32',
  );
  const { onnx, tensor } = operandsOf(backend);
  const program = onnx.program(`transpose${perm}`, () => {
    const g = new GraphBuilder(['x']);
    return g.build(g.op('Transpose', ['x'], { perm }));
  });
  program([tensor(x)], [tensor(out)]);
  return out;
}

/** The kernels of this file. */
export const reduceKernels = (): KernelConfig[] => [
  reduction('Sum'),
  reduction('Mean'),
  nativeKernel<TransposeAttributes>('Transpose', transpose),
];
