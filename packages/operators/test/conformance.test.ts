/** The same small list on every backend, against float64 on the host. */
import {
  HostNavierStokes2D,
  irfft2,
  mcwilliamsVorticity,
  NavierStokes2D,
  refine,
  residual,
  rfft2,
  STFNO,
  sobolevNorm,
} from '@orth/operators';
import { expectTensorClose } from '@orth/testing';
import { grad, memory, slice, square, sum, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { dft, gaussian, halfOf, toTensor } from './reference.js';

const TIMEOUT = 120_000;

async function same(x: Tensor, want: ArrayLike<number>, tolerance: object = {}) {
  expectTensorClose(await x.data(), want, { rtol: 1e-4, atol: 1e-4, ...tolerance });
  x.dispose();
}

it(
  'transforms and their gradient',
  async () => {
    const before = memory().numTensors;
    const [n1, n2] = [5, 6];
    const a = gaussian(1, n1 * n2);
    const x = toTensor(a, [n1, n2]);
    const z = rfft2(x);
    await same(irfft2(z, n2), a);
    const want = dft(a, undefined, [n1, n2]);
    await same(z.re, halfOf(want.re, n2));
    await same(z.im, halfOf(want.im, n2));
    // ½ d/dx Σ(Re x̂)² over all frequencies would be N (x(j) + x(−j))/2; the kept half is compared with differences.
    const f = (v: Float64Array) =>
      halfOf(dft(v, undefined, [n1, n2]).re, n2).reduce((s, r) => s + r * r, 0);
    const slopes = a.map((_, i) => {
      const at = (h: number) => f(a.map((v, j) => v + (i === j ? h : 0)));
      return (at(1e-4) - at(-1e-4)) / 2e-4;
    });
    await same(grad((v: Tensor) => sum(square(rfft2(v).re)))(x), slopes, { atol: 1e-3 });
    x.dispose();
    expect(memory().numTensors).toBe(before);
  },
  TIMEOUT,
);

it(
  'steps, norms and residuals of a flow',
  async () => {
    const n = 8;
    const physics = { n, viscosity: 0.01 };
    const start = mcwilliamsVorticity({ n, peakWavenumber: 2, seed: 1 });
    const host = new HostNavierStokes2D(physics).solve(start, { dt: 0.05, steps: 6, saveEvery: 1 });
    const solver = new NavierStokes2D(physics);
    const w0 = toTensor(start, [n, n]);
    const own = await solver.solve(w0, { dt: 0.05, steps: 2 });
    await same(own.w, host.w.slice(n * n, 2 * n * n));
    await same(own.dwdt, host.dwdt.slice(n * n, 2 * n * n), { atol: 5e-4 });
    const l2 = Math.sqrt((start.reduce((s, v) => s + v * v, 0) * (2 * Math.PI) ** 2) / n ** 2);
    await same(sobolevNorm(w0), [l2]);
    const frames = toTensor(host.w, [6, n, n]);
    const parts = [0, 4].map((at) => tidy(() => slice(frames, [at, 0, 0], [at ? 2 : 4, n, n])));
    const [window, next] = parts as [Tensor, Tensor];
    const options = { window, dt: 0.05, viscosity: 0.01 };
    const { field, eta, perFrame } = residual(next, options);
    const norms = Array.from(await perFrame.data());
    await same(eta, [Math.sqrt(norms.reduce((s, v) => s + v * v, 0) * 0.05)]);
    // An exact trajectory but for the time differences.
    expect(Math.max(...norms)).toBeLessThan(0.05 * l2);
    for (const x of [field, perFrame, w0, frames, ...parts]) x.dispose();
    solver.dispose();
  },
  TIMEOUT,
);

it(
  'a network is refined',
  async () => {
    const before = memory().numTensors;
    const model = new STFNO({ modes: [1, 1, 2], width: 4, layers: 1, latentSteps: 4, delta: 1 });
    const x = toTensor(gaussian(2, 4 * 4 * 4), [1, 4, 4, 4]);
    const refined = await refine(model, x, {
      dt: 0.1,
      viscosity: 0.1,
      iterations: 4,
      biasLearningRate: 1,
    });
    expect(refined.eta[0]).toBeLessThan(refined.eta0[0]!);
    for (const y of [refined, model, x]) y.dispose();
    expect(memory().numTensors).toBe(before);
  },
  TIMEOUT,
);
