import { hypergradientErrorBound } from './bounds.js';
import { conjugateGradient, type LowerSolver, solveLower } from './lowerSolver.js';
import {
  type BilevelConstants,
  type ConstantsAt,
  constantsAt,
  hasBoundConstants,
  type UpperValue,
} from './problem.js';
import { norm } from './vectors.js';
import type { CountedProblem } from './work.js';

/** How accurately, and how, one hypergradient is computed. */
export interface OracleSettings {
  readonly caller: string;
  readonly solver: LowerSolver;
  readonly maxLowerIterations: number;
  readonly maxConjugateGradientIterations: number | undefined;
}

/** An inexact hypergradient and everything it came from. */
export interface InexactHypergradient {
  /** x̄, the approximate lower solution. */
  readonly x: Float64Array;
  /** q, the approximate solution of `H q = ∇g(x̄)`. */
  readonly q: Float64Array;
  /** `z = −Jᵀ q`, which approximates ∇f(θ). */
  readonly z: Float64Array;
  readonly zNorm: number;
  readonly upper: UpperValue;
  readonly upperGradientNorm: number;
  /** ε that x̄ keeps: what was asked for, or what was attained where that is more. */
  readonly accuracy: number;
  /** δ that q keeps. */
  readonly residual: number;
  /** ω, where the constants it needs are known. */
  readonly errorBound: number | undefined;
  readonly lowerIterations: number;
  readonly conjugateGradientIterations: number;
  /** Whether both accuracies that were asked for were reached. */
  readonly converged: boolean;
}

/** A lower-level solution to accuracy ε, or to what is attainable. */
export async function solveTo(
  problem: CountedProblem,
  { solver, maxLowerIterations }: OracleSettings,
  theta: Float64Array,
  start: Float64Array,
  accuracy: number,
  constants: ConstantsAt,
) {
  const { mu } = constants;
  const solution = await solveLower(
    problem,
    theta,
    start,
    accuracy * mu,
    constants,
    solver,
    maxLowerIterations,
  );
  return { ...solution, accuracy: Math.max(accuracy, solution.gradientNorm / mu) };
}

/** Solves the lower level to ε, the linear system to δ, and forms `z = −Jᵀ q` and, where it can, ω. */
export async function inexactHypergradient(
  counted: CountedProblem,
  settings: OracleSettings,
  theta: Float64Array,
  start: Float64Array,
  accuracy: number,
  residual: number,
): Promise<InexactHypergradient> {
  const { problem } = counted;
  const constants = constantsAt(settings.caller, problem, theta);
  const lower = await solveTo(counted, settings, theta, start, accuracy, constants);
  const { x } = lower;
  const upper = await counted.upper(x);
  const upperGradientNorm = norm(upper.gradient);
  const linear = await conjugateGradient(
    (v) => counted.hessianProduct(x, theta, v),
    upper.gradient,
    residual,
    settings.maxConjugateGradientIterations,
  );
  const z = (await counted.crossProduct(x, theta, linear.solution)).map((value) => -value);
  const attained = {
    accuracy: lower.accuracy,
    residual: Math.max(residual, linear.residualNorm),
  };
  return {
    ...attained,
    x,
    q: linear.solution,
    z,
    zNorm: norm(z),
    upper,
    upperGradientNorm,
    errorBound: boundAt(problem, constants.mu, x, theta, { ...attained, upperGradientNorm }),
    lowerIterations: lower.iterations,
    conjugateGradientIterations: linear.iterations,
    converged: lower.converged && linear.converged,
  };
}

function boundAt(
  problem: BilevelConstants,
  mu: number,
  x: Float64Array,
  theta: Float64Array,
  attained: { accuracy: number; residual: number; upperGradientNorm: number },
): number | undefined {
  if (!hasBoundConstants(problem)) return undefined;
  const { crossNorm, crossLipschitz, inverseHessianLipschitz, upperSmoothness } = problem;
  const at = (value: number | ((theta: Float64Array) => number) | undefined) =>
    typeof value === 'function' ? value(theta) : value!;
  return hypergradientErrorBound({
    ...attained,
    strongConvexity: mu,
    upperSmoothness,
    crossNorm: typeof crossNorm === 'function' ? crossNorm(x, theta) : crossNorm!,
    crossLipschitz: at(crossLipschitz),
    inverseHessianLipschitz: at(inverseHessianLipschitz),
  });
}
