/** The pseudo-spectral solver in float64 on the host: data, references and convergence studies. */
import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { type HostSpectrum, RealFft2D } from '../spectral/hostFft.js';
import {
  linearSymbol,
  type NavierStokesPhysics,
  PHYSICS_OPTIONS,
  type ResolvedPhysics,
  resolvePhysics,
} from './physics.js';
import { increment, RK4_STAGES } from './steppers.js';

/** Options of {@link HostNavierStokes2D}. */
export interface HostNavierStokesOptions extends NavierStokesPhysics {
  /** Source of vorticity f, row-major `[n, n]`, constant in time. Default 0 */
  readonly forcing?: ArrayLike<number>;
}

/** How far and how often. */
export interface SolveOptions {
  /** Length of a step, > 0. */
  readonly dt: number;
  /** Steps, >= 1. */
  readonly steps: number;
  /** Keeps every so manyeth state; divides `steps`. Default `steps` */
  readonly saveEvery?: number;
}

/** A trajectory on the host. */
export interface HostSolution {
  /** The kept states, row-major `[frames, n, n]`; the initial one is not among them. */
  readonly w: Float64Array;
  /** `(w_j − w_{j−1}) / dt` of the last step before each frame, `[frames, n, n]`. */
  readonly dwdt: Float64Array;
  /** Time of each frame, counted from the start of this call. */
  readonly t: Float64Array;
  /** Mean of `w0` that was removed: vorticity in a periodic box has mean 0. */
  readonly removedMean: number;
}

/** Checks {@link SolveOptions}. */
export function checkSolve(caller: string, options: SolveOptions): Required<SolveOptions> {
  checkOptions(caller, options, ['dt', 'steps', 'saveEvery']);
  const { dt, steps, saveEvery = steps } = options;
  checkNumber(caller, 'dt', dt, { above: 0 });
  checkInteger(caller, 'steps', steps, { min: 1 });
  checkInteger(caller, 'saveEvery', saveEvery, { min: 1, max: steps });
  if (steps % saveEvery !== 0) {
    throw new RangeError(`${caller}: saveEvery must divide steps ${steps}, got ${saveEvery}`);
  }
  return { dt, steps, saveEvery };
}

/** A state stopped being finite. */
export class DivergedError extends Error {
  override readonly name = 'DivergedError';
  constructor(
    caller: string,
    /** The first step, counted from 1, whose result was not finite. */
    readonly step: number,
  ) {
    super(`${caller}: diverged at step ${step}: reduce dt`);
  }
}

/**
 * Incompressible flow in a periodic square, vorticity form, `w_t + u·∇w = νΔw − μw + f` with `u = (ψ_y, −ψ_x)`,
 * `−Δψ = w`, by a Fourier pseudo-spectral method in float64 on the host. One field at a time; see `NavierStokes2D` for
 * batches of tensors with gradients.
 *
 * @example
 * const solver = new HostNavierStokes2D({ n: 64, viscosity: 1e-3 });
 * const { w } = solver.solve(w0, { dt: 0.01, steps: 100, saveEvery: 10 });
 * @see Cao et al. 2025, arXiv:2405.17211; Canuto et al. 2007, "Spectral Methods", §3.3
 */
export class HostNavierStokes2D {
  private readonly physics: ResolvedPhysics;
  private readonly fft: RealFft2D;
  private readonly size: number;
  private readonly forcing: HostSpectrum | undefined;
  /** Per entry of the host's spectrum: mask, ℓ, derivatives and |ξ|⁻². */
  private readonly mask: Float64Array;
  private readonly symbol: Float64Array;
  private readonly xi: Float64Array;
  private readonly eta: Float64Array;
  private readonly inverseLaplacian: Float64Array;
  private readonly fields: readonly [Float64Array, Float64Array, Float64Array, Float64Array];
  private readonly work: HostSpectrum;
  private coefficients:
    | { dt: number; explicit: Float64Array[]; linear: Float64Array[] }
    | undefined;

