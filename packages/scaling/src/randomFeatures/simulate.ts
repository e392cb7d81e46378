import { checkInteger, checkNumber, checkOptions, type Random, seededRandom } from '@orth/backend';
import { type HostMatrix, productTransposed } from '../hostMatrix.js';
import { gramOf, weightsOf } from './gramSolve.js';
import { modesOf, type RegressionTask } from './modes.js';
import { ridgeSolve } from './ridgeSolve.js';

/** Options of {@link simulateRf}. */
export interface SimulateRfOptions extends Omit<RegressionTask, 'tail'> {
  /** Training samples, integer >= 1. */
  readonly n: number;
  /** Random features, integer >= 1; Infinity is kernel ridge regression. */
  readonly k: number;
  /** Ridge δ >= 0. */
  readonly ridge: number;
  /** Variance of the labels' noise, >= 0. Default 0 */
  readonly noise?: number;
  /** Independent repetitions, integer >= 1. Default 20 */
  readonly trials?: number;
  /** Seed. Default 0 */
  readonly seed?: number;
}

/** A mean over trials. */
export interface Measured {
  readonly mean: number;
  /** Standard error of the mean; NaN for one trial. */
  readonly standardError: number;
}

/** What {@link simulateRf} measures. */
export interface RfSimulation {
  readonly testRisk: Measured;
  readonly trainRisk: Measured;
}

function normals(random: Random, rows: number, columns: number): HostMatrix {
  const data = Float64Array.from({ length: rows * columns }, () => random.normal());
  return { shape: [rows, columns], data };
}

function measured(values: readonly number[]): Measured {
  const mean = values.reduce((s, v) => s + v, 0) / values.length;
  const squares = values.reduce((s, v) => s + (v - mean) ** 2, 0);
  return { mean, standardError: Math.sqrt(squares / (values.length - 1) / values.length) };
}

/**
 * Random-feature regression on Gaussian data, measured: x ~ N(0, I), y = x·v + noise, features W diag(√λ) x / √k with
 * W ~ N(0, 1). It is what {@link rfRisk} predicts, so the two can be laid side by side.
 *
 * On the host in float64. The predictor is linear in x, so the test risk is exact for each trial, without a test set.
 *
 * @throws TypeError or RangeError for a missing or wrong option
 * @see Simon et al. 2024, "More is Better in Modern Machine Learning", Gaussian random features
 */
export function simulateRf(options: SimulateRfOptions): RfSimulation {
  const caller = 'simulateRf';
  const known = ['eigenvalues', 'coeffs', 'n', 'k', 'ridge', 'noise', 'trials', 'seed'];
  checkOptions(caller, options, known);
  const { n, k, ridge, noise = 0, trials = 20, seed = 0, eigenvalues, coeffs } = options;
  modesOf(caller, { eigenvalues, coeffs });
  checkInteger(caller, 'n', n, { min: 1 });
  if (k !== Infinity) checkInteger(caller, 'k', k, { min: 1 });
  checkNumber(caller, 'ridge', ridge, { min: 0 });
  checkNumber(caller, 'noise', noise, { min: 0 });
  checkInteger(caller, 'trials', trials, { min: 1 });
  const source = seededRandom(seed);
  const M = eigenvalues.length;
  const roots = Float64Array.from(eigenvalues, Math.sqrt);
  const tests: number[] = [];
  const trains: number[] = [];
  for (let trial = 0; trial < trials; trial++) {
    const random = source.fork(trial);
    const x = normals(random, n, M);
    const y = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      for (let m = 0; m < M; m++) y[i] = y[i]! + x.data[i * M + m]! * coeffs[m]!;
      y[i] = y[i]! + Math.sqrt(noise) * random.normal();
    }
    const scaled = { shape: x.shape, data: x.data.map((v, i) => v * roots[i % M]!) };
    // f̂(x) = features(x)·weights = x·slope.
    const projection = k === Infinity ? undefined : normals(random, k, M);
    if (projection)
      for (let i = 0; i < k * M; i++) projection.data[i] = projection.data[i]! / Math.sqrt(k);
    const features = projection ? productTransposed(scaled, projection) : scaled;
    const Y = { shape: [n, 1] as const, data: y };
    const gram = gramOf(features, Y);
    const solution = ridgeSolve(productTransposed(gram.rows, gram.rows), gram.right, ridge);
    const weights = weightsOf(gram, solution);
    const slope = new Float64Array(M);
    if (projection) {
      for (let j = 0; j < k; j++) {
        for (let m = 0; m < M; m++) {
          slope[m] = slope[m]! + projection.data[j * M + m]! * weights.data[j]!;
        }
      }
    } else slope.set(weights.data);
    let test = noise;
    for (let m = 0; m < M; m++) test += (coeffs[m]! - roots[m]! * slope[m]!) ** 2;
    tests.push(test);
    const fitted = productTransposed(features, {
      shape: [1, weights.shape[0]],
      data: weights.data,
    });
    let train = 0;
    for (let i = 0; i < n; i++) train += (fitted.data[i]! - y[i]!) ** 2 / n;
    trains.push(train);
  }
  return { testRisk: measured(tests), trainRisk: measured(trains) };
}
