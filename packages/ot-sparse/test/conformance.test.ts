/** The same small list on every backend; asynchronous, since some cannot be read otherwise. */
import { expectTensorClose } from '@orth/testing';
import { grad, memory, sum, type Tensor, tensor } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  auxiliaryLosses,
  barycentricMap,
  cosineCost,
  euclideanCost,
  exactTransportAsync,
  projectSparseSimplex,
  quadraticTransportAsync,
  roundPlan,
  routeTokensAsync,
  sinkhorn,
  sinkhornAsync,
  sinkhornDivergenceAsync,
  sparseTransportAsync,
  squaredEuclideanCost,
  wasserstein2Async,
} from '../src/index.js';
import { cloudProblem } from './reference.js';

const { cost, a, b } = cloudProblem(1, 5, 4);
const SOLVERS = {
  sparseTransport: (C: Tensor) => sparseTransportAsync(C, { a, b, k: 3, gamma: 1 }),
  quadraticTransport: (C: Tensor) => quadraticTransportAsync(C, { a, b, gamma: 1 }),
  sinkhorn: (C: Tensor) => sinkhornAsync(C, { a, b, epsilon: 0.1 }),
  exactTransport: (C: Tensor) => exactTransportAsync(C, { a, b }),
};

describe('conformance', () => {
  it.each(Object.entries(SOLVERS))('%s', async (_, solve) => {
    const before = memory().numTensors;
    const C = tensor(Float32Array.from(cost), [5, 4]);
    const result = await solve(C);
    const plan = result.plan();
    expectTensorClose(await plan.data(), result.planData(), { rtol: 1e-6, atol: 1e-8 });
    expect((await result.value.data())[0]).toBeCloseTo(result.objective, 5);
    const gradient = grad((x: Tensor) => result.attach(x))(C);
    expectTensorClose(await gradient.data(), await plan.data(), { rtol: 1e-6, atol: 1e-8 });
    for (const x of [C, plan, gradient]) x.dispose();
    result.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it('synchronous functions where numbers are on the host', async () => {
    const result = sinkhorn({ shape: [5, 4], data: cost }, { a, b, epsilon: 0.1 });
    expect((await result.value.data())[0]).toBeCloseTo(result.objective, 5);
    result.dispose();
  });

  it('operations on the device', async () => {
    const V = tensor([0.9, 0.5, 0.5, 0.45, -1, 2, 0.1, 0.1], [2, 4]);
    const p = projectSparseSimplex(V, { k: 2, axis: 1 });
    expectTensorClose(await p.data(), [0.7, 0.3, 0, 0, 0, 1, 0, 0], { atol: 2e-6 });
    const [rows, columns] = [tensor([1, 1]), tensor([0.5, 0.5, 0.5, 0.5])];
    const rounded = roundPlan(p, rows, columns);
    const y = tensor([0, 1, 2, 3], [4, 1]);
    const mapped = barycentricMap(rounded, y);
    // Rows and columns scaled down, the missing half of each added as a product.
    expectTensorClose(
      await rounded.data(),
      [0.5, 0.115385, 0.192308, 0.192308, 0, 0.384615, 0.307692, 0.307692],
      { atol: 1e-5 },
    );
    expect((await mapped.data()).length).toBe(2);
    for (const x of [V, p, rows, columns, rounded, y, mapped]) x.dispose();
  });

  it('clouds of points: costs on the device, distances that attach', async () => {
    const before = memory().numTensors;
    const [p, q] = [
      [0, 0, 1, 0, 0, 2],
      [3, 4, 1, 1],
    ];
    const [x, y] = [tensor(p, [3, 2]), tensor(q, [2, 2])];
    const made = [squaredEuclideanCost(x, y), euclideanCost(x, y), cosineCost(x, y)] as const;
    expectTensorClose(await made[0].data(), [25, 2, 20, 1, 13, 2], { atol: 1e-4 });
    expectTensorClose(await made[1].data(), [25, 2, 20, 1, 13, 2].map(Math.sqrt), { atol: 1e-4 });
    expectTensorClose(await made[2].data(), [1, 1, 0.4, 1 - Math.SQRT1_2, 0.2, 1 - Math.SQRT1_2], {
      atol: 1e-5,
    });
    const distance = await wasserstein2Async(x, y, { squared: true });
    const divergence = await sinkhornDivergenceAsync(x, y, { blur: 0.5 });
    for (const result of [distance, divergence]) {
      expect((await result.value.data())[0]).toBeCloseTo(result.values[0]!, 4);
      const gradient = grad((z: Tensor) => result.attach(z, y))(x);
      const want = result.solutions[0]!.gradients().x;
      expectTensorClose(await gradient.data(), want, { rtol: 1e-5, atol: 1e-6 });
      gradient.dispose();
      result.dispose();
    }
    for (const t of [x, y, ...made]) t.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it('routing: gates, dispatch and combination on the device', async () => {
    const before = memory().numTensors;
    const scores = tensor([2, 0, 0.5, 0, 6, 0, 0, 3], [4, 2]);
    const x = tensor([1, 2, 3, 4], [4, 1]);
    const routing = await routeTokensAsync(scores, { method: 'sparse-ot', capacity: 2 });
    // Three tokens like expert 0 best; transport gives the least decided one to expert 1.
    expect(Array.from(routing.tokenIndex)).toEqual([0, 2, 3, 1]);
    const inputs = routing.dispatch(x);
    expectTensorClose(await inputs.data(), [1, 3, 4, 2], { atol: 0 });
    const output = routing.combine(inputs);
    const gate = (z: number) => 1 / (1 + Math.exp(-z));
    const want = [gate(2), 2 * gate(-0.5), 3 * gate(6), 4 * gate(3)];
    expectTensorClose(await output.data(), want, { rtol: 1e-5 });
    const gradient = grad((s: Tensor) => {
      const gates = routing.attach(s);
      return sum(routing.combine(routing.dispatch(x), gates));
    })(scores);
    const slope = (z: number) => gate(z) * gate(-z);
    const slopes = [slope(2), -2 * slope(0.5), 3 * slope(6), -4 * slope(3)];
    expectTensorClose(
      await gradient.data(),
      slopes.flatMap((v) => [v, -v]),
      { rtol: 1e-4 },
    );
    const { importance, load, gshard } = auxiliaryLosses(scores);
    expect((await gshard.data())[0]).toBeGreaterThan(1);
    for (const t of [scores, x, inputs, output, gradient, importance, load, gshard]) t.dispose();
    routing.dispose();
    expect(memory().numTensors).toBe(before);
  });
});
