/** Kernels that move elements and compute nothing: each is a walk over one tensor by strides. */
import {
  backend_util,
  type KernelConfig,
  slice_util,
  type Tensor,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import { copyView, takeView, transpose } from './copyView.js';
import { cudaKernel, relabel, share, sizeOf, withWorkspace } from './kernel.js';
import { broadcastStrides, replaced, spliced, stridesOf } from './strides.js';

type PadWidths = readonly (readonly [before: number, after: number])[];
type Inputs = Readonly<Record<string, TensorInfo>>;

interface StridedSlice {
  readonly begin: number[];
  readonly end: number[];
  readonly strides: number[];
  readonly beginMask: number;
  readonly endMask: number;
  readonly ellipsisMask: number;
  readonly newAxisMask: number;
  readonly shrinkAxisMask: number;
}

const dot = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, value, i) => sum + value * b[i]!, 0);

/** Elements from `begin` on. */
export function slice(
  backend: CudaBackend,
  x: TensorInfo,
  begin: readonly number[],
  size: readonly number[],
): TensorInfo {
  const strides = stridesOf(x.shape);
  return takeView(backend, size, { info: x, offset: dot(begin, strides), strides });
}

/** `x` repeated along axes of one element, or along new ones in front. */
export function broadcastTo(
  backend: CudaBackend,
  x: TensorInfo,
  shape: readonly number[],
): TensorInfo {
  return takeView(backend, shape, { info: x, strides: broadcastStrides(x.shape, shape) });
}

function concat(backend: CudaBackend, list: readonly TensorInfo[], axis: number): TensorInfo {
  const parts = list.filter((x) => sizeOf(x.shape) > 0);
  if (parts.length === 1) return share(backend, parts[0]!);
  const shapes = list.map((x) => x.shape);
  const along = util.parseAxisParam(axis, shapes[0]!)[0]!;
  const shape = backend_util.computeOutShape(shapes, along);
  const out = backend.makeOutput(shape, list[0]!.dtype);
  const strides = stridesOf(shape);
  let offset = 0;
  for (const x of parts) {
    copyView(backend, x.shape, { info: x }, { info: out, offset, strides });
    offset += x.shape[along]! * strides[along]!;
  }
  return out;
}

function split(
  backend: CudaBackend,
  x: TensorInfo,
  numOrSizes: number | number[],
  axis: number,
): TensorInfo[] {
  const along = util.parseAxisParam(axis, x.shape)[0]!;
  const sizes = backend_util.prepareSplitSize(x as Tensor, numOrSizes, along);
  const begin = x.shape.map(() => 0);
  return sizes.map((size) => {
    const part = slice(backend, x, begin, replaced(x.shape, along, size));
    begin[along] = begin[along]! + size;
    return part;
  });
}

function tile(backend: CudaBackend, x: TensorInfo, reps: readonly number[]): TensorInfo {
  const rank = Math.max(x.shape.length, reps.length);
  const full = <T>(list: readonly T[], fill: T) => [
    ...new Array<T>(rank - list.length).fill(fill),
    ...list,
  ];
  const sizes = full(x.shape, 1);
  const times = full(reps, 1);
  const strides = stridesOf(sizes);
  const walked = sizes.flatMap((size, axis) => [times[axis]!, size]);
  const out = takeView(backend, walked, {
    info: x,
    strides: strides.flatMap((stride) => [0, stride]),
  });
  return { ...out, shape: sizes.map((size, axis) => size * times[axis]!) };
}

/** Sets every element to a number. */
export function fill(backend: CudaBackend, out: TensorInfo, value: number): void {
  const count = sizeOf(out.shape) * (out.dtype === 'complex64' ? 2 : 1);
  if (count === 0) return;
  const { driver } = backend;
  if (out.dtype === 'bool') {
    driver.fill(backend.address(out), value === 0 ? 0 : 1, count, 'byte');
    return;
  }
  const word = out.dtype === 'int32' ? Math.trunc(value) : floatBits(value);
  driver.fill(backend.address(out), word, count, 'word');
}

const bits = new DataView(new ArrayBuffer(4));
function floatBits(value: number): number {
  bits.setFloat32(0, value);
  return bits.getUint32(0);
}

/** A new tensor of one number. */
export function filled(
  backend: CudaBackend,
  shape: readonly number[],
  dtype: TensorInfo['dtype'],
  value: number,
): TensorInfo {
  const out = backend.makeOutput(shape, dtype);
  fill(backend, out, value);
  return out;
}

