import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import {
  abs,
  grads,
  memory,
  mul,
  sub,
  sum,
  type Tensor,
  tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { cosineCost, euclideanCost, pairwiseCost, squaredEuclideanCost } from '../src/index.js';

const squared = (p: number[], q: number[]) => p.reduce((s, v, k) => s + (v - q[k]!) ** 2, 0);
const cosine = (p: number[], q: number[]) => {
  const dot = p.reduce((s, v, k) => s + v * q[k]!, 0);
  const size = Math.hypot(...p) * Math.hypot(...q);
  return size === 0 ? 1 : 1 - dot / size;
};

describe.each([
  ['squaredEuclideanCost', squaredEuclideanCost, squared],
  ['euclideanCost', euclideanCost, (p: number[], q: number[]) => Math.sqrt(squared(p, q))],
  ['cosineCost', cosineCost, cosine],
] as const)('%s', (_, cost, want) => {
  it.each([1, 3, 7])('is right and differentiable in %i dimensions', (d) => {
    const before = memory().numTensors;
    const random = seededRandom(d);
    const draw = (count: number) => Array.from({ length: count * d }, () => random.normal());
    const [x, y, w] = [draw(8), draw(6), Array.from({ length: 24 }, () => random.normal())];
    const rows = (all: number[], at: number) => all.slice(at * d, (at + 1) * d);
    // Two problems of 4 × 3.
    const matrix = (p: number[], q: number[]) =>
      Float64Array.from({ length: 24 }, (_unused, k) => {
        const [b, i, j] = [Math.floor(k / 12), Math.floor((k % 12) / 3), k % 3];
        return want(rows(p, 4 * b + i), rows(q, 3 * b + j));
      });
    tidy(() => {
      const inputs = [tensor(x, [2, 4, d]), tensor(y, [2, 3, d])];
      const costs = cost(inputs[0]!, inputs[1]!);
      expect(costs.shape).toEqual([2, 4, 3]);
      expectTensorClose(costs.dataSync(), matrix(x, y), { rtol: 1e-4, atol: 1e-5 });
      const loss = (p: Tensor, q: Tensor) => sum(mul(cost(p, q), tensor(w, [2, 4, 3])));
      const [dx, dy] = grads(loss)(inputs) as [Tensor, Tensor];
      const total = (p: number[], q: number[]) =>
        matrix(p, q).reduce((s, c, k) => s + c * w[k]!, 0);
      const slopes = (all: number[], f: (moved: number[]) => number) =>
        all.map((_unused, k) => {
          const at = (by: number) => f(all.map((v, i) => (i === k ? v + by : v)));
          return (at(1e-5) - at(-1e-5)) / 2e-5;
        });
      const close = { rtol: 1e-3, atol: 1e-4 };
      if (d === 1 && cost === cosineCost) return;
      expectTensorClose(
        dx.dataSync(),
        slopes(x, (p) => total(p, y)),
        close,
      );
      expectTensorClose(
        dy.dataSync(),
        slopes(y, (q) => total(x, q)),
        close,
      );
    });
    expect(memory().numTensors).toBe(before);
  });
});

describe('costs', () => {
  it('have finite gradients where points meet or are 0', () => {
    tidy(() => {
      const x = tensor([1, 2, 0, 0], [2, 2]);
      for (const cost of [squaredEuclideanCost, euclideanCost, cosineCost]) {
        const [dx] = grads((p: Tensor) => sum(cost(p, x)))([x]);
        for (const value of dx!.dataSync()) expect(Number.isFinite(value)).toBe(true);
      }
      expectTensorClose(cosineCost(x, x), tensor([0, 1, 1, 1], [2, 2]));
    });
  });

  it('can be any function of pairs', () => {
    tidy(() => {
      const [x, y] = [tensor([0, 0, 1, 3], [2, 2]), tensor([1, 1], [1, 2])];
      const manhattan = pairwiseCost(x, y, (p, q) => sum(abs(sub(p, q)), -1));
      expectTensorClose(manhattan, tensor([2, 2], [2, 1]));
      expect(() => pairwiseCost(x, y, (p) => p)).toThrow(/must return shape \[2,1\]/);
      expect(() => squaredEuclideanCost(x, tensor([1], [1, 1]))).toThrow(/y must have shape/);
      expect(() => euclideanCost(tensor([1]), y)).toThrow(/x must have rank/);
    });
  });
});
