import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import {
  type Access,
  type ElementwiseVariant,
  type Expression,
  elementwiseName,
  elementwiseSource,
} from '../sources/elementwise.js';
import { storageOf } from '../sources/types.js';
import { sizeOf } from './kernel.js';
import { broadcastStrides, collapse } from './strides.js';

/** Where the result goes, and what the formula takes beside tensors. */
export interface Evaluation {
  readonly shape: readonly number[];
  readonly dtype: DataType;
  readonly scalars?: readonly number[];
  /** Write here, in place of a new tensor; may be one of the operands if that one is not broadcast. */
  readonly into?: TensorInfo;
}

/** Computes a formula for every element, with operands broadcast to the result's shape. */
export function evaluate(
  backend: CudaBackend,
  expression: Expression,
  operands: readonly TensorInfo[],
  { shape, dtype, scalars = [], into }: Evaluation,
): TensorInfo {
  const out = into ?? backend.makeOutput(shape, dtype);
  const count = sizeOf(shape);
  if (count === 0) return out;
  const known = operands.map((x) => backend.knownScalar(x));
  const access = operands.map((x, k): Access => {
    if (known[k] !== undefined) return 'scalar';
    return sizeOf(x.shape) === count ? 'flat' : 'strided';
  });
  const strided = operands.filter((_, k) => access[k] === 'strided');
  const layout = collapse(
    shape,
    strided.map((x) => broadcastStrides(x.shape, shape)),
  );
  const variant: ElementwiseVariant = {
    inputs: operands.map((x, k) => ({ storage: storageOf(x.dtype), access: access[k]! })),
    output: storageOf(dtype),
    rank: strided.length > 0 ? layout.shape.length : 0,
  };
  const values = [
    count,
    backend.address(out),
    ...operands.map((x, k) => known[k] ?? backend.address(x)),
    ...scalars,
    ...(strided.length > 0 ? [...layout.shape.slice(1), ...layout.strides.flat()] : []),
  ];
  backend.runEach(
    elementwiseName(expression, variant),
    () => elementwiseSource(expression, variant),
    count,
    values,
  );
  return out;
}