  /** @throws TypeError or RangeError for a bad or unknown option */
  constructor(options: HostNavierStokesOptions) {
    const caller = 'HostNavierStokes2D';
    checkOptions(caller, options, [...PHYSICS_OPTIONS, 'forcing']);
    const { forcing, ...rest } = options;
    const physics = resolvePhysics(caller, rest);
    const { n, half, wave } = physics;
    if (forcing !== undefined) checkField(caller, 'forcing', forcing, n);
    this.physics = physics;
    this.fft = new RealFft2D(n);
    this.size = n * half;
    const fill = (f: (kx: number, ky: number) => number) =>
      Float64Array.from({ length: this.size }, (_, i) => f(i % half, Math.floor(i / half)));
    this.mask = fill((kx, ky) => physics.mask(kx, ky));
    this.symbol = fill((kx, ky) => linearSymbol(physics, kx, ky));
    const nyquist = (kx: number, ky: number) => physics.isNyquist(kx) || physics.isNyquist(ky);
    this.xi = fill((kx, ky) => (nyquist(kx, ky) ? 0 : wave[kx]!));
    this.eta = fill((kx, ky) => (nyquist(kx, ky) ? 0 : wave[ky]!));
    this.inverseLaplacian = fill((kx, ky) =>
      kx === 0 && ky === 0 ? 0 : 1 / (wave[kx]! ** 2 + wave[ky]! ** 2),
    );
    const field = () => new Float64Array(n * n);
    this.fields = [field(), field(), field(), field()];
    this.work = this.fft.emptySpectrum();
    if (forcing !== undefined) {
      this.forcing = this.fft.emptySpectrum();
      this.fft.forward(forcing, this.forcing);
    }
  }

  /**
   * Steps `w0` on.
   * @param w0 - vorticity, row-major `[n, n]`; not modified
   * @throws TypeError or RangeError for bad arguments; {@link DivergedError} where a state is not finite
   */
  solve(w0: ArrayLike<number>, options: SolveOptions): HostSolution {
    const caller = 'HostNavierStokes2D.solve';
    const { n } = this.physics;
    checkField(caller, 'w0', w0, n);
    const { dt, steps, saveEvery } = checkSolve(caller, options);
    const frames = steps / saveEvery;
    const w = new Float64Array(frames * n * n);
    const dwdt = new Float64Array(frames * n * n);
    const state = this.fft.emptySpectrum();
    this.fft.forward(w0, state);
    const removedMean = state.re[0]! / (n * n);
    state.re[0] = 0;
    const before = this.fft.emptySpectrum();
    const explicit = this.fft.emptySpectrum();
    for (let step = 1; step <= steps; step++) {
      before.re.set(state.re);
      before.im.set(state.im);
      this.step(state, before, explicit, dt);
      if (!this.isFinite(state)) throw new DivergedError(caller, step);
      if (step % saveEvery !== 0) continue;
      const at = (step / saveEvery - 1) * n * n;
      for (let i = 0; i < this.size; i++) {
        before.re[i] = (state.re[i]! - before.re[i]!) / dt;
        before.im[i] = (state.im[i]! - before.im[i]!) / dt;
      }
      this.fft.inverse(state, w.subarray(at, at + n * n));
      this.fft.inverse(before, dwdt.subarray(at, at + n * n));
    }
    const t = Float64Array.from({ length: frames }, (_, i) => (i + 1) * saveEvery * dt);
    return { w, dwdt, t, removedMean };
  }

  /** Velocity `{ u, v }` of a vorticity field. @throws as {@link solve} */
  velocity(w: ArrayLike<number>): { u: Float64Array; v: Float64Array } {
    checkField('HostNavierStokes2D.velocity', 'w', w, this.physics.n);
    const spectrum = this.fft.emptySpectrum();
    this.fft.forward(w, spectrum);
    this.velocityOf(spectrum);
    return { u: this.fields[0].slice(), v: this.fields[1].slice() };
  }

  /**
   * Largest step that advection allows: `min(h, courant · h / max|u|)`, h = diam/n.
   * @param courant - > 0. Default 0.5
   */
  stableTimeStep(w: ArrayLike<number>, courant = 0.5): number {
    checkNumber('HostNavierStokes2D.stableTimeStep', 'courant', courant, { above: 0 });
    const { u, v } = this.velocity(w);
    const h = this.physics.diam / this.physics.n;
    let fastest = 0;
    for (let i = 0; i < u.length; i++) fastest = Math.max(fastest, Math.hypot(u[i]!, v[i]!));
    return Math.min(h, (courant * h) / Math.max(fastest, Number.MIN_VALUE));
  }

  private isFinite({ re, im }: HostSpectrum): boolean {
    let sum = 0;
    for (let i = 0; i < this.size; i++) sum += re[i]! * 0 + im[i]! * 0;
    return sum === 0;
  }

