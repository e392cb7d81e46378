import { checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import { mul, sub, type Tensor2D, tensor2d, tidy } from '@tensorflow/tfjs-core';
import { type MatrixInput, readMatrix } from './denseMatrix.js';
import { maskMeasurement } from './linearMeasurement.js';
import { estimateRank } from './rankEstimate.js';
import { scaledSubgradient } from './scaledSubgradient.js';
import { type SubgmRectangularResult, subgmRectangular } from './subgm.js';

/** Options of {@link robustPca}. */
export interface RobustPcaOptions {
  /**
   * Columns of the factors: the rank, 1 … min(rows, columns). Entries are no random measurements: columns beyond the rank
   * fit gross errors.
   */
  readonly rank: number;
  /** Which entries were observed: not 0; same shape. Default: all */
  readonly mask?: MatrixInput;
  /** SubGM from a small start, or its preconditioned neighbour. Default `'subgm'` */
  readonly method?: 'subgm' | 'scaled';
  /** Size of SubGM's start in units of the root of the data's size, > 0. Default 1e−3 */
  readonly alpha?: number;
  /** Steps, integer >= 1. Default 1200 */
  readonly steps?: number;
  /** See the methods, > 0. Default 1 for `'subgm'`, 0.3 for `'scaled'` */
  readonly eta0?: number;
  /** In (0, 1]. Default 0.99 */
  readonly rho?: number;
  /** See `SubgmOptions`. Default 1e−3 */
  readonly tolerance?: number;
  readonly signal?: AbortSignal;
}

/** Result of {@link robustPca}; the caller disposes the tensors. */
export interface RobustPcaResult extends Omit<SubgmRectangularResult, 'X'> {
  /** `L Rᵀ`, shape `[rows, columns]`: the low-rank part, unobserved entries filled in. */
  readonly lowRank: Tensor2D;
  /** What was observed less the low-rank part, 0 where nothing was observed. */
  readonly sparse: Tensor2D;
  /** Rank that the singular values show, see `estimateRank`. */
  readonly rank: number;
}

const KEYS = ['rank', 'mask', 'method', 'alpha', 'steps', 'eta0', 'rho', 'tolerance', 'signal'];

/**
 * Splits a matrix into low rank and sparse gross errors, entries missing or not: ℓ1 recovery with a mask as the
 * measurement.
 *
 * @param Y - data, shape `[rows, columns]`; unobserved entries may hold anything finite
 * @throws TypeError or RangeError, by rejecting, for a bad shape or option, NaN, or zeros alone
 * @example
 * const { lowRank, sparse, rank } = await robustPca(Y, { rank: 3 });
 */
export async function robustPca(
  Y: MatrixInput,
  options: RobustPcaOptions,
): Promise<RobustPcaResult> {
  const caller = 'robustPca';
  checkOptions(caller, options, KEYS);
  const { rank, mask, method = 'subgm', alpha = 1e-3, signal } = options;
  checkOneOf(caller, 'method', method, ['subgm', 'scaled']);
  checkNumber(caller, 'alpha', alpha, { above: 0 });
  if (method === 'scaled' && options.alpha !== undefined) {
    throw new RangeError(`${caller}: alpha must be absent where method is "scaled"`);
  }
  const data = await readMatrix(caller, 'Y', Y);
  const observed = mask && (await readMatrix(caller, 'mask', mask));
  if (observed && `${observed.shape}` !== `${data.shape}`) {
    throw new RangeError(
      `${caller}: mask must have shape [${data.shape}], got shape [${observed.shape}]`,
    );
  }
  const seen = (i: number) => observed?.data[i] !== 0;
  const y = data.data.filter((_, i) => seen(i));
  const size = Math.sqrt(y.reduce((total, v) => total + Math.abs(v), 0) / Math.max(1, y.length));
  const A = maskMeasurement(observed ?? { shape: data.shape, data: data.data.map(() => 1) });
  const { steps = 1200, eta0 = method === 'subgm' ? 1 : 0.3, rho = 0.99 } = options;
  const { tolerance = 1e-3 } = options;
  const both = { rank, steps, eta0, rho, tolerance, ...(signal && { signal }) };
  try {
    const { X, ...found } =
      method === 'subgm'
        ? await subgmRectangular(A, y, { ...both, alpha: alpha * (size || 1) })
        : await scaledSubgradient(A, y, both);
    const sparse = tidy(() => {
      const values = Float32Array.from(data.data, (v, i) => (seen(i) ? v : 0));
      const known = Float32Array.from(data.data, (_, i) => (seen(i) ? 1 : 0));
      const difference = sub(tensor2d(values, [...data.shape]), X);
      return mul(difference, tensor2d(known, [...data.shape])) as Tensor2D;
    });
    const { rank: shown } = await estimateRank(X, { of: 'matrix' });
    return { lowRank: X, sparse, ...found, rank: shown };
  } finally {
    A.dispose?.();
  }
}
