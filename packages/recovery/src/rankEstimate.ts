import { checkInteger, checkNumber, checkOptions, seededRandom } from '@orth/backend';
import { div, sign, type Tensor, type Tensor1D, type Tensor2D, tidy } from '@tensorflow/tfjs-core';
import {
  type DenseMatrix,
  gram,
  type MatrixInput,
  multiply,
  readMatrix,
  toTensor2D,
  transposed,
} from './denseMatrix.js';
import { checkMeasurement, type LinearMeasurement } from './linearMeasurement.js';
import { median } from './order.js';
import { orthonormalColumns } from './orthonormal.js';
import { symmetrized } from './robustLoss.js';
import { symmetricEigen } from './symmetricEigen.js';

/** What {@link estimateRank} finds. */
export interface RankEstimate {
  readonly rank: number;
  /** Ratio of the last singular value that counts to the next, as they are in X; Infinity where all count. */
  readonly gap: number;
  /** Singular values of `U Uᵀ` (or of X), descending. */
  readonly values: Float64Array;
}

/** Options of {@link estimateRank}. */
export interface RankOptions {
  /** What is given: a factor U of `U Uᵀ`, whose singular values are squared, or a matrix. Default `'factor'` */
  readonly of?: 'factor' | 'matrix';
  /** Count singular values above this share of the largest, in (0, 1). Default: up to the widest gap */
  readonly tolerance?: number;
  /** Narrowest gap that counts, > 1; without one the rank is full. Default 10 */
  readonly minGap?: number;
}

/** float32 rounding of a product of factors. */
const FLOOR = 1e-7;

/**
 * Rank of what SubGM found: with a small start, directions beyond the true rank stay small, and a wide gap in the
 * singular values shows where. On the host, float64.
 *
 * @param U - factor `[d, r]`, or a matrix with `of: 'matrix'`
 * @throws TypeError or RangeError, by rejecting, for a bad matrix or option, or zeros alone
 * @example
 * const { U } = await subgm(A, y, { rank: 20 });
 * const { rank } = await estimateRank(U);
 */
export async function estimateRank(
  U: MatrixInput,
  options: RankOptions = {},
): Promise<RankEstimate> {
  const caller = 'estimateRank';
  checkOptions(caller, options, ['of', 'tolerance', 'minGap']);
  const { of = 'factor', tolerance, minGap = 10 } = options;
  if (tolerance !== undefined) checkNumber(caller, 'tolerance', tolerance, { above: 0, below: 1 });
  checkNumber(caller, 'minGap', minGap, { above: 1 });
  const matrix = await readMatrix(caller, 'U', U);
  const small = matrix.shape[0] <= matrix.shape[1] ? matrix : transposed(matrix);
  const n = small.shape[0];
  const squares = symmetricEigen(gram(small).data, n).values.map((w) => Math.max(w, 0));
  const values = of === 'factor' ? squares : squares.map(Math.sqrt);
  if (!(values[0]! > 0)) throw new RangeError(`${caller}: U must not be all zeros`);
  const floor = FLOOR * values[0]!;
  const ratio = (k: number) => Math.max(values[k - 1]!, floor) / Math.max(values[k]!, floor);
  let rank: number;
  if (tolerance !== undefined) {
    rank = values.filter((value) => value > tolerance * values[0]!).length;
  } else {
    rank = values.filter((value) => value > floor).length;
    let widest = minGap;
    for (let k = 1; k < n; k++) {
      if (ratio(k) < widest) continue;
      widest = ratio(k);
      rank = k;
    }
  }
  return { rank, gap: rank === n ? Number.POSITIVE_INFINITY : ratio(rank), values };
}

/** What {@link detectOutliers} finds. */
export interface Outliers {
  /** Indices of the measurements that X does not explain, ascending. */
  readonly indices: Int32Array;
  /** `y_i − ⟨A_i, X⟩` of all: estimates of what corrupted them. */
  readonly corruption: Float32Array;
}

/**
 * Measurements that disagree with X by far more than the typical one: at an exact solution residuals are minus what was
 * added.
 *
 * @param y - measurements, shape `[m]`
 * @param options.X - the matrix found, shape `[rows, columns]`
 * @param options.threshold - |residual| above which a measurement counts, > 0. Default: the larger of 10 times the
 *   median |residual| and 1e−3 of the median |y|
 * @throws TypeError or RangeError, by rejecting, for shapes that do not fit or a bad option
 */
