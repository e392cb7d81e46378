import { type Random, seededRandom } from '@orth/backend';
import { describe, expect, it } from 'vitest';
import { LogisticModel, sigmoid } from '../src/linear/logisticModel.js';
import { RidgeModel } from '../src/linear/ridgeModel.js';
import { LinTS } from '../src/policies/linTS.js';
import { LinUCB } from '../src/policies/linUCB.js';
import { distance, solve } from './reference.js';

const row = (random: Random, n: number) => Float64Array.from({ length: n }, () => random.normal());

describe('ridge regression', () => {
  it('keeps the inverse within 1e-8 of the direct one through 10,000 updates, and A definite', () => {
    const d = 6;
    const random = seededRandom(1);
    const model = new RidgeModel(d, { lambda: 1, forgetting: 1 });
    const b = new Float64Array(d);
    for (let t = 0; t < 10_000; t++) {
      const x = row(random, d).map((v, i) => v * 10 ** -i);
      const y = random.uniform();
      model.update(x, 0, y, 1);
      for (let i = 0; i < d; i++) b[i]! += y * x[i]!;
    }
    for (let j = 0; j < d; j++) {
      const unit = Float64Array.from({ length: d }, (_, i) => Number(i === j));
      const column = solve(model.A, unit);
      expect(distance(model.inverse.slice(j * d, (j + 1) * d), column)).toBeLessThan(1e-8);
      for (let i = 0; i < d; i++) expect(model.A[i * d + j]).toBe(model.A[j * d + i]);
    }
    expect(distance(model.theta, solve(model.A, b))).toBeLessThan(1e-8);
    for (let i = 0; i < 100; i++) expect(model.variance(row(random, d), 0)).toBeGreaterThan(0);
  });

  it('forgets as the recursion says, but not λ', () => {
    const d = 3;
    const random = seededRandom(2);
    const [lambda, forgetting] = [0.7, 0.9];
    const model = new RidgeModel(d, { lambda, forgetting });
    const samples = Array.from({ length: 30 }, () => ({ x: row(random, d), y: random.normal() }));
    for (const { x, y } of samples) model.update(x, 0, y, 1);
    const A = new Float64Array(d * d);
    const b = new Float64Array(d);
    for (let i = 0; i < d; i++) A[i * d + i] = lambda;
    for (const [t, { x, y }] of samples.entries()) {
      const w = forgetting ** (samples.length - 1 - t);
      for (let i = 0; i < d; i++) {
        b[i]! += w * y * x[i]!;
        for (let j = 0; j < d; j++) A[i * d + j]! += w * x[i]! * x[j]!;
      }
    }
    expect(distance(model.A, A)).toBeLessThan(1e-12);
    expect(distance(model.theta, solve(A, b))).toBeLessThan(1e-12);
  });

  it('counts a weight as so many copies, in any order', () => {
    const random = seededRandom(3);
    const samples = Array.from({ length: 40 }, () => ({ x: row(random, 4), y: random.normal() }));
    const once = new RidgeModel(4, { lambda: 1, forgetting: 1 });
    const copies = new RidgeModel(4, { lambda: 1, forgetting: 1 });
    for (const [i, { x, y }] of samples.entries()) once.update(x, 0, y, i % 3);
    for (const [i, { x, y }] of [...samples.entries()].reverse()) {
      for (let n = 0; n < i % 3; n++) copies.update(x, 0, y, 1);
    }
    expect(distance(once.A, copies.A)).toBeLessThan(1e-10);
    expect(distance(once.theta, copies.theta)).toBeLessThan(1e-10);
  });
});

describe('logistic regression', () => {
  it('comes close to the maximum a posteriori of the whole data', () => {
    const d = 3;
    const random = seededRandom(4);
    const truth = [1, -2, 0.5];
    const model = new LogisticModel(d, 1);
    const samples = Array.from({ length: 3000 }, () => {
      const x = row(random, d);
      const p = sigmoid(x.reduce((z, v, i) => z + v * truth[i]!, 0));
      return { x, y: Number(random.uniform() < p) };
    });
    for (const { x, y } of samples) model.update(x, 0, y, 1);
    let theta = [0, 0, 0];
    for (let step = 0; step < 20; step++) {
      const H = new Float64Array(d * d);
      const g = Float64Array.from(theta);
      for (let i = 0; i < d; i++) H[i * d + i] = 1;
      for (const { x, y } of samples) {
        const p = sigmoid(x.reduce((z, v, i) => z + v * theta[i]!, 0));
        for (let i = 0; i < d; i++) {
          g[i]! += (p - y) * x[i]!;
          for (let j = 0; j < d; j++) H[i * d + j]! += p * (1 - p) * x[i]! * x[j]!;
        }
      }
      const move = solve(H, g);
      theta = theta.map((value, i) => value - move[i]!);
    }
    expect(distance(model.theta, theta)).toBeLessThan(0.05);
  });
});

describe('linTS', () => {
  // Means of 1e5 draws are off by 3 % of a deviation once in 1e20 runs, variances by 3 % once in 1e10.
  it('draws with the mean and the covariance of the posterior', () => {
    const d = 3;
    const random = seededRandom(6);
    const policy = new LinTS({ dim: d, nu: 0.5, range: [-Infinity, Infinity] });
    for (let t = 0; t < 50; t++) {
      policy.update({ features: row(random, d), outcome: random.normal() });
    }
    const [model] = policy.oracle.models;
    const n = 100_000;
    const mean = new Float64Array(d);
    const second = new Float64Array(d * d);
    for (let k = 0; k < n; k++) {
      const draw = policy.sample(0, row(random, d));
      for (let i = 0; i < d; i++) {
        mean[i]! += draw[i]! / n;
        for (let j = 0; j < d; j++) {
          second[i * d + j]! += ((draw[i]! - model!.theta[i]!) * (draw[j]! - model!.theta[j]!)) / n;
        }
      }
    }
    for (let i = 0; i < d; i++) {
      const deviation = 0.5 * Math.sqrt(model!.inverse[i * d + i]!);
      expect(Math.abs(mean[i]! - model!.theta[i]!)).toBeLessThan(0.03 * deviation);
      for (let j = 0; j < d; j++) {
        const scale = 0.25 * Math.sqrt(model!.inverse[i * d + i]! * model!.inverse[j * d + j]!);
        const error = second[i * d + j]! - 0.25 * model!.inverse[i * d + j]!;
        expect(Math.abs(error)).toBeLessThan(0.03 * scale);
      }
    }
  });
});

describe('linUCB', () => {
  it('is greedy at α = 0', () => {
    const random = seededRandom(7);
    const policy = new LinUCB({ dim: 4, alpha: 0 });
    for (let t = 0; t < 200; t++) {
      const features = row(random, 20);
      const p = policy.distribution({ features }, random);
      const y = policy.predict({ features });
      const action = p.indexOf(1);
      expect(action).toBe(y.indexOf(Math.max(...y)));
      policy.update({
        features: features.slice(4 * action, 4 * action + 4),
        outcome: random.uniform(),
      });
    }
  });
});
