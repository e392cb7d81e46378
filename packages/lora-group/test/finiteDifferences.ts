/** Numerical derivatives, for functions written in float64 in a test. */

/** `df / dx` by central differences. */
export function differences(
  f: (x: Float64Array) => number,
  x: ArrayLike<number>,
  step = 1e-5,
): Float64Array {
  const at = Float64Array.from(x);
  return at.map((value, i) => {
    at[i] = value + step;
    const above = f(at);
    at[i] = value - step;
    const below = f(at);
    at[i] = value;
    return (above - below) / (2 * step);
  });
}

/** Dense matrices in float64, row-major. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

export const matrix = (rows: number, columns: number, data: ArrayLike<number>): Matrix => ({
  rows,
  columns,
  data: Float64Array.from(data),
});

export const identity = (n: number): Matrix =>
  matrix(
    n,
    n,
    Array.from({ length: n * n }, (_, i) => (Math.floor(i / n) === i % n ? 1 : 0)),
  );

export function multiply(A: Matrix, B: Matrix): Matrix {
  const out = new Float64Array(A.rows * B.columns);
  for (let i = 0; i < A.rows; i++) {
    for (let k = 0; k < A.columns; k++) {
      const a = A.data[i * A.columns + k]!;
      for (let j = 0; j < B.columns; j++) out[i * B.columns + j]! += a * B.data[k * B.columns + j]!;
    }
  }
  return { rows: A.rows, columns: B.columns, data: out };
}

export const combine = (A: Matrix, B: Matrix, a = 1, b = 1): Matrix => ({
  ...A,
  data: A.data.map((x, i) => a * x + b * B.data[i]!),
});

export function flip(A: Matrix): Matrix {
  const data = new Float64Array(A.data.length);
  for (let i = 0; i < A.rows; i++) {
    for (let j = 0; j < A.columns; j++) data[j * A.rows + i] = A.data[i * A.columns + j]!;
  }
  return { rows: A.columns, columns: A.rows, data };
}

export const norm = (A: Matrix): number => Math.hypot(...A.data);
export const inner = (A: Matrix, B: Matrix): number =>
  A.data.reduce((sum, x, i) => sum + x * B.data[i]!, 0);

/** `A⁻¹ B` by elimination with partial pivoting. */
export function solve(A: Matrix, B: Matrix): Matrix {
  const n = A.rows;
  const rows = Array.from({ length: n }, (_, i) => [
    ...A.data.subarray(i * n, (i + 1) * n),
    ...B.data.subarray(i * B.columns, (i + 1) * B.columns),
  ]);
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k; i < n; i++) if (Math.abs(rows[i]![k]!) > Math.abs(rows[pivot]![k]!)) pivot = i;
    [rows[k], rows[pivot]] = [rows[pivot]!, rows[k]!];
    for (let i = 0; i < n; i++) {
      if (i === k) continue;
      const factor = rows[i]![k]! / rows[k]![k]!;
      rows[i] = rows[i]!.map((x, j) => x - factor * rows[k]![j]!);
    }
  }
  return matrix(
    n,
    B.columns,
    rows.flatMap((row, k) => row.slice(n).map((x) => x / row[k]!)),
  );
}

/** `exp(A)` by 30 terms after 10 halvings. */
export function exponential(A: Matrix): Matrix {
  const small = { ...A, data: A.data.map((x) => x / 1024) };
  let X = identity(A.rows);
  for (let k = 30; k >= 1; k--) X = combine(identity(A.rows), multiply(small, X), 1, 1 / k);
  for (let i = 0; i < 10; i++) X = multiply(X, X);
  return X;
}
