/**
 * Dense linear algebra on the host, float64, for initial values alone: run once, on backends that cannot be read at once
 * too. All matrices are row-major.
 */
import type { Random } from '@orth/backend';

/** Convergence takes some two sweeps a value; this many mean that the input was not finite. */
const MAX_SWEEPS_PER_VALUE = 60;

const EPSILON = 2 ** -52;

function dot(x: Float64Array, y: Float64Array): number {
  let total = 0;
  for (let i = 0; i < x.length; i++) total += x[i]! * y[i]!;
  return total;
}

/** `y += a x` */
function axpy(a: number, x: Float64Array, y: Float64Array): void {
  for (let i = 0; i < x.length; i++) y[i]! += a * x[i]!;
}

/** The rows of a matrix, copied. */
export function rowsOf(values: ArrayLike<number>, rows: number, columns: number): Float64Array[] {
  return Array.from({ length: rows }, (_, i) =>
    Float64Array.from({ length: columns }, (_, j) => values[i * columns + j]!),
  );
}

/** `x yᵀ` of rows: the matrix whose entry (i, j) is the inner product of `x[i]` and `y[j]`. */
export function innerProducts(
  x: readonly Float64Array[],
  y: readonly Float64Array[],
): Float64Array[] {
  return x.map((row) => Float64Array.from(y, (other) => dot(row, other)));
}

/** The transpose of a matrix given by its rows. */
export function transposeRows(x: readonly Float64Array[]): Float64Array[] {
  return Array.from({ length: x[0]!.length }, (_, j) => Float64Array.from(x, (row) => row[j]!));
}

/**
 * Orthonormal rows that span what the given ones span, and further directions where these are dependent: Gram–Schmidt,
 * each row twice, which leaves rounding only.
 */
export function orthonormalRows(rows: readonly Float64Array[]): Float64Array[] {
  const found: Float64Array[] = [];
  const reduce = (row: Float64Array): Float64Array | undefined => {
    const size = Math.sqrt(dot(row, row));
    for (let pass = 0; pass < 2; pass++) for (const q of found) axpy(-dot(row, q), q, row);
    const rest = Math.sqrt(dot(row, row));
    return rest > 1e-10 * size ? row.map((x) => x / rest) : undefined;
  };
  let unit = 0;
  for (const row of rows) {
    let q = reduce(Float64Array.from(row));
    while (!q) {
      const next = new Float64Array(row.length);
      next[unit++] = 1;
      q = reduce(next);
    }
    found.push(q);
  }
  return found;
}

/** A random orthogonal matrix, given by its rows. */
export function randomOrthogonal(random: Random, size: number): Float64Array[] {
  return orthonormalRows(
    Array.from({ length: size }, () => Float64Array.from({ length: size }, () => random.normal())),
  );
}

/** Eigenvalues of a symmetric matrix, descending, with eigenvectors as rows. */
export interface SymmetricEigen {
  readonly values: Float64Array;
  readonly vectors: readonly Float64Array[];
}

/**
 * Eigenvalues and vectors of a symmetric matrix: Householder reflections to tridiagonal form, then QR steps with
 * Wilkinson's shift. Takes about `9 n³` operations: some seconds at n = 768.
 * @param rows - overwritten
 * @see Golub and Van Loan, "Matrix Computations", algorithms 8.3.1 and 8.3.2
 */
export function symmetricEigen(rows: Float64Array[]): SymmetricEigen {
  const n = rows.length;
  const Z = Array.from({ length: n }, (_, i) => {
    const row = new Float64Array(n);
    row[i] = 1;
    return row;
  });
  const { diagonal, offDiagonal } = tridiagonalize(rows, Z);
  diagonalize(diagonal, offDiagonal, Z);
  const order = [...Z.keys()].sort((i, j) => diagonal[j]! - diagonal[i]!);
  return {
    values: Float64Array.from(order, (i) => diagonal[i]!),
    vectors: order.map((i) => Z[i]!),
  };
}

