/** Matrices in float64 on the host, where float32 would not do. */
import { checkFinite, checkTensor } from '@orth/backend';
import { Tensor, type Tensor1D, type Tensor2D } from '@tensorflow/tfjs-core';
import { Matrix } from 'ml-matrix';

/** A matrix in float64 on the host, row-major. */
export interface HostMatrix {
  readonly shape: readonly [rows: number, columns: number];
  readonly data: Float64Array;
}

/** A matrix in any of the forms that are read: a tensor, rows of numbers, or float64 data with a shape. */
export type MatrixLike = Tensor2D | readonly ArrayLike<number>[] | HostMatrix;

/** What holds one row or number for each sample. */
export type RowsLike = MatrixLike | Tensor1D | ArrayLike<number>;

function isHostMatrix(x: object): x is HostMatrix {
  return 'data' in x && 'shape' in x && !(x instanceof Tensor);
}

/**
 * Reads a matrix to the host; a vector becomes a column.
 * @throws TypeError or RangeError for another kind or rank, ragged rows, or numbers that are not finite
 */
export async function toHostMatrix(
  caller: string,
  argument: string,
  x: RowsLike,
): Promise<HostMatrix> {
  if (x instanceof Tensor) {
    checkTensor(caller, argument, x, { minRank: 1, dtype: ['float32', 'int32'] });
    const [rows, columns = 1] = x.shape as [number, number?];
    if (x.rank > 2) {
      throw new RangeError(`${caller}: ${argument} must have rank 1 or 2, got shape [${x.shape}]`);
    }
    const data = Float64Array.from(await (x as Tensor).data());
    checkFinite(caller, argument, data);
    return { shape: [rows, columns], data };
  }
  if (typeof x === 'object' && x !== null && isHostMatrix(x)) {
    const [rows, columns] = x.shape;
    if (
      !(x.data instanceof Float64Array) ||
      x.data.length !== rows * columns ||
      rows * columns < 1
    ) {
      throw new RangeError(
        `${caller}: ${argument} must hold rows × columns float64 numbers, got ${x.data?.length} for shape [${x.shape}]`,
      );
    }
    checkFinite(caller, argument, x.data);
    return x;
  }
  if (typeof x !== 'object' || x === null || !('length' in x) || x.length === 0) {
    throw new TypeError(`${caller}: ${argument} must be a tensor or rows of numbers, got ${x}`);
  }
  const nested = typeof x[0] === 'object' && x[0] !== null;
  const rows = Array.from(x as ArrayLike<unknown>, (row) => (nested ? row : [row]));
  const columns = (rows[0] as ArrayLike<number>).length;
  const data = new Float64Array(rows.length * columns);
  rows.forEach((row, i) => {
    const numbers = row as ArrayLike<number>;
    if (numbers?.length !== columns) {
      throw new RangeError(
        `${caller}: ${argument} must have rows of one length, got ${numbers?.length} in row ${i} and ${columns} before`,
      );
    }
    data.set(numbers, i * columns);
  });
  checkFinite(caller, argument, data);
  return { shape: [rows.length, columns], data };
}

/** A view for `ml-matrix`, which keeps rows apart. */
export const toMlMatrix = ({ shape: [rows, columns], data }: HostMatrix): Matrix =>
  Matrix.from1DArray(rows, columns, data as unknown as number[]);

/** Some rows, in the order of `indices`. */
export function takeRows({ shape: [, columns], data }: HostMatrix, indices: ArrayLike<number>) {
  const out = new Float64Array(indices.length * columns);
  for (let i = 0; i < indices.length; i++) {
    const from = indices[i]! * columns;
    out.set(data.subarray(from, from + columns), i * columns);
  }
  return { shape: [indices.length, columns] as const, data: out };
}

/** Some columns of some rows. */
export function takeBlock(
  { shape: [, columns], data }: HostMatrix,
  rows: ArrayLike<number>,
  kept: ArrayLike<number>,
): HostMatrix {
  const out = new Float64Array(rows.length * kept.length);
  for (let i = 0; i < rows.length; i++) {
    for (let j = 0; j < kept.length; j++) {
      out[i * kept.length + j] = data[rows[i]! * columns + kept[j]!]!;
    }
  }
  return { shape: [rows.length, kept.length], data: out };
}

/** A Bᵀ in float64: rows against rows, so that both are read in order. */
export function productTransposed(a: HostMatrix, b: HostMatrix): HostMatrix {
  const [m, inner] = a.shape;
  const [n] = b.shape;
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    const row = a.data.subarray(i * inner, (i + 1) * inner);
    for (let j = 0; j < n; j++) {
      const at = j * inner;
      let [s0, s1] = [0, 0];
      let c = 0;
      for (; c + 1 < inner; c += 2) {
        s0 += row[c]! * b.data[at + c]!;
        s1 += row[c + 1]! * b.data[at + c + 1]!;
      }
      if (c < inner) s0 += row[c]! * b.data[at + c]!;
      out[i * n + j] = s0 + s1;
    }
  }
  return { shape: [m, n], data: out };
}

/** The transpose. */
export function transposed({ shape: [rows, columns], data }: HostMatrix): HostMatrix {
  const out = new Float64Array(data.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) out[j * rows + i] = data[i * columns + j]!;
  }
  return { shape: [columns, rows], data: out };
}

/** Mean over rows of the row-summed squared difference. */
export function meanSquaredError(a: HostMatrix, b: HostMatrix): number {
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += (a.data[i]! - b.data[i]!) ** 2;
  return sum / a.shape[0];
}
