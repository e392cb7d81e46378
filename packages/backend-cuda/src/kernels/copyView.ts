import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';
import { bytesOf, type CudaBackend } from '../cudaBackend.js';
import { copyName, copySource } from '../sources/copy.js';
import { type Storage, storageOf } from '../sources/types.js';
import { sizeOf } from './kernel.js';
import { collapse, stridesOf } from './strides.js';

/** Elements of a tensor, walked by strides from the one at `offset`; strides may be 0 or negative. */
export interface View {
  readonly info: TensorInfo;
  /** Elements before the first. Default 0 */
  readonly offset?: number;
  /** Default: those of the whole tensor. */
  readonly strides?: readonly number[];
}

/** Bytes of an element: of complex64 both its numbers. */
const elementBytes = (dtype: DataType) => (dtype === 'complex64' ? 8 : bytesOf(dtype));
const moveStorage = (dtype: DataType): Storage =>
  dtype === 'complex64' ? 'unsigned long long' : storageOf(dtype);

/** Copies the elements of one view to those of another, over the axes of `shape`. */
export function copyView(
  backend: CudaBackend,
  shape: readonly number[],
  from: View,
  to: View,
): void {
  const count = sizeOf(shape);
  if (count === 0) return;
  const { dtype } = to.info;
  const bytes = elementBytes(dtype);
  const walk = ({ info, strides }: View) => strides ?? stridesOf(info.shape);
  const layout = collapse(shape, [walk(to), walk(from)]);
  const [toStrides, fromStrides] = layout.strides as [number[], number[]];
  const place = ({ info, offset = 0 }: View) => backend.address(info) + offset * bytes;
  if (layout.shape.length === 1 && (count === 1 || (toStrides[0] === 1 && fromStrides[0] === 1))) {
    backend.driver.copy(place(to), place(from), count * bytes);
    return;
  }
  const storage = moveStorage(dtype);
  const rank = layout.shape.length;
  backend.runEach(copyName(storage, rank), () => copySource(storage, rank), count, [
    count,
    place(to),
    place(from),
    ...layout.shape.slice(1),
    ...toStrides,
    ...fromStrides,
  ]);
}

/** A new tensor of the elements of a view. */
export function takeView(backend: CudaBackend, shape: readonly number[], from: View): TensorInfo {
  const out = backend.makeOutput(shape, from.info.dtype);
  copyView(backend, shape, from, { info: out });
  return out;
}

/** `x` with its axes in another order. */
export function transpose(
  backend: CudaBackend,
  x: TensorInfo,
  perm: readonly number[],
): TensorInfo {
  const strides = stridesOf(x.shape);
  return takeView(
    backend,
    perm.map((axis) => x.shape[axis]!),
    { info: x, strides: perm.map((axis) => strides[axis]!) },
  );
}
