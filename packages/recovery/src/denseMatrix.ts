import { checkFinite, checkTensor } from '@orth/backend';
import { getBackend, Tensor, type Tensor2D, tensor2d } from '@tensorflow/tfjs-core';

/** A matrix on the host, row-major, in float64: what the functions that compute there return. */
export interface DenseMatrix {
  /** `[rows, columns]`. */
  readonly shape: readonly [number, number];
  readonly data: Float64Array;
}

/**
 * A matrix as an argument: a tensor of rank 2 (which is read back), `{ shape, data }`, or an array of rows. Nothing is read from a
 * device for the last two.
 */
export type MatrixInput =
  | Tensor
  | { readonly shape: readonly number[]; readonly data: ArrayLike<number> }
  | readonly (readonly number[])[];

const isRows = (x: unknown): x is readonly (readonly number[])[] =>
  Array.isArray(x) && x.length > 0 && x.every((row) => Array.isArray(row) && row.length > 0);

/** Shape and values of a matrix that is on the host already, not checked for NaN. */
function hostParts(caller: string, argument: string, x: unknown): DenseMatrix {
  if (isRows(x)) {
    const [rows, columns] = [x.length, x[0]!.length];
    const ragged = x.find((row) => row.length !== columns);
    if (ragged) {
      const rule = `${caller}: ${argument} must have rows of one length`;
      throw new RangeError(`${rule}, got ${columns} and ${ragged.length}`);
    }
    return { shape: [rows, columns], data: Float64Array.from(x.flat()) };
  }
  const { shape, data } = (x ?? {}) as { shape?: unknown; data?: ArrayLike<number> };
  if (!Array.isArray(shape) || typeof data !== 'object' || data === null) {
    const rule = `${caller}: ${argument} must be a 2-D tensor, { shape, data } or rows of numbers`;
    throw new TypeError(`${rule}, got ${Array.isArray(x) ? 'an array' : typeof x}`);
  }
  const [rows, columns] = shape as [number, number];
  const whole = shape.length === 2 && shape.every((n) => Number.isInteger(n) && n >= 1);
  if (!whole || data.length !== rows * columns) {
    const rule = `${caller}: ${argument} must have a shape [rows, columns] that fits its data`;
    throw new RangeError(`${rule}, got shape [${shape}] and ${data.length} numbers`);
  }
  return { shape: [rows, columns], data: Float64Array.from(data) };
}

/** Checks kind and shape of a {@link MatrixInput}, and gives the shape without reading anything. */
export function matrixShape(caller: string, argument: string, x: MatrixInput): [number, number] {
  if (x instanceof Tensor) {
    checkTensor(caller, argument, x, { rank: 2, dtype: ['float32', 'int32'] });
    return x.shape as [number, number];
  }
  return [...hostParts(caller, argument, x).shape];
}

/**
 * A float64 copy of a matrix on the host.
 * @throws TypeError or RangeError for a bad kind, shape, or an entry that is not finite
 */
export async function readMatrix(
  caller: string,
  argument: string,
  x: MatrixInput,
): Promise<DenseMatrix> {
  if (!(x instanceof Tensor)) return readMatrixSync(caller, argument, x);
  const shape = matrixShape(caller, argument, x);
  const data = await x.data();
  checkFinite(caller, argument, data);
  return { shape, data: Float64Array.from(data) };
}

/** {@link readMatrix} for places that cannot wait. */
export function readMatrixSync(caller: string, argument: string, x: MatrixInput): DenseMatrix {
  if (!(x instanceof Tensor)) {
    const matrix = hostParts(caller, argument, x);
    checkFinite(caller, argument, matrix.data);
    return matrix;
  }
  const shape = matrixShape(caller, argument, x);
  const data = readSync(caller, x);
  checkFinite(caller, argument, data);
  return { shape, data: Float64Array.from(data) };
}

/** Values of a tensor, with a word on what to do where the backend cannot give them synchronously. */
export function readSync(caller: string, x: Tensor): Float32Array | Int32Array | Uint8Array {
  try {
    return x.dataSync();
  } catch (cause) {
    const advice = 'use the asynchronous function, or pass { shape, data }';
    const message = `${caller}: backend ${getBackend()} cannot be read synchronously here; ${advice}`;
    throw new Error(message, { cause });
  }
}

/**
 * A host matrix as a float32 tensor; the caller disposes it.
 * @example
 * const C = toTensor2D(await lsr(points));
 */
export function toTensor2D(matrix: DenseMatrix): Tensor2D {
  return tensor2d(Float32Array.from(matrix.data), [...matrix.shape], 'float32');
}

/** `x · y` of host matrices, or `xᵀ · y`. */
export function multiply(x: DenseMatrix, y: DenseMatrix, transposeX = false): DenseMatrix {
  const [rows, inner] = transposeX ? [x.shape[1], x.shape[0]] : x.shape;
  const columns = y.shape[1];
  const data = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    const out = data.subarray(i * columns, (i + 1) * columns);
    for (let k = 0; k < inner; k++) {
      const factor = transposeX ? x.data[k * rows + i]! : x.data[i * inner + k]!;
      if (factor === 0) continue;
      const from = k * columns;
      for (let j = 0; j < columns; j++) out[j]! += factor * y.data[from + j]!;
    }
  }
  return { shape: [rows, columns], data };
}

/** The matrix with rows and columns exchanged. */
export function transposed({ shape: [rows, columns], data }: DenseMatrix): DenseMatrix {
  const out = new Float64Array(data.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) out[j * rows + i] = data[i * columns + j]!;
  }
  return { shape: [columns, rows], data: out };
}

/** `x xᵀ`, symmetric to the last bit. */
export function gram({ shape: [rows, columns], data }: DenseMatrix): DenseMatrix {
  const out = new Float64Array(rows * rows);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j <= i; j++) {
      let total = 0;
      for (let k = 0; k < columns; k++) total += data[i * columns + k]! * data[j * columns + k]!;
      out[i * rows + j] = total;
      out[j * rows + i] = total;
    }
  }
  return { shape: [rows, rows], data: out };
}
