/** Barycentres: known ones, optimality, and the adjoint against differences. */
import { expectTensorClose } from '@orth/testing';
import { grads, mul, sum, type Tensor, tensor, tidy } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { barycenter, barycenterAsync } from '../src/index.js';

const support = Float64Array.from({ length: 9 }, (_, i) => i / 8);
const cost = {
  shape: [9, 9],
  data: Float64Array.from(
    { length: 81 },
    (_, k) => (support[Math.floor(k / 9)]! - support[k % 9]!) ** 2,
  ),
};
const bump = (centre: number) => {
  const raw = support.map((x) => Math.exp(-40 * (x - centre) ** 2));
  const total = raw.reduce((s, v) => s + v, 0);
  return raw.map((v) => v / total);
};
const two = { shape: [2, 9], data: Float64Array.of(...bump(0.2), ...bump(0.8)) };
const tight = { tolerance: 1e-12, maxIterations: 20000 };

describe('barycenter', () => {
  it('of two bumps lies between them, and moves with the weights', () => {
    const mean = (lambda: number[]) => {
      const result = barycenter(two, cost, { epsilon: 0.02, lambda, ...tight });
      result.dispose();
      expect(result.converged).toBe(true);
      expect(result.data.reduce((s, v) => s + v, 0)).toBeCloseTo(1, 12);
      return result.data.reduce((s, v, i) => s + v * support[i]!, 0);
    };
    const centre = (c: number) => bump(c).reduce((s, v, i) => s + v * support[i]!, 0);
    const [low, high] = [centre(0.2), centre(0.8)];
    // Means of squared-distance barycentres are means of means.
    expect(mean([1, 1])).toBeCloseTo(0.5 * (low + high), 2);
    expect(mean([3, 1])).toBeCloseTo(0.75 * low + 0.25 * high, 2);
  });

  it('minimises the objective: no neighbour is better', () => {
    const epsilon = 0.05;
    const result = barycenter(two, cost, { epsilon, ...tight });
    result.dispose();
    // With one histogram fixed to a candidate and λ on the other, its objective is OT_ε to that candidate.
    const value = (candidate: Float64Array) => {
      let total = 0;
      for (const k of [0, 1]) {
        total += 0.5 * entropic(two.data.slice(9 * k, 9 * k + 9), candidate, epsilon);
      }
      return total;
    };
    const best = value(result.data);
    expect(result.objective).toBeCloseTo(best, 8);
    for (let i = 0; i < 8; i++) {
      const moved = result.data.slice();
      const step = 0.05 * moved[i]!;
      moved[i]! -= step;
      moved[i + 1]! += step;
      expect(value(moved)).toBeGreaterThan(best);
    }
  });

  it.each(['one cost', 'a cost for each'])('has the derivatives of its fixed point, %s', (kind) => {
    const costs =
      kind === 'one cost'
        ? cost
        : { shape: [2, 9, 9], data: Float64Array.of(...cost.data, ...cost.data.map((c) => 2 * c)) };
    const w = Float64Array.from({ length: 9 }, (_, j) => Math.sin(3 * j));
    const options = { epsilon: 0.05, lambda: [0.7, 0.3], ...tight };
    const histograms = two.data.slice();
    // An empty bin and a sum that is not 1.
    histograms[8] = 0;
    const value = (h: ArrayLike<number>, c: ArrayLike<number>) => {
      const result = barycenter({ shape: [2, 9], data: h }, { ...costs, data: c }, options);
      result.dispose();
      return result.data.reduce((s, v, j) => s + v * w[j]!, 0);
    };
    tidy(() => {
      const inputs = [
        tensor(Float32Array.from(histograms), [2, 9]),
        tensor(Float32Array.from(costs.data), costs.shape),
      ];
      const [dh, dc] = grads((h, c) =>
        sum(mul(barycenter(h!, c!, options).weights, tensor(Float32Array.from(w)))),
      )(inputs) as [Tensor, Tensor];
      const h = 1e-6;
      const slope = (x: Float64Array, k: number, f: (x: Float64Array) => number) => {
        const at = (by: number) => f(x.map((v, i) => (i === k ? v + by : v)));
        return k === 8 ? (at(h) - at(0)) / h : (at(h) - at(-h)) / (2 * h);
      };
      const close = { rtol: 1e-3, atol: 1e-4 };
      const bins = [0, 3, 8, 13, 15];
      expectTensorClose(
        bins.map((k) => dh.dataSync()[k]!),
        bins.map((k) => slope(histograms, k, (x) => value(x, costs.data))),
        close,
      );
      const pairs = [0, 13, 40, 79];
      expectTensorClose(
        pairs.map((k) => dc.dataSync()[k]!),
        pairs.map((k) => slope(costs.data as Float64Array, k, (x) => value(histograms, x))),
        close,
      );
    });
  });

  it('works asynchronously and attaches', async () => {
    const h = tensor(Float32Array.from(two.data), [2, 9]);
    const c = tensor(Float32Array.from(cost.data), [9, 9]);
    const result = await barycenterAsync(h, c, { epsilon: 0.05 });
    expectTensorClose(result.weights, Float32Array.from(result.data));
    const [dh] = grads((x: Tensor) => sum(mul(result.attach(x, c), result.weights)))([h]);
    expect(dh!.shape).toEqual([2, 9]);
    expect(() => result.attach(c, h)).toThrow(/attach/);
    for (const t of [h, c, dh!, result]) t.dispose();
  });

  it.each([
    [two, cost, {}, /epsilon/],
    [{ shape: [2, 9], data: new Float64Array(18) }, cost, { epsilon: 1 }, /positive sum/],
    [{ shape: [1, 9], data: bump(0.5).map((v) => -v) }, cost, { epsilon: 1 }, />= 0/],
    [two, { shape: [8, 9], data: new Float64Array(72) }, { epsilon: 1 }, /cost must have shape/],
    [two, { ...cost, data: cost.data.map(() => Infinity) }, { epsilon: 1 }, /cost must be finite/],
    [two, cost, { epsilon: 1, lambda: [1] }, /lambda/],
    [two, cost, { epsilon: 1, reg: 1 }, /unknown option/],
  ])('refuses bad arguments %#', (histograms, costs, options, message) => {
    expect(() => barycenter(histograms, costs, options as never)).toThrow(message);
  });
});

/** min ⟨T, C⟩ + ε Σ T (log T − 1), by Sinkhorn's iterations written plainly. */
function entropic(a: Float64Array, b: Float64Array, epsilon: number): number {
  const K = cost.data.map((c) => Math.exp(-c / epsilon));
  const [u, v] = [new Float64Array(9).fill(1), new Float64Array(9).fill(1)];
  for (let step = 0; step < 4000; step++) {
    for (let i = 0; i < 9; i++) u[i] = a[i]! / v.reduce((s, x, j) => s + K[i * 9 + j]! * x, 0);
    for (let j = 0; j < 9; j++) v[j] = b[j]! / u.reduce((s, x, i) => s + K[i * 9 + j]! * x, 0);
  }
  let value = -epsilon;
  for (let i = 0; i < 9; i++)
    value += epsilon * (a[i]! * Math.log(u[i]!) + b[i]! * Math.log(v[i]!));
  return value;
}
