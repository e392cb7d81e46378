import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { evaluate } from './coefficients.js';

/** Options of {@link polarExpressCoefficients}. */
export interface PolarExpressOptions {
  /** Number of steps, integer >= 1. Default 5 */
  readonly steps?: number;
  /** Least singular value to bring to 1, in (0, 1). Default 0.001 */
  readonly lower?: number;
  /** Every row but the last allows for inputs this much above its interval; >= 0. Default 0.02 */
  readonly safety?: number;
  /** Fit no interval whose ends are farther apart than this ratio, in [0, 1). Default 0.02 */
  readonly cushion?: number;
}

/** A row `[a, b, c]` of `a x + b x³ + c x⁵`. */
export type Quintic = [a: number, b: number, c: number];

/**
 * Coefficients of the odd quintic closest to 1 on `[lower, upper]` in the greatest error.
 *
 * `p(x) = a x + b x³ + c x⁵` errs by `+E, −E, +E, −E` at four points (equal oscillation): the ends and the two
 * extrema of `p` between them, found by exchange in float64.
 *
 * @param lower - left end, in (0, upper)
 * @param upper - right end
 * @returns `[a, b, c]`
 * @throws RangeError unless 0 < lower < upper
 * @see Amsel et al. 2025, "The Polar Express", arXiv 2505.16932, algorithm 3
 */
export function oddMinimaxQuintic(lower: number, upper: number): Quintic {
  checkNumber('oddMinimaxQuintic', 'upper', upper, { above: 0 });
  checkNumber('oddMinimaxQuintic', 'lower', lower, { above: 0, below: upper });
  return fitQuintic(lower, upper);
}

/** The fit without checks; `lower = upper` is allowed. */
export function fitQuintic(lower: number, upper: number): Quintic {
  // Here E is below rounding; the Taylor quintic at `upper` is the limit of the fit.
  if (lower / upper >= 1 - 5e-6) {
    return [15 / 8 / upper, -10 / 8 / upper ** 3, 3 / 8 / upper ** 5];
  }
  let q = (3 * lower + upper) / 4;
  let r = (lower + 3 * upper) / 4;
  let error = Number.POSITIVE_INFINITY;
  // Exchange converges quadratically: about six rounds; the bound only guards against a cycle in the last digit.
  for (let round = 0; ; round++) {
    const [a, b, c, E] = alternate([lower, q, r, upper]);
    const change = Math.abs(E - error);
    if (change < 1e-15 || round === 50) return [a, b, c];
    error = E;
    const root = Math.sqrt(9 * b * b - 20 * a * c);
    q = Math.sqrt((-3 * b - root) / (10 * c));
    r = Math.sqrt((-3 * b + root) / (10 * c));
  }
}

/**
 * Solves `a x + b x³ + c x⁵ ± E = 1` at four increasing points, the sign alternating from +.
 *
 * With `y = x²` that is a quadratic `P(y) = (1 ∓ E) / x`, so E is where the third divided difference is 0. Differences of
 * `1/x` are taken in closed form and those of `±1/x` only add up: the points may be as close as 1e−6, where elimination
 * would leave four digits.
 */
function alternate(points: readonly number[]): [number, number, number, number] {
  // From the largest: the smallest point, where 1/x is huge, then enters E alone.
  const [w, x, y, z] = [points[3]!, points[2]!, points[1]!, points[0]!];
  const pairs = (w + x) * (w + y) * (x + y);
  const slope = -1 / (w * x * (w + x));
  const curvature = (w + x + y) / (w * x * y * pairs);
  const [s, t] = [x + y, w + z];
  const third =
    -(s * t * t + s * s * t + s * x * y + t * w * z) /
    (w * x * y * z * pairs * (w + z) * (x + z) * (y + z));

  const nodes = [w, x, y, z];
  const differences = nodes.map((node, i) => (i % 2 === 0 ? -1 : 1) / node);
  const alternating = [differences[0]!];
  for (let order = 1; order < 4; order++) {
    for (let i = 0; i + order < 4; i++) {
      const [p, q] = [nodes[i]!, nodes[i + order]!];
      differences[i] = (differences[i + 1]! - differences[i]!) / ((q - p) * (q + p));
    }
    alternating.push(differences[0]!);
  }
  const E = third / alternating[3]!;
  const d0 = 1 / w - E * alternating[0]!;
  const d1 = slope - E * alternating[1]!;
  const c = curvature - E * alternating[2]!;
  // Newton's form (d0 + d1 (y − w²) + c (y − w²)(y − x²)) expanded.
  return [d0 - w * w * (d1 - c * x * x), d1 - c * (w * w + x * x), c, E];
}

/**
 * The Polar Express schedule for any number of steps: each row is the best odd quintic on the interval that the rows
 * before it leave, so that their composition brings `[lower, 1]` to 1 as fast as any such composition can.
 *
 * @returns `steps` rows `[a, b, c]`. With the defaults and 5 steps: `SCHEDULES.polarExpress`, whose inputs are divided
 *   by 1.02 of their norm
 * @throws TypeError for an unknown option; RangeError for a value out of range
 * @example
 * const rows = polarExpressCoefficients({ steps: 8, lower: 1e-4 });
 * const q = orthogonalize(x, { coefficients: rows, safety: 1.02 });
 * @see Amsel, Persson, Musco, Gower 2025, "The Polar Express", arXiv 2505.16932, algorithm 1 and section 4.4
 */
export function polarExpressCoefficients(options: PolarExpressOptions = {}): Quintic[] {
  const caller = 'polarExpressCoefficients';
  checkOptions(caller, options, ['steps', 'lower', 'safety', 'cushion']);
  const { steps = 5, lower = 1e-3, safety = 0.02, cushion = 0.02 } = options;
  checkInteger(caller, 'steps', steps, { min: 1 });
  checkNumber(caller, 'lower', lower, { above: 0, below: 1 });
  checkNumber(caller, 'safety', safety, { min: 0 });
  checkNumber(caller, 'cushion', cushion, { min: 0, below: 1 });

  const rows: Quintic[] = [];
  for (let l = lower, u = 1; rows.length < steps; u = 2 - l) {
    const row = polarExpressStep(l, u, cushion);
    // Rounding must not leave the interval of the next row; after the last there is none.
    rows.push(rows.length < steps - 1 ? shrinkInput(row, 1 + safety) : row);
    l = evaluate(rows.at(-1)!, l);
  }
  return rows;
}

/** The row of `p(x / s)`. */
export function shrinkInput([a, b, c]: Quintic, s: number): Quintic {
  return [a / s, b / s ** 3, c / s ** 5];
}

/** One row for singular values in `[l, u]`. */
export function polarExpressStep(l: number, u: number, cushion: number): Quintic {
  if (cushion * u <= l) return fitQuintic(l, u);
  // Fitted to a narrower interval than asked for: scaled so that p([l, u]) is centred on 1 again.
  const row = fitQuintic(cushion * u, u);
  const scale = 2 / (evaluate(row, l) + evaluate(row, u));
  return [row[0] * scale, row[1] * scale, row[2] * scale];
}
