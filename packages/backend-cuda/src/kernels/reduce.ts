import {
  type DataType,
  type KernelConfig,
  sumOutType,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import {
  type ReduceForm,
  type Reduction,
  reduceName,
  reduceSource,
  SECOND_PASS,
} from '../sources/reduce.js';
import { argReduceSource, SOFTMAX, scanSource, topKSource } from '../sources/rows.js';
import { storageOf } from '../sources/types.js';
import { transpose } from './copyView.js';
import { evaluate } from './evaluate.js';
import { cudaKernel, relabel, share, sizeOf, type Workspace, withWorkspace } from './kernel.js';
import { spliced } from './strides.js';
import { CAST } from './unary.js';

/** An axis from this length on is worth a block of threads of its own. */
const BLOCK_FROM = 32;
/** Threads that keep a large device busy. */
const ENOUGH_THREADS = 65_536;
/** Elements that one thread should have, before an axis is cut into more parts. */
const WORK = 16;
const THREADS = 256;

/** Into how many parts each axis is cut, so that few long ones keep the device busy too. */
function partsOf(results: number, length: number, form: ReduceForm): number {
  const perResult = form === 'rows' ? THREADS : 1;
  const wanted = Math.floor(ENOUGH_THREADS / (results * perResult));
  return Math.max(1, Math.min(wanted, Math.floor(length / (WORK * perResult))));
}

/**
 * Reduces the middle axis of `[outer, length, inner]`.
 * @param factor - multiplies float results
 */
export function reduceAxis(
  backend: CudaBackend,
  reduction: Reduction,
  x: TensorInfo,
  sizes: { readonly outer: number; readonly length: number; readonly inner: number },
  { dtype, factor = 1, into }: { dtype: DataType; factor?: number; into?: TensorInfo },
): TensorInfo {
  const { outer, length, inner } = sizes;
  const results = outer * inner;
  const out = into ?? backend.makeOutput([outer, inner], dtype);
  if (results === 0) return out;
  const form: ReduceForm = inner === 1 && length >= BLOCK_FROM ? 'rows' : 'columns';
  const parts = partsOf(results, length, form);
  if (parts === 1) {
    pass(backend, reduction, form, x, out, { results, length, parts, inner, factor });
    return out;
  }
  const partial = backend.makeOutput([outer, parts, inner], dtype);
  try {
    const count = results * parts;
    pass(backend, reduction, form, x, partial, { results: count, length, parts, inner, factor: 1 });
    const second = SECOND_PASS[reduction];
    reduceAxis(
      backend,
      second,
      partial,
      { outer, length: parts, inner },
      { dtype, factor, into: out },
    );
  } finally {
    backend.disposeData(partial.dataId);
  }
  return out;
}

function pass(
  backend: CudaBackend,
  reduction: Reduction,
  form: ReduceForm,
  x: TensorInfo,
  out: TensorInfo,
  sizes: { results: number; length: number; parts: number; inner: number; factor: number },
): void {
  const { results, length, parts, inner, factor } = sizes;
  const [input, output] = [storageOf(x.dtype), storageOf(out.dtype)];
  const name = reduceName(reduction, form, input, output);
  const source = () => reduceSource(reduction, form, input, output);
  const values = [results, backend.address(out), backend.address(x), length, parts, inner, factor];
  if (form === 'columns') backend.runEach(name, source, results, values);
  else backend.runRows(name, source, results, Math.ceil(length / parts), values);
}

/** The reduced axes as one, moved to the end if they are no neighbours. */
function arrange(backend: CudaBackend, space: Workspace, x: TensorInfo, axes: readonly number[]) {
  const sorted = [...axes].sort((a, b) => a - b);
  const neighbours = sorted.every((axis, i) => axis === sorted[0]! + i);
  const length = sizeOf(sorted.map((axis) => x.shape[axis]!));
  if (neighbours) {
    const first = sorted[0] ?? x.shape.length;
    const outer = sizeOf(x.shape.slice(0, first));
    const inner = sizeOf(x.shape.slice(first + sorted.length));
    return { info: x, sizes: { outer, length, inner } };
  }
  const kept = x.shape.map((_, axis) => axis).filter((axis) => !sorted.includes(axis));
  const info = space.keep(transpose(backend, x, [...kept, ...sorted]));
  return { info, sizes: { outer: sizeOf(kept.map((axis) => x.shape[axis]!)), length, inner: 1 } };
}

/** Reduces axes of a tensor. */
export function reduce(
  backend: CudaBackend,
  reduction: Reduction,
  x: TensorInfo,
  axes: readonly number[],
  options: { dtype: DataType; factor?: number; keepDims?: boolean },
): TensorInfo {
  const shape = options.keepDims
    ? x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size))
    : x.shape.filter((_, axis) => !axes.includes(axis));
  return withWorkspace(backend, (space) => {
    const { info, sizes } = arrange(backend, space, x, axes);
    return relabel(reduceAxis(backend, reduction, info, sizes, options), shape);
  });
}

