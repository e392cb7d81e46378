import { CheckpointError } from '@orth/backend';

/** A tensor in a file: float32, row-major. */
export interface FileTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Product of sizes. */
export const sizeOf = (shape: readonly number[]): number =>
  shape.reduce((product, n) => product * n, 1);

/** A tensor with its axes in another order: axis `i` of the result is axis `order[i]` of `x`. */
export function permuteAxes({ shape, data }: FileTensor, order: readonly number[]): FileTensor {
  const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  const outShape = order.map((axis) => shape[axis]!);
  const steps = order.map((axis) => strides[axis]!);
  const out = new Float32Array(data.length);
  const index = outShape.map(() => 0);
  let from = 0;
  for (let to = 0; to < out.length; to++) {
    out[to] = data[from]!;
    for (let axis = index.length - 1; axis >= 0; axis--) {
      from += steps[axis]!;
      if (++index[axis]! < outShape[axis]!) break;
      from -= steps[axis]! * outShape[axis]!;
      index[axis] = 0;
    }
  }
  return { shape: outShape, data: out };
}

/** A tensor with the same numbers in another shape. */
export const reshapeFile = ({ data }: FileTensor, shape: readonly number[]): FileTensor => ({
  shape,
  data,
});

/**
 * Demands a shape.
 * @throws CheckpointError naming the tensor
 */
export function expectShape(name: string, x: FileTensor, shape: readonly number[]): void {
  if (`${x.shape}` === `${shape}`) return;
  throw new CheckpointError(
    `loadAdapter: ${name} must have shape [${shape}] for this model, got [${x.shape}]; nothing was changed`,
  );
}
