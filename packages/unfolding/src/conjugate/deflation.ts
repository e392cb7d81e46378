import { checkInteger } from '@orth/backend';
import type { CsrMatrix } from './csrMatrix.js';
import { lanczos, ritz } from './lanczos.js';
import { checkMatrix } from './operator.js';
import { checkSquareMatrix, jacobi, type Preconditioner } from './preconditioner.js';
import { addScaled, checkVector, dot, type HostVector, norm } from './vectors.js';

/**
 * Deflation: the part of the system in the span of a few Ritz vectors V is solved at once, and the rest is preconditioned by
 * Jacobi. With `W = Vᵀ diag(1/θ) V` the solve starts at `W b` and its directions are `z − W A z`, which is what it gives
 * as `solve`.
 *
 * @param A - symmetric positive definite
 * @param b - where Lanczos starts, `[n]`: the right-hand side
 * @param vectors - Ritz vectors, integer >= 1. Default 16
 * @throws TypeError or RangeError for an A that is not symmetric, a `b` of zeros or another length
 * @example
 * pcg(A, b, { preconditioner: deflation(A, b, 16) });
 * @see the authors' deflated PCG, beside Kaneda et al. 2023
 */
export function deflation(A: CsrMatrix, b: HostVector, vectors = 16): Preconditioner {
  const caller = 'deflation';
  checkSquareMatrix(caller, A);
  checkMatrix(caller, A);
  const start = checkVector(caller, 'b', b, A.rows);
  checkInteger(caller, 'vectors', vectors, { min: 1 });
  if (norm(start) === 0) throw new RangeError(`${caller}: b must not be 0`);
  const { values, vectors: V } = ritz(lanczos(A, start, Math.min(vectors, A.rows)));
  // What A maps to 0, to rounding, cannot be solved for.
  const kept = V.flatMap((v, j) => {
    const theta = values[j]!;
    return theta > 1e-12 * values.at(-1)! ? [{ theta, v, Av: A.multiply(v) }] : [];
  });
  const { solve } = jacobi(A);
  return {
    correction(r) {
      const Wr = new Float64Array(r.length);
      for (const { theta, v } of kept) addScaled(Wr, dot(v, r) / theta, v);
      return Wr;
    },
    solve(r) {
      const z = solve(r);
      // Vᵀ A V is diagonal, so each vector may be taken out after the other.
      for (const { theta, v, Av } of kept) addScaled(z, -dot(Av, z) / theta, v);
      return z;
    },
  };
}
