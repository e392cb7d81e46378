import {
  DivergedError,
  gaussianRandomField,
  HostNavierStokes2D,
  kolmogorovForcing,
  mcwilliamsVorticity,
  type Stepper,
  taylorGreen,
} from '@orth/operators';
import { describe, expect, it } from 'vitest';
import { relativeMax } from './reference.js';

const STEPPERS: Stepper[] = ['rk4-cn', 'rk2-cn', 'imex-cn'];

function solved(stepper: Stepper, dt: number, more = {}, n = 16) {
  const solver = new HostNavierStokes2D({
    n,
    viscosity: 0.002,
    stepper,
    forcing: kolmogorovForcing({ n, wavenumber: 2, amplitude: 0.5 }),
    ...more,
  });
  const w0 = mcwilliamsVorticity({ n, peakWavenumber: 2, seed: 3 });
  return solver.solve(w0, { dt, steps: Math.round(0.8 / dt) }).w;
}

describe.each(STEPPERS)('%s', (stepper) => {
  it('Taylor–Green vortices decay as they must, with drag, any n and box', () => {
    for (const [n, diam, wavenumber] of [
      [16, 2 * Math.PI, 2],
      [15, 3, 1],
    ] as const) {
      const physics = { n, diam, viscosity: 0.01, drag: 0.05 };
      const solver = new HostNavierStokes2D({ ...physics, stepper });
      const flow = { ...physics, wavenumber };
      const { w, t } = solver.solve(taylorGreen(flow), { dt: 0.01, steps: 100, saveEvery: 50 });
      expect([...t]).toEqual([0.5, 1]);
      const want = [...taylorGreen({ ...flow, time: 0.5 }), ...taylorGreen({ ...flow, time: 1 })];
      expect(relativeMax(w, want)).toBeLessThan(2e-5);
    }
  });

  it('converges at its order', () => {
    const exact = solved('rk4-cn', 0.0025);
    const errors = [0.08, 0.04].map((dt) => relativeMax(solved(stepper, dt), exact));
    const order = Math.log2(errors[0]! / errors[1]!);
    const least = { 'rk4-cn': 3.7, 'rk2-cn': 1.9, 'imex-cn': 0.9 }[stepper];
    expect(order).toBeGreaterThan(least);
  });
});

it('conserves energy and enstrophy without viscosity, as dt → 0', () => {
  const n = 24;
  // Only what de-aliasing keeps takes part in the exact conservation: waves of at most 3 of 8.
  const start = Float64Array.from({ length: n * n }, (_, i) => {
    const [x, y] = [(2 * Math.PI * Math.floor(i / n)) / n, (2 * Math.PI * (i % n)) / n];
    return 2 * Math.cos(x + 2 * y) + Math.sin(3 * x - y) + Math.cos(2 * x) * Math.sin(y);
  });
  const solver = new HostNavierStokes2D({ n, viscosity: 0 });
  const measures = (w: Float64Array) => {
    const { u, v } = solver.velocity(w);
    const mean = (f: (i: number) => number) => w.reduce((s, _, i) => s + f(i), 0) / w.length;
    return [mean((i) => u[i]! ** 2 + v[i]! ** 2), mean((i) => w[i]! ** 2)];
  };
  const drift = (dt: number) => {
    const { w } = solver.solve(start, { dt, steps: Math.round(0.4 / dt) });
    const [before, after] = [measures(start), measures(w)];
    return Math.max(...before.map((b, i) => Math.abs(after[i]! / b - 1)));
  };
  const [coarse, fine] = [drift(0.04), drift(0.02)];
  expect(coarse).toBeLessThan(1e-3);
  expect(Math.log2(coarse / fine)).toBeGreaterThan(3);
});

it('removes a mean and says so; keeps the mean otherwise', () => {
  const n = 8;
  const w0 = mcwilliamsVorticity({ n, seed: 2 }).map((x) => x + 0.5);
  const solver = new HostNavierStokes2D({ n });
  const { w, removedMean } = solver.solve(w0, { dt: 0.01, steps: 5 });
  expect(removedMean).toBeCloseTo(0.5, 12);
  expect(w.reduce((s, x) => s + x, 0) / w.length).toBeCloseTo(0, 12);
});