interface Attributes {
  readonly axis: number | number[];
  /** What tfjs calls the axes of `Max`. */
  readonly reductionIndices?: number | number[];
  readonly keepDims: boolean;
}

const REDUCTIONS: Readonly<Record<string, Reduction>> = {
  Sum: 'sum',
  Prod: 'prod',
  Max: 'max',
  Min: 'min',
  Any: 'any',
  All: 'all',
};

function resultDtype(name: string, dtype: DataType): DataType {
  if (name === 'Sum') return sumOutType(dtype);
  if (name === 'Prod') return dtype === 'bool' ? 'int32' : dtype;
  return dtype;
}

const softmaxKernel = (): KernelConfig =>
  cudaKernel('Softmax', ({ inputs, backend }) => {
    const x = inputs.logits!;
    const { shape } = x;
    const length = shape.at(-1) ?? 1;
    const out = backend.makeOutput(shape, 'float32');
    const rows = length === 0 ? 0 : sizeOf(shape) / length;
    const values = [rows, backend.address(out), backend.address(x), length];
    backend.runRows(SOFTMAX.name, () => SOFTMAX, rows, length, values);
    return out;
  });

function argKernel(name: 'ArgMax' | 'ArgMin'): KernelConfig {
  return cudaKernel<{ axis: number }>(name, ({ inputs, attrs, backend }) =>
    withWorkspace(backend, (space) => {
      const x = inputs.x!;
      const axes = util.parseAxisParam(attrs.axis, x.shape);
      const axis = axes[0]!;
      const rest = x.shape.map((_, i) => i).filter((i) => i !== axis);
      const moved =
        axis === x.shape.length - 1 ? x : space.keep(transpose(backend, x, [...rest, axis]));
      const out = backend.makeOutput(spliced(x.shape, axis, 1), 'int32');
      const length = x.shape[axis]!;
      const rows = sizeOf(out.shape);
      const source = argReduceSource(name === 'ArgMax' ? 'max' : 'min', storageOf(x.dtype));
      const values = [rows, backend.address(out), backend.address(moved), length];
      backend.runRows(source.name, () => source, rows, length, values);
      return out;
    }),
  );
}

interface ScanAttributes {
  readonly axis: number;
  readonly exclusive: boolean;
  readonly reverse: boolean;
}

