/** Confidence intervals of fitted parameters. */
import { type Random, seededRandom } from '@orth/backend';
import { studentTQuantile } from './studentT.js';

/** Lower and upper end. */
export type Interval = readonly [low: number, high: number];

/** What is not known: the data says nothing. */
export const UNKNOWN: Interval = [Number.NaN, Number.NaN];

/** Interval of Student's t about an estimate >= 0. */
export function studentInterval(
  estimate: number,
  variance: number,
  degrees: number,
  level: number,
): Interval {
  if (!(variance >= 0) || degrees < 1) return UNKNOWN;
  const half = studentTQuantile(level, degrees) * Math.sqrt(variance);
  return [estimate - half, estimate + half];
}

/** χ² with whole degrees of freedom. */
function chiSquare(random: Random, degrees: number): number {
  let sum = 0;
  for (let i = 0; i < degrees; i++) sum += random.normal() ** 2;
  return sum;
}

/** Linear between order statistics. */
function percentile(sorted: readonly number[], part: number): number {
  const at = part * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (at - below) * (sorted[above]! - sorted[below]!);
}

/** What {@link bootstrapIntervals} refits. */
export interface Bootstrap {
  /** Values of the fitted law at the data. */
  readonly fitted: ArrayLike<number>;
  /** Weighted sum of squared residuals. */
  readonly squares: number;
  readonly weights?: ArrayLike<number> | undefined;
  /** Points less parameters. */
  readonly degrees: number;
  readonly replicates: number;
  readonly seed: number;
  readonly level: number;
  /** Parameters for other data at the same places. */
  refit(y: Float64Array): readonly number[];
}

/**
 * Percentiles over refits to new data from the fitted law with normal noise. The noise's variance is drawn too, as
 * squares/χ², so that few degrees of freedom widen the interval as they do Student's t.
 */
export function bootstrapIntervals(bootstrap: Bootstrap): Interval[] {
  const { fitted, squares, weights, degrees, replicates, seed, level, refit } = bootstrap;
  const random = seededRandom(seed);
  const found: (readonly number[])[] = [];
  for (let i = 0; i < replicates; i++) {
    const deviation = Math.sqrt(squares / chiSquare(random, degrees));
    found.push(
      refit(
        Float64Array.from(
          fitted,
          (f, j) => f + (deviation * random.normal()) / Math.sqrt(weights?.[j] ?? 1),
        ),
      ),
    );
  }
  const parameters = found[0]!.length;
  return Array.from({ length: parameters }, (_, p): Interval => {
    const sorted = found.map((f) => f[p]!).sort((a, b) => a - b);
    return [percentile(sorted, (1 - level) / 2), percentile(sorted, (1 + level) / 2)];
  });
}
