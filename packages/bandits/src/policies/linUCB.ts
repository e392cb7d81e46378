/** LinUCB: the action with the greatest upper confidence bound under a linear model. */
import { checkNumber, checkOptions, type Random } from '@orth/backend';
import { ridgeOracle } from '../oracle.js';
import type { Json, Policy } from '../policy.js';
import type { SavedData } from '../stateCodec.js';
import { BasePolicy, POLICY_OPTIONS, type PolicyOptions, pointMass } from './basePolicy.js';
import { type RidgeOracle, ridgeSettings } from './oraclePolicy.js';

/** Options of {@link linUCB}. */
export interface LinUCBOptions extends PolicyOptions {
  /** α ≥ 0, weight of the deviation `√(xᵀA⁻¹x)`; 0 is greedy. Default 1 */
  readonly alpha?: number;
  /** Whether the regression sees a constant 1 after the features. Default false, as published */
  readonly intercept?: boolean;
  /** λ > 0 of the ridge regression. Default 1 */
  readonly lambda?: number;
  /** Share of the past that an update keeps, in (0, 1], for worlds that drift. Default 1 */
  readonly forgetting?: number;
}

/** @internal A policy whose actions' rewards are linear, in their own unit. */
export class LinUCB extends BasePolicy {
  protected readonly options: LinUCBOptions;
  readonly oracle: RidgeOracle;
  private readonly alpha: number;

  constructor(options: LinUCBOptions) {
    const name = 'linUCB';
    checkOptions(name, options, [...POLICY_OPTIONS, 'alpha', 'intercept', 'lambda', 'forgetting']);
    super(name, options);
    const { alpha = 1 } = options;
    checkNumber(name, 'alpha', alpha, { min: 0 });
    const { intercept, lambda, forgetting } = ridgeSettings(name, options, false);
    this.options = { ...options };
    this.alpha = alpha;
    this.oracle = ridgeOracle(
      { dim: this.dim, actionCount: this.actionCount, intercept },
      { lambda, forgetting },
    );
  }

  protected allocate(K: number, _random: Random, out: Float64Array): void {
    const { oracle, x, alpha, open } = this;
    let best = -1;
    let most = 0;
    oracle.each(x, K, (model, row, at, a) => {
      if (!open.has(a)) return;
      const score = model.mean(row, at) + alpha * Math.sqrt(model.variance(row, at));
      if (best >= 0 && score <= most) return;
      best = a;
      most = score;
    });
    pointMass(out, best);
  }

  protected expect(K: number, out: Float64Array): void {
    this.oracle.predict(this.x, K, out);
    if (this.feedback === 'loss') for (let a = 0; a < K; a++) out[a] = -out[a]!;
  }

  protected learn(action: number, outcome: number, weight: number): void {
    this.oracle.update(this.x, action, this.rewardOf(outcome), weight);
  }

  protected saved(): { [key: string]: Json } {
    return { oracle: this.oracle.save() };
  }

  protected load(data: SavedData): void {
    this.oracle.load(data.part('oracle'));
  }
}

/**
 * Takes the greatest `xᵀθ + α √(xᵀA⁻¹x)`, the first of equals, with θ from ridge regression on the rewards. With
 * `actionCount` each action has its own A and b (the disjoint form), else all share one. Probability 1 on its choice.
 * @throws TypeError or RangeError for a bad option
 * @see Li et al. 2010, arXiv:1003.0146, algorithm 1
 */
export function linUCB(options: LinUCBOptions): Policy {
  return new LinUCB(options);
}
