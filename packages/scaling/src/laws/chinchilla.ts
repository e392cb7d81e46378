import { checkOptions } from '@orth/backend';
import { checkNumbers, checkSameLength } from '../checks.js';
import { bootstrapIntervals, type Interval, studentInterval, UNKNOWN } from './intervals.js';
import { nonNegativeFit } from './leastSquares.js';
import { covarianceOf, type Model, polish, squaresOf } from './polish.js';
import { checkFitOptions, type FitOptions } from './powerLaw.js';
import { centredLogs } from './powerLawSearch.js';

/** A fitted A/N^alpha + B/D^beta + E. */
export interface ChinchillaFit {
  readonly A: number;
  readonly alpha: number;
  readonly B: number;
  readonly beta: number;
  /** Asymptote for N, D → ∞. */
  readonly E: number;
  /** Root mean squared residual. */
  readonly rmse: number;
  /** Confidence intervals; NaN where the data says nothing. */
  readonly ci: Readonly<Record<'A' | 'alpha' | 'B' | 'beta' | 'E', Interval>>;
  /** In the order A, alpha, B, beta, E; absent where it is singular or nothing is left to estimate it from. */
  readonly covariance?: readonly (readonly number[])[];
  /** Whether the data determines the asymptote; if not, `warnings` says why. */
  readonly identified: boolean;
  readonly warnings: readonly string[];
  /** The law at N, D > 0. */
  evaluate(N: number, D: number): number;
}

const NAMES = ['A', 'alpha', 'B', 'beta', 'E'] as const;
const RANGE = [0.05, 2.5] as const;
const GRID = 40;
/** Nodes of the grid that are polished: the valley of equally good exponents is long and bent. */
const STARTS = 6;

interface Logs {
  readonly N: Float64Array;
  readonly D: Float64Array;
}

const modelOf = ({ N, D }: Logs): Model => ({
  value: ([A, a, B, b, E], i) => A! * Math.exp(-a! * N[i]!) + B! * Math.exp(-b! * D[i]!) + E!,
  gradient([A, a, B, b], i) {
    const [h, g] = [Math.exp(-a! * N[i]!), Math.exp(-b! * D[i]!)];
    return [h, -A! * N[i]! * h, g, -B! * D[i]! * g, 1];
  },
});

/** Nodes of the grid by what they leave, best first. */
function gridSearch({ N, D }: Logs, y: ArrayLike<number>): number[][] {
  const exponents = Array.from(
    { length: GRID },
    (_, i) => RANGE[0] * (RANGE[1] / RANGE[0]) ** (i / (GRID - 1)),
  );
  const powers = (logs: Float64Array) => exponents.map((e) => logs.map((v) => Math.exp(-e * v)));
  const [ofN, ofD] = [powers(N), powers(D)];
  const ones = new Float64Array(N.length).fill(1);
  const nodes = exponents.flatMap((alpha, i) =>
    exponents.map((beta, j) => {
      const { coefficients, squares } = nonNegativeFit([ofN[i]!, ofD[j]!, ones], y, undefined);
      const [A, B, E] = coefficients as [number, number, number];
      return { squares, parameters: [A, alpha, B, beta, E] };
    }),
  );
  nodes.sort((a, b) => a.squares - b.squares);
  return nodes.map(({ parameters }) => parameters);
}

function best(model: Model, starts: readonly number[][], y: ArrayLike<number>): number[] {
  let found = starts[0]!;
  let least = Infinity;
  for (const start of starts) {
    // Twice: a long valley takes more steps than one run has.
    const polished = polish(model, polish(model, start, y), y);
    const squares = squaresOf(model, polished, y);
    if (squares < least) [found, least] = [polished, squares];
  }
  return found;
}

/**
 * Fits A/N^alpha + B/D^beta + E with all parameters >= 0 by least squares: a grid of exponents with the best A, B and E
 * for each, of which the best few are polished by Levenberg–Marquardt.
 *
 * @param N - model sizes, each > 0, at least 2 distinct; in whatever unit, e.g. billions
 * @param D - data sizes, as many, at least 2 distinct
 * @param loss - losses, as many, at least 5
 * @throws TypeError or RangeError for fewer than 5 points, too few distinct sizes, sizes <= 0, a loss that is not finite, or
 *   a wrong option
 * @see Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models", eq. 2
 */
