/** Reductions and `Transpose`: what moves or sums whole tensors. */
import { backend_util, type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { floats, type HeapBackend } from '../heap.js';
import { GraphBuilder } from '../native/graphBuilder.js';
import { type KernelArguments, type NodeKernel, nativeKernel } from './kernel.js';
import { operandsOf } from './operands.js';

/** Longest run summed in one go: a product adds one number after another, so that longer ones would lose digits. */
const LONGEST_RUN = 1024;

/** A shorter run is not worth a call of its own. */
const SHORTEST_RUN = 16;

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
    const runs = trailingRuns(x.shape, axes);
    if (runs === 'none') return wasm(args);
    const [reduced] = backend_util.computeOutAndReduceShapes(x.shape, axes);
    const shape = attrs.keepDims ? backend_util.expandShapeToKeepDim(reduced, axes) : reduced;
    const out = backend.makeOutput(shape, 'float32');
    if (runs !== 'notTrailing') {
      sumRuns(backend, x, out, runs);
      if (name === 'Mean') {
        const sums = floats(backend, out);
        const count = size / sums.length;
        for (let i = 0; i < sums.length; i++) sums[i]! /= count;
      }
      return out;
    }
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

/**
 * How the last axes are summed: lengths of runs, those of the second being sums of the first, and so on; `'notTrailing'`
 * if the last axis is kept, `'none'` if the axes leave one out or their length has no divisor to make short runs of.
 */
function trailingRuns(shape: number[], axes: number[]): number[] | 'notTrailing' | 'none' {
  const sorted = [...axes].sort((a, b) => a - b);
  if (sorted.at(-1) !== shape.length - 1) return 'notTrailing';
  if (sorted[0] !== shape.length - sorted.length) return 'none';
  const runs: number[] = [];
  let rest = util.sizeFromShape(shape.slice(sorted[0]));
  while (rest > LONGEST_RUN) {
    let run = LONGEST_RUN;
    while (rest % run !== 0) run--;
    if (run < SHORTEST_RUN) return 'none';
    runs.push(run);
    rest /= run;
  }
  return [...runs, rest];
}

/** As long as the longest run so far. */
let ones = new Float32Array(64).fill(1);

/**
 * Sums of the last axis as products with ones. ONNX Runtime's own sum begins with the elements before the first aligned
 * address, so that its rounding depends on where a tensor lies, and a resumed run would not repeat the first one's bits.
 */
function sumRuns(backend: HeapBackend, x: TensorInfo, out: TensorInfo, runs: number[]): void {
  const longest = Math.max(...runs);
  if (ones.length < longest) ones = new Float32Array(longest).fill(1);
  let from = x;
  let rows = util.sizeFromShape(x.shape);
  runs.forEach((run, i) => {
    rows /= run;
    const to = i === runs.length - 1 ? out : backend.makeOutput([rows], 'float32');
    const { onnx, tensor, array } = operandsOf(backend);
    const program = onnx.program('sumRuns', () => {
      const g = new GraphBuilder(['x', 'ones']);
      return g.build(g.op('MatMul', ['x', 'ones']));
    });
    program([tensor(from, [rows, run]), array(ones, [run, 1])], [tensor(to, [rows, 1])]);
    if (from !== x) backend.disposeData(from.dataId);
    from = to;
  });
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