it('zero stays zero', () => {
  const { w, dwdt } = new HostNavierStokes2D({ n: 8 }).solve(new Float64Array(64), {
    dt: 0.1,
    steps: 3,
  });
  expect([...w, ...dwdt].every((x) => x === 0)).toBe(true);
});

it('says at which step it diverged', () => {
  const n = 16;
  const w0 = mcwilliamsVorticity({ n, seed: 2 }).map((x) => 1e3 * x);
  const solver = new HostNavierStokes2D({ n, viscosity: 0 });
  const run = () => solver.solve(w0, { dt: 10, steps: 200 });
  expect(run).toThrow(DivergedError);
  expect(run).toThrow(/diverged at step \d+: reduce dt/);
  const dt = solver.stableTimeStep(w0);
  expect(dt).toBeLessThan(1e-2);
  expect(Number.isFinite(solver.solve(w0, { dt, steps: 20 }).w[0])).toBe(true);
});

it('masks: lopsided, whole, half and none', () => {
  const n = 12;
  const w0 = mcwilliamsVorticity({ n, seed: 5 });
  const run = (dealias: '2/3' | 'jax-cfd' | false | number[]) =>
    new HostNavierStokes2D({ n, dealias }).solve(w0, { dt: 0.02, steps: 10 }).w;
  const k = Array.from({ length: n }, (_, i) => Math.abs(i < n / 2 ? i : i - n));
  const whole = k.flatMap((x) => k.map((y) => Number(x < 4 && y < 4)));
  const half = k.flatMap((x) => k.slice(0, 7).map((y) => Number(x < 4 && y < 4)));
  expect(run(whole)).toEqual(run('2/3'));
  expect(run(half)).toEqual(run('2/3'));
  expect(relativeMax(run('jax-cfd'), run('2/3'))).toBeGreaterThan(1e-6);
  expect(relativeMax(run(false), run('2/3'))).toBeGreaterThan(1e-6);
});

it('initial data: seeded, mean 0, the stated energy', () => {
  const n = 16;
  const w = mcwilliamsVorticity({ n, seed: 7 });
  expect(w).toEqual(mcwilliamsVorticity({ n, seed: 7 }));
  expect(w).not.toEqual(mcwilliamsVorticity({ n, seed: 8 }));
  const { u, v } = new HostNavierStokes2D({ n }).velocity(w);
  const energy = u.reduce((s, x, i) => s + x * x + v[i]! ** 2, 0) / (2 * n * n);
  expect(energy).toBeCloseTo(0.25, 1);
  const field = gaussianRandomField({ n: 9, seed: 1 });
  expect(field.reduce((s, x) => s + x, 0) / 81).toBeCloseTo(0, 10);
});

it('refuses bad arguments', () => {
  expect(() => new HostNavierStokes2D({ n: 1 })).toThrow('n must be an integer >= 2');
  expect(() => new HostNavierStokes2D({ n: 8, viscosity: -1 })).toThrow('viscosity must be');
  expect(() => new HostNavierStokes2D({ n: 8, dealias: [1, 2] })).toThrow(
    'dealias must have 8x8 or 8x5 entries, got 2',
  );
  expect(() => new HostNavierStokes2D({ n: 8, stepper: 'euler' as Stepper })).toThrow('stepper');
  expect(() => new HostNavierStokes2D({ n: 8, nu: 1 } as { n: number })).toThrow('unknown option');
  const solver = new HostNavierStokes2D({ n: 4 });
  const zero = new Float64Array(16);
  expect(() => solver.solve(zero, { dt: 0, steps: 1 })).toThrow('dt must be');
  expect(() => solver.solve(zero, { dt: 1, steps: 3, saveEvery: 2 })).toThrow('saveEvery');
  expect(() => solver.solve(new Float64Array(15), { dt: 1, steps: 1 })).toThrow('4x4 entries');
  expect(() =>
    solver.solve(
      zero.map(() => Number.NaN),
      { dt: 1, steps: 1 },
    ),
  ).toThrow('finite');
  expect(() => mcwilliamsVorticity({ n: 8, noise: [1] })).toThrow('8x8 entries');
  expect(() => taylorGreen({ n: 8, wavenumber: 0 })).toThrow('wavenumber');
});