export function fitChinchilla(
  N: ArrayLike<number>,
  D: ArrayLike<number>,
  loss: ArrayLike<number>,
  options: FitOptions = {},
): ChinchillaFit {
  const caller = 'fitChinchilla';
  checkOptions(caller, options, ['bootstrap', 'level', 'seed']);
  const { bootstrap, level, seed } = checkFitOptions(caller, options);
  const few = NAMES.length;
  for (const [name, sizes] of Object.entries({ N, D })) {
    checkNumbers(caller, name, sizes, { above: 0, minLength: few });
    const different = new Set(Array.from(sizes)).size;
    if (different < 2) {
      throw new RangeError(`${caller}: ${name} must have 2 distinct values, got ${different}`);
    }
  }
  checkNumbers(caller, 'loss', loss, { minLength: few });
  checkSameLength(caller, ['N', N], ['D', D]);
  checkSameLength(caller, ['N', N], ['loss', loss]);
  const [sizes, data] = [centredLogs(N), centredLogs(D)];
  const logs = { N: sizes.logs, D: data.logs };
  const model = modelOf(logs);
  const nodes = gridSearch(logs, loss);
  // Neighbours of the best node lead to the same place: starts are spread over the best fortieth.
  const spread = Array.from({ length: STARTS }, (_, i) => nodes[i * i]!);
  const scaled = best(model, spread, loss);
  const toUnits = ([A, alpha, B, beta, E]: readonly number[]) => [
    A! * Math.exp(alpha! * sizes.mean),
    alpha!,
    B! * Math.exp(beta! * data.mean),
    beta!,
    E!,
  ];
  const parameters = toUnits(scaled);
  const squares = squaresOf(model, scaled, loss);
  const degrees = loss.length - few;
  const covariance =
    degrees > 0 ? unitCovariance(N, D, parameters, loss, squares / degrees) : undefined;
  const fitted = Float64Array.from(loss, (_, i) => model.value(scaled, i));
  const intervals =
    degrees < 1
      ? NAMES.map(() => UNKNOWN)
      : bootstrap === 0
        ? parameters.map((p, i) =>
            studentInterval(p, covariance?.[i]?.[i] ?? Number.NaN, degrees, level),
          )
        : bootstrapIntervals({
            fitted,
            squares,
            degrees,
            replicates: bootstrap,
            seed,
            level,
            refit: (y) => toUnits(polish(model, scaled, y)),
          });
  const [A, alpha, B, beta, E] = parameters as [number, number, number, number, number];
  const warnings: string[] = [];
  if (degrees === 0) warnings.push('five points: nothing is left to judge the law by');
  for (const [i, name] of NAMES.entries()) {
    if (parameters[i] === 0) warnings.push(`${name} is at its bound 0`);
  }
  for (const [name, sizesOf] of Object.entries({ N, D })) {
    if (new Set(Array.from(sizesOf)).size < 3) {
      warnings.push(`${name} has two values: exponent and asymptote not identified`);
    }
  }
  return {
    A,
    alpha,
    B,
    beta,
    E,
    rmse: Math.sqrt(squares / loss.length),
    ci: Object.fromEntries(NAMES.map((name, i) => [name, intervals[i]!])) as ChinchillaFit['ci'],
    ...(covariance && { covariance }),
    identified: warnings.length === 0,
    warnings,
    evaluate: (n, d) => A * n ** -alpha + B * d ** -beta + E,
  };
}

/** Covariance of the parameters in units of N and D themselves. */
function unitCovariance(
  N: ArrayLike<number>,
  D: ArrayLike<number>,
  parameters: readonly number[],
  loss: ArrayLike<number>,
  variance: number,
): number[][] | undefined {
  const logs = { N: Float64Array.from(N, Math.log), D: Float64Array.from(D, Math.log) };
  return covarianceOf(modelOf(logs), parameters, loss, undefined, variance);
}
