/** Linear Thompson sampling: the best action under parameters drawn from their posterior. */
import { checkInteger, checkNumber, checkOptions, type Random } from '@orth/backend';
import { choleskyFactor, choleskyUpdate, solveTransposed } from '../linear/cholesky.js';
import { ridgeOracle } from '../oracle.js';
import type { Json, Policy } from '../policy.js';
import { encodeNumbers, type SavedData } from '../stateCodec.js';
import { BasePolicy, POLICY_OPTIONS, type PolicyOptions } from './basePolicy.js';
import { type RidgeOracle, ridgeSettings } from './oraclePolicy.js';

/** Options of {@link linTS}. */
export interface LinTSOptions extends PolicyOptions {
  /** ν ≥ 0: the posterior is N(A⁻¹b, ν²A⁻¹); 0 is greedy. Default 1 */
  readonly nu?: number;
  /** Whether the regression sees a constant 1 after the features. Default false, as published */
  readonly intercept?: boolean;
  /** λ > 0 of the ridge regression. Default 1 */
  readonly lambda?: number;
  /** Share of the past that an update keeps, in (0, 1]. Default 1 */
  readonly forgetting?: number;
  /**
   * Posterior draws a decision. 1 is Thompson sampling, which gives its choice probability 1. With more the vote shares
   * are the probabilities, from which the action is then drawn: propensities fit for off-policy evaluation. Default 1
   */
  readonly draws?: number;
}

/** @internal One factor of A for each model beside the ridge regression. */
export class LinTS extends BasePolicy {
  protected readonly options: LinTSOptions;
  readonly oracle: RidgeOracle;
  private readonly nu: number;
  private readonly draws: number;
  private readonly forgetting: number;
  private readonly factors: Float64Array[];
  private readonly z: Float64Array;

  constructor(options: LinTSOptions) {
    const name = 'linTS';
    checkOptions(name, options, [
      ...POLICY_OPTIONS,
      'nu',
      'intercept',
      'lambda',
      'forgetting',
      'draws',
    ]);
    super(name, options);
    const { nu = 1, draws = 1 } = options;
    checkNumber(name, 'nu', nu, { min: 0 });
    checkInteger(name, 'draws', draws, { min: 1 });
    const { intercept, lambda, forgetting } = ridgeSettings(name, options, false);
    this.options = { ...options };
    this.nu = nu;
    this.draws = draws;
    this.forgetting = forgetting;
    this.oracle = ridgeOracle(
      { dim: this.dim, actionCount: this.actionCount, intercept },
      { lambda, forgetting },
    );
    this.factors = this.oracle.models.map(({ A, dim }) => choleskyFactor(A, dim));
    this.z = new Float64Array(this.oracle.models[0]!.dim);
  }

  /** `θ + ν L⁻ᵀ z` of model `m`, in place of the normal numbers z. */
  sample(m: number, z: Float64Array): Float64Array {
    const { theta, dim } = this.oracle.models[m]!;
    solveTransposed(this.factors[m]!, dim, z);
    for (let i = 0; i < dim; i++) z[i] = theta[i]! + this.nu * z[i]!;
    return z;
  }

  protected allocate(K: number, random: Random, out: Float64Array): void {
    const { oracle, x, open, draws, z } = this;
    const shared = this.actionCount !== undefined;
    const draw = (m: number) => {
      for (let i = 0; i < z.length; i++) z[i] = random.normal();
      this.sample(m, z);
    };
    out.fill(0);
    for (let n = 0; n < draws; n++) {
      if (!shared) draw(0);
      let best = -1;
      let most = 0;
      oracle.each(x, K, (_model, row, at, a) => {
        if (shared) draw(a);
        if (!open.has(a)) return;
        let score = 0;
        for (let i = 0; i < z.length; i++) score += row[at + i]! * z[i]!;
        if (best >= 0 && score <= most) return;
        best = a;
        most = score;
      });
      out[best]!++;
    }
    // Counts first: sums of 1/draws could pass 1.
    for (let a = 0; a < K; a++) out[a]! /= draws;
  }

  protected expect(K: number, out: Float64Array): void {
    this.oracle.predict(this.x, K, out);
    if (this.feedback === 'loss') for (let a = 0; a < K; a++) out[a] = -out[a]!;
  }

  protected learn(action: number, outcome: number, weight: number): void {
    const m = this.actionCount === undefined ? 0 : action;
    this.oracle.update(this.x, action, this.rewardOf(outcome), weight);
    const { A, dim } = this.oracle.models[m]!;
    if (this.forgetting < 1) this.factors[m]!.set(choleskyFactor(A, dim));
    else choleskyUpdate(this.factors[m]!, dim, this.oracle.features(this.x), 0, weight);
  }

  protected saved(): { [key: string]: Json } {
    return { oracle: this.oracle.save(), factors: this.factors.map(encodeFactor) };
  }

  protected load(data: SavedData): void {
    this.oracle.load(data.part('oracle'));
    const parts = data.parts('factors', this.factors.length);
    for (const [m, factor] of this.factors.entries()) {
      factor.set(parts[m]!.numbers('L', factor.length));
    }
  }
}

const encodeFactor = (L: Float64Array): Json => ({ L: encodeNumbers(L) });

/**
 * Draws parameters from N(A⁻¹b, ν²A⁻¹) and takes the best action under them. With `actionCount` each action has its own
 * model and draw, else all share one.
 * @throws TypeError or RangeError for a bad option
 * @see Agrawal and Goyal 2013, arXiv:1209.3352
 */
export function linTS(options: LinTSOptions): Policy {
  return new LinTS(options);
}
