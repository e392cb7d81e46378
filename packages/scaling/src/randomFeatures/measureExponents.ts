import { checkInteger, checkOptions, seededRandom } from '@orth/backend';
import { checkNumbers } from '../checks.js';
import {
  type HostMatrix,
  type MatrixLike,
  meanSquaredError,
  productTransposed,
  type RowsLike,
  takeBlock,
  takeRows,
  transposed,
} from '../hostMatrix.js';
import { toKernel, toTargets } from './eigenstructure.js';
import { ridgeSolve, symmetricSolver } from './ridgeSolve.js';

/** Options of {@link measureExponents}. */
export interface MeasureExponentsOptions {
  /** Sample sizes n, at least two, each below the number of samples. Default: eight from 16 to half of them */
  readonly sizes?: readonly number[];
  /** Random subsets of each size, integer >= 1. Default 5 */
  readonly trials?: number;
  /** Seed of the subsets. Default 0 */
  readonly seed?: number;
}

/** What {@link measureExponents} finds. */
export interface Exponents {
  /** Exponent of the eigenvalues: slope of −log κ̂(n) by log n. */
  readonly alpha: number;
  /** Exponent of the squared coefficients: 1 + slope of −log of the ridgeless test error. */
  readonly beta: number;
  /** R² of the two straight lines. */
  readonly r2: { readonly alpha: number; readonly beta: number };
  /** What the lines were fitted to: geometric means over subsets. */
  readonly measurements: readonly {
    readonly n: number;
    readonly kappa: number;
    readonly testError: number;
  }[];
}

function line(x: readonly number[], y: readonly number[]): { slope: number; r2: number } {
  const mean = (v: readonly number[]) => v.reduce((s, t) => s + t, 0) / v.length;
  const [mx, my] = [mean(x), mean(y)];
  let [xx, xy, yy] = [0, 0, 0];
  x.forEach((xi, i) => {
    const [dx, dy] = [xi - mx, y[i]! - my];
    xx += dx * dx;
    xy += dx * dy;
    yy += dy * dy;
  });
  return { slope: xy / xx, r2: yy > 0 ? (xy * xy) / (xx * yy) : 1 };
}

/** 1 / Tr K⁻¹, the estimate of the ridgeless κ; 0 for a singular matrix. */
export function kappaEstimate(K: HostMatrix): number {
  const zeros = { shape: [K.shape[0], 1] as const, data: new Float64Array(K.shape[0]) };
  const { eigenvalues } = symmetricSolver(K, zeros);
  if (eigenvalues.some((l) => l <= 0)) return 0;
  return 1 / eigenvalues.reduce((sum, l) => sum + 1 / l, 0);
}

function defaultSizes(samples: number): number[] {
  const [low, high] = [Math.min(16, Math.max(2, samples >> 2)), samples >> 1];
  const sizes = Array.from({ length: 8 }, (_, i) => Math.round(low * (high / low) ** (i / 7)));
  return [...new Set(sizes)];
}

/**
 * Power-law exponents of a task, from its kernel and targets: α̂ is the slope of −log κ̂(n), κ̂ = 1/Tr K_nn⁻¹, and
 * β̂ − 1 the slope of −log of the ridgeless test error, both by log n. Fits to the tail of the eigenvalues of a finite
 * matrix are not reliable; these are.
 *
 * On the host in float64, O(n³) for each size and subset. Pass a {@link HostMatrix} rather than a float32 tensor where
 * the smallest eigenvalues are below 1e−6 of the largest.
 *
 * @param K - kernel of the samples, `[M, M]`
 * @param Y - targets, `[M]` or `[M, C]`
 * @throws TypeError or RangeError if `K`, `Y` or an option is wrong; RangeError if a submatrix is singular
 * @see Simon et al. 2024, "More is Better in Modern Machine Learning", section on measuring exponents
 */
export async function measureExponents(
  K: MatrixLike,
  Y: RowsLike,
  options: MeasureExponentsOptions = {},
): Promise<Exponents> {
  const caller = 'measureExponents';
  checkOptions(caller, options, ['sizes', 'trials', 'seed']);
  const { trials = 5, seed = 0 } = options;
  checkInteger(caller, 'trials', trials, { min: 1 });
  const random = seededRandom(seed);
  const kernel = await toKernel(caller, K);
  const samples = kernel.shape[0];
  const targets = await toTargets(caller, Y, samples);
  const sizes = options.sizes ?? defaultSizes(samples);
  checkNumbers(caller, 'sizes', sizes, { minLength: 2 });
  sizes.forEach((n, i) => {
    checkInteger(caller, `sizes[${i}]`, n, { min: 1, below: samples });
  });
  const all = Array.from({ length: samples }, (_, i) => i);
  const measurements = sizes.map((n) => {
    let [logKappa, logError] = [0, 0];
    for (let trial = 0; trial < trials; trial++) {
      const order = random.shuffle(all);
      const [seen, unseen] = [order.slice(0, n), order.slice(n)];
      const inner = takeBlock(kernel, seen, seen);
      const kappa = kappaEstimate(inner);
      if (!(kappa > 0)) {
        throw new RangeError(
          `${caller}: K must have positive definite submatrices, got a singular one of ${n} samples`,
        );
      }
      const dual = ridgeSolve(inner, takeRows(targets, seen), 0);
      const predicted = productTransposed(takeBlock(kernel, unseen, seen), transposed(dual));
      logKappa += Math.log(kappa) / trials;
      logError += Math.log(meanSquaredError(predicted, takeRows(targets, unseen))) / trials;
    }
    return { n, kappa: Math.exp(logKappa), testError: Math.exp(logError) };
  });
  const logN = measurements.map(({ n }) => Math.log(n));
  const eigen = line(
    logN,
    measurements.map(({ kappa }) => Math.log(kappa)),
  );
  const error = line(
    logN,
    measurements.map(({ testError }) => Math.log(testError)),
  );
  return {
    alpha: -eigen.slope,
    beta: 1 - error.slope,
    r2: { alpha: eigen.r2, beta: error.r2 },
    measurements,
  };
}
