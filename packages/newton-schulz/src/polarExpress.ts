import { checkInteger, checkNumber, checkOptions } from '@orth/backend';

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
export function oddMinimaxQuintic(lower: number, upper: number): [number, number, number] {
  checkNumber('oddMinimaxQuintic', 'upper', upper, { above: 0 });
  checkNumber('oddMinimaxQuintic', 'lower', lower, { above: 0, below: upper });
  return fitQuintic(lower, upper);
}

function fitQuintic(lower: number, upper: number): [number, number, number] {
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

/** Solves `a x + b x³ + c x⁵ ± E = 1` at four points, the sign alternating from +, by elimination with pivoting. */
function alternate(points: readonly number[]): [number, number, number, number] {
  const rows = points.map((x, i) => [x, x ** 3, x ** 5, i % 2 === 0 ? 1 : -1, 1]);
  for (let k = 0; k < 4; k++) {
    let pivot = k;
    for (let i = k + 1; i < 4; i++) {
      if (Math.abs(rows[i]![k]!) > Math.abs(rows[pivot]![k]!)) pivot = i;
    }
    [rows[k], rows[pivot]] = [rows[pivot]!, rows[k]!];
    for (let i = 0; i < 4; i++) {
      if (i === k) continue;
      const factor = rows[i]![k]! / rows[k]![k]!;
      for (let j = k; j < 5; j++) rows[i]![j]! -= factor * rows[k]![j]!;
    }
  }
  const [a, b, c, E] = rows.map((row, k) => row[4]! / row[k]!);
  return [a!, b!, c!, E!];
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
export function polarExpressCoefficients(
  options: PolarExpressOptions = {},
): [number, number, number][] {
  const caller = 'polarExpressCoefficients';
  checkOptions(caller, options, ['steps', 'lower', 'safety', 'cushion']);
  const { steps = 5, lower = 1e-3, safety = 0.02, cushion = 0.02 } = options;
  checkInteger(caller, 'steps', steps, { min: 1 });
  checkNumber(caller, 'lower', lower, { above: 0, below: 1 });
  checkNumber(caller, 'safety', safety, { min: 0 });
  checkNumber(caller, 'cushion', cushion, { min: 0, below: 1 });

  let l = lower;
  let u = 1;
  return Array.from({ length: steps }, (_, t) => {
    let [a, b, c] = fitQuintic(Math.max(l, cushion * u), u);
    const p = (x: number) => x * (a + x * x * (b + x * x * c));
    if (cushion * u > l) {
      // Fitted to a narrower interval than asked for: centre p([l, u]) on 1 again.
      const scale = 2 / (p(l) + p(u));
      [a, b, c] = [a * scale, b * scale, c * scale];
    }
    if (t < steps - 1) {
      const s = 1 + safety;
      [a, b, c] = [a / s, b / s ** 3, c / s ** 5];
    }
    l = p(l);
    u = 2 - l;
    return [a, b, c];
  });
}
