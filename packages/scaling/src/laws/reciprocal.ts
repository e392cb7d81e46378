import { checkOptions } from '@orth/backend';
import { bootstrapIntervals, type Interval, studentInterval, UNKNOWN } from './intervals.js';
import { checkFitOptions, checkPoints, type FitOptions } from './powerLaw.js';

/** A fitted A/x + E. */
export interface ReciprocalFit {
  readonly A: number;
  /** Asymptote for x → ∞. */
  readonly E: number;
  /** Root mean squared residual. */
  readonly rmse: number;
  /** Confidence intervals; NaN with two points. */
  readonly ci: { readonly A: Interval; readonly E: Interval };
  /** In the order A, E; absent with two points. */
  readonly covariance?: readonly (readonly number[])[];
  /** The law at x > 0. */
  evaluate(x: number): number;
}

function solve(inverse: Float64Array, y: ArrayLike<number>): { A: number; E: number; xx: number } {
  const n = y.length;
  let [mx, my] = [0, 0];
  for (let i = 0; i < n; i++) {
    mx += inverse[i]! / n;
    my += y[i]! / n;
  }
  let [xx, xy] = [0, 0];
  for (let i = 0; i < n; i++) {
    xx += (inverse[i]! - mx) ** 2;
    xy += (inverse[i]! - mx) * (y[i]! - my);
  }
  return { A: xy / xx, E: my - (xy / xx) * mx, xx };
}

/**
 * Fits A/x + E by ordinary least squares, without bounds: what an ensemble's loss follows when members err independently.
 *
 * @param x - sizes, each > 0, at least 2 distinct
 * @param y - losses, as many
 * @throws TypeError or RangeError for fewer than 2 distinct x, x <= 0, a loss that is not finite, or a wrong option
 */
export function fitReciprocal(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  options: FitOptions = {},
): ReciprocalFit {
  const caller = 'fitReciprocal';
  checkOptions(caller, options, ['bootstrap', 'level', 'seed']);
  const { bootstrap, level, seed } = checkFitOptions(caller, options);
  checkPoints(caller, x, y, 2);
  const n = y.length;
  const inverse = Float64Array.from(x, (v) => 1 / v);
  const { A, E, xx } = solve(inverse, y);
  const fitted = inverse.map((h) => A * h + E);
  const squares = fitted.reduce((s, f, i) => s + (f - y[i]!) ** 2, 0);
  const degrees = n - 2;
  const variance = squares / degrees;
  const mean = inverse.reduce((s, h) => s + h / n, 0);
  const covariance = [
    [variance / xx, (-mean * variance) / xx],
    [(-mean * variance) / xx, variance * (1 / n + (mean * mean) / xx)],
  ];
  const intervals =
    degrees < 1
      ? [UNKNOWN, UNKNOWN]
      : bootstrap === 0
        ? [A, E].map((p, i) => studentInterval(p, covariance[i]![i]!, degrees, level))
        : bootstrapIntervals({
            fitted,
            squares,
            degrees,
            replicates: bootstrap,
            seed,
            level,
            refit(to) {
              const found = solve(inverse, to);
              return [found.A, found.E];
            },
          });
  return {
    A,
    E,
    rmse: Math.sqrt(squares / n),
    ci: { A: intervals[0]!, E: intervals[1]! },
    ...(degrees > 0 && { covariance }),
    evaluate: (at) => A / at + E,
  };
}
