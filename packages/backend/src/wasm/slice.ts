/**
 * Kernels that take parts of a tensor, and `Identity`, which takes all of it. tfjs's are slow where training needs them:
 * `Slice` copies its whole input first, `Identity` copies although the tape clones every tensor that it saves.
 */
import {
  backend_util,
  type KernelConfig,
  slice_util,
  type Tensor,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import { type KernelArguments, overriddenKernel, relabel, type WasmBackend } from './heap.js';

type Original<A> = (args: KernelArguments<A>) => TensorInfo | TensorInfo[];

const isText = (x: TensorInfo) => x.dtype === 'string';

/** Tensors never change, so a clone can share the data. */
function identity(args: KernelArguments, original: Original<object>): TensorInfo {
  const x = args.inputs.x!;
  if (isText(x)) return original(args) as TensorInfo;
  args.backend.incRef(x.dataId);
  return relabel(x, x.shape);
}

const withSize = (shape: number[], axis: number, size: number) =>
  shape.map((n, i) => (i === axis ? size : n));

/** Copies the box `[begin, begin + size)` of `x` into the heap behind `out`, in runs as long as possible. */
function copyBox(backend: WasmBackend, x: TensorInfo, begin: number[], out: TensorInfo): void {
  const [from, to] = [backend.typedArrayFromHeap(x), backend.typedArrayFromHeap(out)];
  const size = out.shape;
  const strides = [...util.computeStrides(x.shape), 1].slice(-x.shape.length);
  // Trailing axes that are taken whole make one run together with the axis before them.
  let axis = size.length - 1;
  while (axis > 0 && size[axis] === x.shape[axis]) axis--;
  const run = util.sizeFromShape(size.slice(Math.max(axis, 0)));
  const outer = size.slice(0, Math.max(axis, 0));
  const start = begin.reduce((sum, b, i) => sum + b * strides[i]!, 0);
  const index = new Array<number>(outer.length).fill(0);
  let source = start;
  for (let target = 0; target < to.length; target += run) {
    if (run < 16) for (let i = 0; i < run; i++) to[target + i] = from[source + i]!;
    else to.set(from.subarray(source, source + run), target);
    for (let a = outer.length - 1; a >= 0; a--) {
      source += strides[a]!;
      if (++index[a]! < outer[a]!) break;
      source -= strides[a]! * outer[a]!;
      index[a] = 0;
    }
  }
}

interface SliceAttributes {
  readonly begin: number | number[];
  readonly size: number | number[];
}

function slice(args: KernelArguments<SliceAttributes>, original: Original<SliceAttributes>) {
  const { backend, attrs } = args;
  const x = args.inputs.x!;
  if (isText(x) || x.shape.length === 0) return original(args);
  const [begin, size] = slice_util.parseSliceParams(x as Tensor, attrs.begin, attrs.size);
  slice_util.assertParamsValid(x, begin!, size!);
  const out = backend.makeOutput(size!, x.dtype);
  if (util.sizeFromShape(size!) > 0) copyBox(backend, x, begin!, out);
  return out;
}

interface SplitAttributes {
  readonly numOrSizeSplits: number | number[];
  readonly axis: number;
}

function splitV(args: KernelArguments<SplitAttributes>, original: Original<SplitAttributes>) {
  const { backend, attrs } = args;
  const x = args.inputs.x!;
  if (isText(x)) return original(args);
  const axis = util.parseAxisParam(attrs.axis, x.shape)[0]!;
  const sizes = backend_util.prepareSplitSize(x as Tensor, attrs.numOrSizeSplits, axis);
  const begin = new Array<number>(x.shape.length).fill(0);
  return sizes.map((size) => {
    const out = backend.makeOutput(withSize(x.shape, axis, size), x.dtype);
    if (util.sizeFromShape(out.shape) > 0) copyBox(backend, x, begin, out);
    begin[axis]! += size;
    return out;
  });
}

function unpack(args: KernelArguments<{ axis: number }>, original: Original<{ axis: number }>) {
  const { backend, attrs } = args;
  const value = args.inputs.value!;
  if (isText(value)) return original(args);
  const axis = util.parseAxisParam(attrs.axis, value.shape)[0]!;
  const begin = new Array<number>(value.shape.length).fill(0);
  return Array.from({ length: value.shape[axis]! }, (_, i) => {
    const out = backend.makeOutput(withSize(value.shape, axis, 1), value.dtype);
    begin[axis] = i;
    if (util.sizeFromShape(out.shape) > 0) copyBox(backend, value, begin, out);
    return relabel(
      out,
      value.shape.filter((_, i) => i !== axis),
    );
  });
}

interface StridedSliceAttributes {
  readonly begin: number[];
  readonly end: number[];
  readonly strides: number[];
  readonly beginMask: number;
  readonly endMask: number;
  readonly ellipsisMask: number;
  readonly newAxisMask: number;
  readonly shrinkAxisMask: number;
}

/** tfjs's kernel labels every result float32. */
function stridedSlice(
  args: KernelArguments<StridedSliceAttributes>,
  original: Original<StridedSliceAttributes>,
) {
  const { backend, attrs: a } = args;
  const x = args.inputs.x!;
  if (x.dtype === 'float32') return original(args);
  const info = slice_util.sliceInfo(
    x.shape,
    a.begin,
    a.end,
    a.strides,
    a.beginMask,
    a.endMask,
    a.ellipsisMask,
    a.newAxisMask,
    a.shrinkAxisMask,
  );
  const out = backend.makeOutput(info.finalShape, x.dtype);
  const shape = slice_util.computeOutShape(info.begin, info.end, info.strides);
  const [from, to] = [backend.typedArrayFromHeap(x), backend.typedArrayFromHeap(out)];
  const every = util.computeStrides(shape);
  const step = util.computeStrides(x.shape);
  for (let i = 0; i < to.length; i++) {
    let [source, rest] = [0, i];
    for (let axis = 0; axis < shape.length; axis++) {
      const place = Math.floor(rest / (every[axis] ?? 1));
      rest -= place * (every[axis] ?? 1);
      source += (info.begin[axis]! + place * info.strides[axis]!) * (step[axis] ?? 1);
    }
    to[i] = from[source]!;
  }
  return out;
}

/** The kernels of this file, to be registered after tfjs's own. */
export const sliceKernels = (): KernelConfig[] => [
  overriddenKernel('Identity', identity),
  overriddenKernel<SliceAttributes>('Slice', slice),
  overriddenKernel<SplitAttributes>('SplitV', splitV),
  overriddenKernel<{ axis: number }>('Unpack', unpack),
  overriddenKernel<StridedSliceAttributes>('StridedSlice', stridedSlice),
];
