import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { type DenseMatrix, gram, type MatrixInput } from './denseMatrix.js';
import { readPoints } from './points.js';

/** Options of {@link ssc}. */
export interface SscOptions {
  /** `λ_i = max_j |⟨x_j, x_i⟩| / α`, α > 1: larger α, denser representations. Default 20 */
  readonly alpha?: number;
  /** Stop when no entry of a sweep moves by more than this, > 0. Default 1e−6 */
  readonly tolerance?: number;
  /** Most sweeps for a point, integer >= 1. Default 10000 */
  readonly maxIterations?: number;
  /** Scale points to unit length first. Default true */
  readonly normalize?: boolean;
}

/** What {@link ssc} finds. */
export interface SscResult {
  /** Row i represents point i; shape `[n, n]`, zero diagonal. */
  readonly C: DenseMatrix;
  /** λ of each point. */
  readonly lambda: Float64Array;
  /** Whether the solver settled for every point. */
  readonly converged: boolean;
}

/**
 * Sparse subspace clustering's representation: for each point the Lasso on all others,
 * `min ½‖x_i − Xᵀc‖² + λ_i‖c‖₁`, `c_i = 0`, by coordinate descent on the Gram matrix. On the host, float64.
 *
 * @param X - points as rows, shape `[n, d]`
 * @throws TypeError or RangeError, by rejecting, for a bad matrix or option
 * @see Elhamifar and Vidal 2013, arXiv 1203.1005
 */
export async function ssc(X: MatrixInput, options: SscOptions = {}): Promise<SscResult> {
  checkOptions('ssc', options, ['alpha', 'tolerance', 'maxIterations', 'normalize']);
  const { alpha = 20, tolerance = 1e-6, maxIterations = 10_000, normalize = true } = options;
  checkNumber('ssc', 'alpha', alpha, { above: 1 });
  checkNumber('ssc', 'tolerance', tolerance, { above: 0 });
  checkInteger('ssc', 'maxIterations', maxIterations, { min: 1 });
  const points = await readPoints('ssc', X, normalize);
  const n = points.shape[0];
  const G = gram(points).data;
  const C: DenseMatrix = { shape: [n, n], data: new Float64Array(n * n) };
  const lambda = new Float64Array(n);
  let converged = true;
  for (let i = 0; i < n; i++) {
    let most = 0;
    for (let j = 0; j < n; j++) if (j !== i) most = Math.max(most, Math.abs(G[i * n + j]!));
    lambda[i] = most / alpha;
    const c = C.data.subarray(i * n, (i + 1) * n);
    if (!lasso(G, i, c, { lambda: lambda[i]!, tolerance, maxIterations })) converged = false;
  }
  return { C, lambda, converged };
}

/**
 * Coordinate descent for one point; `c` is overwritten. Between sweeps over all entries those that are not 0 are settled
 * among themselves, on their own part of the Gram matrix.
 */
function lasso(
  G: Float64Array,
  i: number,
  c: Float64Array,
  {
    lambda,
    tolerance,
    maxIterations,
  }: { lambda: number; tolerance: number; maxIterations: number },
): boolean {
  const n = c.length;
  const all = Int32Array.from({ length: n }, (_, j) => j).filter((j) => j !== i);
  const rest = new Float64Array(n);
  let sweeps = 0;
  while (sweeps < maxIterations) {
    correlations(G, i, c, rest);
    const moved = sweep(G, all, c, rest, lambda);
    sweeps++;
    if (moved <= tolerance) return true;
    const active = all.filter((j) => c[j] !== 0);
    const size = active.length;
    const part = new Float64Array(size * size);
    for (let a = 0; a < size; a++) {
      for (let b = 0; b < size; b++) part[a * size + b] = G[active[a]! * n + active[b]!]!;
    }
    const own = Float64Array.from(active, (j) => c[j]!);
    const ownRest = Float64Array.from(active, (j) => rest[j]!);
    const indices = Int32Array.from(active.keys());
    for (let step = Infinity; step > tolerance && sweeps < maxIterations; sweeps++) {
      step = sweep(part, indices, own, ownRest, lambda);
    }
    active.forEach((j, a) => {
      c[j] = own[a]!;
    });
  }
  return false;
}

/** `g_i − G c`: what is not yet explained, as all points see it. */
function correlations(G: Float64Array, i: number, c: Float64Array, rest: Float64Array): void {
  const n = c.length;
  rest.set(G.subarray(i * n, (i + 1) * n));
  for (let j = 0; j < n; j++) {
    const weight = c[j]!;
    if (weight === 0) continue;
    for (let k = 0; k < n; k++) rest[k]! -= weight * G[j * n + k]!;
  }
}

/** Settles one entry after the other; returns the largest move. */
function sweep(
  G: Float64Array,
  indices: Int32Array,
  c: Float64Array,
  rest: Float64Array,
  lambda: number,
): number {
  const n = c.length;
  let moved = 0;
  for (const j of indices) {
    const norm = G[j * n + j]!;
    if (norm === 0) continue;
    const before = c[j]!;
    const target = rest[j]! + norm * before;
    const size = Math.abs(target) - lambda;
    const after = size > 0 ? (Math.sign(target) * size) / norm : 0;
    const change = after - before;
    if (change === 0) continue;
    c[j] = after;
    moved = Math.max(moved, Math.abs(change));
    const from = j * n;
    for (let k = 0; k < n; k++) rest[k]! -= change * G[from + k]!;
  }
  return moved;
}