export async function detectOutliers(
  A: LinearMeasurement,
  y: Tensor | ArrayLike<number>,
  options: { readonly X: Tensor2D; readonly threshold?: number },
): Promise<Outliers> {
  const caller = 'detectOutliers';
  checkMeasurement(caller, A, false);
  checkOptions(caller, options, ['X', 'threshold']);
  const X = await readMatrix(caller, 'X', options.X);
  if (`${X.shape}` !== `${[A.rows, A.columns]}`) {
    throw new RangeError(
      `${caller}: X must have shape [${A.rows},${A.columns}], got shape [${X.shape}]`,
    );
  }
  if (options.threshold !== undefined) {
    checkNumber(caller, 'threshold', options.threshold, { above: 0 });
  }
  const values = 'dataSync' in y ? await (y as Tensor).data() : y;
  if (values.length !== A.m) {
    throw new RangeError(`${caller}: y must have ${A.m} entries, got ${values.length}`);
  }
  const image = tidy(() => A.apply(options.X));
  const explained = await image.data();
  image.dispose();
  const corruption = Float32Array.from(explained, (z, i) => values[i]! - z);
  const sizes = corruption.map(Math.abs);
  const typical = median(Array.from(values, Math.abs));
  const { threshold = Math.max(10 * median(sizes), 1e-3 * typical) } = options;
  const indices = Int32Array.from([...sizes.keys()].filter((i) => sizes[i]! > threshold));
  return { indices, corruption };
}

/** What {@link signRipEstimate} finds. */
export interface SignRip {
  /** Largest `‖Q(X) − φ X‖ / φ` seen over unit X, norm restricted to rank 2·rank: a lower bound of the constant. */
  readonly delta: number;
  /** Mean of `⟨Q(X), X⟩`; √(2/π) for Gaussian measurements. */
  readonly phi: number;
}

/**
 * How near signs of measurements are to measuring direction: the condition under which SubGM works, estimated on random
 * matrices. `Q(X) = (1/m) Σ sign⟨A_i, X⟩ (A_i + A_iᵀ)/2` should be `φ X / ‖X‖_F` on low-rank X.
 *
 * @param A - measurement of square matrices
 * @param options.rank - rank of the random matrices, 1 … d
 * @param options.trials - integer >= 1. Default 20
 * @param options.seed - integer. Default 0
 * @throws TypeError or RangeError, by rejecting, for a bad option
 * @see Ma and Fattahi 2022, Definition of Sign-RIP
 */
export async function signRipEstimate(
  A: LinearMeasurement,
  options: { readonly rank: number; readonly trials?: number; readonly seed?: number },
): Promise<SignRip> {
  const caller = 'signRipEstimate';
  checkMeasurement(caller, A, true);
  checkOptions(caller, options, ['rank', 'trials', 'seed']);
  const { rank, trials = 20, seed = 0 } = options;
  const d = A.rows;
  checkInteger(caller, 'rank', rank, { min: 1, max: d });
  checkInteger(caller, 'trials', trials, { min: 1 });
  const random = seededRandom(seed);
  const found: { Q: Float64Array; X: DenseMatrix; phi: number }[] = [];
  for (let trial = 0; trial < trials; trial++) {
    const V = orthonormalColumns(random, d, rank);
    const weights = Float64Array.from({ length: rank }, () => random.normal());
    const norm = Math.sqrt(weights.reduce((total, w) => total + w * w, 0));
    const scaled = { shape: V.shape, data: V.data.map((v, e) => (v * weights[e % rank]!) / norm) };
    const X = multiply(scaled, transposed(V));
    const Qt = tidy(() => {
      const x = toTensor2D(X);
      return symmetrized(div(A.adjoint(sign(A.apply(x)) as Tensor1D), A.m));
    });
    const Q = Float64Array.from(await Qt.data());
    Qt.dispose();
    found.push({ Q, X, phi: Q.reduce((total, q, e) => total + q * X.data[e]!, 0) });
  }
  const phi = found.reduce((total, f) => total + f.phi, 0) / trials;
  let delta = 0;
  for (const { Q, X } of found) {
    const difference = Q.map((q, e) => q - phi * X.data[e]!);
    const squares = symmetricEigen(difference, d).values.map((w) => w * w);
    const top = squares.sort((a, b) => b - a).slice(0, 2 * rank);
    delta = Math.max(delta, Math.sqrt(top.reduce((total, w) => total + w, 0)) / phi);
  }
  return { delta, phi };
}
