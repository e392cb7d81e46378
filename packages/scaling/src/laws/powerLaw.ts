import { checkBoolean, checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { checkNumbers, checkSameLength } from '../checks.js';
import { bootstrapIntervals, type Interval, studentInterval, UNKNOWN } from './intervals.js';
import { covarianceOf, type Model, polish, squaresOf } from './polish.js';
import {
  ALPHA_RANGE,
  centredLogs,
  type PowerLaw,
  type ScaledPowerLaw,
  searchPowerLaw,
} from './powerLawSearch.js';
import { robustWeights } from './robust.js';

/** Options of the fits. */
export interface FitOptions {
  /**
   * Refits for the confidence intervals, integer >= 0; 0 takes Student's t with the covariance. Default 0: on 400 synthetic
   * fits its 90 % intervals of E held in 90 to 91 %, while 200 refits held in 85 to 92 % depending on the seed, and 100 in 80
   * to 95 %. Take a thousand and more where the covariance is no guide
   */
  readonly bootstrap?: number;
  /** Probability that the intervals hold, in (0, 1). Default 0.95 */
  readonly level?: number;
  /** Seed of the bootstrap. Default 0 */
  readonly seed?: number;
}

/** Options of {@link fitPowerLaw}. */
export interface PowerLawOptions extends FitOptions {
  /** Factors on squared residuals, each > 0: 1/variance of each point. Default 1 */
  readonly weights?: ArrayLike<number>;
  /** Huber's loss (1e−3) on log losses in place of least squares: for runs that went wrong. Default false */
  readonly robust?: boolean;
}

/** A fitted law. */
export interface PowerLawFit extends PowerLaw {
  /** Root mean squared residual, in units of y. */
  readonly rmse: number;
  /** Confidence intervals; NaN where the data says nothing. */
  readonly ci: { readonly A: Interval; readonly alpha: Interval; readonly E: Interval };
  /** σ²(JᵀJ)⁻¹ in the order A, alpha, E; absent where it is singular or nothing is left to estimate σ² from. */
  readonly covariance?: readonly (readonly number[])[];
  /** Least and greatest asymptote when one point is left out; absent with fewer than 4 distinct x. */
  readonly leaveOneOut?: Interval;
  /** Whether the data determines the asymptote; if not, `warnings` says why. */
  readonly identified: boolean;
  /** What a reader must know before believing the asymptote. */
  readonly warnings: readonly string[];
  /** The law at x > 0. */
  evaluate(x: number): number;
}

const PARAMETERS = 3;
const GRID = 200;
/** Nodes of the grid in refits. */
const COARSE_GRID = 48;

/** Checks options of a fit. */
export function checkFitOptions(caller: string, options: FitOptions): Required<FitOptions> {
  const { bootstrap = 0, level = 0.95, seed = 0 } = options;
  checkInteger(caller, 'bootstrap', bootstrap, { min: 0 });
  checkNumber(caller, 'level', level, { above: 0, below: 1 });
  checkInteger(caller, 'seed', seed);
  return { bootstrap, level, seed };
}

/** Demands x > 0, finite y, as many, and enough of them. */
export function checkPoints(caller: string, x: unknown, y: unknown, distinct: number): void {
  checkNumbers(caller, 'x', x, { above: 0, minLength: distinct });
  checkNumbers(caller, 'y', y, { minLength: distinct });
  checkSameLength(caller, ['x', x], ['y', y]);
  const different = new Set(Array.from(x)).size;
  if (different >= distinct) return;
  throw new RangeError(`${caller}: x must have ${distinct} distinct values, got ${different}`);
}

/** A/u^α + E with u in units of the geometric mean. */
const modelOf = (logs: Float64Array): Model => ({
  value: ([A, alpha, E], i) => A! * Math.exp(-alpha! * logs[i]!) + E!,
  gradient([A, alpha], i) {
    const h = Math.exp(-alpha! * logs[i]!);
    return [h, -A! * logs[i]! * h, 1];
  },
});

/** Why the asymptote is not determined, if it is not. */
function doubts({ A, alpha, E }: PowerLaw): string[] {
  const found: string[] = [];
  if (A === 0) found.push('y does not fall with x: A is 0 and alpha means nothing');
  else if (alpha <= ALPHA_RANGE[0] * 1.01 || alpha >= ALPHA_RANGE[1] * 0.99) {
    found.push(`alpha is at a bound (${alpha.toPrecision(3)}): asymptote not identified`);
  }
  if (E === 0) found.push('E is at its bound 0: asymptote not identified');
  return found;
}

const INTERPOLATES = 'three points: the law passes through them and nothing is left to judge it by';

/**
 * Fits A/x^alpha + E with A, alpha, E >= 0 by least squares.
 *
 * Variable projection: for each alpha the best A and E are exact; alpha is searched on a grid of 200, refined, and all
 * three are polished by Levenberg–Marquardt. No start to choose, the order of the points does not matter, and the result
 * is the best minimum rather than the nearest one.
 *
 * @param x - sizes, each > 0: parameters, tokens, members; at least 3 distinct
 * @param y - losses, as many
 * @param options - see {@link PowerLawOptions}
 * @throws TypeError or RangeError for fewer than 3 distinct x, x <= 0, a loss that is not finite, or a wrong option
 * @example
 * const law = fitPowerLaw([1, 2, 3, 4, 5], [2.195, 2.13, 2.099, 2.089, 2.079]);
 * law.E; // loss of infinitely many members
 * law.ci.E; // and how far to trust it
 * @see Kim et al. 2025, "Pre-training under infinite compute", L(N) = A/N^α + E
 */
export function fitPowerLaw(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  options: PowerLawOptions = {},
): PowerLawFit {
  const caller = 'fitPowerLaw';
  checkOptions(caller, options, ['bootstrap', 'level', 'seed', 'weights', 'robust']);
  const settings = checkFitOptions(caller, options);
  const { robust = false, weights: given } = options;
  checkBoolean(caller, 'robust', robust);
  checkPoints(caller, x, y, PARAMETERS);
  if (given !== undefined) {
    checkNumbers(caller, 'weights', given, { above: 0 });
    checkSameLength(caller, ['x', x], ['weights', given]);
  }
  if (robust) checkNumbers(caller, 'y', y, { above: 0 });
  const { logs, mean } = centredLogs(x);
  const fit = (grid: number, to: ArrayLike<number>, at = logs, w = given) =>
    robust
      ? robustWeights(at, to, w, (data) => searchPowerLaw(at, data, grid))
      : { law: searchPowerLaw(at, { y: to, weights: w }, grid), data: { y: to, weights: w } };
  const { law, data } = fit(GRID, y);
  const model = modelOf(logs);
  const scaled = polish(model, [law.A, law.alpha, law.E], data.y, data.weights);
  const [a, alpha, E] = scaled as [number, number, number];
  const toUnits = (p: ArrayLike<number>): [number, number, number] => [
    p[0]! * Math.exp(p[1]! * mean),
    p[1]!,
    p[2]!,
  ];
  const [A] = toUnits(scaled);
  const evaluate = (at: number) => a * Math.exp(-alpha * (Math.log(at) - mean)) + E;
  const degrees = y.length - PARAMETERS;
  const squares = squaresOf(model, scaled, data.y, data.weights);
  const small = covarianceOf(model, scaled, data.y, data.weights, squares / degrees);
  const covariance = degrees > 0 && small ? inUnits(small, a, mean, alpha) : undefined;
  const doubtful = doubts({ A: a, alpha, E });
  const refit = (to: ArrayLike<number>) => {
    const found = searchPowerLaw(logs, { y: to, weights: data.weights }, COARSE_GRID);
    return toUnits([found.A, found.alpha, found.E]);
  };
  const intervals =
    degrees < 1
      ? [UNKNOWN, UNKNOWN, UNKNOWN]
      : settings.bootstrap === 0
        ? [A, alpha, E].map((p, i) =>
            studentInterval(p, covariance?.[i]?.[i] ?? Number.NaN, degrees, settings.level),
          )
        : bootstrapIntervals({
            fitted: Float64Array.from(x, evaluate),
            squares,
            weights: data.weights,
            degrees,
            replicates: settings.bootstrap,
            seed: settings.seed,
            level: settings.level,
            refit,
          });
  const [ciA, ciAlpha, ciE] = intervals as [Interval, Interval, Interval];
  const leaveOneOut = leaveOneOutOf(logs, y, given, (at, to, w) => fit(COARSE_GRID, to, at, w).law);
  return {
    A,
    alpha,
    E,
    rmse: Math.sqrt(squaresOf(model, scaled, y) / y.length),
    ci: { A: ciA, alpha: ciAlpha, E: ciE },
    ...(covariance && { covariance }),
    ...(leaveOneOut && { leaveOneOut }),
    identified: doubtful.length === 0,
    warnings: degrees < 1 ? [INTERPOLATES, ...doubtful] : doubtful,
    evaluate,
  };
}

/** Covariance for A in units of x itself: A = a·g^α, so dA = g^α da + A log g dα. */
function inUnits(C: readonly number[][], a: number, mean: number, alpha: number): number[][] {
  const factor = Math.exp(alpha * mean);
  const T = [
    [factor, a * factor * mean, 0],
    [0, 1, 0],
    [0, 0, 1],
  ];
  const product = (i: number, j: number) => {
    let sum = 0;
    for (let k = 0; k < PARAMETERS; k++) {
      for (let l = 0; l < PARAMETERS; l++) {
        // A parameter at its bound has no covariance, and must not spoil those of the others.
        if (T[i]![k] !== 0 && T[j]![l] !== 0) sum += T[i]![k]! * C[k]![l]! * T[j]![l]!;
      }
    }
    return sum;
  };
  return C.map((row, i) => row.map((_, j) => product(i, j)));
}

function leaveOneOutOf(
  logs: Float64Array,
  y: ArrayLike<number>,
  weights: ArrayLike<number> | undefined,
  fit: (
    logs: Float64Array,
    y: ArrayLike<number>,
    weights: ArrayLike<number> | undefined,
  ) => ScaledPowerLaw,
): Interval | undefined {
  let [low, high] = [Infinity, -Infinity];
  for (let left = 0; left < logs.length; left++) {
    const kept = (_: number, i: number) => i !== left;
    const at = logs.filter(kept);
    if (new Set(at).size < PARAMETERS) return undefined;
    const { E } = fit(at, Array.from(y).filter(kept), weights && Array.from(weights).filter(kept));
    low = Math.min(low, E);
    high = Math.max(high, E);
  }
  return [low, high];
}
