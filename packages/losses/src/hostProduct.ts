/**
 * Products and solves of small float64 matrices on the host, row-major. The factored output layer keeps its d × d state
 * there: it is exact to float64, the same on every backend, and costs no transfer.
 */
import { TILE, type TileKernel, tileKernel } from './tileKernel.js';

/** A factor of a product: row-major, or given by its transpose. */
export interface Factor {
  readonly data: Float64Array;
  /** The array holds the transpose. */
  readonly transposed?: boolean;
}

const up = (n: number) => Math.ceil(n / TILE) * TILE;

/** Vectors x_0 … x_{count−1} of length k into panels of four, `[⌈count / 4⌉, k, 4]`, zeros where there is none. */
function pack(
  data: Float64Array,
  count: number,
  k: number,
  vectorStride: number,
  stride: number,
  out: Float64Array,
  at: number,
): void {
  for (let i = 0; i < up(count); i++) {
    const panel = at + (i - (i % TILE)) * k + (i % TILE);
    if (i >= count) {
      for (let p = 0; p < k; p++) out[panel + p * TILE] = 0;
      continue;
    }
    let from = i * vectorStride;
    for (let p = 0; p < k; p++) {
      out[panel + p * TILE] = data[from]!;
      from += stride;
    }
  }
}

/**
 * `C = old C · keep + sign · A B`, A `[m, k]`, B `[k, n]`, C `[m, n]`.
 *
 * @param keep - 0 replaces C, 1 adds to it
 * @param sign - factor on the product
 */
export function multiply(
  m: number,
  n: number,
  k: number,
  A: Factor,
  B: Factor,
  C: Float64Array,
  keep: 0 | 1 = 0,
  sign = 1,
  kernel: TileKernel = tileKernel(),
): void {
  const b = up(m) * k;
  const c = b + up(n) * k;
  const memory = kernel.memory(c + up(m) * up(n));
  pack(A.data, m, k, A.transposed ? 1 : k, A.transposed ? m : 1, memory, 0);
  pack(B.data, n, k, B.transposed ? k : 1, B.transposed ? 1 : n, memory, b);
  kernel.multiply(0, b, c, up(m), up(n), k);
  for (let i = 0; i < m; i++) {
    const from = c + i * up(n);
    const to = i * n;
    if (keep === 0) {
      for (let j = 0; j < n; j++) C[to + j] = sign * memory[from + j]!;
    } else {
      for (let j = 0; j < n; j++) C[to + j] = C[to + j]! + sign * memory[from + j]!;
    }
  }
}

/** Row vector times matrix, added: `out[n] += x[k] A[k, n]`; `x` and `out` may lie anywhere in their arrays. */
export function addRowTimes(
  k: number,
  n: number,
  x: Float64Array,
  xAt: number,
  A: Float64Array,
  out: Float64Array,
  outAt: number,
): void {
  for (let p = 0; p < k; p++) {
    const value = x[xAt + p]!;
    if (value === 0) continue;
    const row = p * n;
    for (let j = 0; j < n; j++) out[outAt + j] = out[outAt + j]! + value * A[row + j]!;
  }
}

/** `out += factor · x` on n entries from `xAt` and `outAt`. */
export function addScaled(
  n: number,
  factor: number,
  x: Float64Array,
  xAt: number,
  out: Float64Array,
  outAt: number,
): void {
  for (let j = 0; j < n; j++) out[outAt + j] = out[outAt + j]! + factor * x[xAt + j]!;
}

/** Scalar product of n entries from `aAt` and `bAt`. */
export function dot(n: number, a: Float64Array, aAt: number, b: Float64Array, bAt: number): number {
  let sum = 0;
  for (let j = 0; j < n; j++) sum += a[aAt + j]! * b[bAt + j]!;
  return sum;
}

/** Sum of `count` entries. */
export function total(a: Float64Array, from: number, count: number): number {
  let sum = 0;
  for (let t = from; t < from + count; t++) sum += a[t]!;
  return sum;
}

/** Sum of squares, in order. */
export function sumOfSquares(A: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < A.length; i++) sum += A[i]! * A[i]!;
  return sum;
}

/** The identity. */
export function setIdentity(n: number, A: Float64Array): void {
  A.fill(0);
  for (let i = 0; i < n; i++) A[i * n + i] = 1;
}

/**
 * Solves `K X = B` in place by elimination with row exchanges: K `[n, n]` is destroyed, B `[n, r]` becomes X.
 *
 * @returns false where a pivot is below `threshold` times the largest entry of K: singular to rounding
 */
export function solveInPlace(
  n: number,
  r: number,
  K: Float64Array,
  B: Float64Array,
  threshold = 1e-13,
): boolean {
  let largest = 0;
  for (let i = 0; i < n * n; i++) largest = Math.max(largest, Math.abs(K[i]!));
  for (let c = 0; c < n; c++) {
    let pivot = c;
    for (let i = c + 1; i < n; i++) {
      if (Math.abs(K[i * n + c]!) > Math.abs(K[pivot * n + c]!)) pivot = i;
    }
    // Written so that NaN counts as singular too.
    if (!(Math.abs(K[pivot * n + c]!) > threshold * largest)) return false;
    if (pivot !== c) {
      exchange(K, pivot * n, c * n, n);
      exchange(B, pivot * r, c * r, r);
    }
    const inverse = 1 / K[c * n + c]!;
    for (let i = c + 1; i < n; i++) {
      const factor = -K[i * n + c]! * inverse;
      if (factor === 0) continue;
      addScaled(n - c - 1, factor, K, c * n + c + 1, K, i * n + c + 1);
      addScaled(r, factor, B, c * r, B, i * r);
    }
  }
  for (let c = n - 1; c >= 0; c--) {
    const inverse = 1 / K[c * n + c]!;
    for (let j = c * r; j < (c + 1) * r; j++) B[j] = B[j]! * inverse;
    for (let i = 0; i < c; i++) addScaled(r, -K[i * n + c]!, B, c * r, B, i * r);
  }
  return true;
}

function exchange(A: Float64Array, a: number, b: number, length: number): void {
  for (let j = 0; j < length; j++) {
    const value = A[a + j]!;
    A[a + j] = A[b + j]!;
    A[b + j] = value;
  }
}
