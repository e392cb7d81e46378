/** Functions of plans: rounding, barycentric maps, sparse forms. */
import { expectTensorClose } from '@orth/testing';
import { memory, sum, tensor, tidy, zeros } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { barycentricMap, roundPlan, sinkhorn, toSparse, toSparseAsync } from '../src/index.js';
import { cloudProblem } from './reference.js';

describe('roundPlan', () => {
  it('makes marginals exact and stays near', () => {
    const { cost, a, b } = cloudProblem(5, 6, 4);
    const result = sinkhorn(
      { shape: [6, 4], data: cost },
      { a, b, epsilon: 0.05, maxIterations: 2 },
    );
    expect(result.converged).toBe(false);
    tidy(() => {
      const plan = result.plan();
      const rounded = roundPlan(plan, tensor(Float32Array.from(a)), tensor(Float32Array.from(b)));
      expectTensorClose(sum(rounded, 1), a, { rtol: 0, atol: 1e-6 });
      expectTensorClose(sum(rounded, 0), b, { rtol: 0, atol: 1e-6 });
      const data = rounded.dataSync();
      expect(Math.min(...data)).toBeGreaterThanOrEqual(0);
      const distance = Array.from(plan.dataSync()).reduce(
        (total, t, e) => total + Math.abs(t - data[e]!),
        0,
      );
      expect(distance).toBeLessThan(2 * result.marginalError + 1e-5);
      const fromNothing = roundPlan(zeros([2, 2]), tensor([1, 3]), tensor([2, 2]));
      expectTensorClose(fromNothing, [0.5, 0.5, 1.5, 1.5]);
    });
    result.dispose();
  });
});

describe('barycentricMap', () => {
  it('averages targets by mass', () => {
    tidy(() => {
      const plan = tensor([0.1, 0.3, 0, 0, 0, 0.6], [3, 2]);
      const y = tensor([1, 0, 3, 4], [2, 2]);
      expectTensorClose(barycentricMap(plan, y), [2.5, 3, 0, 0, 3, 4], { atol: 1e-6 });
      expect(() => barycentricMap(plan, plan)).toThrow('y must have shape [2,*], got shape [3,2]');
    });
  });
});

describe('toSparse', () => {
  it('lists non-zeros in row-major order', async () => {
    const before = memory().numTensors;
    const plan = tensor([0, 2, 0, 0, 0, 3, 4, 0], [2, 2, 2]);
    for (const sparse of [toSparse(plan), await toSparseAsync(plan)]) {
      expect([...sparse.indices.dataSync()]).toEqual([0, 0, 1, 1, 0, 1, 1, 1, 0]);
      expect([...sparse.values.dataSync()]).toEqual([2, 3, 4]);
      expect(sparse.shape).toEqual([2, 2, 2]);
      sparse.indices.dispose();
      sparse.values.dispose();
    }
    plan.dispose();
    expect(memory().numTensors).toBe(before);
  });
});
