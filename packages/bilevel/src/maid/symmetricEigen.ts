/** Eigenvalues, ascending, and eigenvectors (row i belongs to value i) of a symmetric matrix. */
export interface SymmetricEigen {
  readonly values: Float64Array;
  readonly vectors: Float64Array;
}

/** Cyclic Jacobi rotations: exact to rounding, for the few dozen dimensions that problems here have. */
export function symmetricEigen(matrix: Float64Array, n: number): SymmetricEigen {
  const A = Float64Array.from(matrix);
  const V = new Float64Array(n * n);
  for (let i = 0; i < n; i++) V[i * n + i] = 1;
  const rotate = (M: Float64Array, a: number, b: number, c: number, s: number) => {
    const [x, y] = [M[a]!, M[b]!];
    M[a] = c * x - s * y;
    M[b] = s * x + c * y;
  };
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    let scale = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        const square = A[i * n + j]! ** 2;
        scale += square;
        if (i !== j) off += square;
      }
    }
    if (off <= 1e-30 * scale) break;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const apq = A[p * n + q]!;
        if (apq === 0) continue;
        const tau = (A[q * n + q]! - A[p * n + p]!) / (2 * apq);
        const t = (tau >= 0 ? 1 : -1) / (Math.abs(tau) + Math.hypot(1, tau));
        const c = 1 / Math.hypot(1, t);
        const s = t * c;
        for (let k = 0; k < n; k++) rotate(A, k * n + p, k * n + q, c, s);
        for (let k = 0; k < n; k++) rotate(A, p * n + k, q * n + k, c, s);
        for (let k = 0; k < n; k++) rotate(V, p * n + k, q * n + k, c, s);
      }
    }
  }
  const order = [...Array(n).keys()].sort((i, j) => A[i * n + i]! - A[j * n + j]!);
  const vectors = new Float64Array(n * n);
  for (const [row, i] of order.entries()) vectors.set(V.subarray(i * n, (i + 1) * n), row * n);
  return { values: Float64Array.from(order, (i) => A[i * n + i]!), vectors };
}

/** Solution of least norm of `A x = b` for a positive semidefinite A, by its eigenvalues above `1e-13` of the largest. */
export function solveSemidefinite({ values, vectors }: SymmetricEigen, b: Float64Array) {
  const n = b.length;
  const x = new Float64Array(n);
  const least = 1e-13 * values[n - 1]!;
  for (let i = 0; i < n; i++) {
    if (values[i]! <= least) continue;
    let coefficient = 0;
    for (let j = 0; j < n; j++) coefficient += vectors[i * n + j]! * b[j]!;
    coefficient /= values[i]!;
    for (let j = 0; j < n; j++) x[j] = x[j]! + coefficient * vectors[i * n + j]!;
  }
  return x;
}
