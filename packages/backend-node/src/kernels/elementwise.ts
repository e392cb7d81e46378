/**
 * Elementwise kernels and the softmax. Only operators whose results agree with tfjs's in the last digits and at NaN,
 * infinities and zeros are native; ONNX Runtime's own sigmoid, square root, logarithm, maximum and minimum do not, and
 * stay on wasm (the test has the cases).
 */
import { broadcast_util, type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import type { HeapBackend } from '../heap.js';
import { GraphBuilder, type Value } from '../native/graphBuilder.js';
import { type KernelArguments, type NodeKernel, nativeKernel } from './kernel.js';
import { operandsOf } from './operands.js';

/** Elements from which the native kernel is faster, by what the wasm kernel costs an element: measured, see README. */
const FROM = { cheap: 2 ** 14, costly: 2 ** 10 };

interface Elementwise {
  readonly from: number;
  readonly result: (g: GraphBuilder, ...inputs: Value[]) => Value;
}

const plain =
  (operator: string) =>
  (g: GraphBuilder, ...inputs: Value[]) =>
    g.op(operator, inputs);

/** `1 / (1 + e^−x)`: ONNX Runtime's own operator loses all digits below −15. */
const sigmoid = (g: GraphBuilder, x: Value): Value =>
  g.op('Reciprocal', [g.op('Add', [g.op('Exp', [g.op('Neg', [x])]), g.scalar(1)])]);

const UNARY: Readonly<Record<string, Elementwise>> = {
  Abs: { from: FROM.cheap, result: plain('Abs') },
  Cos: { from: FROM.costly, result: plain('Cos') },
  Exp: { from: FROM.costly, result: plain('Exp') },
  Neg: { from: FROM.cheap, result: plain('Neg') },
  Relu: { from: FROM.cheap, result: plain('Relu') },
  Sigmoid: { from: FROM.cheap, result: sigmoid },
  Sin: { from: FROM.costly, result: plain('Sin') },
  Square: { from: FROM.cheap, result: (g, x) => g.op('Mul', [x, x]) },
  Tanh: { from: FROM.costly, result: plain('Tanh') },
};

const BINARY: Readonly<Record<string, Elementwise>> = {
  Add: { from: FROM.cheap, result: plain('Add') },
  Multiply: { from: FROM.cheap, result: plain('Mul') },
  RealDiv: { from: FROM.cheap, result: plain('Div') },
  Sub: { from: FROM.cheap, result: plain('Sub') },
  SquaredDifference: {
    from: FROM.cheap,
    result: (g, a, b) => {
      const difference = g.op('Sub', [a, b]);
      return g.op('Mul', [difference, difference]);
    },
  },
};

function run(
  backend: HeapBackend,
  key: string,
  inputs: TensorInfo[],
  shape: number[],
  graph: (g: GraphBuilder, ...values: Value[]) => Value,
): TensorInfo {
  const out = backend.makeOutput(shape, 'float32');
  const { onnx, tensor } = operandsOf(backend);
  const names = inputs.map((_, i) => `x${i}`);
  const program = onnx.program(key, () => {
    const g = new GraphBuilder(names);
    return g.build(graph(g, ...names));
  });
  program(
    inputs.map((info) => tensor(info)),
    [tensor(out)],
  );
  return out;
}

function elementwise(name: string, { from, result }: Elementwise): KernelConfig {
  const kernel = (args: KernelArguments, wasm: NodeKernel<object>): TensorInfo => {
    const { inputs, backend } = args;
    const operands = ('x' in inputs ? [inputs.x] : [inputs.a, inputs.b]) as TensorInfo[];
    if (operands.some(({ dtype }) => dtype !== 'float32')) return wasm(args);
    const shape = operands
      .map((info) => info.shape)
      .reduce((a, b) => broadcast_util.assertAndGetBroadcastShape(a, b));
    return util.sizeFromShape(shape) < from
      ? wasm(args)
      : run(backend, name, operands, shape, result);
  };
  return nativeKernel(name, kernel);
}

function softmax(
  args: KernelArguments<{ dim: number }>,
  wasm: NodeKernel<{ dim: number }>,
): TensorInfo {
  const { inputs, attrs, backend } = args;
  const logits = inputs.logits!;
  const last = attrs.dim === -1 || attrs.dim === logits.shape.length - 1;
  const size = util.sizeFromShape(logits.shape);
  if (!last || size < FROM.costly || logits.dtype !== 'float32') return wasm(args);
  return run(backend, 'softmax', [logits], logits.shape, (g, x) =>
    g.op('Softmax', [x], { axis: -1 }),
  );
}

/** The kernels of this file. */
export const elementwiseKernels = (): KernelConfig[] => [
  ...Object.entries({ ...UNARY, ...BINARY }).map(([name, entry]) => elementwise(name, entry)),
  nativeKernel<{ dim: number }>('Softmax', softmax),
];
