/** Problems of TensorFlow.js functions: derivatives, and whole runs on each backend. */
import { seededRandom } from '@orth/backend';
import {
  add,
  customGrad,
  dispose,
  exp,
  logSoftmax,
  matMul,
  memory,
  mul,
  neg,
  softplus,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tensor,
  tensor1d,
  tensor2d,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  fieldsOfExperts,
  hoag,
  hypergradient,
  logisticProblem,
  Maid,
  maid,
  type TensorProblemOptions,
  tensorProblem,
} from '../src/index.js';
import { distance, normal } from './reference.js';

const random = seededRandom(20);
const floats = (n: number) => Float32Array.from(normal(random, n));

/** A small ridge problem with one log-weight a column, and its data. */
function ridge(change: Partial<TensorProblemOptions> = {}) {
  const [A, b, B, c] = [
    tensor2d(floats(24), [6, 4]),
    tensor2d(floats(6), [6, 1]),
    tensor2d(floats(20), [5, 4]),
    tensor2d(floats(5), [5, 1]),
  ];
  const fit = (M: Tensor2D, x: Tensor, y: Tensor) => sum(square(sub(matMul(M, x as Tensor2D), y)));
  const problem = tensorProblem({
    xShape: [4, 1],
    thetaShape: [4, 1],
    lower: (x, theta) => add(fit(A, x, b), sum(mul(exp(theta), square(x)))),
    upper: (x) => fit(B, x, c),
    strongConvexity: (theta) => 2 * Math.exp(Math.min(...theta)),
    smoothness: (theta) => 50 + 2 * Math.exp(Math.max(...theta)),
    upperSmoothness: 80,
    upperConvex: true,
    ...change,
  });
  return { problem, free: () => dispose([A, b, B, c]) };
}

/** Directional derivative of f(θ) = g(x̂(θ)), by solving the lower level anew at both ends. */
async function slopeOfF(
  problem: ReturnType<typeof ridge>['problem'],
  theta: Float64Array,
  v: Float64Array,
) {
  const r = 0.02;
  const at = async (s: number) => {
    const moved = theta.map((value, i) => value + s * r * v[i]!);
    return (await hypergradient(problem, moved, { accuracy: 1e-5, residual: 1 })).upper;
  };
  return ((await at(1)) - (await at(-1))) / (2 * r);
}

