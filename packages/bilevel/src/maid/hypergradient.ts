import { checkNumber, checkOptions } from '@orth/backend';
import { inexactHypergradient } from './inexactHypergradient.js';
import { ORACLE_OPTIONS, type OracleOptions, oracleSettings } from './oracleOptions.js';
import { type BilevelProblem, checkProblem } from './problem.js';
import { startVector, type VectorLike } from './startPoint.js';
import { dot, norm, plus } from './vectors.js';
import { CountedProblem, Interrupted, type Work } from './work.js';

/** Options of {@link hypergradient}. */
export interface HypergradientOptions extends OracleOptions {
  /** ε > 0: `‖x − x̂(θ)‖ ≤ ε`. Default 1e-3 */
  readonly accuracy?: number;
  /** δ > 0: `‖H q − ∇g(x)‖ ≤ δ`. Default 1e-3 */
  readonly residual?: number;
  /** Where the lower-level solver starts. Default 0 */
  readonly x0?: VectorLike;
  /** Rejects with the signal's reason when it aborts. */
  readonly signal?: AbortSignal;
}

/** What {@link hypergradient} gives. */
export interface Hypergradient {
  /** z ≈ ∇f(θ), as long as θ. */
  readonly gradient: Float64Array;
  /** x ≈ x̂(θ). */
  readonly x: Float64Array;
  /** q ≈ H⁻¹ ∇g(x). */
  readonly q: Float64Array;
  /** g(x). */
  readonly upper: number;
  /** ω ≥ ‖z − ∇f(θ)‖, if the problem gives the constants that it needs. */
  readonly errorBound: number | undefined;
  /** ε and δ that hold: those asked for, or larger ones if `converged` is false. */
  readonly accuracy: number;
  readonly residual: number;
  /** Whether the accuracies asked for were reached. */
  readonly converged: boolean;
  readonly work: Work;
}

/**
 * Gradient of `f(θ) = g(x̂(θ))` by the implicit function theorem, `∇f = −Jᵀ H⁻¹ ∇g`, inexactly: the lower level to accuracy
 * ε by the a-posteriori bound `‖∇_x h‖/μ`, the linear system by conjugate gradients to residual δ.
 *
 * @param theta - flat, as long as the problem's θ
 * @returns z, where it came from, a bound of its error, and the work it took
 * @throws TypeError or RangeError for bad arguments, μ(θ) ≤ 0, L(θ) < μ(θ), or a Hessian that is not positive definite;
 *   NonFiniteError if the problem gives NaN
 * @see Salehi et al. 2023, arXiv 2308.10098, Theorem 2.1
 */
export async function hypergradient(
  problem: BilevelProblem,
  theta: VectorLike,
  options: HypergradientOptions = {},
): Promise<Hypergradient> {
  const caller = 'hypergradient';
  checkOptions(caller, options, ['accuracy', 'residual', 'x0', 'signal', ...ORACLE_OPTIONS]);
  checkProblem(caller, problem);
  const { accuracy = 1e-3, residual = 1e-3, signal } = options;
  checkNumber(caller, 'accuracy', accuracy, { above: 0 });
  checkNumber(caller, 'residual', residual, { above: 0 });
  const settings = oracleSettings(caller, options);
  const at = startVector(caller, 'theta', theta, problem.thetaSize);
  const start = startVector(caller, 'x0', options.x0, problem.xSize);
  const counted = new CountedProblem(caller, problem);
  counted.signal = signal;
  try {
    const result = await inexactHypergradient(counted, settings, at, start, accuracy, residual);
    return {
      gradient: result.z,
      x: Float64Array.from(result.x),
      q: result.q,
      upper: result.upper.value,
      errorBound: result.errorBound,
      accuracy: result.accuracy,
      residual: result.residual,
      converged: result.converged,
      work: counted.work,
    };
  } catch (error) {
    if (error instanceof Interrupted) signal?.throwIfAborted();
    throw error;
  }
}

/**
 * Estimates `‖J(x, θ)‖` from below, by power iteration on `J Jᵀ` through differences: for problems whose J has no known
 * norm. It is an estimate: with it, ω is one too and no certificate; multiply it by a safety factor.
 *
 * @param x - flat lower-level point
 * @param options.iterations - power iterations, ≥ 1, of which each costs two lower gradients and a product with Jᵀ. Default 20
 * @throws TypeError or RangeError for bad arguments
 */
export async function estimateCrossNorm(
  problem: BilevelProblem,
  { x, theta }: { readonly x: VectorLike; readonly theta: VectorLike },
  options: { readonly iterations?: number } = {},
): Promise<number> {
  const caller = 'estimateCrossNorm';
  checkOptions(caller, options, ['iterations']);
  checkProblem(caller, problem);
  const { iterations = 20 } = options;
  checkNumber(caller, 'iterations', iterations, { min: 1 });
  const at = startVector(caller, 'x', x, problem.xSize);
  const t = startVector(caller, 'theta', theta, problem.thetaSize);
  let v = Float64Array.from({ length: at.length }, (_, i) => 1 + (i % 7) / 7);
  let estimate = 0;
  for (let i = 0; i < iterations; i++) {
    const size = norm(v);
    const w = await problem.crossProduct(at, t, v.map((a) => a / size) as Float64Array);
    const length = norm(w);
    estimate = Math.max(estimate, length);
    if (length === 0) return estimate;
    // J w by central differences of the lower gradient in θ.
    const r = (problem.precision === 'float32' ? 1e-3 : 1e-5) * (1 + norm(t));
    const direction = w.map((a) => a / length) as Float64Array;
    const above = await problem.lowerGradient(at, plus(t, r, direction));
    const below = await problem.lowerGradient(at, plus(t, -r, direction));
    v = plus(above, -1, below).map((a) => a / (2 * r)) as Float64Array<ArrayBuffer>;
    estimate = Math.max(estimate, Math.sqrt(dot(v, v)));
    if (norm(v) === 0) return estimate;
  }
  return estimate;
}
