/** The same small list on every backend; asynchronous, since some cannot be read otherwise. */
import { expectTensorClose } from '@orth/testing';
import { grad, memory, type Tensor, tensor } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  barycentricMap,
  projectSparseSimplex,
  quadraticTransportAsync,
  roundPlan,
  sinkhorn,
  sinkhornAsync,
  sparseTransportAsync,
} from '../src/index.js';
import { cloudProblem } from './reference.js';

const { cost, a, b } = cloudProblem(1, 5, 4);
const SOLVERS = {
  sparseTransport: (C: Tensor) => sparseTransportAsync(C, { a, b, k: 3, gamma: 1 }),
  quadraticTransport: (C: Tensor) => quadraticTransportAsync(C, { a, b, gamma: 1 }),
  sinkhorn: (C: Tensor) => sinkhornAsync(C, { a, b, epsilon: 0.1 }),
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
});
