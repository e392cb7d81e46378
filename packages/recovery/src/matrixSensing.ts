import { checkInteger, checkNumber, checkOptions, seededRandom } from '@orth/backend';
import { add, type Tensor1D, type Tensor2D, tensor1d, tidy } from '@tensorflow/tfjs-core';
import { type DenseMatrix, multiply, toTensor2D, transposed } from './denseMatrix.js';
import { gaussianMeasurement, type LinearMeasurement } from './linearMeasurement.js';
import { orthonormalColumns } from './orthonormal.js';

/** Options of {@link matrixSensing}. */
export interface MatrixSensingOptions {
  /** Rows and columns of X, or `[rows, columns]` for a rectangular one. */
  readonly d: number | readonly [number, number];
  /** Rank of X. */
  readonly rank: number;
  /** Measurements. */
  readonly m: number;
  /** Share of the measurements that is corrupted, in [0, 1). Default 0 */
  readonly outliers?: number;
  /** Standard deviation of what is added to those. Default 10 */
  readonly outlierScale?: number;
  /** Standard deviation of Gaussian noise on all, >= 0. Default 0 */
  readonly noise?: number;
  /** Largest by smallest positive singular value of X, >= 1; those between are spaced geometrically. Default 1 */
  readonly conditionNumber?: number;
  /** Integer. Default 0 */
  readonly seed?: number;
}

/** A problem made by {@link matrixSensing}; the caller disposes its parts, or calls `dispose`. */
export interface MatrixSensing {
  readonly A: LinearMeasurement;
  /** Measurements, shape `[m]`. */
  readonly y: Tensor1D;
  /** What is to be found, with largest singular value 1: symmetric and PSD if square. */
  readonly X: Tensor2D;
  /** Indices of the corrupted measurements, ascending. */
  readonly corrupted: Int32Array;
  dispose(): void;
}

const KEYS = ['d', 'rank', 'm', 'outliers', 'outlierScale', 'noise', 'conditionNumber', 'seed'];

/**
 * A random low-rank matrix, Gaussian measurements of it, and some of these corrupted.
 *
 * @throws TypeError or RangeError for a bad option
 * @example
 * const { A, y, X } = matrixSensing({ d: 20, rank: 3, m: 400, outliers: 0.1 });
 */
export function matrixSensing(options: MatrixSensingOptions): MatrixSensing {
  const caller = 'matrixSensing';
  checkOptions(caller, options, KEYS);
  const { d, rank, m, outliers = 0, outlierScale = 10, noise = 0 } = options;
  const { conditionNumber = 1, seed = 0 } = options;
  const [rows, columns] = typeof d === 'number' ? [d, d] : d;
  checkInteger(caller, 'd', rows, { min: 1 });
  checkInteger(caller, 'd', columns, { min: 1 });
  checkInteger(caller, 'rank', rank, { min: 1, max: Math.min(rows, columns) });
  checkInteger(caller, 'm', m, { min: 1 });
  checkNumber(caller, 'outliers', outliers, { min: 0, below: 1 });
  checkNumber(caller, 'outlierScale', outlierScale, { min: 0 });
  checkNumber(caller, 'noise', noise, { min: 0 });
  checkNumber(caller, 'conditionNumber', conditionNumber, { min: 1 });
  checkInteger(caller, 'seed', seed);
  const random = seededRandom(seed);
  const left = orthonormalColumns(random, rows, rank);
  const right = typeof d === 'number' ? left : orthonormalColumns(random, columns, rank);
  const value = (i: number) => (rank === 1 ? 1 : conditionNumber ** (-i / (rank - 1)));
  const scaled: DenseMatrix = {
    shape: left.shape,
    data: left.data.map((x, e) => x * value(e % rank)),
  };
  const X = toTensor2D(multiply(scaled, transposed(right)));
  const A = gaussianMeasurement([rows, columns], m, { seed: random.integer(0, 2 ** 31) });
  const count = Math.round(outliers * m);
  const order = random.shuffle(Array.from({ length: m }, (_, i) => i));
  const corrupted = Int32Array.from(order.slice(0, count)).sort();
  const added = Float32Array.from({ length: m }, () => (noise > 0 ? random.normal(0, noise) : 0));
  for (const i of corrupted) added[i]! += random.normal(0, outlierScale);
  const y = tidy(() => add(A.apply(X), tensor1d(added))) as Tensor1D;
  const dispose = () => {
    for (const part of [A, y, X]) part.dispose?.();
  };
  return { A, y, X, corrupted, dispose };
}
