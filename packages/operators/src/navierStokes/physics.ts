/** What the host's and the tensors' solver have in common: options, wave numbers, masks and symbols. */
import { checkInteger, checkNumber, checkOneOf } from '@orth/backend';
import { frequencies, halfLength } from '../spectral/tables.js';
import { STEPPERS, type Stepper } from './steppers.js';

/**
 * Frequencies that the advection term keeps: `'2/3'` those with |k_x|, |k_y| < n/3; `'jax-cfd'` the reference's, which is
 * lopsided in k_x; `false` all; or a mask of zeros and ones, row-major, `[n, n]` or, for the half spectrum along y,
 * `[n, ⌊n/2⌋ + 1]`.
 */
export type Dealias = '2/3' | 'jax-cfd' | false | ArrayLike<number>;

/** Grid and physical constants. */
export interface NavierStokesPhysics {
  /** Points along each side of the square box, >= 2. */
  readonly n: number;
  /** Side of the box. Default 2π */
  readonly diam?: number;
  /** Kinematic viscosity ν >= 0, length²/time. Default 1e-3 */
  readonly viscosity?: number;
  /** Linear drag μ >= 0, 1/time. Default 0 */
  readonly drag?: number;
  /** See {@link Dealias}. Default `'2/3'` */
  readonly dealias?: Dealias;
  /**
   * `'rk4-cn'`: five stages, fourth order in the advection; `'rk2-cn'`: second order; `'imex-cn'`: first order in the
   * advection. The linear term is treated implicitly by all. Default `'rk4-cn'`
   */
  readonly stepper?: Stepper;
}

/** Names of the options of {@link NavierStokesPhysics}. */
export const PHYSICS_OPTIONS = ['n', 'diam', 'viscosity', 'drag', 'dealias', 'stepper'];

/** Checked physics. */
export interface ResolvedPhysics {
  readonly n: number;
  /** ⌊n/2⌋ + 1 */
  readonly half: number;
  readonly diam: number;
  readonly viscosity: number;
  readonly drag: number;
  readonly stepper: Stepper;
  /** Whole-spectrum multiplier of the advection at frequency indices (kx, ky), as a real field sees it. */
  mask(kx: number, ky: number): number;
  /** Angular wave number 2πk/L of a frequency index. */
  readonly wave: readonly number[];
  /** Whether a frequency index is the Nyquist frequency: fields are taken to have no first derivatives there. */
  isNyquist(k: number): boolean;
}

/** Checks and fills in options. @throws TypeError or RangeError for a bad value */
export function resolvePhysics(caller: string, options: NavierStokesPhysics): ResolvedPhysics {
  const { n, diam = 2 * Math.PI, viscosity = 1e-3, drag = 0, stepper = 'rk4-cn' } = options;
  const dealias = options.dealias ?? '2/3';
  checkInteger(caller, 'n', n, { min: 2 });
  checkNumber(caller, 'diam', diam, { above: 0 });
  checkNumber(caller, 'viscosity', viscosity, { min: 0 });
  checkNumber(caller, 'drag', drag, { min: 0 });
  checkOneOf(caller, 'stepper', stepper, STEPPERS);
  const k = frequencies(n);
  const wave = k.map((f) => (2 * Math.PI * f) / diam);
  const isNyquist = (index: number) => 2 * index === n;
  const values = fullMask(caller, n, dealias);
  const mask = (kx: number, ky: number) => values[kx * n + ky]!;
  return { n, half: halfLength(n), diam, viscosity, drag, stepper, mask, wave, isNyquist };
}

function fullMask(caller: string, n: number, dealias: Dealias): Float64Array {
  const half = halfLength(n);
  if (dealias === false) return new Float64Array(n * n).fill(1);
  if (dealias === '2/3') {
    const keep = frequencies(n).map((k) => 3 * Math.abs(k) < n);
    return Float64Array.from({ length: n * n }, (_, i) =>
      Number(keep[Math.floor(i / n)]! && keep[i % n]!),
    );
  }
  if (dealias === 'jax-cfd') {
    const kept = Math.floor((2 * n) / 3);
    const columns = Math.floor((2 * half) / 3);
    const keepsRow = (x: number) => x < Math.floor(kept / 2) || x >= n - Math.ceil(kept / 2);
    return fromHalf(
      n,
      Float64Array.from({ length: n * half }, (_, i) =>
        Number(keepsRow(Math.floor(i / half)) && i % half < columns),
      ),
    );
  }
  if (typeof dealias === 'string' || typeof dealias?.length !== 'number') {
    throw new RangeError(
      `${caller}: dealias must be '2/3', 'jax-cfd', false or a mask, got ${String(dealias)}`,
    );
  }
  if (dealias.length !== n * n && dealias.length !== n * half) {
    throw new RangeError(
      `${caller}: dealias must have ${n}x${n} or ${n}x${half} entries, got ${dealias.length}`,
    );
  }
  for (let i = 0; i < dealias.length; i++) {
    if (Number.isFinite(dealias[i])) continue;
    throw new RangeError(`${caller}: dealias must be finite, got ${dealias[i]} at index ${i}`);
  }
  return dealias.length === n * n
    ? symmetric(n, Float64Array.from(dealias))
    : fromHalf(n, Float64Array.from(dealias));
}

/** The multiplier of the whole spectrum that a half-spectrum mask along y amounts to. */
function fromHalf(n: number, mask: Float64Array): Float64Array {
  const half = halfLength(n);
  const full = new Float64Array(n * n);
  for (let x = 0; x < n; x++) {
    for (let y = 0; y < n; y++) {
      const mirrored = y >= half;
      const row = mirrored ? (n - x) % n : x;
      full[x * n + y] = mask[row * half + (mirrored ? n - y : y)]!;
    }
  }
  return symmetric(n, full);
}

/**
 * A real field has a conjugate-symmetric spectrum; of a mask that is not even, the inverse real transform lets through
 * the mean over k and −k.
 */
function symmetric(n: number, mask: Float64Array): Float64Array {
  const mirror = (i: number) => (n - i) % n;
  return mask.map((value, i) => {
    const [x, y] = [Math.floor(i / n), i % n];
    return (value + mask[mirror(x) * n + mirror(y)]!) / 2;
  });
}

/** −ν|ξ|² − μ: what the linear term multiplies a frequency by. */
export function linearSymbol(
  { viscosity, drag, wave }: ResolvedPhysics,
  kx: number,
  ky: number,
): number {
  return -viscosity * (wave[kx]! ** 2 + wave[ky]! ** 2) - drag;
}
