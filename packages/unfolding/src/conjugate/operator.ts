import { seededRandom } from '@orth/backend';
import { CsrMatrix } from './csrMatrix.js';
import { dot, norm } from './vectors.js';

/**
 * A symmetric positive definite A: a {@link CsrMatrix}, or a function that gives A x for a float64 vector (whose array it
 * must neither keep nor change).
 */
export type SpdOperator = CsrMatrix | ((x: Float64Array) => ArrayLike<number>);

/** A checked operator. */
export interface CheckedOperator {
  readonly n: number;
  readonly matrix: CsrMatrix | undefined;
  /** A x into a given array. */
  multiply(x: Float64Array, into: Float64Array): Float64Array;
}

/** |A − Aᵀ| / |A| that is taken for rounding: matrices in float32 are as symmetric as that. */
const SYMMETRIC_WITHIN = 1e-6;
/** |uᵀAv − vᵀAu| / (‖u‖ ‖Av‖) of random vectors that is taken for rounding, for functions that compute in float32. */
const PROBE_WITHIN = 1e-4;

/**
 * Checks what can be checked cheaply: a square and symmetric matrix whose diagonal is positive (a row of zeros is let
 * pass: such systems are solvable where b is 0 too), or a function that answers with finite vectors and passes a random
 * probe of symmetry. Whether A is definite shows as the solver goes on: see {@link negativeCurvature}.
 *
 * @throws TypeError or RangeError that says what A is not
 */
export function checkOperator(caller: string, A: unknown, n: number): CheckedOperator {
  if (A instanceof CsrMatrix) {
    checkMatrix(caller, A);
    if (A.rows !== n) {
      throw new RangeError(`${caller}: b must have length ${A.rows}, got ${n}`);
    }
    return { n, matrix: A, multiply: (x, into) => A.multiply(x, into) };
  }
  if (typeof A !== 'function') {
    throw new TypeError(`${caller}: A must be a CsrMatrix or a function, got ${typeof A}`);
  }
  const multiply = (x: Float64Array, into: Float64Array) => {
    const y: unknown = A(x);
    const length = (y as ArrayLike<number> | undefined)?.length;
    if (length !== n) {
      throw new RangeError(
        `${caller}: A must give a vector of length ${n}, got ${typeof y === 'object' ? `length ${length}` : typeof y}`,
      );
    }
    into.set(y as ArrayLike<number>);
    return into;
  };
  probe(caller, n, multiply);
  return { n, matrix: undefined, multiply };
}

/** @throws RangeError if the matrix is not square, not symmetric, or its diagonal shows that it is not positive */
export function checkMatrix(caller: string, A: CsrMatrix): void {
  if (A.rows !== A.columns) {
    throw new RangeError(
      `${caller}: A must be square, got ${A.rows} rows and ${A.columns} columns`,
    );
  }
  const asymmetry = A.asymmetry();
  if (asymmetry > SYMMETRIC_WITHIN) {
    throw new RangeError(
      `${caller}: A must be symmetric, got |A − Aᵀ| of ${asymmetry.toExponential(1)} times its largest entry`,
    );
  }
  const diagonal = A.diagonal();
  for (const [i, value] of diagonal.entries()) {
    if (value > 0) continue;
    const row = A.values.subarray(A.rowPointers[i]!, A.rowPointers[i + 1]!);
    if (row.every((entry) => entry === 0)) continue;
    throw new RangeError(
      `${caller}: A must be positive definite, got ${value} on the diagonal in row ${i}`,
    );
  }
}

function probe(
  caller: string,
  n: number,
  multiply: (x: Float64Array, into: Float64Array) => Float64Array,
): void {
  const random = seededRandom(n);
  const draw = () => Float64Array.from({ length: n }, () => random.normal());
  const [u, v] = [draw(), draw()];
  const Au = multiply(u.slice(), new Float64Array(n));
  const Av = multiply(v.slice(), new Float64Array(n));
  const [left, right] = [dot(v, Au), dot(u, Av)];
  if (!Number.isFinite(left) || !Number.isFinite(right)) {
    throw new RangeError(`${caller}: A must give finite numbers, got ${left} as vᵀAu`);
  }
  const gap = Math.abs(left - right);
  if (gap > PROBE_WITHIN * (norm(u) * norm(Av) + norm(v) * norm(Au))) {
    throw new RangeError(
      `${caller}: A must be symmetric, got vᵀAu = ${left} and uᵀAv = ${right} for random u and v`,
    );
  }
  for (const [x, Ax] of [
    [u, Au],
    [v, Av],
  ] as const) {
    if (negativeCurvature(dot(x, Ax), x, Ax)) throw indefinite(caller, dot(x, Ax));
  }
}

/** Whether xᵀAx is below 0 by more than rounding: proof that A is not positive semi-definite. */
export const negativeCurvature = (curvature: number, x: Float64Array, Ax: Float64Array): boolean =>
  curvature < -1e-6 * norm(x) * norm(Ax);

/** The error for an A that is proven not to be positive definite. */
export const indefinite = (caller: string, curvature: number): RangeError =>
  new RangeError(
    `${caller}: A must be positive definite, got a direction with pᵀAp = ${curvature.toExponential(3)}`,
  );
