/**
 * The space-time residual of a predicted trajectory, and the error estimator that is its norm: no ground truth needed.
 *
 * Deviation: the published code takes ∂_t w from one tiny step of the predicted frame itself, which is of the order of that
 * step for any field whatever; here time derivatives are differences of the predicted frames, anchored by the known ones.
 */
import { checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  concat,
  keep,
  matMul,
  mul,
  reshape,
  slice,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import { SpectralGrid } from './grid.js';
import { checkSquare } from './navierStokes2D.js';
import { linearSymbol, type NavierStokesPhysics, resolvePhysics } from './physics.js';
import { sobolevWeights, squareSide } from './sobolev.js';

/** How the time derivative is taken. */
export type TimeScheme = 'bdf1' | 'bdf2' | 'bdf3' | 'bdf4' | 'central4';

/** The equation of a {@link residual}. */
export interface ResidualPhysics
  extends Pick<NavierStokesPhysics, 'diam' | 'viscosity' | 'drag' | 'dealias'> {
  /** Time between frames, > 0. */
  readonly dt: number;
  /** Source of vorticity, `[n, n]`, or `[batch, n, n]` for predictions of rank 4. Default 0 */
  readonly forcing?: Tensor;
}

/** How a residual is measured. */
export interface ResidualMeasure {
  /**
   * `'bdfq'`: backward differences of order q at every predicted frame; `'central4'`: central differences of order 4 from
   * the second last known frame on, `'bdf4'` at the last two. Default `'central4'`
   */
  readonly scheme?: TimeScheme;
  /** Order s of the Sobolev norm. Default −1 */
  readonly order?: number;
  /** Shift of the Sobolev norm. Default 10^−1.5 */
  readonly alpha?: number;
}

/** Options of {@link residual}. */
export interface ResidualOptions extends ResidualPhysics, ResidualMeasure {
  /** Known frames before the prediction, `[…, frames, n, n]`: as many as the scheme reaches back, or more. */
  readonly window: Tensor;
  /** Takes `u` and `v`, each of the shape of window and prediction joined, for the velocity: linear in `w` then. */
  readonly velocity?: { readonly u: Tensor; readonly v: Tensor };
}

/** The residual of a trajectory; the caller disposes the tensors. */
export interface Residual {
  /** r_j, `[…, frames, n, n]`. */
  readonly field: Tensor;
  /** η_s = (Δt Σ_j ‖r_j‖_s²)^½, `[…]`. */
  readonly eta: Tensor;
  /** ‖r_j‖_s, `[…, frames]`. */
  readonly perFrame: Tensor;
}

/** Weights of w_j, w_{j−1}, …, to be divided by Δt. */
const BACKWARD: Readonly<Record<'bdf1' | 'bdf2' | 'bdf3' | 'bdf4', readonly number[]>> = {
  bdf1: [1, -1],
  bdf2: [3 / 2, -2, 1 / 2],
  bdf3: [11 / 6, -3, 3 / 2, -1 / 3],
  bdf4: [25 / 12, -4, 3, -4 / 3, 1 / 4],
};

/** Weights of w_{j−2} … w_{j+2}. */
const CENTRAL4 = [1 / 12, -8 / 12, 0, 8 / 12, -1 / 12];

const SCHEMES: readonly TimeScheme[] = ['central4', 'bdf1', 'bdf2', 'bdf3', 'bdf4'];

/** Names of the options of {@link ResidualPhysics} and of {@link ResidualMeasure}. */
export const RESIDUAL_OPTIONS = [
  'diam',
  'viscosity',
  'drag',
  'dealias',
  'dt',
  'forcing',
  'scheme',
  'order',
  'alpha',
];

/** Known frames that a scheme needs. */
export const windowOf = (scheme: TimeScheme): number =>
  scheme === 'central4' ? 4 : BACKWARD[scheme].length - 1;

/** Rows: frames that have a residual; columns: the known frames that are used, then the predicted ones. */
function differenceMatrix(scheme: TimeScheme, predicted: number, dt: number): number[][] {
  const known = windowOf(scheme);
  const total = known + predicted;
  const row = (entries: readonly (readonly [number, number])[]) => {
    const values = new Array<number>(total).fill(0);
    for (const [at, weight] of entries) values[at] = weight / dt;
    return values;
  };
  const backward = (j: number, weights: readonly number[]) =>
    row(weights.map((weight, i) => [j - i, weight] as const));
  if (scheme !== 'central4') {
    return Array.from({ length: predicted }, (_, i) => backward(known + i, BACKWARD[scheme]));
  }
  return Array.from({ length: total - 2 }, (_, i) => {
    const j = i + 2;
    if (j + 2 < total) return row(CENTRAL4.map((weight, k) => [j - 2 + k, weight] as const));
    return backward(j, BACKWARD.bdf4);
  });
}

/** Residuals of one setting: tables and weights are made once. */
export class ResidualOperator {
  private readonly grid: SpectralGrid;
  private readonly constants: readonly Tensor[];

  /** @param options - checked here. @throws TypeError or RangeError */
  constructor(
    caller: string,
    readonly n: number,
    private readonly options: ResidualPhysics & ResidualMeasure,
  ) {
    const { dt, forcing, scheme = 'central4', order = -1, alpha = 10 ** -1.5 } = options;
    const { diam, viscosity, drag, dealias } = options;
    checkNumber(caller, 'dt', dt, { above: 0 });
    checkOneOf(caller, 'scheme', scheme, SCHEMES);
    checkNumber(caller, 'order', order);
    checkNumber(caller, 'alpha', alpha, { min: 0 });
    const given = Object.entries({ diam, viscosity, drag, dealias });
    const physics = resolvePhysics(caller, {
      n,
      ...Object.fromEntries(given.filter(([, value]) => value !== undefined)),
    });
    if (forcing !== undefined) {
      checkTensor(caller, 'forcing', forcing, { minRank: 2 });
      checkSquare(caller, 'forcing', forcing, n);
    }
    this.grid = new SpectralGrid(n, physics.diam);
    const { grid } = this;
    this.constants = [
      grid.symbol((_, __, kx, ky) => physics.mask(kx, ky)),
      grid.symbol((_, __, kx, ky) => -linearSymbol(physics, kx, ky)),
      sobolevWeights(grid, order, alpha),
    ];
  }

  /** Known frames that are used. */
  get known(): number {
    return windowOf(this.options.scheme ?? 'central4');
  }

  /** Keeps tables out of the reach of `tidy`. */
  keep(): void {
    this.grid.keep();
    for (const x of this.constants) keep(x);
  }

  /** Frees tables. */
  dispose(): void {
    this.grid.dispose();
    for (const x of this.constants) x.dispose();
  }

  /** Velocity of joined frames `[batch, frames, n, n]`, to freeze. */
  velocity(frames: Tensor): { u: Tensor; v: Tensor } {
    return tidy(() => {
      const { u, v } = this.grid.gradients(
        this.grid.forward(reshape(frames, [-1, this.n, this.n])),
      );
      return { u: reshape(u, frames.shape), v: reshape(v, frames.shape) };
    });
  }

  /**
   * Spectra of the residuals of `frames`, known ones first.
   * @param frames - `[batch, known + predicted, n, n]`
   * @returns `[batch · residuals, k_y, 2, k_x]`
   */
  spectra(frames: Tensor, velocity?: { readonly u: Tensor; readonly v: Tensor }): Tensor {
    const { n, grid } = this;
    const { dt, forcing, scheme = 'central4' } = this.options;
    const [mask, dissipation] = this.constants as [Tensor, Tensor, Tensor];
    const [batch, total] = frames.shape as [number, number];
    const rows = differenceMatrix(scheme, total - this.known, dt);
    const J = rows.length;
    const numbers = grid.half * 2 * n;
    const spectra = grid.forward(reshape(frames, [-1, n, n]));
    const byFrame = reshape(spectra, [batch, total, numbers]);
    const slopes = matMul(tensor2d(rows), byFrame);
    // Residuals stand at the last J frames.
    const last = (x: Tensor, shape: number[]) =>
      reshape(slice(x, [0, total - J, 0], [batch, J, -1]), shape);
    const w = last(byFrame, [batch * J, grid.half, 2, n]);
    const fixed = velocity && {
      u: last(reshape(velocity.u, [batch, total, n * n]), [batch * J, n, n]),
      v: last(reshape(velocity.v, [batch, total, n * n]), [batch * J, n, n]),
    };
    const advected = mul(grid.forward(grid.advection(w, fixed)), mask);
    const linear = add(advected, mul(w, dissipation));
    const balance = add(reshape(slopes, w.shape), linear);
    if (!forcing) return balance;
    const source = grid.forward(reshape(forcing, [-1, n, n]));
    const shaped = [batch, J, grid.half, 2, n];
    return reshape(
      sub(reshape(balance, shaped), reshape(source, [-1, 1, grid.half, 2, n])),
      w.shape,
    );
  }

  /** ‖r_j‖_s² from {@link spectra}, `[batch · residuals]`. */
  squaredNorms(spectra: Tensor): Tensor {
    return sum(mul(square(spectra), this.constants[2]!), [1, 2, 3]);
  }

  /** Fields of {@link spectra}. */
  fields(spectra: Tensor): Tensor {
    return this.grid.inverse(spectra);
  }
}

/** Window (its last frames) and prediction joined: `[batch, known + predicted, n, n]`. */
export function joinFrames(window: Tensor, prediction: Tensor, known: number): Tensor {
  const flat = (x: Tensor) => reshape(x, [-1, ...x.shape.slice(-3)]);
  const [w, p] = [flat(window), flat(prediction)];
  const [batch, frames, n] = w.shape as [number, number, number];
  return concat([slice(w, [0, frames - known, 0, 0], [batch, known, n, n]), p], 1);
}

/**
 * Residual of predicted vorticity in the Navier–Stokes equation, `r_j = D_t w_j + mask·(u·∇w)_j − νΔw_j + μw_j − f`, and the
 * a-posteriori error estimator η_s made of it. Differentiable in the prediction and the window.
 *
 * Without the known frames of `window` a wrong constant in time would be invisible.
 *
 * @param prediction - `[…, t, n, n]`, float32; t >= 2 for `'central4'`
 * @throws TypeError or RangeError for a bad or unknown option, shapes that do not agree, a window that is too short
 * @example
 * const { eta, perFrame } = residual(prediction, { window: known, dt: 0.05, viscosity: 1e-3 });
 * @see Cao et al. 2025, arXiv:2405.17211, for the functional; the time differences are ours
 */
export function residual(prediction: Tensor, options: ResidualOptions): Residual {
  const caller = 'residual';
  checkOptions(caller, options, [...RESIDUAL_OPTIONS, 'window', 'velocity']);
  const { window, velocity, ...rest } = options;
  checkTensor(caller, 'prediction', prediction, { minRank: 3 });
  const n = squareSide(caller, 'prediction', prediction);
  const batch = prediction.shape.slice(0, -3);
  checkTensor(caller, 'window', window, { shape: [...batch, null, n, n] });
  const scheme = rest.scheme ?? 'central4';
  checkOneOf(caller, 'scheme', scheme, SCHEMES);
  const known = windowOf(scheme);
  checkFrames(caller, scheme, window.shape.at(-3)!, prediction.shape.at(-3)!);
  return tidy(() => {
    const operator = new ResidualOperator(caller, n, rest);
    const frames = joinFrames(window, prediction, known);
    if (velocity) {
      for (const x of [velocity.u, velocity.v]) {
        checkTensor(caller, 'velocity', x, { shape: [...batch, frames.shape[1]!, n, n] });
      }
    }
    const spectra = operator.spectra(frames, velocity);
    const J = spectra.shape[0]! / frames.shape[0]!;
    const squares = reshape(operator.squaredNorms(spectra), [...batch, J]);
    return {
      field: reshape(operator.fields(spectra), [...batch, J, n, n]),
      eta: sqrt(mul(sum(squares, -1), rest.dt)),
      perFrame: sqrt(squares),
    };
  });
}

/** Demands frames enough for a scheme. */
export function checkFrames(
  caller: string,
  scheme: TimeScheme,
  known: number,
  predicted: number,
): void {
  if (known < windowOf(scheme)) {
    throw new RangeError(
      `${caller}: window must hold at least ${windowOf(scheme)} frames for '${scheme}', got ${known}`,
    );
  }
  if (scheme === 'central4' && predicted < 2) {
    throw new RangeError(
      `${caller}: prediction must hold at least 2 frames for 'central4', got ${predicted}`,
    );
  }
}
