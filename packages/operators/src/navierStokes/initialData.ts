/** Initial vorticity and forcing, in float64 on the host; the noise is an argument or comes from a seed. */
import { checkInteger, checkNumber, checkOptions, type Random, seededRandom } from '@orth/backend';
import { RealFft2D } from '../spectral/hostFft.js';
import { frequencies } from '../spectral/tables.js';
import { checkField } from './hostNavierStokes2D.js';

/** Options of {@link mcwilliamsVorticity}. */
export interface McWilliamsOptions {
  /** Points along each side. */
  readonly n: number;
  /** Side of the box. Default 2π */
  readonly diam?: number;
  /** Angular wave number k₀ where the energy spectrum peaks, > 0. Default 4 */
  readonly peakWavenumber?: number;
  /** Integer; not with `noise`. Default 0 */
  readonly seed?: number;
  /** Standard normal numbers, row-major `[n, n]`, in place of seeded ones. */
  readonly noise?: ArrayLike<number>;
}

function normals(random: Random, count: number): Float64Array {
  return Float64Array.from({ length: count }, () => random.normal());
}

function checkCommon(caller: string, n: number, diam: number): void {
  checkInteger(caller, 'n', n, { min: 2 });
  checkNumber(caller, 'diam', diam, { above: 0 });
}

/**
 * Random vorticity with the energy spectrum of McWilliams' decaying turbulence: `ψ̂ = noise / (κ(1 + (κ/k₀)⁴))`, κ = |ξ|,
 * scaled so that Σ 2|κψ̂|²/n⁴ = 1, i.e. kinetic energy 1/4.
 *
 * @returns vorticity, row-major `[n, n]`, mean 0
 * @throws TypeError or RangeError for a bad or unknown option
 * @see McWilliams 1984, J. Fluid Mech. 146
 */
export function mcwilliamsVorticity(options: McWilliamsOptions): Float64Array {
  const caller = 'mcwilliamsVorticity';
  checkOptions(caller, options, ['n', 'diam', 'peakWavenumber', 'seed', 'noise']);
  const { n, diam = 2 * Math.PI, peakWavenumber = 4, seed = 0, noise } = options;
  checkCommon(caller, n, diam);
  checkNumber(caller, 'peakWavenumber', peakWavenumber, { above: 0 });
  if (noise !== undefined) checkField(caller, 'noise', noise, n);
  const fft = new RealFft2D(n);
  const spectrum = fft.emptySpectrum();
  fft.forward(noise ?? normals(seededRandom(seed), n * n), spectrum);
  const { re, im } = spectrum;
  const k = frequencies(n);
  let energy = 0;
  for (let i = 0; i < re.length; i++) {
    const kx = i % fft.half;
    const kappa = ((2 * Math.PI) / diam) * Math.hypot(kx, k[Math.floor(i / fft.half)]!);
    const factor = kappa === 0 ? 0 : 1 / (kappa * (1 + (kappa / peakWavenumber) ** 4));
    const whole = kx === 0 || 2 * kx === n ? 1 : 2;
    energy += (2 * whole * (kappa * factor) ** 2 * (re[i]! ** 2 + im[i]! ** 2)) / n ** 4;
    re[i] = re[i]! * factor * kappa * kappa;
    im[i] = im[i]! * factor * kappa * kappa;
  }
  const w = new Float64Array(n * n);
  fft.inverse(spectrum, w);
  const scale = energy > 0 ? 1 / Math.sqrt(energy) : 0;
  return w.map((x) => x * scale);
}

/** Options of {@link gaussianRandomField}. */
export interface GaussianRandomFieldOptions {
  /** Points along each side. */
  readonly n: number;
  /** Decay of the spectrum; smoother for greater values, > 1. Default 2.5 */
  readonly alpha?: number;
  /** Inverse length scale, > 0. Default 7 */
  readonly tau?: number;
  /** Integer; not with `noise`. Default 0 */
  readonly seed?: number;
  /** Standard normal numbers `[2, n, n]` (real and imaginary parts of the coefficients), in place of seeded ones. */
  readonly noise?: ArrayLike<number>;
}

/**
 * Gaussian random field on the unit box, `Re Σ n²√2 τ^{α−1} (4π²|k|² + τ²)^{−α/2} (a + ib) e^{2πi k·x} / n²`, k = 0 left out:
 * the initial vorticity of the Fourier neural operator's data.
 *
 * @returns row-major `[n, n]`, mean 0
 * @throws TypeError or RangeError for a bad or unknown option
 * @see Li et al. 2021, arXiv:2010.08895, A.3.3
 */