describe('products with second derivatives', () => {
  it('nested gradients and differences agree, and give the slope of f', async () => {
    const before = memory().numTensors;
    const theta = normal(random, 4, 0.5);
    const v = normal(random, 4);
    const exact = ridge();
    const [z, u] = [
      await hypergradient(exact.problem, theta, { accuracy: 1e-5, residual: 1e-4 }),
      await slopeOfF(exact.problem, theta, v),
    ];
    expect(exact.problem.secondOrder()).toEqual({
      hessianProduct: 'autodiff',
      crossProduct: 'autodiff',
    });
    const along = v.reduce((total, value, i) => total + value * z.gradient[i]!, 0);
    expect(along).toBeCloseTo(u, 2);
    exact.free();
    expect(memory().numTensors).toBe(before);
  });

  it.each([
    ['an operation without second derivative', (x: Tensor) => neg(sum(logSoftmax(x)))],
    [
      'a custom gradient that forgets what it depends on',
      customGrad((x, save) => {
        (save as (tensors: Tensor[]) => void)([x as Tensor]);
        return {
          value: sum(square(x as Tensor)) as Tensor,
          // The gradient of the gradient would be 0: the values are copied out of the graph.
          gradFunc: (dy: Tensor, saved: Tensor[]) =>
            mul(dy, mul(2, tensor(saved[0]!.dataSync(), saved[0]!.shape))),
        };
      }),
    ],
  ] as [string, (x: Tensor) => Tensor][])('%s falls back to differences', async (_, extra) => {
    const before = memory().numTensors;
    const target = tensor1d(floats(5));
    const make = (secondOrder: 'auto' | 'differences') =>
      tensorProblem({
        xShape: [5],
        thetaShape: [1],
        lower: (x, theta) =>
          add(sum(square(sub(x, target))), mul(sum(exp(theta)), extra(mul(x, 0.5)))),
        upper: (x) => sum(square(x)),
        strongConvexity: 2,
        smoothness: (theta) => 2 + Math.exp(theta[0]!),
        upperSmoothness: 2,
        secondOrder,
      });
    const auto = make('auto');
    const a = await hypergradient(auto, [0.3], { accuracy: 1e-4, residual: 1e-3 });
    expect(auto.secondOrder().hessianProduct).toBe('differences');
    const b = await hypergradient(make('differences'), [0.3], { accuracy: 1e-4, residual: 1e-3 });
    expect(distance(a.gradient, b.gradient)).toBeLessThan(1e-2 * Math.abs(a.gradient[0]!) + 1e-4);
    target.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it('products that are given are used', async () => {
    const calls: string[] = [];
    const { problem, free } = ridge({
      hessianProduct: (_x, _theta, v) => {
        calls.push('H');
        return mul(v, 100);
      },
      crossProduct: (x, _theta, v) => {
        calls.push('J');
        return mul(x, v);
      },
    });
    await hypergradient(problem, new Float64Array(4));
    expect(calls).toEqual(['H', 'J']);
    expect(problem.secondOrder()).toEqual({ hessianProduct: 'given', crossProduct: 'given' });
    free();
  });
});

it('Maid and hoag lower the upper level and leave no tensor', async () => {
  const before = memory().numTensors;
  const { problem, free } = ridge();
  const options = { theta0: new Float64Array(4), maxIterations: 2 };
  const run = await maid(problem, options);
  expect(run.history).toHaveLength(2);
  for (const step of run.history) expect(step.upper).toBeLessThan(step.previousUpper);
  const other = await hoag(problem, options);
  expect(other.history.at(-1)!.upper).toBeLessThan(other.history[0]!.upper);
  const half = new Maid(problem, { theta0: options.theta0 });
  await half.run({ maxIterations: 1 });
  const again = Maid.fromJSON(problem, JSON.parse(JSON.stringify(half)));
  expect(await again.run({ maxIterations: 2 })).toEqual(run);
  free();
  expect(memory().numTensors).toBe(before);
});

it('one shared weight decay is the sum of one for each parameter', async () => {
  const before = memory().numTensors;
  const data = {
    x: tensor2d(floats(30), [10, 3]),
    y: tensor1d([0, 1, 0, 1, 1, 0, 1, 0, 0, 1], 'int32'),
    validX: tensor2d(floats(18), [6, 3]),
    validY: tensor1d([1, 0, 1, 1, 0, 0], 'int32'),
    classes: 2,
  };
  const all = await logisticProblem(data);
  const single = await logisticProblem({ ...data, weights: 'single' });
  const fine = { accuracy: 1e-4, residual: 1e-5 };
  const a = await hypergradient(all, new Float64Array(6).fill(-1), fine);
  const b = await hypergradient(single, [-1], fine);
  expect(b.gradient[0]!).toBeCloseTo(
    a.gradient.reduce((total, value) => total + value, 0),
    4,
  );
  for (const problem of [all, single]) {
    problem.dispose();
    problem.dispose();
  }
  for (const t of [data.x, data.y, data.validX, data.validY]) t.dispose();
  expect(memory().numTensors).toBe(before);
});

it('fields of experts: products agree with differences, filters are learned', async () => {
  const before = memory().numTensors;
  const shape: [number, number, number, number] = [1, 6, 6, 1];
  const clean = tensor(
    Float32Array.from({ length: 36 }, (_, i) => +(i % 6 > 2)),
    shape,
  );
  const noise = tensor(
    floats(36).map((value) => 0.2 * value),
    shape,
  );
  const noisy = add(clean, noise);
  const problem = fieldsOfExperts({ noisy, clean, filters: 2, smoothing: 0.5 });
  const theta = Float64Array.from([-2, -2, ...normal(random, 18, 0.3)]);
  const [x, v] = [normal(random, 36), normal(random, 36)];
  const r = 1e-2;
  const along = (s: number) => x.map((value, i) => value + s * r * v[i]!);
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((t, value, i) => t + value * b[i]!, 0);
  const gradient = async (at: Float64Array) => problem.lowerGradient(at, theta);
  const [above, below] = [await gradient(along(1)), await gradient(along(-1))];
  const Hv = await problem.hessianProduct(x, theta, v);
  const about = above.map((value, i) => (value - below[i]!) / (2 * r));
  expect(distance(Hv, about)).toBeLessThan(0.02 * Math.sqrt(dot(Hv, Hv)));
  const h = [await problem.lowerValue(along(1), theta), await problem.lowerValue(along(-1), theta)];
  const g = await gradient(x);
  expect(dot(g, v)).toBeCloseTo((h[0]! - h[1]!) / (2 * r), 1);
  const u = normal(random, 20, 0.5);
  const moved = (s: number) => theta.map((value, i) => value + s * r * u[i]!) as Float64Array;
  const slope =
    (dot(await problem.lowerGradient(x, moved(1)), v) -
      dot(await problem.lowerGradient(x, moved(-1)), v)) /
    (2 * r);
  const Jv = await problem.crossProduct(x, theta, v);
  expect(Math.abs(dot(Jv, u) - slope)).toBeLessThan(0.02 * Math.abs(slope) + 1e-2);
  const { history } = await maid(problem, { theta0: theta, maxIterations: 3 });
  expect(history.at(-1)!.upper).toBeLessThan(history[0]!.previousUpper);
  problem.dispose();
  for (const t of [clean, noise, noisy]) t.dispose();
  expect(memory().numTensors).toBe(before);
});

it('bad input', async () => {
  const before = memory().numTensors;
  const good: TensorProblemOptions = {
    xShape: [2],
    thetaShape: [1],
    lower: (x) => sum(square(x)),
    upper: (x) => sum(square(x)),
    strongConvexity: 2,
    smoothness: 2,
    upperSmoothness: 2,
  };
  const make = (change: object) => () => tensorProblem({ ...good, ...change });
  expect(make({ lower: 3 })).toThrow(/lower must be a function/);
  expect(make({ hessianProduct: 3 })).toThrow(/hessianProduct must be a function/);
  expect(make({ xShape: [0] })).toThrow(/xShape must be an integer >= 1/);
  expect(make({ thetaShape: 3 })).toThrow(/thetaShape must be an array/);
  expect(make({ secondOrder: 'exact' })).toThrow(/secondOrder must be one of/);
  expect(make({ strongConvexity: -2 })).toThrow(/strongConvexity must/);
  expect(make({ smoothness: 1 })).toThrow(/smoothness must be a finite number >= 2/);
  expect(make({ mu: 1 })).toThrow(/unknown option "mu"/);
  const vector = tensorProblem({ ...good, lower: (x) => softplus(x) });
  await expect(hypergradient(vector, [0])).rejects.toThrow(/lower must give a scalar tensor/);
  const image = tensor([1, 2], [1, 1, 2, 1]);
  const wrong = { noisy: image, clean: image, filterSize: 2 };
  expect(() => fieldsOfExperts(wrong)).toThrow(/filterSize must be odd/);
  const x = tensor2d([1, 2], [2, 1]);
  const y = tensor1d([0, 1], 'int32');
  const bad = { x, y, validX: x, validY: x, classes: 2 } as never;
  await expect(logisticProblem(bad)).rejects.toThrow(/validY must have dtype int32/);
  for (const t of [image, x, y]) t.dispose();
  expect(memory().numTensors).toBe(before);
});
