import { checkInteger } from '@orth/backend';
import { checkOperator, type SpdOperator } from './operator.js';
import { tridiagonalEigen } from './tridiagonal.js';
import { addScaled, checkVector, dot, type HostVector, norm } from './vectors.js';

/** A Lanczos decomposition: `Q A Qᵀ = T`. */
export interface LanczosResult {
  /** Orthonormal vectors `[n]`, one a step; fewer than asked for where the Krylov space ends. */
  readonly Q: readonly Float64Array[];
  /** Diagonal of T. */
  readonly alpha: Float64Array;
  /** Off-diagonal of T, one less. */
  readonly beta: Float64Array;
}

/** Ritz pairs: what A looks like in a Krylov space. */
export interface RitzPairs {
  /** θ, ascending. */
  readonly values: Float64Array;
  /** Orthonormal vectors `[n]`: `V A Vᵀ = diag(θ)`. */
  readonly vectors: readonly Float64Array[];
}

/**
 * Lanczos' method with full re-orthogonalisation, in float64 on the host: O(n m²) beside the m products with A.
 *
 * @param A - symmetric, `n × n`
 * @param start - first direction, `[n]`, not 0
 * @param steps - m, integer in [1, n]
 * @throws TypeError or RangeError for an A that is not symmetric, a start of zeros, or steps out of range
 */
export function lanczos(A: SpdOperator, start: HostVector, steps: number): LanczosResult {
  const caller = 'lanczos';
  const v = checkVector(caller, 'start', start);
  const n = v.length;
  checkInteger(caller, 'steps', steps, { min: 1, max: n });
  const { multiply } = checkOperator(caller, A, n);
  const length = norm(v);
  if (length === 0) throw new RangeError(`${caller}: start must not be 0`);

  const Q: Float64Array[] = [v.map((value) => value / length)];
  const alpha: number[] = [];
  const beta: number[] = [];
  const w = new Float64Array(n);
  for (;;) {
    const q = Q.at(-1)!;
    multiply(q, w);
    const size = norm(w);
    alpha.push(dot(q, w));
    if (Q.length === steps) break;
    // Twice is enough: the second pass removes what rounding left of the first (Parlett).
    for (let pass = 0; pass < 2; pass++) {
      for (const other of Q) addScaled(w, -dot(other, w), other);
    }
    const b = norm(w);
    if (!(b > 1e-12 * size)) break;
    beta.push(b);
    Q.push(w.map((value) => value / b));
  }
  return { Q, alpha: Float64Array.from(alpha), beta: Float64Array.from(beta) };
}

/**
 * Ritz pairs of a Lanczos decomposition. Signs are fixed by the eigenvectors of T: their first entries are positive.
 *
 * @throws Error if the eigenvalue iteration does not converge
 */
export function ritz({ Q, alpha, beta }: LanczosResult): RitzPairs {
  const { values, vectors: S } = tridiagonalEigen(alpha, beta);
  const n = Q[0]!.length;
  const vectors = S.map((s) => {
    const V = new Float64Array(n);
    for (const [i, q] of Q.entries()) addScaled(V, s[i]!, q);
    return V;
  });
  return { values, vectors };
}
