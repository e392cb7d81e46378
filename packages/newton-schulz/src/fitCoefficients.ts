import { checkInteger, checkNumber, checkOptions, seededRandom } from '@orth/backend';
import { nelderMead } from './nelderMead.js';
import type { Quintic } from './polarExpress.js';
import { SCHEDULES } from './schedules.js';
import { decayingSpectra, gaussianSpectra } from './spectra.js';

/** How much each kind of spectrum counts in the fit. */
export interface SpectrumMix {
  /** Gaussian matrices of the shape. Default 1 */
  readonly gaussian?: number;
  /** Spectra that fall by two decades, as those of momenta do. Default 1 */
  readonly decay?: number;
  /** The spectra in `samples`. Default 1 */
  readonly samples?: number;
}

/** Options of {@link fitCoefficients}. */
export interface FitOptions {
  /** Rows and columns, integers >= 1. */
  readonly shape: readonly [number, number];
  /** Spectra of the user's own matrices: singular values divided by the Frobenius norm, hence in [0, 1]. */
  readonly samples?: readonly ArrayLike<number>[];
  /** How many times the one triple is applied, integer >= 1. Default 5 */
  readonly steps?: number;
  /** Weights of the kinds of spectra; a kind left out weighs 1, 0 leaves it out of the fit. */
  readonly mix?: SpectrumMix;
  /** Seed of the drawn matrices and of the starts. Default 0 */
  readonly seed?: number;
}

/** What {@link fitCoefficients} found. */
export interface FittedCoefficients {
  /** The triple `[a, b, c]`, to be used in every step. */
  readonly coefficients: Quintic;
  /** Root mean square of `σ − 1` after all steps, over the fitted spectra. */
  readonly error: number;
  /** The same with Muon's triple. */
  readonly errorDefault: number;
}

const DEFAULT = SCHEDULES.muon.coefficients[0] as Quintic;
const NEIGHBOURS = 7;
/** Narrow spectra want a gentle slope at 0, further from Muon's triple than its neighbours reach. */
const GENTLE = [
  [2.9, -3.5, 1.5],
  [2.3, -2, 0.75],
];
/** What an infinite or huge singular value costs. */
const OVERFLOW = 1e3;

interface WeightedSpectrum {
  readonly values: ArrayLike<number>;
  readonly weight: number;
}

/**
 * Fits one triple to a matrix shape, so that applying it `steps` times brings the singular values of typical matrices
 * close to 1: the idea of ROOT's AdaNewton. The procedure is ours, since the authors published only results: it
 * minimises `E(a, b, c) = mean over spectra of mean_i (p^steps(σ_i) − 1)²` by Nelder–Mead from Muon's triple, seven
 * neighbours, and two gentler ones. Host only, no matrix products; some 10 to 100 ms.
 *
 * Fitted to Gaussian spectra alone (`mix: { decay: 0 }`) a triple has a small slope at 0 and leaves the small singular
 * values of momenta small, hence the mixture. A schedule of different rows, such as `'quintic'`, beats any one triple at
 * equal cost.
 *
 * @returns the triple and its error beside that of Muon's triple; never worse than the latter
 * @throws TypeError for an unknown option or kind of spectrum; RangeError for a value out of range, or if no spectrum has
 *   weight
 * @example
 * const { coefficients } = fitCoefficients({ shape: [64, 256] });
 * const q = orthogonalize(x, { coefficients: [coefficients], steps: 5 });
 * @see He et al. 2025, "ROOT", arXiv 2511.20626, section on AdaNewton; fit derived here
 */
