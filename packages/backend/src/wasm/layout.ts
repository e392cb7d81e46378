/**
 * Kernels that only copy or share elements. tfjs's versions are correct but slow where training needs them: `Identity`
 * copies (the tape clones every tensor it saves), `Slice` copies its whole input first, `GatherV2` and `Tile` go element
 * by element, `Transpose` of matrices ignores the cache.
 */
import {
  backend_util,
  type KernelConfig,
  slice_util,
  type Tensor,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import {
  addressOf,
  type KernelArguments,
  overriddenKernel,
  relabel,
  type WasmBackend,
} from './heap.js';
import { heapWords, transposeMatrices } from './matrixProduct.js';

type Original<A> = (args: KernelArguments<A>) => TensorInfo | TensorInfo[];

const isText = (x: TensorInfo) => x.dtype === 'string';
const hasWords = (x: TensorInfo) => x.dtype === 'float32' || x.dtype === 'int32';

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

interface GatherAttributes {
  readonly axis: number;
  readonly batchDims: number;
}

/** Rows are copied whole; out-of-range indices throw, as in tfjs's kernel. */
function gather(args: KernelArguments<GatherAttributes>, original: Original<GatherAttributes>) {
  const { backend, attrs } = args;
  const [x, indices] = [args.inputs.x!, args.inputs.indices!];
  if (isText(x) || indices.dtype !== 'int32') return original(args);
  const axis = util.parseAxisParam(attrs.axis, x.shape)[0]!;
  const shape = backend_util.segment_util.collectGatherOpShapeInfo(
    x as Tensor,
    indices as Tensor,
    axis,
    attrs.batchDims,
  );
  const { batchSize, outerSize, dimSize, sliceSize, outputShape } = shape;
  const out = backend.makeOutput(outputShape, x.dtype);
  const from = backend.typedArrayFromHeap(x);
  const to = backend.typedArrayFromHeap(out);
  const ids = backend.typedArrayFromHeap(indices);
  const perBatch = ids.length / batchSize;
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (id >= 0 && id < dimSize) continue;
    backend.disposeData(out.dataId);
    throw new RangeError(`gather: indices must be in [0, ${dimSize - 1}], got ${id}`);
  }
  let target = 0;
  for (let batch = 0; batch < batchSize; batch++) {
    for (let outer = 0; outer < outerSize; outer++) {
      const base = (batch * outerSize + outer) * dimSize;
      for (let i = batch * perBatch; i < (batch + 1) * perBatch; i++, target += sliceSize) {
        const source = (base + ids[i]!) * sliceSize;
        if (sliceSize < 16) for (let j = 0; j < sliceSize; j++) to[target + j] = from[source + j]!;
        else to.set(from.subarray(source, source + sliceSize), target);
      }
    }
  }
  return out;
}

/** Repeats axis by axis, last first; each repetition is a block copy. */
function tile(args: KernelArguments<{ reps: number[] }>, original: Original<{ reps: number[] }>) {
  const { backend, attrs } = args;
  const x = args.inputs.x!;
  const { reps } = attrs;
  if (isText(x) || reps.length !== x.shape.length) return original(args);
  const shape = x.shape.map((n, axis) => n * reps[axis]!);
  const out = backend.makeOutput(shape, x.dtype);
  const to = backend.typedArrayFromHeap(out);
  if (to.length === 0) return out;
  const from = backend.typedArrayFromHeap(x);
  // The input fills the end of the result, and each axis then unfolds to the left of what follows it.
  to.set(from, to.length - from.length);
  let length = from.length;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const times = reps[axis]!;
    if (times === 1) continue;
    const block = util.sizeFromShape(shape.slice(axis + 1)) * x.shape[axis]!;
    const blocks = length / block;
    const grown = length * times;
    for (let b = 0; b < blocks; b++) {
      const source = to.length - length + b * block;
      const target = to.length - grown + b * block * times;
      to.copyWithin(target, source, source + block);
      for (let done = 1; done < times; ) {
        const copies = Math.min(done, times - done);
        to.copyWithin(target + done * block, target, target + copies * block);
        done += copies;
      }
    }
    length = grown;
  }
  return out;
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

interface TransposeAttributes {
  readonly perm: number[];
}

/** A permutation that only exchanges two neighbouring groups of axes, the last of them at the end, swaps matrices. */
function asMatrices(shape: number[], perm: number[]) {
  const axes = perm.filter((axis) => shape[axis] !== 1);
  const sorted = [...axes].sort((p, q) => p - q);
  let same = 0;
  while (same < axes.length && axes[same] === sorted[same]) same++;
  const rest = axes.slice(same);
  const before = sorted.slice(same);
  const cut = before.indexOf(rest[0]!);
  if (cut <= 0 || rest.some((axis, i) => axis !== before[(i + cut) % before.length])) return;
  const size = (list: number[]) => util.sizeFromShape(list.map((axis) => shape[axis]!));
  return {
    count: size(sorted.slice(0, same)),
    rows: size(before.slice(0, cut)),
    columns: size(before.slice(cut)),
  };
}

function transpose(
  args: KernelArguments<TransposeAttributes>,
  original: Original<TransposeAttributes>,
) {
  const { backend } = args;
  const x = args.inputs.x!;
  const { perm } = args.attrs;
  const matrices = hasWords(x) && util.sizeFromShape(x.shape) > 0 && asMatrices(x.shape, perm);
  if (!matrices) return original(args);
  const { count, rows, columns } = matrices;
  const out = backend.makeOutput(
    perm.map((axis) => x.shape[axis]!),
    x.dtype,
  );
  const [from, to] = [addressOf(backend, x) / 4, addressOf(backend, out) / 4];
  transposeMatrices(heapWords(backend), from, to, count, rows, columns);
  return out;
}

/** The kernels of this file, to be registered after tfjs's own. */
export const layoutKernels = (): KernelConfig[] => [
  overriddenKernel('Identity', identity),
  overriddenKernel<SliceAttributes>('Slice', slice),
  overriddenKernel<SplitAttributes>('SplitV', splitV),
  overriddenKernel<{ axis: number }>('Unpack', unpack),
  overriddenKernel<GatherAttributes>('GatherV2', gather),
  overriddenKernel<{ reps: number[] }>('Tile', tile),
  overriddenKernel<TransposeAttributes>('Transpose', transpose),
  overriddenKernel<StridedSliceAttributes>('StridedSlice', stridedSlice),
];
