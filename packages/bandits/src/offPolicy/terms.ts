/**
 * One logged round as off-policy estimators see it: a handful of numbers whose means, variances and covariances are all
 * that any of the estimators needs. That is what lets a log of any length be evaluated in bounded memory.
 */
import { checkInteger, checkNumber } from '@orth/backend';

/** A logged decision together with what another policy would have done. */
export interface OffPolicyRound {
  /** Index of the action that was taken, 0 … K − 1. */
  readonly action: number;
  /** Probability with which it was taken, in (0, 1]: the one logged when it was played. */
  readonly probability: number;
  /** What came of it. */
  readonly reward: number;
  /** `[K]`: probabilities of the policy that is evaluated, for the same context. */
  readonly target: ArrayLike<number>;
  /** `[K]`: rewards that a model expects of each action; needed by DM and the DR family. */
  readonly estimates?: ArrayLike<number>;
}

/** Parameters of the estimators that bound or shrink weights. */
export interface WeightOptions {
  /** Greatest weight of `clippedIps`, > 0. Default 10 */
  readonly clip?: number;
  /** `switchDr` corrects the model only where the weight is at most this, ≥ 0. Default 10 */
  readonly switchThreshold?: number;
  /** λ of `drOs`, whose weight is λw/(w² + λ), ≥ 0: 0 is DM, ∞ is DR. Default 10 */
  readonly shrinkage?: number;
}

/** Where each number stands in a round's terms. */
export const TERM = {
  /** w = π(a|x)/p */
  weight: 0,
  /** w r */
  weighted: 1,
  /** min(w, clip) r */
  clipped: 2,
  /** π(a|x) */
  agreement: 3,
  /** π(a|x) r */
  agreed: 4,
  /** Σ_a π(a|x) q̂(x, a) */
  model: 5,
  /** w (r − q̂(x, a)) */
  correction: 6,
  /** the correction where w ≤ the threshold, else 0 */
  switched: 7,
  /** λw/(w² + λ) (r − q̂(x, a)) */
  shrunk: 8,
} as const;

/** Numbers a round gives. */
export const TERM_COUNT = 9;

/** How far from 1 the target's probabilities may add up: those of float32 logs are rounded. */
const SUM_TOLERANCE = 1e-3;

/** Weights that the estimators use, defaults filled in. */
export function checkWeightOptions(caller: string, options: WeightOptions) {
  const { clip = 10, switchThreshold = 10, shrinkage = 10 } = options;
  if (clip !== Infinity) checkNumber(caller, 'clip', clip, { above: 0 });
  if (switchThreshold !== Infinity) {
    checkNumber(caller, 'switchThreshold', switchThreshold, { min: 0 });
  }
  if (shrinkage !== Infinity) checkNumber(caller, 'shrinkage', shrinkage, { min: 0 });
  return { clip, switchThreshold, shrinkage };
}

/** Weight of `drOs`: λw/(w² + λ), which tends to w as λ grows. */
export function shrink(weight: number, shrinkage: number): number {
  if (shrinkage === Infinity) return weight;
  return weight === 0 ? 0 : (shrinkage * weight) / (weight * weight + shrinkage);
}

/**
 * Checks a round.
 * @throws TypeError or RangeError that names the argument, as `round.reward`
 */
export function checkRound(caller: string, round: OffPolicyRound): void {
  const { action, probability, reward, target, estimates } = round;
  const K = target?.length ?? 0;
  if (K === 0) throw new RangeError(`${caller}: round.target must hold a probability an action`);
  checkInteger(caller, 'round.action', action, { min: 0, below: K });
  checkNumber(caller, 'round.probability', probability, { above: 0, max: 1 });
  checkNumber(caller, 'round.reward', reward);
  let sum = 0;
  for (let a = 0; a < K; a++) {
    const p = target[a]!;
    // The check writes its message first, which is slow: only where it will be needed.
    if (!(p >= 0 && p < Infinity)) checkNumber(caller, `round.target[${a}]`, p, { min: 0 });
    sum += p;
  }
  if (Math.abs(sum - 1) > SUM_TOLERANCE) {
    throw new RangeError(`${caller}: round.target must sum to 1, got ${sum}`);
  }
  if (estimates === undefined) return;
  if (estimates.length !== K) {
    throw new RangeError(
      `${caller}: round.estimates must have length ${K}, got ${estimates.length}`,
    );
  }
  for (let a = 0; a < K; a++) {
    if (!Number.isFinite(estimates[a])) checkNumber(caller, `round.estimates[${a}]`, estimates[a]);
  }
}

/** Fills `out` with the terms of a checked round; those of the model are 0 where it has none. */
export function fillTerms(
  out: Float64Array,
  { action, probability, reward, target, estimates }: OffPolicyRound,
  { clip, switchThreshold, shrinkage }: Required<WeightOptions>,
): void {
  const agreement = target[action]!;
  const weight = agreement / probability;
  out[TERM.weight] = weight;
  out[TERM.weighted] = weight * reward;
  out[TERM.clipped] = Math.min(weight, clip) * reward;
  out[TERM.agreement] = agreement;
  out[TERM.agreed] = agreement * reward;
  if (!estimates) return;
  let model = 0;
  for (let a = 0; a < estimates.length; a++) model += target[a]! * estimates[a]!;
  const residual = reward - estimates[action]!;
  out[TERM.model] = model;
  out[TERM.correction] = weight * residual;
  out[TERM.switched] = weight <= switchThreshold ? weight * residual : 0;
  out[TERM.shrunk] = shrink(weight, shrinkage) * residual;
}