export function fitCoefficients(options: FitOptions): FittedCoefficients {
  const caller = 'fitCoefficients';
  checkOptions(caller, options, ['shape', 'samples', 'steps', 'mix', 'seed']);
  const { shape, samples = [], steps = 5, mix = {}, seed = 0 } = options;
  if (!Array.isArray(shape) || shape.length !== 2) {
    throw new TypeError(`${caller}: shape must be [rows, columns], got ${String(shape)}`);
  }
  for (const side of shape) checkInteger(caller, 'shape', side, { min: 1 });
  checkInteger(caller, 'steps', steps, { min: 1 });
  checkInteger(caller, 'seed', seed);
  checkOptions(`${caller}: mix`, mix, ['gaussian', 'decay', 'samples']);
  const weights = { gaussian: 1, decay: 1, samples: 1, ...mix };
  for (const [kind, weight] of Object.entries(weights)) {
    checkNumber(caller, `mix.${kind}`, weight, { min: 0 });
  }
  for (const [i, values] of samples.entries()) {
    if (values.length === 0) throw new RangeError(`${caller}: samples[${i}] must not be empty`);
    for (const value of Array.from(values)) {
      checkNumber(caller, `samples[${i}]`, value, { min: 0, max: 1.001 });
    }
  }

  const random = seededRandom(seed);
  const [k, l] = [Math.min(...shape), Math.max(...shape)];
  const spectra: WeightedSpectrum[] = [];
  const include = (kind: keyof SpectrumMix, make: () => readonly ArrayLike<number>[]) => {
    if (weights[kind] === 0) return;
    const drawn = make();
    // A kind counts by its weight, however many spectra it has.
    for (const values of drawn) spectra.push({ values, weight: weights[kind] / drawn.length });
  };
  include('gaussian', () => gaussianSpectra(k, l, random.fork(1)));
  include('decay', () => decayingSpectra(k, random.fork(2)));
  include('samples', () => samples);
  if (spectra.length === 0) {
    throw new RangeError(
      `${caller}: mix must give some spectrum weight, got ${JSON.stringify(mix)}`,
    );
  }

  const total = spectra.reduce((sum, { weight }) => sum + weight, 0);
  const loss = (row: readonly number[]) =>
    spectra.reduce(
      (sum, { values, weight }) => sum + weight * squaredError(row, values, steps),
      0,
    ) / total;
  const jitter = random.fork(3);
  const neighbours = Array.from({ length: NEIGHBOURS }, () =>
    DEFAULT.map((c) => c * (1 + 0.03 * jitter.normal())),
  );
  let best = { point: DEFAULT as readonly number[], value: loss(DEFAULT) };
  for (const from of [DEFAULT, ...neighbours, ...GENTLE]) {
    const found = nelderMead(loss, from, { maxIterations: 4000, tolerance: 1e-7 });
    if (found.value < best.value) best = found;
  }
  return {
    coefficients: [...best.point] as unknown as Quintic,
    error: Math.sqrt(best.value),
    errorDefault: Math.sqrt(loss(DEFAULT)),
  };
}

/**
 * Root mean square of `p^steps(σ) − 1` over spectra, each singular value counting the same.
 * @param row - `[a, b, c]`
 * @param spectra - singular values divided by the Frobenius norm
 * @throws RangeError if `steps` is not an integer >= 1 or `row` has not three numbers
 */
export function coefficientError(
  row: readonly number[],
  spectra: readonly ArrayLike<number>[],
  steps = 5,
): number {
  checkInteger('coefficientError', 'steps', steps, { min: 1 });
  if (row.length !== 3) {
    throw new RangeError(`coefficientError: row must have 3 numbers, got ${row.length}`);
  }
  const count = spectra.reduce((sum, values) => sum + values.length, 0);
  const total = spectra.reduce(
    (sum, values) => sum + values.length * squaredError(row, values, steps),
    0,
  );
  return Math.sqrt(total / count);
}

function squaredError(row: readonly number[], values: ArrayLike<number>, steps: number): number {
  const [a, b, c] = [row[0]!, row[1]!, row[2]!];
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    let s = values[i]!;
    for (let t = 0; t < steps; t++) {
      const square = s * s;
      s *= a + square * (b + square * c);
    }
    const error = (s - 1) ** 2;
    // Infinity − Infinity is NaN.
    sum += Number.isNaN(error) ? OVERFLOW : Math.min(error, OVERFLOW);
  }
  return sum / values.length;
}
