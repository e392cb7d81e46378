/**
 * Off-policy evaluation of a stream: how well would another policy have done on a log? Every estimator in one pass, in
 * memory that does not grow with the log.
 */
import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { empiricalBernstein } from './empiricalBernstein.js';
import {
  type Bounds,
  ESTIMATORS,
  type EstimatorRule,
  type OffPolicyEstimator,
} from './estimators.js';
import { normalQuantile } from './normalQuantile.js';
import { PoissonBootstrap } from './poissonBootstrap.js';
import {
  checkRound,
  checkWeightOptions,
  fillTerms,
  type OffPolicyRound,
  TERM,
  TERM_COUNT,
  type WeightOptions,
} from './terms.js';

/** Options of {@link OffPolicyEvaluator} and {@link evaluateOffPolicy}. */
export interface OffPolicyOptions extends WeightOptions {
  /** Least and greatest reward; others are refused. The empirical-Bernstein interval rests on it. Default `[0, 1]` */
  readonly rewardRange?: readonly [number, number];
  /**
   * Bound of the weights π(a|x)/p that is known beforehand, e.g. one by the least probability of the logging policy;
   * greater ones are refused. Default: the greatest that was seen, and then the empirical-Bernstein intervals of `ips`,
   * `snips`, `dr` and `sndr` hold only as far as no greater one was possible
   */
  readonly maxWeight?: number;
  /** Of all intervals, in (0, 1). Default 0.95 */
  readonly confidence?: number;
  /** Resamples of the bootstrap, ≥ 0; 0 gives none. About 40 ns a round and resample. Default 1000 */
  readonly resamples?: number;
  /** Of the bootstrap. Default 0 */
  readonly seed?: number;
}

/** Least and greatest. */
export type Interval = readonly [number, number];

/** What one estimator says. */
export interface OffPolicyEstimate {
  /** Estimated mean reward of the target policy. */
  readonly value: number;
  /** Estimated standard deviation of `value`; that of ratios by linearisation. */
  readonly standardError: number;
  /** `value` ± normal quantile × standard error: right in the limit. */
  readonly normal: Interval;
  /** Percentiles of the Poisson bootstrap; absent without resamples. */
  readonly bootstrap?: Interval;
  /**
   * Maurer and Pontil 2009: holds for every n where the bounds do. For the ratios (`snips`, `sndr`, `replay`) it is that
   * of the linearised terms, which is right in the limit only.
   */
  readonly empiricalBernstein: Interval;
}

/** What a log says about a policy. Estimators that need a model are there only where every round had estimates. */
export interface OffPolicyEvaluation {
  /** Mean of w r: unbiased. */
  readonly ips: OffPolicyEstimate;
  /** Mean of min(w, clip) r. */
  readonly clippedIps: OffPolicyEstimate;
  /** Σ w r / Σ w. */
  readonly snips: OffPolicyEstimate;
  /** Mean reward where the target agrees with what was played; meant for logs of uniform play. */
  readonly replay: OffPolicyEstimate;
  /** Direct method: the model's value of the target. */
  readonly dm?: OffPolicyEstimate;
  /** Doubly robust: the model, corrected by w (r − q̂). */
  readonly dr?: OffPolicyEstimate;
  /** Doubly robust with the correction divided by the mean weight. */
  readonly sndr?: OffPolicyEstimate;
  /** Doubly robust where w is at most the threshold, elsewhere the model. */
  readonly switchDr?: OffPolicyEstimate;
  /** Doubly robust with weights λw/(w² + λ). */
  readonly drOs?: OffPolicyEstimate;
  /** Rounds evaluated. */
  readonly rounds: number;
  /** (Σw)²/Σw²: as many rounds of the target policy itself would tell as much. */
  readonly effectiveSampleSize: number;
  /** Mean weight; far from 1, the logged probabilities are not those that were played. */
  readonly meanWeight: number;
  /** Greatest weight seen. */
  readonly maxWeight: number;
  /** Mean reward of the log itself. */
  readonly loggedReward: number;
}

