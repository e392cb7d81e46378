/** RegCB: optimism within the set of regressors that the data leave plausible. */
import { checkNumber, checkOptions, type Random } from '@orth/backend';
import { ridgeOracle } from '../oracle.js';
import type { Policy } from '../policy.js';
import { POLICY_OPTIONS, type PolicyOptions, pointMass } from './basePolicy.js';
import { LossPolicy, type RidgeOracle, ridgeSettings } from './oraclePolicy.js';

/** Options of {@link regCB}. */
export interface RegCBOptions extends PolicyOptions {
  /** c₀ > 0: larger sets, more exploration. Default 0.1 */
  readonly mellowness?: number;
  /** Whether the regression sees a constant 1 after the features. Default true */
  readonly intercept?: boolean;
  /** λ > 0 of the ridge regression. Default 1 */
  readonly lambda?: number;
  /** Share of the past that an update keeps, in (0, 1]. Default 1 */
  readonly forgetting?: number;
}

/**
 * @internal Half width `√(c₀ log(K t) · xᵀA⁻¹x)` of the plausible losses of each action after `t` observations: the
 * extremes of xᵀθ over `‖θ − θ̂‖²_A ≤ c₀ log(K t)`.
 */
export function confidenceWidth(
  oracle: RidgeOracle,
  x: Float64Array,
  K: number,
  t: number,
  mellowness: number,
  out: Float64Array,
): void {
  const factor = mellowness * Math.log(Math.max(2, K * Math.max(t, 1)));
  oracle.each(x, K, (model, row, at, a) => {
    out[a] = Math.sqrt(factor * model.variance(row, at));
  });
}

class RegCB extends LossPolicy {
  protected readonly options: RegCBOptions;
  protected readonly oracle: RidgeOracle;
  private readonly mellowness: number;
  private losses = new Float64Array(8);

  constructor(options: RegCBOptions) {
    const name = 'regCB';
    checkOptions(name, options, [
      ...POLICY_OPTIONS,
      'mellowness',
      'intercept',
      'lambda',
      'forgetting',
    ]);
    super(name, options, { bounded: true });
    const { mellowness = 0.1 } = options;
    checkNumber(name, 'mellowness', mellowness, { above: 0 });
    const { intercept, lambda, forgetting } = ridgeSettings(name, options);
    this.options = { ...options };
    this.mellowness = mellowness;
    this.oracle = ridgeOracle(
      { dim: this.dim, actionCount: this.actionCount, intercept },
      { lambda, forgetting },
    );
  }

  protected allocate(K: number, _random: Random, out: Float64Array): void {
    if (this.losses.length < K) this.losses = new Float64Array(K);
    const { losses, open } = this;
    this.oracle.predict(this.x, K, losses);
    confidenceWidth(this.oracle, this.x, K, this.updates, this.mellowness, out);
    let best = -1;
    for (let a = 0; a < K; a++) {
      losses[a]! -= out[a]!;
      if (open.has(a) && (best < 0 || losses[a]! < losses[best]!)) best = a;
    }
    pointMass(out, best);
  }
}

/**
 * Takes the action whose least plausible loss is smallest, by ridge regression on losses scaled to [0, 1]. Certain of
 * its choice: probability 1.
 * @throws TypeError or RangeError for a bad option
 * @see Foster et al. 2018, arXiv:1803.01088; Bietti et al. 2021
 */
export function regCB(options: RegCBOptions): Policy {
  return new RegCB(options);
}
