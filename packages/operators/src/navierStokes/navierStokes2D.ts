/** The pseudo-spectral solver on tensors: batches, any backend, gradients through the steps. */
import { checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  keep,
  matMul,
  max,
  mean,
  mul,
  neg,
  reshape,
  square,
  stack,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  Tensor as TensorClass,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import { frequencies, multiplicity } from '../spectral/tables.js';
import { SpectralGrid } from './grid.js';
import { checkSolve, DivergedError, type SolveOptions } from './hostNavierStokes2D.js';
import {
  linearSymbol,
  type NavierStokesPhysics,
  PHYSICS_OPTIONS,
  type ResolvedPhysics,
  resolvePhysics,
} from './physics.js';
import { increment, RK4_STAGES } from './steppers.js';

/** Options of {@link NavierStokes2D}. */
export interface NavierStokesOptions extends NavierStokesPhysics {
  /**
   * Source of vorticity f: `[n, n]`, `[…, n, n]` for a batch, or a function of the vorticity that returns such a tensor
   * (and owns nothing). A tensor is copied. Default 0
   */
  readonly forcing?: Tensor | ((w: Tensor) => Tensor);
}

/** Trajectories. The caller disposes the tensors. */
export interface Solution {
  /** The kept states, `[…, frames, n, n]`; the initial one is not among them. */
  readonly w: Tensor;
  /** `(w_j − w_{j−1}) / dt` of the last step before each frame, summed from the increments, `[…, frames, n, n]`. */
  readonly dwdt: Tensor;
  /** Time of each frame from the start of the call. */
  readonly t: readonly number[];
}

interface Coefficients {
  readonly dt: number;
  readonly explicit: readonly Tensor[];
  readonly linear: readonly Tensor[];
}

/**
 * Incompressible flow in a periodic square, vorticity form, `w_t + u·∇w = νΔw − μw + f` with `u = (ψ_y, −ψ_x)`,
 * `−Δψ = w`, by a Fourier pseudo-spectral method in float32.
 *
 * Every method takes `[…, n, n]`, the leading axes being a batch, and is differentiable where it is not a promise. The mean
 * of the vorticity is never changed by advection; a periodic vorticity has mean 0.
 *
 * @example
 * const solver = new NavierStokes2D({ n: 64, viscosity: 1e-3 });
 * const { w, dwdt } = await solver.solve(w0, { dt: 0.01, steps: 100, saveEvery: 10 });
 * solver.dispose();
 * @see Cao et al. 2025, arXiv:2405.17211; Carpenter and Kennedy 1994 (`rk4-cn`)
 */
export class NavierStokes2D {
  private readonly physics: ResolvedPhysics;
  private readonly grid: SpectralGrid;
  private readonly mask: Tensor;
  private readonly symbol: Tensor;
  private readonly forcing: Tensor | ((w: Tensor) => Tensor) | undefined;
  private coefficients: Coefficients | undefined;

  /** @throws TypeError or RangeError for a bad or unknown option */
  constructor(options: NavierStokesOptions) {
    const caller = 'NavierStokes2D';
    checkOptions(caller, options, [...PHYSICS_OPTIONS, 'forcing']);
    const { forcing, ...rest } = options;
    const physics = resolvePhysics(caller, rest);
    const { n } = physics;
    if (forcing !== undefined && typeof forcing !== 'function') {
      checkTensor(caller, 'forcing', forcing, { minRank: 2 });
      checkSquare(caller, 'forcing', forcing, n);
    }
    this.physics = physics;
    this.grid = new SpectralGrid(n, physics.diam);
    this.grid.keep();
    this.mask = keep(this.grid.symbol((_, __, kx, ky) => physics.mask(kx, ky)));
    this.symbol = keep(this.grid.symbol((_, __, kx, ky) => linearSymbol(physics, kx, ky)));
    this.forcing =
      forcing instanceof TensorClass
        ? keep(tidy(() => this.grid.forward(reshape(forcing, [-1, n, n]))))
        : forcing;
  }

  /**
   * Steps `w0` on, refusing states that are not finite; reads one number a step back, at the end of each kept frame. The
   * mean of `w0` is removed. Not differentiable: see {@link rollout}.
   * @throws TypeError or RangeError for bad arguments; DivergedError ("diverged at step j: reduce dt"), nothing leaked
   */
  async solve(w0: Tensor, options: SolveOptions): Promise<Solution> {
    const caller = 'NavierStokes2D.solve';
    this.check(caller, w0);
    const { dt, steps, saveEvery } = checkSolve(caller, options);
    const batch = w0.shape.slice(0, -2);
    const held = new Set<Tensor>();
    const hold = <T extends Tensor>(x: T): T => {
      held.add(keep(x));
      return x;
    };
    const free = (x: Tensor) => {
      held.delete(x);
      x.dispose();
    };
    try {
      let state = hold(tidy(() => this.grid.forward(this.withoutMean(this.flat(w0)))));
      const frames: Tensor[] = [];
      const slopes: Tensor[] = [];
      for (let step = 0; step < steps; ) {
        const sums: Tensor[] = [];
        for (let i = 0; i < saveEvery; i++, step++) {
          const last = i === saveEvery - 1;
          const { next, check, slope } = tidy(() => {
            const delta = this.delta(state, dt);
            const after = add(state, delta);
            return {
              next: after,
              // 0 · x is NaN for an x that is not finite.
              check: sum(mul(after, 0)),
              slope: last ? this.grid.inverse(mul(delta, 1 / dt)) : undefined,
            };
          });
          free(state);
          state = hold(next);
          sums.push(hold(check));
          if (slope) slopes.push(hold(slope));
        }
        frames.push(hold(this.physical(state)));
        const joined = hold(stack(sums));
        const values = await joined.data();
        for (const x of [...sums, joined]) free(x);
        const bad = values.findIndex((x) => x !== 0);
        if (bad >= 0) throw new DivergedError(caller, step - saveEvery + bad + 1);
      }
      const t = frames.map((_, i) => (i + 1) * saveEvery * dt);
      return { ...this.joined(batch, frames, slopes), t };
    } finally {
      for (const x of held) x.dispose();
    }
  }

  /** {@link solve} as one differentiable expression: nothing is read back, no mean removed, NaN stays NaN. */
  rollout(w0: Tensor, options: SolveOptions): Solution {
    const caller = 'NavierStokes2D.rollout';
    this.check(caller, w0);
    const { dt, steps, saveEvery } = checkSolve(caller, options);
    const frames: Tensor[] = [];
    const slopes: Tensor[] = [];
    const result = tidy(() => {
      let state = this.grid.forward(this.flat(w0));
      for (let step = 1; step <= steps; step++) {
        const delta = tidy(() => this.delta(state, dt));
        state = add(state, delta);
        if (step % saveEvery !== 0) continue;
        frames.push(this.grid.inverse(state));
        slopes.push(this.grid.inverse(mul(delta, 1 / dt)));
      }
      return this.joined(w0.shape.slice(0, -2), frames, slopes);
    });
    return { ...result, t: frames.map((_, i) => (i + 1) * saveEvery * dt) };
  }

  /** One step of length `dt`. @throws TypeError or RangeError for bad arguments */
  step(w: Tensor, dt: number): Tensor {
    const caller = 'NavierStokes2D.step';
    this.check(caller, w);
    checkNumber(caller, 'dt', dt, { above: 0 });
    return tidy(() => {
      const state = this.grid.forward(this.flat(w));
      return reshape(this.grid.inverse(add(state, this.delta(state, dt))), w.shape);
    });
  }

  /** Explicit part of dw/dt, `f − mask · (u·∇w)`. */
  explicitTerm(w: Tensor): Tensor {
    return this.map('NavierStokes2D.explicitTerm', w, (state) => this.explicit(state));
  }

  /** dw/dt by the equation, `f − mask · (u·∇w) + νΔw − μw`. */
  tendency(w: Tensor): Tensor {
    return this.map('NavierStokes2D.tendency', w, (state) =>
      add(this.explicit(state), mul(state, this.symbol)),
    );
  }

  /** ψ with −Δψ = w and mean 0. */
  streamFunction(w: Tensor): Tensor {
    return this.map('NavierStokes2D.streamFunction', w, (state) => this.grid.streamFunction(state));
  }

  /** Velocity components along x and y, each of the shape of `w`. */
  velocity(w: Tensor): { u: Tensor; v: Tensor } {
    this.check('NavierStokes2D.velocity', w);
    return tidy(() => {
      const { u, v } = this.grid.gradients(this.grid.forward(this.flat(w)));
      return { u: reshape(u, w.shape), v: reshape(v, w.shape) };
    });
  }

  /** Kinetic energy ½·mean|u|², one number a field. */
  energy(w: Tensor): Tensor {
    this.check('NavierStokes2D.energy', w);
    return tidy(() => {
      const { u, v } = this.velocity(w);
      return mul(mean(add(square(u), square(v)), [-2, -1]), 0.5);
    });
  }

  /** Enstrophy ½·mean w², one number a field. */
  enstrophy(w: Tensor): Tensor {
    this.check('NavierStokes2D.enstrophy', w);
    return tidy(() => mul(mean(square(w), [-2, -1]), 0.5));
  }

  /**
   * Energy by shells of |k| rounded to an integer, `[…, shells]`; the entries add up to {@link energy} (of a field without
   * a Nyquist frequency).
   */
  spectrum(w: Tensor): Tensor {
    this.check('NavierStokes2D.spectrum', w);
    const { n, half, diam } = this.physics;
    const k = frequencies(n);
    const shells = Math.round(Math.hypot(Math.floor(n / 2), Math.floor(n / 2))) + 1;
    const table = new Float32Array(half * n * shells);
    for (let y = 0; y < half; y++) {
      for (let x = 0; x < n; x++) {
        const length = Math.hypot(k[x]!, y);
        if (length === 0) continue;
        const xi = (2 * Math.PI * length) / diam;
        table[(y * n + x) * shells + Math.round(length)] =
          multiplicity(y, n) / (2 * n ** 4 * xi * xi);
      }
    }
    return tidy(() => {
      const power = sum(square(this.grid.forward(this.flat(w))), 2);
      const rows = reshape(power, [-1, half * n]) as Tensor2D;
      const shares = matMul(rows, tensor2d(table, [half * n, shells]));
      return reshape(shares, [...w.shape.slice(0, -2), shells]);
    });
  }

  /**
   * Largest step that advection allows for the whole batch: `min(h, courant · h / max|u|)`, h = diam/n.
   * @param courant - > 0. Default 0.5
   */
  async stableTimeStep(w: Tensor, courant = 0.5): Promise<number> {
    const caller = 'NavierStokes2D.stableTimeStep';
    checkNumber(caller, 'courant', courant, { above: 0 });
    this.check(caller, w);
    const fastest = tidy(() => {
      const { u, v } = this.velocity(w);
      return max(add(square(u), square(v)));
    });
    const [squared] = await fastest.data();
    fastest.dispose();
    const h = this.physics.diam / this.physics.n;
    return Math.min(h, (courant * h) / Math.max(Math.sqrt(squared!), Number.MIN_VALUE));
  }

  /** Frees tables; twice is once. */
  dispose(): void {
    this.grid.dispose();
    for (const x of [this.mask, this.symbol]) x.dispose();
    if (this.forcing instanceof TensorClass) this.forcing.dispose();
    this.dropCoefficients();
  }

  private check(caller: string, w: Tensor): void {
    checkTensor(caller, 'w', w, { minRank: 2 });
    checkSquare(caller, 'w', w, this.physics.n);
  }

  private flat(w: Tensor): Tensor {
    return reshape(w, [-1, this.physics.n, this.physics.n]);
  }

  private withoutMean(w: Tensor): Tensor {
    return sub(w, mean(w, [1, 2], true));
  }

  private physical(state: Tensor): Tensor {
    return tidy(() => this.grid.inverse(state));
  }

  private map(caller: string, w: Tensor, f: (state: Tensor) => Tensor): Tensor {
    this.check(caller, w);
    return tidy(() => reshape(this.grid.inverse(f(this.grid.forward(this.flat(w)))), w.shape));
  }

  private joined(batch: number[], frames: Tensor[], slopes: Tensor[]): { w: Tensor; dwdt: Tensor } {
    const { n } = this.physics;
    const shape = [...batch, frames.length, n, n];
    return tidy(() => ({
      w: reshape(stack(frames, 1), shape),
      dwdt: reshape(stack(slopes, 1), shape),
    }));
  }

  /** Spectrum of `f − mask · (u·∇w)`. */
  private explicit(state: Tensor): Tensor {
    const { grid, forcing } = this;
    const advected = neg(mul(grid.forward(grid.advection(state)), this.mask));
    if (forcing === undefined) return advected;
    if (forcing instanceof TensorClass) return add(advected, forcing);
    const w = grid.inverse(state);
    const source = forcing(w);
    checkTensor('NavierStokes2D', 'forcing(w)', source, { minRank: 2 });
    checkSquare('NavierStokes2D', 'forcing(w)', source, this.physics.n);
    return add(advected, grid.forward(this.flat(source)));
  }

  /** Increment of one step, in frequencies. */
  private delta(state: Tensor, dt: number): Tensor {
    const { explicit, linear } = this.prepare(dt);
    const stage = (index: number, h: Tensor, w: Tensor) =>
      add(mul(h, explicit[index]!), mul(w, linear[index]!));
    if (this.physics.stepper === 'rk4-cn') {
      let [h, total]: (Tensor | undefined)[] = [];
      let w = state;
      RK4_STAGES.forEach(({ carry }, index) => {
        const own = this.explicit(w);
        h = h ? add(own, mul(h, carry)) : own;
        const change = stage(index, h, w);
        total = total ? add(total, change) : change;
        w = add(state, total);
      });
      return total!;
    }
    const h1 = this.explicit(state);
    const first = stage(0, h1, state);
    if (this.physics.stepper === 'imex-cn') return first;
    const h2 = this.explicit(add(state, first));
    return stage(0, mul(add(h1, h2), 0.5), state);
  }

  private prepare(dt: number): Coefficients {
    if (this.coefficients?.dt === dt) return this.coefficients;
    const { grid, physics } = this;
    const stages = physics.stepper === 'rk4-cn' ? RK4_STAGES : [{ a: 1, m: 0.5 }];
    const made = stages.map(({ a, m }) => {
      const of = (kx: number, ky: number) => increment(linearSymbol(physics, kx, ky), dt, a, m);
      return {
        explicit: keep(grid.symbol((_, __, kx, ky) => of(kx, ky).explicit)),
        linear: keep(grid.symbol((_, __, kx, ky) => of(kx, ky).linear)),
      };
    });
    this.dropCoefficients();
    this.coefficients = {
      dt,
      explicit: made.map((stage) => stage.explicit),
      linear: made.map((stage) => stage.linear),
    };
    return this.coefficients;
  }

  private dropCoefficients(): void {
    const { explicit = [], linear = [] } = this.coefficients ?? {};
    for (const x of [...explicit, ...linear]) x.dispose();
    this.coefficients = undefined;
  }
}

/** Demands `[…, n, n]`. */
export function checkSquare(caller: string, name: string, x: Tensor, n: number): void {
  const [rows, columns] = x.shape.slice(-2);
  if (rows === n && columns === n) return;
  throw new RangeError(`${caller}: ${name} must have shape [..., ${n}, ${n}], got [${x.shape}]`);
}