/** Names of the options. */
export const OFF_POLICY_OPTIONS = [
  ...['rewardRange', 'maxWeight', 'confidence', 'resamples', 'seed'],
  ...['clip', 'switchThreshold', 'shrinkage'],
];

function checkRange(caller: string, range: unknown): asserts range is Interval {
  const [least, most] = Array.isArray(range) && range.length === 2 ? range : [];
  checkNumber(caller, 'rewardRange[0]', least);
  checkNumber(caller, 'rewardRange[1]', most, { above: least });
}

/**
 * Evaluates a policy on logged rounds, one `add` each; {@link evaluateOffPolicy} does so for a whole log.
 *
 * @example
 * const evaluator = new OffPolicyEvaluator();
 * evaluator.add({ action: 0, probability: 0.5, reward: 1, target: [0.9, 0.1] });
 * evaluator.add({ action: 1, probability: 0.5, reward: 0, target: [0.9, 0.1] });
 * evaluator.result().ips.value; // 0.9
 */
export class OffPolicyEvaluator {
  private readonly weights: Required<WeightOptions>;
  private readonly rewardRange: Interval;
  private readonly weightBound: number | undefined;
  private readonly confidence: number;
  private readonly bootstrap: PoissonBootstrap | undefined;
  private readonly terms = new Float64Array(TERM_COUNT);
  private readonly means = new Float64Array(TERM_COUNT);
  private readonly changes = new Float64Array(TERM_COUNT);
  /** Sums of products of deviations from the means. */
  private readonly products = new Float64Array(TERM_COUNT * TERM_COUNT);
  private rounds = 0;
  private withModel: boolean | undefined;
  private meanReward = 0;
  private squaredWeights = 0;
  private greatestWeight = 0;
  private leastEstimate = Infinity;
  private greatestEstimate = Number.NEGATIVE_INFINITY;

  /** @throws TypeError or RangeError for unknown options and values outside their ranges */
  constructor(options: OffPolicyOptions = {}) {
    const caller = 'OffPolicyEvaluator';
    checkOptions(caller, options, OFF_POLICY_OPTIONS);
    const { rewardRange = [0, 1], maxWeight, confidence = 0.95 } = options;
    const { resamples = 1000, seed = 0 } = options;
    this.weights = checkWeightOptions(caller, options);
    checkRange(caller, rewardRange);
    if (maxWeight !== undefined) checkNumber(caller, 'maxWeight', maxWeight, { above: 0 });
    checkNumber(caller, 'confidence', confidence, { above: 0, below: 1 });
    checkInteger(caller, 'resamples', resamples, { min: 0 });
    checkInteger(caller, 'seed', seed);
    this.rewardRange = [rewardRange[0], rewardRange[1]];
    this.weightBound = maxWeight;
    this.confidence = confidence;
    if (resamples > 0) this.bootstrap = new PoissonBootstrap(resamples, TERM_COUNT, seed);
  }

  /**
   * Takes a round into every estimator.
   * @throws TypeError or RangeError for a round outside what {@link OffPolicyRound} and the options say, or where some
   *   rounds have estimates and others none; nothing is changed then
   */
  add(round: OffPolicyRound): void {
    const caller = 'OffPolicyEvaluator.add';
    checkRound(caller, round);
    const { rewardRange, weightBound, terms } = this;
    const { reward, estimates } = round;
    checkNumber(caller, 'round.reward', reward, { min: rewardRange[0], max: rewardRange[1] });
    const withModel = estimates !== undefined;
    if (this.withModel !== undefined && this.withModel !== withModel) {
      throw new RangeError(
        `${caller}: round.estimates must be given in every round or in none, got ${
          withModel ? 'them after rounds without' : 'none after rounds with them'
        }`,
      );
    }
    fillTerms(terms, round, this.weights);
    const weight = terms[TERM.weight]!;
    // A bound such as 1/p is often computed as the weight is, and must not fail by its rounding.
    if (weightBound !== undefined && weight > weightBound * (1 + 1e-12)) {
      throw new RangeError(
        `${caller}: target/probability must be at most maxWeight ${weightBound}, got ${weight}`,
      );
    }
    this.withModel = withModel;
    this.rounds++;
    this.meanReward += (reward - this.meanReward) / this.rounds;
    this.squaredWeights += weight * weight;
    this.greatestWeight = Math.max(this.greatestWeight, weight);
    for (let a = 0; a < (estimates?.length ?? 0); a++) {
      this.leastEstimate = Math.min(this.leastEstimate, estimates![a]!);
      this.greatestEstimate = Math.max(this.greatestEstimate, estimates![a]!);
    }
    this.accumulate();
    this.bootstrap?.add(terms);
  }

