import { NonFiniteError } from '@orth/backend';
import type { BilevelProblem, UpperValue } from './problem.js';
import { isFiniteVector } from './vectors.js';

/** How often each function of a problem was evaluated. */
export interface Work {
  /** Gradients of the lower-level function: iterations of the inner solver, and one test of convergence a solve. */
  readonly gradients: number;
  /** Products of the lower-level Hessian and a vector: iterations of conjugate gradients. */
  readonly hessianProducts: number;
  /** Products with Jᵀ: one a hypergradient. */
  readonly crossProducts: number;
  /** Evaluations of the upper-level function and its gradient. */
  readonly upperEvaluations: number;
  /** Lower-level cost: `gradients + hessianProducts`. What `budget` limits. */
  readonly total: number;
}

/** Why a run ended before its work was done; thrown inside a step and caught by the run. */
export class Interrupted extends Error {
  constructor(readonly reason: 'budget' | 'aborted') {
    super(reason);
  }
}

/** A problem whose evaluations are counted, limited and checked. */
export class CountedProblem {
  gradients = 0;
  hessianProducts = 0;
  crossProducts = 0;
  upperEvaluations = 0;
  budget = Number.POSITIVE_INFINITY;
  signal: AbortSignal | undefined;

  constructor(
    private readonly caller: string,
    readonly problem: BilevelProblem,
    work?: Work,
  ) {
    if (!work) return;
    this.gradients = work.gradients;
    this.hessianProducts = work.hessianProducts;
    this.crossProducts = work.crossProducts;
    this.upperEvaluations = work.upperEvaluations;
  }

  get work(): Work {
    const { gradients, hessianProducts, crossProducts, upperEvaluations } = this;
    const total = gradients + hessianProducts;
    return { gradients, hessianProducts, crossProducts, upperEvaluations, total };
  }

  async lowerGradient(x: Float64Array, theta: Float64Array): Promise<Float64Array> {
    this.checkLimits();
    this.gradients++;
    return this.vector('lowerGradient', await this.problem.lowerGradient(x, theta), x.length);
  }

  async hessianProduct(x: Float64Array, theta: Float64Array, v: Float64Array) {
    this.checkLimits();
    this.hessianProducts++;
    return this.vector('hessianProduct', await this.problem.hessianProduct(x, theta, v), x.length);
  }

  async crossProduct(x: Float64Array, theta: Float64Array, v: Float64Array) {
    this.crossProducts++;
    return this.vector('crossProduct', await this.problem.crossProduct(x, theta, v), theta.length);
  }

  async upper(x: Float64Array): Promise<UpperValue> {
    this.upperEvaluations++;
    const { value, gradient } = await this.problem.upper(x);
    if (!Number.isFinite(value)) {
      throw new NonFiniteError(
        `${this.caller}: the upper-level function must be finite, got ${value}`,
      );
    }
    return { value, gradient: this.vector('upper', gradient, x.length) };
  }

  private checkLimits(): void {
    if (this.signal?.aborted) throw new Interrupted('aborted');
    if (this.gradients + this.hessianProducts >= this.budget) throw new Interrupted('budget');
  }

  private vector(name: string, result: Float64Array, length: number): Float64Array {
    if (result.length !== length) {
      throw new RangeError(
        `${this.caller}: ${name} must give ${length} numbers, got ${result.length}`,
      );
    }
    if (!isFiniteVector(result)) {
      throw new NonFiniteError(
        `${this.caller}: ${name} must be finite, got NaN or an infinity; the problem may be unbounded, or its ` +
          'smoothness too small',
      );
    }
    return result;
  }
}