function pad(backend: CudaBackend, x: TensorInfo, widths: PadWidths, value: number): TensorInfo {
  const shape = x.shape.map((size, axis) => size + widths[axis]![0] + widths[axis]![1]);
  const out = backend.makeOutput(shape, x.dtype);
  if (sizeOf(shape) > sizeOf(x.shape)) fill(backend, out, value);
  const strides = stridesOf(shape);
  const offset = dot(
    widths.map(([before]) => before),
    strides,
  );
  copyView(backend, x.shape, { info: x }, { info: out, offset, strides });
  return out;
}

/** Axis by axis: the middle, then what is mirrored on either side, walked backwards. */
function mirrorPad(
  backend: CudaBackend,
  x: TensorInfo,
  widths: PadWidths,
  mode: 'reflect' | 'symmetric',
): TensorInfo {
  const gap = mode === 'reflect' ? 1 : 0;
  return withWorkspace(backend, (space) => {
    let current = x;
    widths.forEach(([before, after], axis) => {
      if (before + after === 0) return;
      const size = current.shape[axis]!;
      const shape = replaced(current.shape, axis, before + size + after);
      const [from, to] = [stridesOf(current.shape), stridesOf(shape)];
      const [step, wide] = [from[axis]!, to[axis]!];
      const back = replaced(from, axis, -step);
      const out = backend.makeOutput(shape, x.dtype);
      const put = (length: number, source: number, at: number, strides: number[]) =>
        copyView(
          backend,
          replaced(current.shape, axis, length),
          { info: current, offset: source * step, strides },
          { info: out, offset: at * wide, strides: to },
        );
      put(size, 0, before, from);
      put(before, before - 1 + gap, 0, back);
      put(after, size - 1 - gap, before + size, back);
      if (current !== x) space.keep(current);
      current = out;
    });
    return current === x ? share(backend, x) : current;
  });
}

function stridedSlice(backend: CudaBackend, x: TensorInfo, attrs: StridedSlice): TensorInfo {
  const { begin, end, strides, beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask } =
    attrs;
  const plan = slice_util.sliceInfo(
    x.shape,
    begin,
    end,
    strides,
    beginMask,
    endMask,
    ellipsisMask,
    newAxisMask,
    shrinkAxisMask,
  );
  if (plan.isIdentity) return share(backend, x, plan.finalShape);
  const own = stridesOf(x.shape);
  // Not tfjs's own sparse shape, which lacks the axes that are to go and so mixes up the others.
  const shape = slice_util.computeOutShape(plan.begin, plan.end, plan.strides);
  const out = takeView(backend, shape, {
    info: x,
    offset: dot(plan.begin, own),
    strides: own.map((stride, axis) => stride * plan.strides[axis]!),
  });
  return relabel(out, plan.finalShape);
}

const listOf = (inputs: Inputs) => Object.values(inputs);