/** Running sums or products along an axis. */
export function scan(
  backend: CudaBackend,
  operation: 'sum' | 'prod',
  x: TensorInfo,
  { axis, exclusive, reverse }: ScanAttributes,
): TensorInfo {
  const along = util.parseAxisParam(axis, x.shape)[0] ?? 0;
  const length = x.shape[along] ?? 1;
  const inner = sizeOf(x.shape.slice(along + 1));
  const lanes = sizeOf(x.shape.slice(0, along)) * inner;
  const dtype = x.dtype === 'bool' ? 'int32' : x.dtype;
  return withWorkspace(backend, (space) => {
    const wide =
      x.dtype === dtype ? x : space.keep(evaluate(backend, CAST, [x], { shape: x.shape, dtype }));
    const out = backend.makeOutput(x.shape, dtype);
    const source = scanSource(operation, storageOf(dtype));
    const flags = [Number(exclusive), Number(reverse)];
    const values = [lanes, backend.address(out), backend.address(wide), length, inner, ...flags];
    if (length > 0) backend.runRows(source.name, () => source, lanes, length, values);
    return out;
  });
}

/** The kernels of this file. */
export const reduceKernels = (): KernelConfig[] => [
  ...Object.entries(REDUCTIONS).map(([name, reduction]) =>
    cudaKernel<Attributes>(name, ({ inputs, attrs, backend }) => {
      const x = inputs.x!;
      if (x.dtype === 'complex64' && name === 'Sum') return complexSum(backend, x, attrs);
      const axes = util.parseAxisParam(attrs.reductionIndices ?? attrs.axis, x.shape);
      const dtype = resultDtype(name, x.dtype);
      if (axes.length === 0) {
        return x.dtype === dtype
          ? share(backend, x)
          : evaluate(backend, CAST, [x], { shape: x.shape, dtype });
      }
      return reduce(backend, reduction, x, axes, { dtype, keepDims: attrs.keepDims });
    }),
  ),
  cudaKernel<Attributes>('Mean', ({ inputs, attrs, backend }) =>
    withWorkspace(backend, (space) => {
      const x = inputs.x!;
      const { shape } = x;
      const axes = util.parseAxisParam(attrs.axis, shape);
      const count = sizeOf(axes.map((axis) => shape[axis]!));
      const dtype = 'float32';
      const floats =
        x.dtype === dtype ? x : space.keep(evaluate(backend, CAST, [x], { shape, dtype }));
      const { keepDims } = attrs;
      return reduce(backend, 'sum', floats, axes, { dtype, factor: 1 / count, keepDims });
    }),
  ),
  softmaxKernel(),
  argKernel('ArgMax'),
  argKernel('ArgMin'),
  cudaKernel<ScanAttributes>('Cumsum', ({ inputs, attrs, backend }) =>
    scan(backend, 'sum', inputs.x!, attrs),
  ),
  cudaKernel<ScanAttributes>('Cumprod', ({ inputs, attrs, backend }) =>
    scan(backend, 'prod', inputs.x!, attrs),
  ),
  cudaKernel<{ k: number; sorted: boolean }>('TopK', ({ inputs, attrs, backend }) => {
    const x = inputs.x!;
    const { k } = attrs;
    const length = x.shape.at(-1)!;
    const shape = [...x.shape.slice(0, -1), k];
    const rows = sizeOf(x.shape.slice(0, -1));
    const values = backend.makeOutput(shape, x.dtype);
    const indices = backend.makeOutput(shape, 'int32');
    const source = topKSource(storageOf(x.dtype));
    const addresses = [values, indices, x].map((info) => backend.address(info));
    backend.runRows(source.name, () => source, k === 0 ? 0 : rows, length, [
      rows,
      ...addresses,
      length,
      k,
    ]);
    return [values, indices];
  }),
];

/** The pairs' axis stays: it is the inner one of what is left. */
function complexSum(backend: CudaBackend, x: TensorInfo, { axis, keepDims }: Attributes) {
  const axes = util.parseAxisParam(axis, x.shape);
  const floats = relabel(x, [...x.shape, 2], 'float32');
  const sum = reduce(backend, 'sum', floats, axes, { dtype: 'float32', keepDims });
  backend.retype(sum.dataId, 'complex64');
  return relabel(sum, sum.shape.slice(0, -1), 'complex64');
}
