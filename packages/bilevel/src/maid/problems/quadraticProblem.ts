import { checkFinite, checkOptions } from '@orth/backend';
import type { BilevelProblem } from '../problem.js';
import { solveSemidefinite, symmetricEigen } from '../symmetricEigen.js';
import { dot, plus } from '../vectors.js';

/** A matrix by its rows. */
export type Rows = readonly ArrayLike<number>[];

/** Data of {@link quadraticProblem}. */
export interface QuadraticData {
  /** [n₁, m]. */
  readonly A1: Rows;
  readonly b1: ArrayLike<number>;
  /** [n₂, m], of full column rank. */
  readonly A2: Rows;
  /** [n₂, t]. */
  readonly A3: Rows;
  readonly b2: ArrayLike<number>;
}

/** A bilevel problem whose solution is known. */
export interface QuadraticProblem extends BilevelProblem {
  readonly strongConvexity: number;
  readonly smoothness: number;
  readonly crossNorm: number;
  /** x̂(θ), exactly. */
  lowerSolution(theta: ArrayLike<number>): Float64Array;
  /** f(θ), exactly. */
  value(theta: ArrayLike<number>): number;
  /** ∇f(θ), exactly. */
  gradient(theta: ArrayLike<number>): Float64Array;
  /** θ*, the least-squares solution of least norm. */
  minimizer(): Float64Array;
}

const CALLER = 'quadraticProblem';

function checkRows(name: string, rows: Rows): [number, number] {
  if (!Array.isArray(rows) || rows.length === 0 || !(rows[0]?.length > 0)) {
    throw new TypeError(`${CALLER}: ${name} must be a matrix given by its rows`);
  }
  const width = (rows[0] as ArrayLike<number>).length;
  for (const row of rows as Rows) {
    if (row.length !== width) {
      throw new RangeError(`${CALLER}: ${name} must have rows of one length, got ${row.length}`);
    }
    checkFinite(CALLER, name, row);
  }
  return [rows.length, width];
}

/** Aᵀ B, flat. */
function gram(A: Rows, B: Rows): Float64Array {
  const [m, t] = [A[0]!.length, B[0]!.length];
  const result = new Float64Array(m * t);
  for (let row = 0; row < A.length; row++) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < t; j++) {
        result[i * t + j] = result[i * t + j]! + A[row]![i]! * B[row]![j]!;
      }
    }
  }
  return result;
}

/** M v of a flat matrix. */
function times(M: Float64Array, v: ArrayLike<number>): Float64Array {
  const width = v.length;
  return Float64Array.from({ length: M.length / width }, (_, i) =>
    dot(M.subarray(i * width, (i + 1) * width), v),
  );
}

/** Mᵀ v of a flat matrix that has as many rows as v entries. */
function timesTransposed(M: Float64Array, v: ArrayLike<number>): Float64Array {
  const width = M.length / v.length;
  const result = new Float64Array(width);
  for (let i = 0; i < v.length; i++) {
    for (let j = 0; j < width; j++) result[j] = result[j]! + M[i * width + j]! * v[i]!;
  }
  return result;
}

/**
 * `g(x) = ½‖A₁ x − b₁‖²`, `h(x, θ) = ½‖A₂ x + A₃ θ − b₂‖²`, in float64 on the host: everything about it is known exactly,
 * the constants of all bounds included.
 *
 * @throws TypeError or RangeError if shapes do not fit, an entry is not finite, or A₂ has not full column rank
 * @see Salehi et al. 2023, arXiv 2308.10098, section on quadratics
 */
export function quadraticProblem(data: QuadraticData): QuadraticProblem {
  checkOptions(CALLER, data, ['A1', 'b1', 'A2', 'A3', 'b2']);
  const { A1, A2, A3, b1, b2 } = data;
  const [n1, m] = checkRows('A1', A1);
  const [n2, m2] = checkRows('A2', A2);
  const [n3, t] = checkRows('A3', A3);
  const fits = m === m2 && n2 === n3 && b1?.length === n1 && b2?.length === n2;
  if (!fits) {
    throw new RangeError(
      `${CALLER}: A1 [n1, m], b1 [n1], A2 [n2, m], A3 [n2, t], b2 [n2] must fit, got A1 [${n1},${m}], ` +
        `b1 [${b1?.length}], A2 [${n2},${m2}], A3 [${n3},${t}], b2 [${b2?.length}]`,
    );
  }
  checkFinite(CALLER, 'b1', b1);
  checkFinite(CALLER, 'b2', b2);
  const column = (b: ArrayLike<number>): Rows => Array.from(b, (value) => [value]);
  const H = gram(A2, A2);
  const C = gram(A2, A3);
  const c = gram(A2, column(b2));
  const G = gram(A1, A1);
  const d = gram(A1, column(b1));
  const bb = dot(b1, b1);
  const eigen = symmetricEigen(H, m);
  const [mu, L] = [eigen.values[0]!, eigen.values[m - 1]!];
  if (!(mu > 1e-13 * L)) {
    throw new RangeError(`${CALLER}: A2 must have full column rank, got a least eigenvalue ${mu}`);
  }
  const largest = (M: Float64Array, n: number) => Math.max(0, symmetricEigen(M, n).values[n - 1]!);
  const crossRows: Rows = Array.from({ length: m }, (_, i) => C.subarray(i * t, (i + 1) * t));
  const crossNorm = Math.sqrt(largest(gram(crossRows, crossRows), t));
  const upperGradient = (x: Float64Array) => plus(times(G, x), -1, d);
  const upperValue = (x: Float64Array) => {
    const Gx = times(G, x);
    return Math.max(0, dot(x, Gx) / 2 - dot(d, x) + bb / 2);
  };
  const lowerSolution = (theta: ArrayLike<number>) =>
    solveSemidefinite(eigen, plus(c, -1, times(C, theta)));
  return {
    xSize: m,
    thetaSize: t,
    precision: 'float64',
    strongConvexity: mu,
    smoothness: L,
    upperSmoothness: largest(G, m),
    upperConvex: true,
    inverseHessianLipschitz: 0,
    crossLipschitz: 0,
    crossNorm,
    lowerGradient: (x, theta) => plus(plus(times(H, x), 1, times(C, theta)), -1, c),
    upper: (x) => ({ value: upperValue(x), gradient: upperGradient(x) }),
    hessianProduct: (_x, _theta, v) => times(H, v),
    crossProduct: (_x, _theta, v) => timesTransposed(C, v),
    lowerSolution,
    value: (theta) => upperValue(lowerSolution(theta)),
    gradient(theta) {
      const q = solveSemidefinite(eigen, upperGradient(lowerSolution(theta)));
      return timesTransposed(C, q).map((value) => -value) as Float64Array;
    },
    minimizer() {
      // x̂(θ) = x₀ − K θ with K = H⁻¹ C, so θ* solves Kᵀ G K θ = Kᵀ (G x₀ − d).
      const columns = Array.from({ length: t }, (_, j) =>
        solveSemidefinite(
          eigen,
          Float64Array.from({ length: m }, (_, i) => C[i * t + j]!),
        ),
      );
      const M = new Float64Array(t * t);
      for (let i = 0; i < t; i++) {
        const GK = times(G, columns[i]!);
        for (let j = 0; j < t; j++) M[i * t + j] = dot(GK, columns[j]!);
      }
      const right = upperGradient(lowerSolution(new Float64Array(t)));
      const b = Float64Array.from(columns, (k) => dot(k, right));
      return solveSemidefinite(symmetricEigen(M, t), b);
    },
  };
}
