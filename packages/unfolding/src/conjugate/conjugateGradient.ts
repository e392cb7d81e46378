import { cgWorkspace } from './cgWorkspace.js';
import { checkOperator, indefinite, negativeCurvature, type SpdOperator } from './operator.js';
import type { Preconditioner } from './preconditioner.js';
import {
  type CheckedOptions,
  checkSolveOptions,
  report,
  type SolveOptions,
  type SolveReport,
  type SolveStatus,
} from './solve.js';
import { addScaled, checkVector, dot, type HostVector, norm } from './vectors.js';

/**
 * Solves A x = b by conjugate gradients, in float64 on the host: the baseline of {@link deepConjugateDirection}, and the
 * method to take where no network is worth its training. `pcg` with a good preconditioner needs fewer iterations.
 *
 * A `CsrMatrix` is multiplied in WebAssembly where that exists: by diagonals if the matrix has few, as those of grids have.
 *
 * @param A - symmetric positive definite, `n × n`
 * @param b - `[n]`
 * @param options.tol - default 1e-6; at most 1e-15 or so is ever reached
 * @param options.maxIter - default 10 n
 * @throws TypeError or RangeError for shapes that do not match, numbers that are not finite, `tol` <= 0, an unknown option,
 *   an A that is not symmetric, and, during the solve, a direction with pᵀAp < 0, which proves that A is not definite
 * @example
 * const { x, converged, iterations } = cg(poisson2d(64), b, { tol: 1e-8 });
 * @see Hestenes, Stiefel 1952
 */
export const cg = (A: SpdOperator, b: HostVector, options: SolveOptions = {}): SolveReport =>
  conjugateGradients('cg', A, b, undefined, options);

/**
 * Conjugate gradients with a preconditioner: {@link jacobi}, {@link incompleteCholesky}, {@link deflation},
 * {@link multigrid}, or anything with a linear, symmetric positive definite `solve`.
 *
 * @param A - symmetric positive definite, `n × n`
 * @param b - `[n]`
 * @param options.preconditioner - M, an approximate inverse of A; needed
 * @param options.tol - default 1e-6, of the residual itself, not the preconditioned one
 * @param options.maxIter - default 10 n
 * @throws as {@link cg}; TypeError without a preconditioner
 * @example
 * const { x } = pcg(A, b, { preconditioner: incompleteCholesky(A), tol: 1e-8 });
 */
export function pcg(
  A: SpdOperator,
  b: HostVector,
  options: SolveOptions & { readonly preconditioner: Preconditioner },
): SolveReport {
  const { preconditioner, ...rest } = options;
  if (typeof preconditioner?.solve !== 'function') {
    throw new TypeError('pcg: preconditioner must be an object with a function solve');
  }
  return conjugateGradients('pcg', A, b, preconditioner, rest);
}

function conjugateGradients(
  caller: string,
  A: SpdOperator,
  b: HostVector,
  M: Preconditioner | undefined,
  options: SolveOptions,
): SolveReport {
  const right = checkVector(caller, 'b', b);
  const n = right.length;
  const checked = checkSolveOptions(caller, n, options, { tol: 1e-6, maxIter: 10 * n });
  const operator = checkOperator(caller, A, n);
  return iterate(caller, cgWorkspace(operator, right), right, M, checked);
}

function iterate(
  caller: string,
  work: ReturnType<typeof cgWorkspace>,
  b: Float64Array,
  M: Preconditioner | undefined,
  { tol, maxIter, x0, relativeTo, onStep, signal }: CheckedOptions,
): SolveReport {
  const { x, r, p, Ap } = work;
  const precondition = M ? (): Float64Array => approximateSolution(caller, M, r) : () => r;
  if (x0) x.set(x0);
  let residual = work.trueResidual();
  const reference = relativeTo === 'rightHandSide' ? norm(b) : residual;
  const target = tol * reference;
  if (M?.correction && residual > 0) {
    addScaled(x, 1, M.correction(r.slice()));
    residual = work.trueResidual();
  }
  const residuals = [residual];
  const finish = (status: SolveStatus) => report(x.slice(), status, residuals, reference);
  const reached = () => residual < target || residual === 0;
  if (reached()) return finish('converged');

  let lastTrue = residual;
  let rz = 0;
  let restart = true;
  for (let iteration = 1; iteration <= maxIter; iteration++) {
    if (signal?.aborted) return end('aborted');
    const z = precondition();
    const next = dot(r, z);
    if (!(next > 0)) return end('breakdown');
    work.turn(z, restart ? 0 : next / rz);
    rz = next;
    restart = false;

    const curvature = work.multiplyDirection();
    if (!(curvature > 0)) {
      if (negativeCurvature(curvature, p, Ap)) throw indefinite(caller, curvature);
      return end('breakdown');
    }
    residual = work.advance(rz / curvature);
    const looksDone = reached();
    if (looksDone) {
      // r follows a recurrence; only b − A x itself is believed, and goes on in its place if it is larger.
      residual = work.trueResidual();
      restart = true;
    }
    residuals.push(residual);
    onStep?.({ iteration, residual, relativeResidual: residual / reference });
    if (looksDone) {
      if (reached()) return finish('converged');
      if (residual > 0.5 * lastTrue) return finish('stagnated');
      lastTrue = residual;
    }
  }
  return end('maxIterations');

  function end(status: SolveStatus): SolveReport {
    residual = work.trueResidual();
    residuals[residuals.length - 1] = residual;
    return finish(reached() ? 'converged' : status);
  }
}

function approximateSolution(caller: string, M: Preconditioner, r: Float64Array): Float64Array {
  const z = M.solve(r);
  if (z?.length !== r.length) {
    throw new RangeError(
      `${caller}: preconditioner must give a vector of length ${r.length}, got ${z?.length}`,
    );
  }
  return z;
}