  /** The field whose spectrum is `i · wave · factor · state`, into `out`. */
  private slope(
    { re, im }: HostSpectrum,
    wave: Float64Array,
    factor: Float64Array | undefined,
    out: Float64Array,
  ): void {
    const { re: workRe, im: workIm } = this.work;
    for (let i = 0; i < wave.length; i++) {
      const d = factor ? wave[i]! * factor[i]! : wave[i]!;
      workRe[i] = -d * im[i]!;
      workIm[i] = d * re[i]!;
    }
    this.fft.inverse(this.work, out);
  }

  /** u = ∂ψ/∂y and v = −∂ψ/∂x into the first two fields. */
  private velocityOf(state: HostSpectrum): void {
    const [u, v] = this.fields;
    this.slope(state, this.eta, this.inverseLaplacian, u);
    this.slope(state, this.xi, this.inverseLaplacian, v);
    for (let i = 0; i < v.length; i++) v[i] = -v[i]!;
  }

  /** `h ← carry · h + f − mask · (u·∇w)`, in frequencies. */
  private accumulate(state: HostSpectrum, { re, im }: HostSpectrum, carry: number): void {
    const { fft, work, mask, forcing } = this;
    const [u, v, wx, wy] = this.fields;
    this.velocityOf(state);
    this.slope(state, this.xi, undefined, wx);
    this.slope(state, this.eta, undefined, wy);
    for (let i = 0; i < u.length; i++) u[i] = u[i]! * wx[i]! + v[i]! * wy[i]!;
    fft.forward(u, work);
    const { re: workRe, im: workIm } = work;
    for (let i = 0; i < mask.length; i++) {
      re[i] = carry * re[i]! - mask[i]! * workRe[i]!;
      im[i] = carry * im[i]! - mask[i]! * workIm[i]!;
    }
    if (!forcing) return;
    const { re: forceRe, im: forceIm } = forcing;
    for (let i = 0; i < mask.length; i++) {
      re[i] = re[i]! + forceRe[i]!;
      im[i] = im[i]! + forceIm[i]!;
    }
  }

  /** Factors of the stages for a step's length. */
  private prepare(dt: number) {
    if (this.coefficients?.dt === dt) return this.coefficients;
    const stages = this.physics.stepper === 'rk4-cn' ? RK4_STAGES : [{ a: 1, m: 0.5 }];
    const factors = stages.map(({ a, m }) =>
      Array.from(this.symbol, (symbol) => increment(symbol, dt, a, m)),
    );
    this.coefficients = {
      dt,
      explicit: factors.map((list) => Float64Array.from(list, (f) => f.explicit)),
      linear: factors.map((list) => Float64Array.from(list, (f) => f.linear)),
    };
    return this.coefficients;
  }

  private step(state: HostSpectrum, start: HostSpectrum, h: HostSpectrum, dt: number): void {
    const { explicit, linear } = this.prepare(dt);
    const { re, im } = state;
    const advance = (from: HostSpectrum, stage: number) => {
      const a = explicit[stage]!;
      const b = linear[stage]!;
      const { re: fromRe, im: fromIm } = from;
      const { re: hRe, im: hIm } = h;
      for (let i = 0; i < a.length; i++) {
        re[i] = fromRe[i]! + a[i]! * hRe[i]! + b[i]! * fromRe[i]!;
        im[i] = fromIm[i]! + a[i]! * hIm[i]! + b[i]! * fromIm[i]!;
      }
    };
    if (this.physics.stepper === 'rk4-cn') {
      RK4_STAGES.forEach(({ carry }, stage) => {
        this.accumulate(state, h, carry);
        advance(state, stage);
      });
      return;
    }
    this.accumulate(state, h, 0);
    advance(start, 0);
    if (this.physics.stepper === 'imex-cn') return;
    // h = (F(u₁) + F(u))/2 from the same start.
    this.accumulate(state, h, 1);
    for (let i = 0; i < this.size; i++) {
      h.re[i] = h.re[i]! / 2;
      h.im[i] = h.im[i]! / 2;
    }
    advance(start, 0);
  }
}

/** Demands finite numbers, n² of them. */
export function checkField(caller: string, name: string, w: ArrayLike<number>, n: number): void {
  if (typeof w?.length !== 'number') {
    throw new TypeError(`${caller}: ${name} must be an array of numbers, got ${String(w)}`);
  }
  if (w.length !== n * n) {
    throw new RangeError(`${caller}: ${name} must have ${n}x${n} entries, got ${w.length}`);
  }
  for (let i = 0; i < w.length; i++) {
    if (Number.isFinite(w[i])) continue;
    throw new RangeError(`${caller}: ${name} must be finite, got ${w[i]} at index ${i}`);
  }
}
