/** Classification as a bandit: K classes are K actions, and the right one gives 1. */
import { checkFinite, checkInteger, checkOneOf, checkOptions, seededRandom } from '@orth/backend';
import type { World } from './world.js';

/** Options of {@link classificationWorld}. */
export interface ClassificationOptions {
  /** K. Default: one more than the greatest label */
  readonly classes?: number;
  /**
   * `'shared'`: the sample itself, for policies with `actionCount`. `'block'`: a row of K·dim for each action, with the
   * sample in its block and 0 elsewhere. `'oneHot'`: the sample followed by K numbers that name the action.
   * Default `'shared'`
   */
  readonly encoding?: 'shared' | 'block' | 'oneHot';
  /** Whether samples are scaled to length 1, as the neural bandit papers do. Default true */
  readonly normalize?: boolean;
  /** Seed of the order of the samples, integer. Default 0 */
  readonly seed?: number;
}

/** Labelled samples. */
export interface LabelledSamples {
  /** Row-major `[n, dim]`. */
  readonly features: Float64Array | Float32Array;
  /** `[n]`, integers from 0. */
  readonly labels: ArrayLike<number>;
}

/**
 * Goes through labelled samples in a random order, again and again: reward 1 for the sample's class, 0 for others, so
 * that regret is the number of errors.
 *
 * @throws TypeError or RangeError for a bad option, lengths that do not fit, labels out of range, or features that are
 *   not finite
 */
export function classificationWorld(
  { features, labels }: LabelledSamples,
  options: ClassificationOptions = {},
): World {
  const caller = 'classificationWorld';
  checkOptions(caller, options, ['classes', 'encoding', 'normalize', 'seed']);
  const { encoding = 'shared', normalize = true, seed = 0 } = options;
  checkOneOf(caller, 'encoding', encoding, ['shared', 'block', 'oneHot']);
  const n = labels.length;
  if (n === 0 || features.length === 0 || features.length % n !== 0) {
    throw new RangeError(
      `${caller}: features must hold a row for each of ${n} labels, got ${features.length} numbers`,
    );
  }
  const classes = options.classes ?? Array.from(labels).reduce((a, b) => Math.max(a, b), 0) + 1;
  checkInteger(caller, 'classes', classes, { min: 1 });
  for (let i = 0; i < n; i++) {
    checkInteger(caller, 'labels', labels[i], { min: 0, below: classes });
  }
  checkFinite(caller, 'features', features);
  const d = features.length / n;
  const x = Float64Array.from(features);
  if (normalize) for (let i = 0; i < n; i++) scaleToUnit(x.subarray(i * d, (i + 1) * d));
  const order = seededRandom(seed).shuffle(Array.from({ length: n }, (_, i) => i));
  const dim = { shared: d, block: d * classes, oneHot: d + classes }[encoding];
  return {
    dim,
    actionCount: classes,
    shared: encoding === 'shared',
    round(t) {
      const i = order[t % n]!;
      const sample = x.subarray(i * d, (i + 1) * d);
      const means = new Float64Array(classes);
      means[labels[i]!] = 1;
      let rows = sample.slice();
      if (encoding !== 'shared') {
        rows = new Float64Array(classes * dim);
        for (let a = 0; a < classes; a++) {
          rows.set(sample, a * dim + (encoding === 'block' ? a * d : 0));
          if (encoding === 'oneHot') rows[a * dim + d + a] = 1;
        }
      }
      return { features: rows, means, reward: (action) => means[action]! };
    },
  };
}

/** Scales to length 1; zeros stay. */
export function scaleToUnit(row: Float64Array): void {
  const norm = Math.hypot(...row);
  if (norm > 0) for (let i = 0; i < row.length; i++) row[i]! /= norm;
}