  /** Welford's update of means and covariances: no cancellation, however long the log. */
  private accumulate(): void {
    const { terms, means, changes, products, rounds } = this;
    for (let i = 0; i < TERM_COUNT; i++) {
      changes[i] = terms[i]! - means[i]!;
      means[i]! += changes[i]! / rounds;
    }
    for (let i = 0; i < TERM_COUNT; i++) {
      const before = changes[i]!;
      for (let j = 0; j <= i; j++) {
        products[i * TERM_COUNT + j]! += before * (terms[j]! - means[j]!);
      }
    }
  }

  /** Variance of one round's contribution to an estimator. */
  private variance(gradient: readonly (readonly [number, number])[]): number {
    const { products, rounds } = this;
    let sum = 0;
    for (const [i, a] of gradient) {
      for (const [j, b] of gradient) {
        sum += a * b * products[Math.max(i, j) * TERM_COUNT + Math.min(i, j)]!;
      }
    }
    return rounds > 1 ? Math.max(0, sum) / (rounds - 1) : Infinity;
  }

  private estimate(rule: EstimatorRule, z: number): OffPolicyEstimate {
    const { rounds, means, confidence, rewardRange, bootstrap } = this;
    const bounds: Bounds = {
      ...this.weights,
      reward: rewardRange,
      estimate: [
        Math.min(rewardRange[0], this.leastEstimate),
        Math.max(rewardRange[1], this.greatestEstimate),
      ],
      weight: this.weightBound ?? this.greatestWeight,
    };
    const value = rule.value(means);
    const variance = this.variance(rule.gradient(means));
    const known = rounds > 1 && Number.isFinite(variance);
    const standardError = known ? Math.sqrt(variance / rounds) : Infinity;
    const half = known
      ? empiricalBernstein(variance, rule.span(bounds, means), rounds, confidence)
      : Infinity;
    const around = (h: number): Interval => [value - h, value + h];
    return {
      value,
      standardError,
      normal: around(z * standardError),
      ...(bootstrap && { bootstrap: bootstrap.interval((m) => rule.value(m), confidence) }),
      empiricalBernstein: around(half),
    };
  }

  /**
   * Every estimator on the rounds so far. Ratios are NaN where no weight is positive.
   * @throws Error before the first round
   */
  result(): OffPolicyEvaluation {
    const { rounds, means, squaredWeights } = this;
    if (rounds === 0) throw new Error('OffPolicyEvaluator.result: rounds must be added first');
    const z = normalQuantile((1 + this.confidence) / 2);
    const estimates = Object.entries(ESTIMATORS)
      .filter(([, rule]) => this.withModel || !rule.model)
      .map(([name, rule]) => [name, this.estimate(rule, z)]);
    const sum = rounds * means[TERM.weight]!;
    return {
      ...(Object.fromEntries(estimates) as Record<OffPolicyEstimator, OffPolicyEstimate>),
      rounds,
      effectiveSampleSize: squaredWeights > 0 ? (sum * sum) / squaredWeights : 0,
      meanWeight: means[TERM.weight]!,
      maxWeight: this.greatestWeight,
      loggedReward: this.meanReward,
    };
  }
}
