import type { ConstantsAt } from './problem.js';
import { dot, norm } from './vectors.js';
import type { CountedProblem } from './work.js';

/**
 * How the lower level is solved: gradient descent with step 1/L, its accelerated form for strongly convex functions with
 * constant momentum `(√L − √μ)/(√L + √μ)`, or FISTA with growing momentum that uses μ.
 */
export type LowerSolver = 'gradientDescent' | 'accelerated' | 'fista';

export const LOWER_SOLVERS = ['gradientDescent', 'accelerated', 'fista'] as const;

/** A lower-level problem solved to an accuracy. */
export interface LowerSolution {
  readonly x: Float64Array;
  /** `‖∇_x h(x, θ)‖`; divided by μ it bounds `‖x − x̂(θ)‖`. */
  readonly gradientNorm: number;
  readonly iterations: number;
  /** Whether the accuracy was reached; if not, rounding or the limit of iterations stopped the solver. */
  readonly converged: boolean;
}

/**
 * Minimises `h(·, θ)` from `start` until `‖∇_x h‖ ≤ tolerance`; the test comes before the step and at the extrapolated
 * point. Stops as well when the gradient has not fallen by a hundredth in a span in which it should have fallen by e³,
 * which is what rounding looks like, and then gives the best point seen.
 */
export async function solveLower(
  problem: CountedProblem,
  theta: Float64Array,
  start: Float64Array,
  tolerance: number,
  { mu, L }: ConstantsAt,
  solver: LowerSolver,
  maxIterations: number,
): Promise<LowerSolution> {
  const momentum = momentumOf(solver, mu, L);
  const kappa = solver === 'gradientDescent' ? L / mu : Math.sqrt(L / mu);
  const patience = 50 + Math.ceil(6 * kappa);
  let x = start;
  let y = start;
  let best: LowerSolution | undefined;
  let mark = Number.POSITIVE_INFINITY;
  let markedAt = 0;
  for (let iterations = 0; ; iterations++) {
    const g = await problem.lowerGradient(y, theta);
    const gradientNorm = norm(g);
    if (gradientNorm <= tolerance) return { x: y, gradientNorm, iterations, converged: true };
    if (!best || gradientNorm < best.gradientNorm) {
      best = { x: y, gradientNorm, iterations, converged: false };
    }
    if (best.gradientNorm < 0.99 * mark) {
      mark = best.gradientNorm;
      markedAt = iterations;
    }
    if (iterations >= maxIterations || iterations - markedAt > patience) {
      return { ...best, iterations };
    }
    const beta = momentum();
    const next = new Float64Array(y.length);
    const ahead = new Float64Array(y.length);
    for (let i = 0; i < y.length; i++) {
      const value = y[i]! - g[i]! / L;
      next[i] = value;
      ahead[i] = value + beta * (value - x[i]!);
    }
    x = next;
    y = ahead;
  }
}

function momentumOf(solver: LowerSolver, mu: number, L: number): () => number {
  if (solver === 'gradientDescent') return () => 0;
  if (solver === 'accelerated') {
    const beta = (Math.sqrt(L) - Math.sqrt(mu)) / (Math.sqrt(L) + Math.sqrt(mu));
    return () => beta;
  }
  const q = mu / L;
  let t = 1;
  return () => {
    if (q >= 1) return 0;
    const a = 1 - q * t * t;
    const next = (a + Math.sqrt(a * a + 4 * t * t)) / 2;
    const beta = ((t - 1) / next) * ((1 - next * q) / (1 - q));
    t = next;
    return beta;
  };
}

/** A linear system solved to a residual. */
export interface LinearSolution {
  readonly solution: Float64Array;
  /** `‖H q − b‖` by the recurrence. */
  readonly residualNorm: number;
  readonly iterations: number;
  readonly converged: boolean;
}

/** Share of `‖b‖` below which curvature that is not positive counts as rounding. */
const ROUNDING = 1e-4;

/**
 * Conjugate gradients from 0 for `H q = b` with a symmetric positive definite H, until the residual's norm is at most
 * `tolerance`. A right-hand side that is within the tolerance gives 0 after no iteration.
 *
 * @param product - H v
 * @param maxIterations - default 2 n + 10
 * @returns `converged: false` with the iterate of the least residual if the limit or rounding stopped it
 * @throws RangeError if H turns out not to be positive along a direction: h is not strongly convex
 * @see Hestenes and Stiefel 1952
 */
export async function conjugateGradient(
  product: (v: Float64Array) => Float64Array | Promise<Float64Array>,
  b: Float64Array,
  tolerance: number,
  maxIterations = 2 * b.length + 10,
): Promise<LinearSolution> {
  const q = new Float64Array(b.length);
  const r = Float64Array.from(b);
  const p = Float64Array.from(b);
  let rr = dot(r, r);
  const size = Math.sqrt(rr);
  let best = { solution: Float64Array.from(q), residualNorm: size };
  for (let iterations = 0; ; iterations++) {
    const residualNorm = Math.sqrt(rr);
    if (residualNorm <= tolerance)
      return { solution: q, residualNorm, iterations, converged: true };
    if (residualNorm < best.residualNorm) best = { solution: Float64Array.from(q), residualNorm };
    if (iterations >= maxIterations) return { ...best, iterations, converged: false };
    const Hp = await product(p);
    const curvature = dot(p, Hp);
    if (!(curvature > 0)) {
      if (residualNorm <= ROUNDING * size) return { ...best, iterations, converged: false };
      throw new RangeError(
        `conjugateGradient: H must be positive definite, got pᵀHp = ${curvature} for ‖p‖² = ${dot(p, p)}`,
      );
    }
    const step = rr / curvature;
    for (let i = 0; i < q.length; i++) {
      q[i] = q[i]! + step * p[i]!;
      r[i] = r[i]! - step * Hp[i]!;
    }
    const next = dot(r, r);
    const beta = next / rr;
    for (let i = 0; i < p.length; i++) p[i] = r[i]! + beta * p[i]!;
    rr = next;
  }
}