export function gaussianRandomField(options: GaussianRandomFieldOptions): Float64Array {
  const caller = 'gaussianRandomField';
  checkOptions(caller, options, ['n', 'alpha', 'tau', 'seed', 'noise']);
  const { n, alpha = 2.5, tau = 7, seed = 0, noise } = options;
  checkCommon(caller, n, 1);
  checkNumber(caller, 'alpha', alpha, { above: 1 });
  checkNumber(caller, 'tau', tau, { above: 0 });
  if (noise !== undefined && noise.length !== 2 * n * n) {
    throw new RangeError(`${caller}: noise must have 2x${n}x${n} entries, got ${noise.length}`);
  }
  const values = noise ?? normals(seededRandom(seed), 2 * n * n);
  const k = frequencies(n);
  const coefficient = (x: number, y: number) => {
    const square = k[x]! ** 2 + k[y]! ** 2;
    if (square === 0) return 0;
    return (
      n *
      n *
      Math.SQRT2 *
      tau ** (alpha - 1) *
      (4 * Math.PI ** 2 * square + tau ** 2) ** (-alpha / 2)
    );
  };
  // The real part of an inverse transform is that of the part of the coefficients with a conjugate mirror image.
  const fft = new RealFft2D(n);
  const spectrum = fft.emptySpectrum();
  for (let y = 0; y < n; y++) {
    for (let x = 0; x < fft.half; x++) {
      const at = x * n + y;
      const mirrored = ((n - x) % n) * n + ((n - y) % n);
      const c = coefficient(x, y) / 2;
      spectrum.re[y * fft.half + x] = c * (values[at]! + values[mirrored]!);
      spectrum.im[y * fft.half + x] = c * (values[n * n + at]! - values[n * n + mirrored]!);
    }
  }
  const w = new Float64Array(n * n);
  fft.inverse(spectrum, w);
  return w;
}

function sampled(n: number, f: (x: number, y: number) => number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, i) => f(Math.floor(i / n) / n, (i % n) / n));
}

/** Options of {@link taylorGreen}. */
export interface TaylorGreenOptions {
  /** Points along each side. */
  readonly n: number;
  /** Side of the box. Default 2π */
  readonly diam?: number;
  /** Periods along each side, integer >= 1. Default 1 */
  readonly wavenumber?: number;
  /** Default 0 */
  readonly viscosity?: number;
  /** Default 0 */
  readonly drag?: number;
  /** Time, >= 0. Default 0 */
  readonly time?: number;
}

/**
 * Taylor–Green vortices, an exact solution: `w = 2κ cos(κx) cos(κy) e^{−(2νκ² + μ)t}`, κ = 2π·wavenumber/diam.
 * @returns vorticity, row-major `[n, n]`
 * @throws TypeError or RangeError for a bad or unknown option
 */
export function taylorGreen(options: TaylorGreenOptions): Float64Array {
  const caller = 'taylorGreen';
  checkOptions(caller, options, ['n', 'diam', 'wavenumber', 'viscosity', 'drag', 'time']);
  const { n, diam = 2 * Math.PI, wavenumber = 1, viscosity = 0, drag = 0, time = 0 } = options;
  checkCommon(caller, n, diam);
  checkInteger(caller, 'wavenumber', wavenumber, { min: 1 });
  for (const [name, value] of Object.entries({ viscosity, drag, time })) {
    checkNumber(caller, name, value, { min: 0 });
  }
  const kappa = (2 * Math.PI * wavenumber) / diam;
  const decay = Math.exp(-(2 * viscosity * kappa ** 2 + drag) * time);
  const wave = (x: number) => Math.cos(2 * Math.PI * wavenumber * x);
  return sampled(n, (x, y) => 2 * kappa * decay * wave(x) * wave(y));
}

/** Options of {@link kolmogorovForcing}. */
export interface KolmogorovForcingOptions {
  /** Points along each side. */
  readonly n: number;
  /** Side of the box. Default 2π */
  readonly diam?: number;
  /** Periods along y, integer >= 1. Default 4 */
  readonly wavenumber?: number;
  /** Amplitude of the body force. Default 1 */
  readonly amplitude?: number;
}

/**
 * Vorticity source of Kolmogorov flow, driven by the body force `amplitude · sin(κy)` along x: its curl,
 * `−amplitude · κ cos(κy)`, κ = 2π·wavenumber/diam.
 * @returns row-major `[n, n]`
 * @throws TypeError or RangeError for a bad or unknown option
 */
export function kolmogorovForcing(options: KolmogorovForcingOptions): Float64Array {
  const caller = 'kolmogorovForcing';
  checkOptions(caller, options, ['n', 'diam', 'wavenumber', 'amplitude']);
  const { n, diam = 2 * Math.PI, wavenumber = 4, amplitude = 1 } = options;
  checkCommon(caller, n, diam);
  checkInteger(caller, 'wavenumber', wavenumber, { min: 1 });
  checkNumber(caller, 'amplitude', amplitude);
  const kappa = (2 * Math.PI * wavenumber) / diam;
  return sampled(n, (_, y) => -amplitude * kappa * Math.cos(2 * Math.PI * wavenumber * y));
}
