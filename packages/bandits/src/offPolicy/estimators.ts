/**
 * The estimators, as functions of the means of a round's terms. Each is linear in them or a ratio of two, so its
 * variance follows from the covariances of the terms (exactly, or by linearisation for ratios).
 */
import { shrink, TERM, type WeightOptions } from './terms.js';

/** An estimator of a policy's value. */
export type OffPolicyEstimator =
  | 'ips'
  | 'clippedIps'
  | 'snips'
  | 'replay'
  | 'dm'
  | 'dr'
  | 'sndr'
  | 'switchDr'
  | 'drOs';

/** What bounds the terms: declared by the caller, or seen so far. */
export interface Bounds extends Required<WeightOptions> {
  /** Least and greatest reward. */
  readonly reward: readonly [number, number];
  /** Least and greatest estimate of the model, at least as wide as the rewards. */
  readonly estimate: readonly [number, number];
  /** Greatest weight. */
  readonly weight: number;
}

/** How an estimator follows from the means of the terms. */
export interface EstimatorRule {
  /** Whether it needs the model's estimates. */
  readonly model: boolean;
  value(means: Float64Array): number;
  /** `[term, coefficient]`: derivative of the value by each mean. */
  gradient(means: Float64Array): readonly (readonly [number, number])[];
  /** Greatest minus least value that one round can contribute. */
  span(bounds: Bounds, means: Float64Array): number;
}

const { weight, weighted, clipped, agreement, agreed, model, correction, switched, shrunk } = TERM;

const single = (term: number) => ({
  value: (means: Float64Array) => means[term]!,
  gradient: () => [[term, 1]] as const,
});

const ratio = (over: number, under: number) => ({
  value: (means: Float64Array) => means[over]! / means[under]!,
  gradient: (means: Float64Array) =>
    [
      [over, 1 / means[under]!],
      [under, -means[over]! / means[under]! ** 2],
    ] as const,
});

const corrected = (term: number) => ({
  model: true,
  value: (means: Float64Array) => means[model]! + means[term]!,
  gradient: () =>
    [
      [model, 1],
      [term, 1],
    ] as const,
});

const spanOf = ([least, most]: readonly [number, number]) => most - least;

/** A weighted reward lies between 0 and the extreme rewards times the greatest weight. */
const weightedSpan = ([least, most]: readonly [number, number], greatest: number) =>
  greatest * (Math.max(0, most) - Math.min(0, least));

/** The model's value, and on either side of it the greatest weight times the greatest residual. */
function correctedSpan({ reward, estimate }: Bounds, greatest: number): number {
  const up = Math.max(0, reward[1] - estimate[0]);
  const down = Math.max(0, estimate[1] - reward[0]);
  return spanOf(estimate) + greatest * (up + down);
}

/** λw/(w² + λ) rises until w = √λ. */
const greatestShrunk = ({ shrinkage, weight: w }: Bounds) =>
  shrink(Math.min(w, Math.sqrt(shrinkage)), shrinkage);

/** Every estimator, with its source. */
export const ESTIMATORS: Readonly<Record<OffPolicyEstimator, EstimatorRule>> = {
  /** Horvitz and Thompson 1952: mean of w r. Unbiased. */
  ips: {
    model: false,
    ...single(weighted),
    span: ({ reward, weight: w }) => weightedSpan(reward, w),
  },
  /** Ionides 2008: mean of min(w, c) r. */
  clippedIps: {
    model: false,
    ...single(clipped),
    span: ({ reward, weight: w, clip }) => weightedSpan(reward, Math.min(w, clip)),
  },
  /** Swaminathan and Joachims 2015: Σ w r / Σ w. */
  snips: {
    model: false,
    ...ratio(weighted, weight),
    span: ({ reward, weight: w }, means) => (w * spanOf(reward)) / means[weight]!,
  },
  /** Li et al. 2011, for logs of uniform play: mean reward where the target agrees, by its probability. */
  replay: {
    model: false,
    ...ratio(agreed, agreement),
    span: ({ reward }, means) => spanOf(reward) / means[agreement]!,
  },
  /** Direct method: mean of Σ_a π q̂. */
  dm: { model: true, ...single(model), span: ({ estimate }) => spanOf(estimate) },
  /** Dudík, Langford and Li 2011: mean of Σ_a π q̂ + w (r − q̂). */
  dr: { ...corrected(correction), span: (bounds) => correctedSpan(bounds, bounds.weight) },
  /** Doubly robust, the correction divided by the mean weight. */
  sndr: {
    model: true,
    value: (means) => means[model]! + means[correction]! / means[weight]!,
    gradient: (means) => [
      [model, 1],
      [correction, 1 / means[weight]!],
      [weight, -means[correction]! / means[weight]! ** 2],
    ],
    span: (bounds, means) => correctedSpan(bounds, bounds.weight / means[weight]!),
  },
  /** Wang, Agarwal and Dudík 2017: corrected only where w ≤ τ. */
  switchDr: {
    ...corrected(switched),
    span: (bounds) => correctedSpan(bounds, Math.min(bounds.weight, bounds.switchThreshold)),
  },
  /** Su et al. 2020, optimistic shrinkage: weights λw/(w² + λ). */
  drOs: { ...corrected(shrunk), span: (bounds) => correctedSpan(bounds, greatestShrunk(bounds)) },
};
