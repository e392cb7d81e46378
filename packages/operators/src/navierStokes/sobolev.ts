/** Norms of periodic fields by their spectra. */
import { checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  div,
  mul,
  reshape,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { multiplicity } from '../spectral/tables.js';
import { SpectralGrid } from './grid.js';

/** Options of {@link sobolevNorm}. */
export interface SobolevOptions {
  /** s; negative orders weigh large scales. Default 0 */
  readonly order?: number;
  /** Shift α >= 0 of |ξ|²; with 0 and s ≠ 0 the mean is left out. Default 0.1 */
  readonly alpha?: number;
  /** Side of the box. Default 2π */
  readonly diam?: number;
}

/** Names of {@link SobolevOptions}. */
export const SOBOLEV_OPTIONS = ['order', 'alpha', 'diam'];

/** Checks and fills in {@link SobolevOptions}. */
export function resolveSobolev(
  caller: string,
  { order = 0, alpha = 0.1, diam = 2 * Math.PI }: SobolevOptions,
): Required<SobolevOptions> {
  checkNumber(caller, 'order', order);
  checkNumber(caller, 'alpha', alpha, { min: 0 });
  checkNumber(caller, 'diam', diam, { above: 0 });
  return { order, alpha, diam };
}

/** Weights `[k_y, 1, k_x]` with `‖x‖² = Σ weights · |x̂|²` over the half spectrum. */
export function sobolevWeights(grid: SpectralGrid, order: number, alpha: number): Tensor {
  const { n, diam } = grid;
  return grid.symbol((xi, eta, _, ky) => {
    const shifted = alpha + xi * xi + eta * eta;
    if (shifted === 0) return order === 0 ? diam ** 2 / n ** 4 : 0;
    return (multiplicity(ky, n) * diam ** 2 * shifted ** order) / n ** 4;
  });
}

/** Side of `[…, n, n]`. @throws RangeError for other shapes */
export function squareSide(caller: string, name: string, x: Tensor): number {
  checkTensor(caller, name, x, { minRank: 2 });
  const [rows, columns] = x.shape.slice(-2) as [number, number];
  if (rows === columns) return rows;
  throw new RangeError(`${caller}: ${name} must have shape [..., n, n], got [${x.shape}]`);
}

function squaredNorm(x: Tensor, { order, alpha, diam }: Required<SobolevOptions>): Tensor {
  const n = x.shape.at(-1)!;
  const grid = new SpectralGrid(n, diam);
  const spectrum = grid.forward(reshape(x, [-1, n, n]));
  const weighted = mul(square(spectrum), sobolevWeights(grid, order, alpha));
  return reshape(sum(weighted, [1, 2, 3]), x.shape.slice(0, -2));
}

/**
 * Sobolev norm of periodic fields, `‖x‖_s = L (Σ_k (α + |2πk/L|²)^s |x̂_k/n²|²)^½`; order 0 is the L² norm on the box, order
 * −1 the dual norm in which residuals of second-order equations are measured.
 *
 * @param x - `[…, n, n]`, float32
 * @returns one number a field, `[…]`. Differentiable except at 0
 * @throws TypeError or RangeError for a bad or unknown option or a grid that is not square
 */
export function sobolevNorm(x: Tensor, options: SobolevOptions = {}): Tensor {
  const caller = 'sobolevNorm';
  checkOptions(caller, options, SOBOLEV_OPTIONS);
  const resolved = resolveSobolev(caller, options);
  squareSide(caller, 'x', x);
  return tidy(() => sqrt(squaredNorm(x, resolved)));
}

/** Options of {@link bochnerNorm}. */
export interface BochnerOptions extends SobolevOptions {
  /** Time between frames, > 0. Default 1 */
  readonly dt?: number;
}

/**
 * Norm of a trajectory, `(Δt Σ_t ‖x_t‖_s²)^½`.
 * @param x - `[…, t, n, n]`, float32
 * @returns one number a trajectory, `[…]`
 * @throws as {@link sobolevNorm}
 */
export function bochnerNorm(x: Tensor, options: BochnerOptions = {}): Tensor {
  const caller = 'bochnerNorm';
  checkOptions(caller, options, [...SOBOLEV_OPTIONS, 'dt']);
  const { dt = 1, ...rest } = options;
  checkNumber(caller, 'dt', dt, { above: 0 });
  const resolved = resolveSobolev(caller, rest);
  checkTensor(caller, 'x', x, { minRank: 3 });
  squareSide(caller, 'x', x);
  return tidy(() => sqrt(mul(sum(squaredNorm(x, resolved), -1), dt)));
}

/**
 * Relative error of trajectories: {@link bochnerNorm} of `prediction − truth` by that of `truth`.
 * @param prediction - `[…, t, n, n]`
 * @param truth - the same shape
 * @returns one number a trajectory, `[…]`
 * @throws as {@link sobolevNorm}
 */
export function relativeError(
  prediction: Tensor,
  truth: Tensor,
  options: SobolevOptions = {},
): Tensor {
  const caller = 'relativeError';
  checkOptions(caller, options, SOBOLEV_OPTIONS);
  resolveSobolev(caller, options);
  checkTensor(caller, 'prediction', prediction, { minRank: 3 });
  checkTensor(caller, 'truth', truth, { shape: prediction.shape });
  squareSide(caller, 'prediction', prediction);
  return tidy(() => div(bochnerNorm(sub(prediction, truth), options), bochnerNorm(truth, options)));
}
