import {
  bochnerNorm,
  DivergedError,
  HostNavierStokes2D,
  kolmogorovForcing,
  mcwilliamsVorticity,
  NavierStokes2D,
  relativeError,
  residual,
  type Stepper,
  sobolevNorm,
  type TimeScheme,
  taylorGreen,
} from '@orth/operators';
import { expectTensorClose } from '@orth/testing';
import {
  add,
  concat,
  grad,
  mean,
  memory,
  mul,
  neg,
  reverse,
  type Scalar,
  slice,
  square,
  stack,
  sum,
  type Tensor,
  tidy,
  zeros,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { gaussian, toTensor } from './reference.js';

describe('NavierStokes2D', () => {
  it.each<[Stepper, number]>([
    ['rk4-cn', 12],
    ['rk2-cn', 9],
    ['imex-cn', 8],
  ])('%s at n = %i: a batch equals float64 on the host over 60 steps', async (stepper, n) => {
    const before = memory().numTensors;
    const force = kolmogorovForcing({ n, wavenumber: 2, amplitude: 0.3 });
    const physics = { n, viscosity: 0.005, drag: 0.1, stepper };
    const host = new HostNavierStokes2D({ ...physics, forcing: force });
    const forcing = toTensor(force, [n, n]);
    const solver = new NavierStokes2D({ ...physics, forcing });
    const starts = [1, 2].map((seed) => mcwilliamsVorticity({ n, peakWavenumber: 2, seed }));
    const w0 = toTensor(
      starts.flatMap((w) => [...w]),
      [2, n, n],
    );
    const { w, dwdt, t } = await solver.solve(w0, { dt: 0.01, steps: 60, saveEvery: 30 });
    expect(w.shape).toEqual([2, 2, n, n]);
    expect(t).toEqual([0.3, 0.6]);
    const wants = starts.map((x) => host.solve(x, { dt: 0.01, steps: 60, saveEvery: 30 }));
    expectTensorClose(
      w,
      wants.flatMap((s) => [...s.w]),
      { rtol: 1e-4, atol: 1e-4 },
    );
    expectTensorClose(
      dwdt,
      wants.flatMap((s) => [...s.dwdt]),
      { rtol: 5e-4, atol: 5e-4 },
    );
    for (const x of [forcing, w0, w, dwdt]) x.dispose();
    solver.dispose();
    solver.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it('diagnostics: velocity is free of divergence, shells add up, energy decays as e^{−4νκ²t}', async () => {
    const n = 16;
    const flow = { n, viscosity: 0.02, wavenumber: 2 };
    const solver = new NavierStokes2D({ n, viscosity: 0.02 });
    const w0 = toTensor(taylorGreen(flow), [n, n]);
    const { w, dwdt } = await solver.solve(w0, { dt: 0.02, steps: 20 });
    tidy(() => {
      const last = slice(w, [0, 0, 0], [1, n, n]);
      const decay = Math.exp(-4 * 0.02 * 4 * 0.4);
      const e0 = solver.energy(w0).dataSync()[0]!;
      expect(solver.energy(last).dataSync()[0]! / e0).toBeCloseTo(decay, 3);
      const s0 = solver.enstrophy(w0).dataSync()[0]!;
      expect(solver.enstrophy(last).dataSync()[0]! / s0).toBeCloseTo(decay, 3);
      expect(sum(solver.spectrum(w0)).dataSync()[0]).toBeCloseTo(e0, 4);
      // The curl of the velocity of −w's stream function gives w back: −Δψ = w.
      const psi = solver.streamFunction(w0);
      expectTensorClose(mul(psi, 8), w0, { rtol: 1e-4, atol: 1e-4 });
    });
    const dt = await solver.stableTimeStep(w0);
    // |u| of these vortices is at most 1.
    expect(dt).toBeCloseTo((0.5 * 2 * Math.PI) / n, 2);
    for (const x of [w0, w, dwdt]) x.dispose();
    solver.dispose();
  });

  it('forcing may depend on the state', () => {
    tidy(() => {
      const n = 8;
      const w = toTensor(mcwilliamsVorticity({ n, seed: 1 }), [n, n]);
      const dragged = new NavierStokes2D({ n, drag: 0.7 });
      const forced = new NavierStokes2D({ n, forcing: (x) => mul(x, -0.7) });
      expectTensorClose(forced.tendency(w), dragged.tendency(w), { rtol: 1e-4, atol: 1e-4 });
      for (const s of [dragged, forced]) s.dispose();
    });
  });

  it('rollouts have the gradient of their value', () => {
    tidy(() => {
      const n = 6;
      const solver = new NavierStokes2D({ n, viscosity: 0.05, dealias: false });
      const f = (x: Tensor) =>
        sum(square(solver.rollout(x, { dt: 0.05, steps: 4, saveEvery: 2 }).w)) as Scalar;
      const w = gaussian(1, n * n);
      const direction = gaussian(2, n * n);
      const own = sum(mul(grad(f)(toTensor(w, [n, n])), toTensor(direction, [n, n])));
      const host = new HostNavierStokes2D({ n, viscosity: 0.05, dealias: false });
      // The host removes the mean, which the rollout keeps: only the share that is free of it is compared.
      const free = (x: Float64Array) => {
        const m = x.reduce((s, v) => s + v, 0) / x.length;
        return x.map((v) => v - m);
      };
      const [w1, d1] = [free(w), free(direction)];
      const value = (h: number) =>
        host
          .solve(
            w1.map((v, i) => v + h * d1[i]!),
            { dt: 0.05, steps: 4, saveEvery: 2 },
          )
          .w.reduce((s, v) => s + v * v, 0);
      const want = (value(1e-5) - value(-1e-5)) / 2e-5;
      const ownFree = sum(mul(grad(f)(toTensor(w1, [n, n])), toTensor(d1, [n, n])));
      expect(ownFree.dataSync()[0]! / want).toBeCloseTo(1, 3);
      expect(Number.isFinite(own.dataSync()[0])).toBe(true);
      solver.dispose();
    });
  });

  it('divergence and bad arguments: an error, nothing leaked', async () => {
    const before = memory().numTensors;
    const n = 8;
    const w0 = toTensor(
      mcwilliamsVorticity({ n, seed: 2 }).map((x) => 1e4 * x),
      [n, n],
    );
    const solver = new NavierStokes2D({ n, viscosity: 0 });
    const tables = memory().numTensors;
    const run = solver.solve(w0, { dt: 10, steps: 40, saveEvery: 20 });
    await expect(run).rejects.toThrow(DivergedError);
    // What the length of the step asks for stays until the next one.
    expect(memory().numTensors - tables).toBe(10);
    await expect(solver.solve(w0, { dt: -1, steps: 1 })).rejects.toThrow('dt must be');
    expect(() => solver.step(zeros([7, 8]), 1)).toThrow('must have shape [..., 8, 8], got [7,8]');
    expect(() => new NavierStokes2D({ n, forcing: zeros([4, 4]) })).toThrow('forcing');
    solver.dispose();
    w0.dispose();
    expect(memory().numTensors - before).toBeLessThanOrEqual(2);
  });
});

describe('norms', () => {
  const n = 10;
  const diam = 3;

  it('order 0 is L², a wave has (L²/2)(α + |ξ|²)^s, and negative orders are smaller', () => {
    tidy(() => {
      const x = toTensor(gaussian(1, 2 * n * n), [2, n, n]);
      const l2 = mul(mean(square(x), [1, 2]), diam ** 2).dataSync();
      expectTensorClose(square(sobolevNorm(x, { diam })), l2, { rtol: 1e-4 });
      const wave = Float64Array.from({ length: n * n }, (_, i) =>
        Math.cos((2 * Math.PI * 2 * Math.floor(i / n)) / n),
      );
      for (const [order, alpha] of [
        [1, 0.3],
        [-1, 0.1],
        [-0.5, 0],
      ] as const) {
        const want = (diam ** 2 / 2) * (alpha + ((2 * Math.PI * 2) / diam) ** 2) ** order;
        const own = sobolevNorm(toTensor(wave, [n, n]), { order, alpha, diam });
        expect(own.dataSync()[0]! ** 2 / want).toBeCloseTo(1, 4);
      }
      const weak = sobolevNorm(x, { order: -1, alpha: 0.1, diam }).dataSync();
      weak.forEach((v, i) => {
        expect(v).toBeLessThanOrEqual(Math.sqrt(l2[i]! / 0.1));
      });
    });
  });

  it('relative errors do not depend on scale, and a zero prediction has 1', () => {
    tidy(() => {
      const y = toTensor(gaussian(2, 3 * n * n), [3, n, n]);
      expectTensorClose(relativeError(mul(y, 0), y, { order: -1 }), [1]);
      expectTensorClose(relativeError(mul(y, 1.25), y), [0.25], { rtol: 1e-4 });
      expectTensorClose(bochnerNorm(mul(y, 2), { dt: 4 }), mul(bochnerNorm(y), 4), { rtol: 1e-4 });
    });
  });

  it('refuses bad arguments', () => {
    tidy(() => {
      expect(() => sobolevNorm(zeros([3, 4]))).toThrow('must have shape [..., n, n], got [3,4]');
      expect(() => sobolevNorm(zeros([4, 4]), { alpha: -1 })).toThrow('alpha must be');
      expect(() => relativeError(zeros([1, 4, 4]), zeros([2, 4, 4]))).toThrow('truth');
    });
  });
});

describe('residual', () => {
  const n = 8;
  const physics = { viscosity: 0.05, drag: 0.1 };
  /** Frames −4 … t − 1 of Taylor–Green vortices, an exact solution. */
  const frames = (dt: number, t: number) =>
    Array.from({ length: t + 4 }, (_, i) =>
      toTensor(taylorGreen({ n, wavenumber: 2, ...physics, time: i * dt }), [n, n]),
    );
  const eta = (prediction: Tensor, window: Tensor, dt: number, scheme: TimeScheme = 'central4') =>
    residual(prediction, { window, dt, scheme, ...physics }).eta.dataSync()[0]!;

  it.each<[TimeScheme, number]>([
    ['bdf1', 1],
    ['bdf2', 2],
    ['bdf3', 3],
  ])('%s of an exact solution vanishes as Δt^%i', (scheme, order) => {
    tidy(() => {
      // The first predicted frame is at time 0 whatever dt is.
      const [coarse, fine] = [0.4, 0.2].map((dt) => {
        const at = (j: number) => {
          const flow = toTensor(taylorGreen({ n, wavenumber: 2 }), [n, n]);
          return mul(flow, Math.exp(-(2 * 0.05 * 4 + 0.1) * j * dt));
        };
        const window = stack([-4, -3, -2, -1].map(at));
        const { perFrame } = residual(stack([at(0)]), { window, dt, scheme, ...physics });
        return perFrame.dataSync()[0]!;
      });
      expect(Math.log2(coarse! / fine!)).toBeGreaterThan(order - 0.25);
    });
  });

  it('central4 of an exact solution is small, and says what is wrong in time', () => {
    tidy(() => {
      const dt = 0.3;
      const all = frames(dt, 6);
      const [window, truth] = [stack(all.slice(0, 4)), stack(all.slice(4))];
      const exact = eta(truth, window, dt);
      const size = Math.max(...truth.dataSync());
      expect(exact).toBeLessThan(1e-2 * size);
      expect(eta(reverse(truth, 0), window, dt)).toBeGreaterThan(30 * exact);
      expect(eta(mul(truth, 1.1), window, dt)).toBeGreaterThan(30 * exact);
      const { field, perFrame } = residual(truth, { window, dt, ...physics });
      expect(field.shape).toEqual([8, n, n]);
      expect(perFrame.shape).toEqual([8]);
    });
  });

  it('a batch is its parts; forcing cancels its field; a frozen own velocity changes nothing', () => {
    tidy(() => {
      const all = toTensor(gaussian(3, 2 * 7 * n * n), [2, 7, n, n]);
      const [window, x] = [
        slice(all, [0, 0, 0, 0], [2, 4, n, n]),
        slice(all, [0, 4, 0, 0], [2, 3, n, n]),
      ];
      const options = { dt: 0.1, ...physics, order: 0 };
      const both = residual(x, { window, ...options });
      const second = residual(slice(x, [1, 0, 0, 0], [1, 3, n, n]), {
        window: slice(window, [1, 0, 0, 0], [1, 4, n, n]),
        ...options,
      });
      expect(both.eta.dataSync()[1]! / second.eta.dataSync()[0]!).toBeCloseTo(1, 5);
      const force = slice(both.field, [0, 1, 0, 0], [2, 1, n, n]);
      const forced = residual(x, { window, ...options, forcing: force });
      expect(forced.perFrame.dataSync()[1]).toBeLessThan(1e-3 * both.perFrame.dataSync()[1]!);
      const solver = new NavierStokes2D({ n });
      const frozen = residual(x, {
        window,
        ...options,
        velocity: solver.velocity(concat([window, x], 1)),
      });
      expectTensorClose(frozen.field, both.field, { rtol: 1e-4, atol: 1e-3 });
      solver.dispose();
    });
  });

  it('has the gradient of its value', () => {
    tidy(() => {
      const all = toTensor(gaussian(4, 8 * n * n), [8, n, n]);
      const [window, x] = [slice(all, [0, 0, 0], [4, n, n]), slice(all, [4, 0, 0], [4, n, n])];
      const d = toTensor(gaussian(5, x.size), x.shape);
      const f = (z: Tensor) => square(residual(z, { window, dt: 0.1, ...physics }).eta) as Scalar;
      const own = sum(mul(grad(f)(x), d)).dataSync()[0]!;
      const at = (h: number) => f(add(x, mul(d, h))).dataSync()[0]!;
      expect((at(0.05) - at(-0.05)) / 0.1 / own).toBeCloseTo(1, 2);
    });
  });

  it('refuses bad arguments', () => {
    tidy(() => {
      const x = zeros([3, n, n]);
      const window = zeros([4, n, n]);
      const short = zeros([2, n, n]);
      expect(() => residual(x, { window: short, dt: 1 })).toThrow('at least 4 frames');
      expect(() => residual(zeros([1, n, n]), { window, dt: 1 })).toThrow('at least 2 frames');
      expect(() => residual(x, { window, dt: 0 })).toThrow('dt must be');
      expect(() => residual(x, { window: neg(zeros([4, 4, 4])), dt: 1 })).toThrow('window');
    });
  });
});