/** `A ← H A H` column by column, and `Z ← H Z`, so that `A = Zᵀ T Z` with tridiagonal `T`. */
function tridiagonalize(A: Float64Array[], Z: Float64Array[]) {
  const n = A.length;
  for (let k = 0; k < n - 2; k++) {
    const v = new Float64Array(n);
    let size = 0;
    for (let i = k + 1; i < n; i++) {
      v[i] = A[i]![k]!;
      size = Math.hypot(size, v[i]!);
    }
    if (size === 0) continue;
    v[k + 1]! += v[k + 1]! >= 0 ? size : -size;
    const length = Math.sqrt(dot(v, v));
    for (let i = k + 1; i < n; i++) v[i]! /= length;
    // p = A v; A ← A − v wᵀ − w vᵀ with w = 2 (p − (vᵀp) v)
    const w = Float64Array.from(A, (row) => 2 * dot(row, v));
    axpy(-dot(v, w), v, w);
    for (let i = 0; i < n; i++) {
      axpy(-v[i]!, w, A[i]!);
      axpy(-w[i]!, v, A[i]!);
    }
    const vZ = new Float64Array(n);
    for (let i = k + 1; i < n; i++) axpy(v[i]!, Z[i]!, vZ);
    for (let i = k + 1; i < n; i++) axpy(-2 * v[i]!, vZ, Z[i]!);
  }
  return {
    diagonal: Float64Array.from(A, (row, i) => row[i]!),
    offDiagonal: Float64Array.from({ length: Math.max(0, n - 1) }, (_, i) => A[i + 1]![i]!),
  };
}

/** QR steps on the tridiagonal matrix `(d, e)` until `e` vanishes, their rotations applied to the rows of `Z`. */
function diagonalize(d: Float64Array, e: Float64Array, Z: Float64Array[]): void {
  let last = d.length - 1;
  for (let left = MAX_SWEEPS_PER_VALUE * d.length; last > 0 && left > 0; left--) {
    for (let i = 0; i < last; i++) {
      if (Math.abs(e[i]!) <= EPSILON * (Math.abs(d[i]!) + Math.abs(d[i + 1]!))) e[i] = 0;
    }
    if (e[last - 1] === 0) {
      last--;
      continue;
    }
    let first = last - 1;
    while (first > 0 && e[first - 1] !== 0) first--;
    const b = e[last - 1]!;
    const half = (d[last - 1]! - d[last]!) / 2;
    const shift = d[last]! - (b * b) / (half + (half >= 0 ? 1 : -1) * Math.hypot(half, b));
    let x = d[first]! - shift;
    let z = e[first]!;
    for (let k = first; k < last; k++) {
      const r = Math.hypot(x, z);
      const [c, s] = r === 0 ? [1, 0] : [x / r, z / r];
      if (k > first) e[k - 1] = r;
      const [p, q, t] = [d[k]!, e[k]!, d[k + 1]!];
      d[k] = c * c * p + 2 * c * s * q + s * s * t;
      d[k + 1] = s * s * p - 2 * c * s * q + c * c * t;
      e[k] = c * s * (t - p) + (c * c - s * s) * q;
      if (k < last - 1) {
        x = e[k]!;
        z = s * e[k + 1]!;
        e[k + 1]! *= c;
      }
      const [above, below] = [Z[k]!, Z[k + 1]!];
      for (let i = 0; i < above.length; i++) {
        const [u, v] = [above[i]!, below[i]!];
        above[i] = c * u + s * v;
        below[i] = c * v - s * u;
      }
    }
  }
}

/** The `r` greatest singular triplets of a matrix. */
export interface TopSvd {
  readonly values: Float64Array;
  /** Left vectors as rows; zeros where the singular value is 0. */
  readonly left: readonly Float64Array[];
  /** Right vectors as rows; zeros where the singular value is 0. */
  readonly right: readonly Float64Array[];
}

/**
 * By the eigenvalues of the smaller Gram matrix: a singular value `σ` comes out to `2⁻⁵² (σ₀ / σ)²` of itself, ample for
 * leading ones.
 * @param rows - rows of the matrix
 */
export function topSvd(rows: readonly Float64Array[], r: number): TopSvd {
  const tall = rows.length > rows[0]!.length;
  const short = tall ? transposeRows(rows) : rows;
  const { values, vectors } = symmetricEigen(innerProducts(short, short));
  const sigma = Float64Array.from({ length: r }, (_, i) => Math.sqrt(Math.max(0, values[i]!)));
  const near = vectors.slice(0, r);
  const far = near.map((vector, i) => {
    const image = new Float64Array(short[0]!.length);
    if (sigma[i]! > 1e-7 * sigma[0]!) {
      short.forEach((row, j) => {
        axpy(vector[j]! / sigma[i]!, row, image);
      });
    }
    return image;
  });
  return { values: sigma, left: tall ? far : near, right: tall ? near : far };
}
