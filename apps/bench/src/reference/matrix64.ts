/**
 * float64 matrices as flat arrays: what accuracy is measured against. Only what the references need, with every product
 * written as dot products of contiguous rows.
 */

/** A matrix in float64, row-major. */
export interface Matrix64 {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

/** Makes a matrix from numbers of any kind. */
export const matrix64 = (rows: number, columns: number, data: ArrayLike<number>): Matrix64 => ({
  rows,
  columns,
  data: Float64Array.from(data),
});

/** Dot product of row i of `a` with row j of `b`. Four sums, so that additions need not wait for each other. */
function dot(a: Matrix64, i: number, b: Matrix64, j: number): number {
  const n = a.columns;
  const x = a.data.subarray(i * n, (i + 1) * n);
  const y = b.data.subarray(j * n, (j + 1) * n);
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let k = 0;
  for (; k + 3 < n; k += 4) {
    s0 += x[k]! * y[k]!;
    s1 += x[k + 1]! * y[k + 1]!;
    s2 += x[k + 2]! * y[k + 2]!;
    s3 += x[k + 3]! * y[k + 3]!;
  }
  for (; k < n; k++) s0 += x[k]! * y[k]!;
  return s0 + s1 + (s2 + s3);
}

/** `a · bᵀ`. */
export function productTransposed(a: Matrix64, b: Matrix64): Matrix64 {
  const data = new Float64Array(a.rows * b.rows);
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < b.rows; j++) data[i * b.rows + j] = dot(a, i, b, j);
  }
  return { rows: a.rows, columns: b.rows, data };
}

/** `a · bᵀ` where that is known to be symmetric: half of it is computed. */
export function symmetricProduct(a: Matrix64, b: Matrix64): Matrix64 {
  const n = a.rows;
  const data = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) data[i * n + j] = data[j * n + i] = dot(a, i, b, j);
  }
  return { rows: n, columns: n, data };
}

/** `xᵀ`. */
export function transpose64({ rows, columns, data }: Matrix64): Matrix64 {
  const result = new Float64Array(data.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) result[j * rows + i] = data[i * columns + j]!;
  }
  return { rows: columns, columns: rows, data: result };
}

/** Frobenius norm. */
export function norm64(x: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * x[i]!;
  return Math.sqrt(sum);
}

/** ‖got − want‖ / ‖want‖, Frobenius. NaN where `got` holds one or has another length. */
export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) return Number.NaN;
  const difference = Float64Array.from(want, (w, i) => got[i]! - w);
  return norm64(difference) / norm64(want);
}
