/** Gathering, scattering, and sums by segments. */
import {
  backend_util,
  type DataType,
  type KernelConfig,
  scatter_util,
  type Tensor,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import {
  FLATTEN_INDICES,
  gatherSource,
  SEGMENT_LIST,
  SEGMENT_RANK,
  scatterLastSource,
  segmentSumSource,
} from '../sources/indexed.js';
import { scanSource } from '../sources/rows.js';
import { storageOf } from '../sources/types.js';
import { copyView } from './copyView.js';
import { evaluate } from './evaluate.js';
import { onHost } from './hostFallback.js';
import { cudaKernel, relabel, sizeOf, type Workspace, withWorkspace } from './kernel.js';
import { broadcastTo, fill } from './movement.js';
import { stridesOf } from './strides.js';
import { CAST } from './unary.js';

interface GatherSizes {
  readonly batch: number;
  readonly outer: number;
  readonly size: number;
  readonly perBatch: number;
  readonly slice: number;
}

/** complex64 as rows of pairs. */
function movable(x: TensorInfo): { x: TensorInfo; width: number } {
  if (x.dtype !== 'complex64') return { x, width: 1 };
  return { x: relabel(x, [...x.shape, 2], 'float32'), width: 2 };
}

function gather(
  backend: CudaBackend,
  given: TensorInfo,
  ids: TensorInfo,
  shape: number[],
  { batch, outer, size, perBatch, slice }: GatherSizes,
): TensorInfo {
  const out = backend.makeOutput(shape, given.dtype);
  const { x, width } = movable(given);
  const source = gatherSource(storageOf(x.dtype));
  const count = batch * outer * perBatch * slice * width;
  backend.runEach(source.name, () => source, count, [
    count,
    ...[out, x, ids].map((t) => backend.address(t)),
    outer,
    size,
    perBatch,
    slice * width,
  ]);
  return out;
}

/** Flat row numbers of index tuples. */
function flatten(
  backend: CudaBackend,
  space: Workspace,
  tuples: TensorInfo,
  sizes: readonly number[],
): TensorInfo {
  const depth = sizes.length;
  const count = depth === 0 ? sizeOf(tuples.shape.slice(0, -1)) : sizeOf(tuples.shape) / depth;
  const out = space.keep(backend.makeOutput([count], 'int32'));
  const layout = Int32Array.from([...sizes, ...stridesOf(sizes)]);
  const table = space.keep(backend.makeTensor([layout.length], 'int32', layout));
  backend.runEach(FLATTEN_INDICES.name, () => FLATTEN_INDICES, count, [
    count,
    backend.address(out),
    depth === 0 ? 0 : backend.address(tuples),
    depth,
    layout.length === 0 ? 0 : backend.address(table),
  ]);
  return out;
}

/**
 * Sums the rows of `x [n, slice]` by their ids into `[segments, slice]`, each segment's in the order of the rows: the
 * same on every run, which atomic additions would not be.
 */
export function segmentSum(
  backend: CudaBackend,
  x: TensorInfo,
  ids: TensorInfo,
  { segments, slice, into }: { segments: number; slice: number; into: TensorInfo },
): void {
  const n = sizeOf(ids.shape);
  const results = segments * slice;
  if (results === 0) return;
  if (n === 0) {
    fill(backend, into, 0);
    return;
  }
  const storage = storageOf(x.dtype);
  const bytes = [4 * n, 4 * n, 4 * segments, 4 * segments];
  backend.withScratch(bytes, (ranks, lists, counts, begins) => {
    const id = backend.address(ids);
    backend.driver.fill(counts!, 0, segments, 'word');
    const each = (source: typeof SEGMENT_RANK, values: number[]) =>
      backend.runEach(source.name, () => source, n, [n, ...values]);
    each(SEGMENT_RANK, [ranks!, counts!, id, segments]);
    const scan = scanSource('sum', 'int');
    backend.runRows(scan.name, () => scan, 1, segments, [1, begins!, counts!, segments, 1, 1, 0]);
    each(SEGMENT_LIST, [lists!, ranks!, begins!, id, segments]);
    const sum = segmentSumSource(storage);
    backend.runEach(sum.name, () => sum, results, [
      results,
      backend.address(into),
      backend.address(x),
      lists!,
      begins!,
      counts!,
      slice,
    ]);
  });
}

/** Writes updates to rows of `out`; of several for one row the last one stays. */
function scatterLast(
  backend: CudaBackend,
  out: TensorInfo,
  updates: TensorInfo,
  ids: TensorInfo,
  slice: number,
): void {
  const n = sizeOf(ids.shape);
  const source = scatterLastSource(storageOf(out.dtype));
  const count = n * slice;
  backend.runEach(source.name, () => source, count, [
    count,
    ...[out, updates, ids].map((t) => backend.address(t)),
    n,
    slice,
    Number(sizeOf(updates.shape) === 1),
  ]);
}

const asInt = (backend: CudaBackend, space: Workspace, x: TensorInfo) =>
  x.dtype === 'int32'
    ? x
    : space.keep(evaluate(backend, CAST, [x], { shape: x.shape, dtype: 'int32' as DataType }));

/** The kernels of this file. */
export const indexedKernels = (): KernelConfig[] => [
  cudaKernel<{ axis: number; batchDims: number }>('GatherV2', (args) => {
    const { inputs, attrs, backend } = args;
    const x = inputs.x!;
    if (x.dtype === 'string') return onHost('GatherV2', args);
    return withWorkspace(backend, (space) => {
      const indices = asInt(backend, space, inputs.indices!);
      const axis = util.parseAxisParam(attrs.axis, x.shape)[0]!;
      const info = backend_util.segment_util.collectGatherOpShapeInfo(
        x as Tensor,
        indices as Tensor,
        axis,
        attrs.batchDims ?? 0,
      );
      return gather(backend, x, indices, info.outputShape, {
        batch: info.batchSize,
        outer: info.outerSize,
        size: info.dimSize,
        perBatch: info.batchSize === 0 ? 0 : sizeOf(indices.shape) / info.batchSize,
        slice: info.sliceSize,
      });
    });
  }),
  cudaKernel('GatherNd', (args) => {
    const { inputs, backend } = args;
    const [x, indices] = [inputs.params!, inputs.indices!];
    if (x.dtype === 'string') return onHost('GatherNd', args);
    return withWorkspace(backend, (space) => {
      const depth = indices.shape.at(-1)!;
      const ids = flatten(backend, space, indices, x.shape.slice(0, depth));
      const slice = sizeOf(x.shape.slice(depth));
      const shape = [...indices.shape.slice(0, -1), ...x.shape.slice(depth)];
      const size = sizeOf(x.shape.slice(0, depth));
      const perBatch = sizeOf(ids.shape);
      return gather(backend, x, ids, shape, { batch: 1, outer: 1, size, perBatch, slice });
    });
  }),
  cudaKernel<{ shape: number[] }>('ScatterNd', (args) => {
    const { inputs, attrs, backend } = args;
    const [indices, updates] = [inputs.indices!, inputs.updates!];
    if (updates.dtype === 'string' || updates.dtype === 'bool') return onHost('ScatterNd', args);
    return withWorkspace(backend, (space) => {
      const { sliceRank, sliceSize, outputSize } = scatter_util.calculateShapes(
        updates as Tensor,
        indices as Tensor,
        attrs.shape,
      );
      const ids = flatten(backend, space, indices, attrs.shape.slice(0, sliceRank));
      const out = backend.makeOutput(attrs.shape, updates.dtype);
      const segments = sliceSize === 0 ? 0 : outputSize / sliceSize;
      const wide =
        sizeOf(updates.shape) === sizeOf(ids.shape) * sliceSize
          ? updates
          : space.keep(broadcastTo(backend, updates, [sizeOf(ids.shape), sliceSize]));
      segmentSum(backend, wide, ids, { segments, slice: sliceSize, into: out });
      return out;
    });
  }),
  cudaKernel('TensorScatterUpdate', (args) => {
    const { inputs, backend } = args;
    const [tensor, indices, updates] = [inputs.tensor!, inputs.indices!, inputs.updates!];
    if (tensor.dtype === 'string') return onHost('TensorScatterUpdate', args);
    return withWorkspace(backend, (space) => {
      const { sliceRank, sliceSize } = scatter_util.calculateShapes(
        updates as Tensor,
        indices as Tensor,
        tensor.shape,
      );
      const ids = flatten(backend, space, indices, tensor.shape.slice(0, sliceRank));
      const out = backend.makeOutput(tensor.shape, tensor.dtype);
      copyView(backend, tensor.shape, { info: tensor }, { info: out });
      scatterLast(backend, out, updates, ids, sliceSize);
      return out;
    });
  }),
  cudaKernel<{ outputShape: number[] }>('SparseToDense', (args) => {
    const { inputs, attrs, backend } = args;
    const { sparseIndices, sparseValues, defaultValue } = inputs;
    if (sparseValues!.dtype === 'string') return onHost('SparseToDense', args);
    return withWorkspace(backend, (space) => {
      const shape = attrs.outputShape;
      const { dtype } = sparseValues!;
      const out = backend.makeOutput(shape, dtype);
      const value = relabel(defaultValue!, [1]);
      copyView(backend, shape, { info: value, strides: shape.map(() => 0) }, { info: out });
      const single = sparseIndices!.shape.length < 2;
      const count = sparseIndices!.shape.length === 0 ? 1 : sparseIndices!.shape[0]!;
      const depth = single ? 1 : sparseIndices!.shape[1]!;
      const tuples = relabel(sparseIndices!, [count, depth]);
      const ids = flatten(backend, space, tuples, shape);
      scatterLast(backend, out, sparseValues!, ids, 1);
      return out;
    });
  }),
  cudaKernel<{ numSegments: number }>('UnsortedSegmentSum', ({ inputs, attrs, backend }) =>
    withWorkspace(backend, (space) => {
      const [x, segmentIds] = [inputs.x!, inputs.segmentIds!];
      const { numSegments } = attrs;
      const rank = segmentIds.shape.length;
      const slice = sizeOf(x.shape.slice(rank));
      const values =
        x.dtype === 'bool'
          ? space.keep(evaluate(backend, CAST, [x], { shape: x.shape, dtype: 'int32' }))
          : x;
      const out = backend.makeOutput([numSegments, ...x.shape.slice(rank)], values.dtype);
      const ids = asInt(backend, space, segmentIds);
      segmentSum(backend, values, ids, { segments: numSegments, slice, into: out });
      return out;
    }),
  ),
];
