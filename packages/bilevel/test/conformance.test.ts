/** The same small list on every backend, against float64 on the host. */
import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import { add, exp, memory, mul, square, sub, sum, tensor1d } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import {
  cutout,
  hyperActivation,
  hyperConv2d,
  hyperDense,
  hyperDropout,
  hyperFlatten,
  hypergradient,
  hyperMaxPool,
  hyperSequential,
  hyperSpace,
  SelfTuning,
  tensorProblem,
} from '../src/index.js';

it('hypergradient of a separable ridge problem', async () => {
  const before = memory().numTensors;
  const [data, target] = [
    [1, -2, 0.5],
    [0.5, 0, 1],
  ] as const;
  const [b, c] = [tensor1d([...data]), tensor1d([...target])];
  const problem = tensorProblem({
    xShape: [3],
    thetaShape: [3],
    lower: (x, theta) => mul(0.5, sum(add(square(sub(x, b)), mul(exp(theta), square(x))))),
    upper: (x) => mul(0.5, sum(square(sub(x, c)))),
    strongConvexity: 1.5,
    smoothness: 3,
    upperSmoothness: 1,
    upperConvex: true,
  });
  const theta = [-0.5, 0.2, 0.6];
  const { gradient, x, converged } = await hypergradient(problem, theta, {
    accuracy: 2e-5,
    residual: 1e-5,
  });
  expect(converged).toBe(true);
  expect(problem.secondOrder()).toEqual({ hessianProduct: 'autodiff', crossProduct: 'autodiff' });
  const solution = theta.map((t, i) => data[i]! / (1 + Math.exp(t)));
  expectTensorClose(x, solution, { atol: 5e-5 });
  const want = theta.map(
    (t, i) => (-(solution[i]! - target[i]!) * Math.exp(t) * solution[i]!) / (1 + Math.exp(t)),
  );
  expectTensorClose(gradient, want, { atol: 2e-4 });
  b.dispose();
  c.dispose();
  expect(memory().numTensors).toBe(before);
});

it.each(['stn', 'delta'] as const)('a step of each kind on a small %s network', async (variant) => {
  const before = memory().numTensors;
  const random = seededRandom(1);
  const space = hyperSpace({
    drop: { range: [0, 0.9], init: 0.2 },
    holes: { range: [0, 2], init: 1.5, discrete: true },
    length: { range: [0, 3], init: 2, discrete: true },
  });
  const own = { hyperparameters: 3, random, initialization: variant };
  const model = hyperSequential([
    hyperConv2d({ ...own, inputs: 1, filters: 2, kernelSize: 3 }),
    hyperActivation('relu'),
    hyperMaxPool(2),
    hyperFlatten(),
    hyperDropout('drop'),
    hyperDense({ ...own, inputs: 8, units: 2 }),
  ]);
  const run = new SelfTuning(model, space, {
    variant,
    augmentations: [cutout({ holes: 'holes', length: 'length', maxHoles: 2 })],
  });
  const x = random.normalTensor([4, 4, 4, 1]);
  const y = tensor1d([0, 1, 1, 0], 'int32');
  const losses = [run.trainStep(x, y), run.validationStep(x, y)];
  const values = (await Promise.all(losses.map((t) => t.data()))).map(([v]) => v!);
  for (const loss of losses) loss.dispose();
  // Of the cpu backend, written down: the same seed must give the same steps everywhere.
  expectTensorClose(values, WANT[variant], { rtol: 1e-4, atol: 1e-5 });
  expect(await run.skippedUpdates()).toBe(0);
  if (variant === 'stn') {
    const { loss, accuracy } = await run.evaluate({ x, y });
    expect(loss).toBeGreaterThan(0.3);
    expect(loss).toBeLessThan(1.5);
    expect([0, 0.25, 0.5, 0.75, 1]).toContain(accuracy);
  }
  run.dispose();
  x.dispose();
  y.dispose();
  expect(memory().numTensors).toBe(before);
});

const WANT = { stn: [0.73316914, 0.76814598], delta: [0.82648063, 0.8041358] };