/** The kernels of this file. */
export const movementKernels = (): KernelConfig[] => [
  cudaKernel('Identity', ({ inputs, backend }) => share(backend, inputs.x!)),
  cudaKernel<{ shape: number[] }>('Reshape', ({ inputs, attrs, backend }) => {
    const x = inputs.x!;
    const shape = util.inferFromImplicitShape(attrs.shape, sizeOf(x.shape));
    util.assert(
      sizeOf(shape) === sizeOf(x.shape),
      () => `reshape: shape [${shape}] must have as many elements as [${x.shape}]`,
    );
    return share(backend, x, shape);
  }),
  cudaKernel<{ dim: number }>('ExpandDims', ({ inputs, attrs, backend }) => {
    const x = inputs.input!;
    const at = attrs.dim < 0 ? x.shape.length + attrs.dim + 1 : attrs.dim;
    return share(backend, x, spliced(x.shape, at, 0, 1));
  }),
  cudaKernel<{ perm: number[] }>('Transpose', ({ inputs, attrs, backend }) =>
    transpose(backend, inputs.x!, attrs.perm),
  ),
  cudaKernel<{ begin: number[]; size: number[] }>('Slice', ({ inputs, attrs, backend }) => {
    const x = inputs.x!;
    const [begin, size] = slice_util.parseSliceParams(x as Tensor, attrs.begin, attrs.size);
    slice_util.assertParamsValid(x as Tensor, begin!, size!);
    return slice(backend, x, begin!, size!);
  }),
  cudaKernel<StridedSlice>('StridedSlice', ({ inputs, attrs, backend }) =>
    stridedSlice(backend, inputs.x!, attrs),
  ),
  cudaKernel<{ axis: number }>('Concat', ({ inputs, attrs, backend }) =>
    concat(backend, listOf(inputs), attrs.axis),
  ),
  cudaKernel<{ axis: number }>('Pack', ({ inputs, attrs, backend }) => {
    const list = listOf(inputs);
    const { shape } = list[0]!;
    const at = attrs.axis < 0 ? shape.length + attrs.axis + 1 : attrs.axis;
    const wide = list.map((x) => {
      util.assertShapesMatch(
        shape,
        x.shape,
        'All tensors passed to stack must have matching shapes',
      );
      return relabel(x, spliced(x.shape, at, 0, 1));
    });
    return concat(backend, wide, at);
  }),
  cudaKernel<{ axis: number }>('Unpack', ({ inputs, attrs, backend }) => {
    const x = inputs.value!;
    const axis = attrs.axis < 0 ? x.shape.length + attrs.axis : attrs.axis;
    const sizes = new Array<number>(x.shape[axis]!).fill(1);
    return split(backend, x, sizes, axis).map((part) => relabel(part, spliced(x.shape, axis, 1)));
  }),
  cudaKernel<{ numOrSizeSplits: number | number[]; axis: number }>(
    'SplitV',
    ({ inputs, attrs, backend }) => split(backend, inputs.x!, attrs.numOrSizeSplits, attrs.axis),
  ),
  cudaKernel<{ reps: number[] }>('Tile', ({ inputs, attrs, backend }) =>
    tile(backend, inputs.x!, attrs.reps),
  ),
  cudaKernel<{ paddings: PadWidths; constantValue: number }>(
    'PadV2',
    ({ inputs, attrs, backend }) => pad(backend, inputs.x!, attrs.paddings, attrs.constantValue),
  ),
  cudaKernel<{ paddings: PadWidths; mode: 'reflect' | 'symmetric' }>(
    'MirrorPad',
    ({ inputs, attrs, backend }) => mirrorPad(backend, inputs.x!, attrs.paddings, attrs.mode),
  ),
  cudaKernel<{ dims: number | number[] }>('Reverse', ({ inputs, attrs, backend }) => {
    const x = inputs.x!;
    const axes = util.parseAxisParam(attrs.dims, x.shape);
    const strides = stridesOf(x.shape);
    const last = x.shape.map((size, axis) => (axes.includes(axis) ? size - 1 : 0));
    return takeView(backend, x.shape, {
      info: x,
      offset: dot(last, strides),
      strides: strides.map((stride, axis) => (axes.includes(axis) ? -stride : stride)),
    });
  }),
  cudaKernel<{ blockShape: number[]; crops: number[][] }>(
    'BatchToSpaceND',
    ({ inputs, attrs, backend }) =>
      withWorkspace(backend, (space) => {
        const x = inputs.x!;
        const { blockShape, crops } = attrs;
        const all = sizeOf(blockShape);
        const reshaped = backend_util.getReshaped(x.shape, blockShape, all);
        const order = backend_util.getPermuted(reshaped.length, blockShape.length);
        const flat = backend_util.getReshapedPermuted(x.shape, blockShape, all);
        const [begin, size] = slice_util.parseSliceParams(
          { shape: flat, rank: flat.length } as Tensor,
          backend_util.getSliceBeginCoords(crops, blockShape.length),
          backend_util.getSliceSize(flat, crops, blockShape.length),
        );
        const moved = space.keep(transpose(backend, relabel(x, reshaped), order));
        return slice(backend, relabel(moved, flat), begin!, size!);
      }),
  ),
  cudaKernel<{ blockShape: number[]; paddings: PadWidths }>(
    'SpaceToBatchND',
    ({ inputs, attrs, backend }) =>
      withWorkspace(backend, (space) => {
        const x = inputs.x!;
        const { blockShape, paddings } = attrs;
        const widths = x.shape.map((_, axis) => paddings[axis - 1] ?? ([0, 0] as const));
        const padded = space.keep(pad(backend, x, widths, 0));
        const all = sizeOf(blockShape);
        const reshaped = backend_util.getReshaped(padded.shape, blockShape, all, false);
        const order = backend_util.getPermuted(reshaped.length, blockShape.length, false);
        const flat = backend_util.getReshapedPermuted(padded.shape, blockShape, all, false);
        return relabel(transpose(backend, relabel(padded, reshaped), order), flat);
      }),
  ),
];
