/** Stochastic differential equations: the solution against one in closed form, the path under rejections, training. */
import { seededRandom } from '@orth/backend';
import {
  addN,
  div,
  fill,
  grads,
  mean,
  memory,
  mul,
  ones,
  type Scalar,
  square,
  sub,
  sum,
  type Tensor,
  tensor1d,
  tidy,
  train,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { disposeNoise, NeuralSDE, OdeSolveError, replaySde, sdeSolve } from '../src/index.js';
import { BrownianPath } from '../src/ode/brownianPath.js';

const values = async (x: Tensor) => [...(await x.data())];

describe('BrownianPath', () => {
  test('rejections and splits keep the path and its variance', async () => {
    const path = new BrownianPath(seededRandom(5), [4000]);
    const whole = path.next(1);
    const want = await values(whole.dW);
    path.putBack(1, whole);
    const pieces = [0.3, 0.05, 0.4, 0.25].map((step) => ({ step, ...path.next(step) }));
    const sums = want.map(() => 0);
    for (const { step, dW, dZ } of pieces) {
      const [w, z] = [await values(dW), await values(dZ)];
      w.forEach((x, i) => {
        sums[i]! += x;
      });
      for (const increments of [w, z]) {
        const variance = increments.reduce((total, x) => total + x * x, 0) / 4000;
        expect(Math.abs(variance / step - 1)).toBeLessThan(0.1);
      }
    }
    expect(Math.max(...sums.map((x, i) => Math.abs(x - want[i]!)))).toBeLessThan(1e-5);
    disposeNoise(pieces);
    path.dispose();
  });
});

describe('sdeSolve', () => {
  const drift = (_: number, u: Tensor) => mul(u, 0.5);
  const diffusion = (_: number, u: Tensor) => mul(u, 0.8);

  test.each(['sosri', 'sosri2'] as const)(
    '%s follows geometric Brownian motion along its own path',
    async (method) => {
      const u0 = ones([64]);
      const { u, noise, stats } = await sdeSolve(drift, diffusion, u0, {
        method,
        rtol: 1e-3,
        atol: 1e-3,
        seed: 2,
      });
      const total = new Float64Array(64);
      for (const { dW } of noise)
        (await values(dW)).forEach((x, i) => {
          total[i]! += x;
        });
      // u(1) = exp((0.5 − 0.8²/2) + 0.8 W(1))
      const got = await values(u);
      const errors = got.map((x, i) => Math.abs(x / Math.exp(0.18 + 0.8 * total[i]!) - 1));
      expect(Math.max(...errors)).toBeLessThan(0.05);
      expect(stats.steps.reduce((a, b) => a + b)).toBeCloseTo(1, 9);
      expect(noise).toHaveLength(stats.accepted);
      disposeNoise(noise);
      u.dispose();
      u0.dispose();
    },
  );

  test('fixed steps converge strongly, with more than the order of Euler–Maruyama', async () => {
    const u0 = ones([256]);
    const errorAt = async (stepSize: number) => {
      const { u, noise } = await sdeSolve(drift, diffusion, u0, { stepSize, seed: 9 });
      const total = new Float64Array(256);
      for (const { dW } of noise)
        (await values(dW)).forEach((x, i) => {
          total[i]! += x;
        });
      const got = await values(u);
      const squares = got.map((x, i) => (x - Math.exp(0.18 + 0.8 * total[i]!)) ** 2);
      disposeNoise(noise);
      u.dispose();
      return Math.sqrt(squares.reduce((a, b) => a + b) / 256);
    };
    const order = Math.log2((await errorAt(1 / 4)) / (await errorAt(1 / 16))) / 2;
    u0.dispose();
    expect(order).toBeGreaterThan(1.1);
  });

  test('the same seed gives the same path, another seed another; states are kept where asked', async () => {
    const u0 = ones([3]);
    const saveAt = [0.5, 0, 1];
    const before = memory().numTensors;
    const run = async (seed: number) => {
      const { u, saved, noise, stats } = await sdeSolve(drift, diffusion, u0, {
        seed,
        saveAt,
        initialStep: 0.1,
      });
      const got = [await values(u), await values(saved!), stats.steps];
      expect(got[1]!.slice(3, 6)).toEqual([1, 1, 1]);
      expect(got[1]!.slice(6)).toEqual(got[0]);
      u.dispose();
      saved!.dispose();
      disposeNoise(noise);
      return got;
    };
    expect(await run(1)).toEqual(await run(1));
    expect((await run(1))[0]).not.toEqual((await run(2))[0]);
    expect(memory().numTensors).toBe(before);
    u0.dispose();
  });

  test('a state that is not finite ends in an error and leaves nothing', async () => {
    const u0 = tensor1d([1]);
    const before = memory().numTensors;
    const bad = sdeSolve((t, u) => (t > 0.3 ? div(u, 0) : u), diffusion, u0);
    await expect(bad).rejects.toBeInstanceOf(OdeSolveError);
    await expect(sdeSolve(drift, diffusion, u0, { t0: 2 })).rejects.toThrow('t1 must be after t0');
    await expect(sdeSolve(drift, diffusion, u0, { maxSteps: 3 })).rejects.toThrow('maxSteps = 3');
    expect(memory().numTensors).toBe(before);
    u0.dispose();
  });
});

test('a replay has the solution, and the gradient of central differences', async () => {
  const u0 = tensor1d([1, 0.5]);
  const rate = (a: Tensor) => (_: number, u: Tensor) => mul(u, a);
  const noiseOf = (_: number, u: Tensor) => mul(square(u), 0.3);
  const a = tensor1d([-0.4]);
  const options = { saveAt: [0.5], rtol: 0.1, atol: 0.1 };
  const solution = await sdeSolve(rate(a), noiseOf, u0, { ...options, initialStep: 0.1, seed: 3 });
  const { steps } = solution.stats;
  const loss = (x: Tensor): Scalar => {
    const replay = replaySde(rate(x), noiseOf, u0, steps, solution.noise, options);
    return addN([sum(square(replay.u)), sum(replay.saved!)]) as Scalar;
  };
  const replayed = tidy(() => replaySde(rate(a), noiseOf, u0, steps, solution.noise, options).u);
  expect(await values(replayed)).toEqual(await values(solution.u));
  const [gradient] = grads(loss)([a]);
  const at = async (shift: number) => {
    const value = tidy(() => loss(tensor1d([-0.4 + shift])));
    const [x] = await values(value);
    value.dispose();
    return x!;
  };
  const want = ((await at(0.02)) - (await at(-0.02))) / 0.04;
  expect((await values(gradient!))[0]).toBeCloseTo(want, 2);
  disposeNoise(solution.noise);
  for (const x of [u0, a, solution.u, solution.saved!, replayed, gradient!]) x.dispose();
});

test('NeuralSDE learns a drift, with its estimates held down', async () => {
  const rate = variable(tensor1d([0]));
  const u0 = zeros([32]);
  const target = ones([32]);
  const sde = new NeuralSDE(
    (_, u) => mul(sub(rate, u), 1),
    (_, u) => fill(u.shape, 0.05),
    { regularizer: 'error', seed: 1, rtol: 0.5, atol: 0.5, initialStep: 0.2 },
  );
  const optimizer = train.adam(0.2);
  const before = memory().numTensors;
  const losses = [];
  for (let i = 0; i < 15; i++) {
    const task = (u: Tensor) => mean(square(sub(u, target))) as Scalar;
    losses.push(await sde.minimize(optimizer, u0, task, { weight: 0.01 }));
  }
  expect(losses.at(-1)!.task).toBeLessThan(0.1 * losses[0]!.task);
  expect(losses[0]!.regularization).toBeGreaterThan(0);
  // Adam's two moments of one variable.
  expect(memory().numTensors - before).toBeLessThanOrEqual(4);
  optimizer.dispose();
  for (const x of [rate, u0, target]) x.dispose();
});
