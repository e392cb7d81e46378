/** `GatherV2` and `Tile` by whole rows; tfjs's go element by element, some 50 times slower. */
import {
  backend_util,
  type KernelConfig,
  type Tensor,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import { type KernelArguments, overriddenKernel } from './heap.js';

type Original<A> = (args: KernelArguments<A>) => TensorInfo | TensorInfo[];

const isText = (x: TensorInfo) => x.dtype === 'string';

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

/** The kernels of this file, to be registered after tfjs's own. */
export const gatherKernels = (): KernelConfig[] => [
  overriddenKernel<GatherAttributes>('GatherV2', gather),
  overriddenKernel<{ reps: number[] }>('Tile', tile),
];
