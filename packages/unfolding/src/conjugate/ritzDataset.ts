import { checkInteger, checkNumber, checkOptions, seededRandom } from '@orth/backend';
import { type Tensor2D, tensor2d } from '@tensorflow/tfjs-core';
import type { CsrMatrix } from './csrMatrix.js';
import { lanczos, type RitzPairs, ritz } from './lanczos.js';
import { checkSquareMatrix } from './preconditioner.js';
import { addScaled, checkVector, type HostVector, norm } from './vectors.js';

/** How Ritz vectors are weighed in training samples. */
export interface RitzWeights {
  /** m of the rule that the first `⌊m/2⌋ + thetaShift` vectors get `bigWeight`. Default: all Ritz vectors there are */
  readonly m?: number;
  /** Default `⌊m/20⌋`, the authors' ratio (500 of 10,000) */
  readonly thetaShift?: number;
  /** Weight of the vectors with small Ritz values, which the later iterations see; the others get 1. Default 9 */
  readonly bigWeight?: number;
  /** Vectors with smaller Ritz values are left out. Default 1e-8 */
  readonly dropBelow?: number;
}

/** Options of {@link ritzDataset}. */
export interface RitzDatasetOptions extends RitzWeights {
  /** Samples, integer >= 1. Default 2000 */
  readonly size?: number;
  /** Seed of the start and the samples, integer. Default 0 */
  readonly seed?: number;
}

const WEIGHTS = ['m', 'thetaShift', 'bigWeight', 'dropBelow'];

/** Checks before anything is computed. */
function checkWeights(caller: string, m: number, weights: RitzWeights) {
  const { thetaShift = Math.floor(m / 20), bigWeight = 9, dropBelow = 1e-8 } = weights;
  checkInteger(caller, 'thetaShift', thetaShift, { min: 0 });
  checkNumber(caller, 'bigWeight', bigWeight, { above: 0 });
  checkNumber(caller, 'dropBelow', dropBelow, { min: 0 });
  return { big: Math.floor(m / 2) + thetaShift, bigWeight, dropBelow };
}

/**
 * Right-hand sides of norm 1 out of Ritz vectors: `Σ w_j c_j V_j / ‖·‖`, with large weights `w_j` for small Ritz values.
 *
 * @param pairs - ascending, as {@link ritz} gives them
 * @param coefficients - c of each sample, one number for each vector that remains
 * @returns one vector `[n]` for each sample
 * @throws TypeError or RangeError for another number of coefficients, or where no vector remains
 * @see Kaneda et al. 2023, section 4.2
 */
export function ritzSamples(
  pairs: RitzPairs,
  coefficients: readonly HostVector[],
  weights: RitzWeights = {},
): Float64Array[] {
  const caller = 'ritzSamples';
  checkOptions(caller, weights, WEIGHTS);
  const { m = pairs.values.length } = weights;
  checkInteger(caller, 'm', m, { min: 1 });
  const { big, bigWeight, dropBelow } = checkWeights(caller, m, weights);
  const vectors = pairs.vectors.filter((_, j) => pairs.values[j]! >= dropBelow);
  if (vectors.length === 0) {
    throw new RangeError(`${caller}: some Ritz value must be >= ${dropBelow}, got none`);
  }
  return coefficients.map((each) => {
    const c = checkVector(caller, 'coefficients', each, vectors.length);
    const b = new Float64Array(vectors[0]!.length);
    for (const [j, V] of vectors.entries()) addScaled(b, c[j]! * (j < big ? bigWeight : 1), V);
    const length = norm(b);
    return length > 0 ? b.map((value) => value / length) : b;
  });
}

/**
 * Training data for {@link trainDirection}, from A alone: Lanczos' method started at A times Gaussian noise, and random
 * combinations of its Ritz vectors. On the host, O(n m²) once and O(n m) a sample.
 *
 * @param A - symmetric positive definite
 * @param options.m - Lanczos steps, integer in [1, n]. Default min(n, 120); the authors' 10,000 at n = 64³
 * @returns `[size, n]`, float32, rows of norm 1; the caller disposes it
 * @throws TypeError or RangeError for an A that is not symmetric, or an option out of range or unknown
 * @example
 * const data = ritzDataset(poisson2d(16), { m: 120, thetaShift: 6, seed: 1 });
 */
export function ritzDataset(A: CsrMatrix, options: RitzDatasetOptions = {}): Tensor2D {
  const caller = 'ritzDataset';
  checkSquareMatrix(caller, A);
  const n = A.rows;
  checkOptions(caller, options, [...WEIGHTS, 'size', 'seed']);
  const { m = Math.min(n, 120), size = 2000, seed = 0, ...weights } = options;
  checkInteger(caller, 'm', m, { min: 1, max: n });
  checkInteger(caller, 'size', size, { min: 1 });
  const { dropBelow } = checkWeights(caller, m, weights);
  const random = seededRandom(seed);
  const noise = Float64Array.from({ length: n }, () => random.normal());
  const pairs = ritz(lanczos(A, A.multiply(noise), m));
  const remaining = pairs.values.filter((theta) => theta >= dropBelow).length;
  const flat = new Float32Array(size * n);
  for (let i = 0; i < size; i++) {
    const c = Float64Array.from({ length: remaining }, () => random.normal());
    flat.set(ritzSamples(pairs, [c], { m, ...weights })[0]!, i * n);
  }
  return tensor2d(flat, [size, n]);
}
