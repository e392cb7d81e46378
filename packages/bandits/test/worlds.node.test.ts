import { seededRandom } from '@orth/backend';
import { describe, expect, it } from 'vitest';
import {
  classificationWorld,
  confidenceBand,
  linearWorld,
  linTS,
  linUCB,
  neuSquareCB,
  nonlinearWorld,
  type Policy,
  simulate,
  squareCB,
  switchingWorld,
  uniform,
  type World,
} from '../src/index.js';
import { studentProbability, studentQuantile } from '../src/worlds/studentQuantile.js';
import { distance } from './reference.js';

const data = {
  features: Float64Array.of(3, 4, 0, 2, 1, 0),
  labels: [1, 0, 2],
};

describe('classification', () => {
  it('encodes samples in three ways', () => {
    const seen = (['shared', 'block', 'oneHot'] as const).map((encoding) => {
      const world = classificationWorld(data, { encoding, seed: 3 });
      return { world, round: world.round(4, seededRandom(1)) };
    });
    const [shared, block, oneHot] = seen.map(({ round }) => round.features);
    const [a, b] = shared!;
    expect(Math.hypot(a!, b!)).toBeCloseTo(1, 12);
    expect([...block!]).toEqual([a, b, 0, 0, 0, 0, 0, 0, a, b, 0, 0, 0, 0, 0, 0, a, b]);
    expect([...oneHot!]).toEqual([a, b, 1, 0, 0, a, b, 0, 1, 0, a, b, 0, 0, 1]);
    for (const { world, round } of seen) {
      expect(round.means.filter((m) => m === 1).length).toBe(1);
      expect(round.reward(round.means.indexOf(1))).toBe(1);
      expect(world.actionCount).toBe(3);
    }
  });

  it('goes through all samples before it repeats one', () => {
    const world = classificationWorld(data, { normalize: false });
    const firsts = [0, 1, 2].map((t) => world.round(t, seededRandom(1)).features[0]!);
    expect(firsts.sort()).toEqual([0, 1, 3]);
    expect(world.round(3, seededRandom(1))).toMatchObject({
      features: world.round(0, seededRandom(1)).features,
    });
  });

  it('refuses what does not fit', () => {
    expect(() => classificationWorld({ ...data, labels: [0, 1, 2, 3] })).toThrow('a row for each');
    expect(() => classificationWorld(data, { classes: 2 })).toThrow('labels must be');
    expect(() => classificationWorld({ features: new Float64Array(0), labels: [] })).toThrow();
  });
});

describe('synthetic worlds', () => {
  const worlds: [string, World][] = [
    ['linear', linearWorld({ dim: 5 })],
    ['linear, shared', linearWorld({ dim: 5, shared: true })],
    ['quadratic', nonlinearWorld({ dim: 5 })],
    ['bilinear', nonlinearWorld({ dim: 5, kind: 'bilinear' })],
    ['cosine', nonlinearWorld({ dim: 5, kind: 'cosine' })],
  ];

  it.each(worlds)('%s: rewards in [0, 1] around their means, contexts of length 1', (_, world) => {
    const random = seededRandom(1);
    let error = 0;
    for (let t = 0; t < 500; t++) {
      const { features, means, reward } = world.round(t, random);
      expect(features.length).toBe(world.shared ? 5 : 20);
      expect(Math.hypot(...features.slice(0, 5))).toBeCloseTo(1, 10);
      for (const m of means) expect(m >= 0.1 && m <= 0.9 + 1e-12).toBe(true);
      const r = reward(t % 4);
      expect(r >= 0 && r <= 1).toBe(true);
      error += (r - means[t % 4]!) / 500;
    }
    // 500 rewards of deviation 0.1: five deviations of their mean, once in 2 million seeds.
    expect(Math.abs(error)).toBeLessThan(5 * (0.1 / Math.sqrt(500)));
  });

  it('switch', () => {
    const [a, b] = [linearWorld({ seed: 1 }), linearWorld({ seed: 2 })];
    const world = switchingWorld([a, b], 10);
    const means = (w: World, t: number) => w.round(t, seededRandom(5)).means;
    expect(means(world, 9)).toEqual(means(a, 9));
    expect(means(world, 10)).toEqual(means(b, 10));
    expect(means(world, 20)).toEqual(means(a, 20));
    expect(distance(means(a, 0), means(b, 0))).toBeGreaterThan(0.01);
    expect(() => switchingWorld([a, linearWorld({ dim: 3 })], 10)).toThrow('one shape');
    expect(() => switchingWorld([], 10)).toThrow('1 or more');
  });
});

describe('simulate', () => {
  const world = linearWorld({ dim: 5, actionCount: 4, noise: 0.1, seed: 2 });
  const regretOf = (policy: Policy, rounds = 2000) => simulate(world, policy, { rounds, seed: 3 });
  const chance = regretOf(uniform({ dim: 5 }));

  it('keeps curves, counts and rewards', () => {
    const { regret, finalRegret, counts, reward } = simulate(world, uniform({ dim: 5 }), {
      rounds: 100,
      every: 30,
    });
    expect(regret.length).toBe(3);
    expect(finalRegret).toBeGreaterThanOrEqual(regret[2]!);
    expect(counts.reduce((a, b) => a + b, 0)).toBe(100);
    expect(reward).toBeGreaterThan(0);
    expect(() => simulate(world, uniform({ dim: 4 }), { rounds: 5 })).toThrow('policy must have');
  });

  it('learns late, but all', () => {
    const policy = linUCB({ dim: 5 });
    simulate(world, policy, { rounds: 50, delay: 70 });
    expect(policy.updates).toBe(50);
  });

  it.each([
    ['linUCB', () => linUCB({ dim: 5, intercept: true })],
    ['linTS', () => linTS({ dim: 5, intercept: true, nu: 0.3 })],
    ['squareCB', () => squareCB({ dim: 5, gamma: { scale: 50, exponent: 0.5 } })],
  ] as [string, () => Policy][])('%s has less than 20 %% of the regret of chance', (_, create) => {
    expect(regretOf(create()).finalRegret).toBeLessThan(0.2 * chance.finalRegret);
  });

  it('NeuSquareCB is below a quarter of chance in the last fifth', () => {
    const policy = neuSquareCB({
      ...{ dim: 5, hidden: [20], learningRate: 0.05, maxUpdates: 500 },
      gamma: { scale: 50, exponent: 0.5 },
    });
    const { regret } = regretOf(policy);
    const last = (curve: Float64Array) => curve[1999]! - curve[1599]!;
    expect(last(regret)).toBeLessThan(0.25 * last(chance.regret));
  });

  it('forgetting follows a world that switches', () => {
    const switching = switchingWorld(
      [linearWorld({ dim: 5, seed: 1 }), linearWorld({ dim: 5, seed: 2 })],
      300,
    );
    const play = (forgetting: number) =>
      simulate(switching, linUCB({ dim: 5, intercept: true, alpha: 0.3, forgetting }), {
        rounds: 2400,
      });
    expect(play(0.99).finalRegret).toBeLessThan(0.8 * play(1).finalRegret);
  });
});

describe('confidence bands', () => {
  it("use Student's t", () => {
    // Tables: 97.5 % points.
    const table: [number, number][] = [
      [1, 12.706],
      [2, 4.303],
      [4, 2.776],
      [9, 2.262],
      [30, 2.042],
    ];
    for (const [degrees, t] of table) {
      expect(Math.abs(studentQuantile(0.975, degrees) - t)).toBeLessThan(1e-3);
      expect(studentProbability(0, degrees)).toBe(0.5);
      expect(studentProbability(-t, degrees)).toBeCloseTo(0.025, 4);
    }
    const curves = [1, 2, 3, 4, 5].map((v) => Float64Array.of(v, 7));
    const { mean, lower, upper } = confidenceBand(curves);
    expect([...mean]).toEqual([3, 7]);
    const half = 2.7764451 * Math.sqrt(2.5 / 5);
    expect(distance(lower, [3 - half, 7])).toBeLessThan(1e-6);
    expect(distance(upper, [3 + half, 7])).toBeLessThan(1e-6);
    expect(() => confidenceBand([Float64Array.of(1)])).toThrow('2 or more');
  });

  // A band of 95 % misses the mean in 50 of 1000 runs on average; beyond 16..84 once in a million.
  it('hold the true mean as often as they say', () => {
    const random = seededRandom(11);
    let missed = 0;
    for (let run = 0; run < 1000; run++) {
      const curves = Array.from({ length: 5 }, () => Float64Array.of(random.normal(2, 3)));
      const { lower, upper } = confidenceBand(curves);
      if (lower[0]! > 2 || upper[0]! < 2) missed++;
    }
    expect(missed).toBeGreaterThan(16);
    expect(missed).toBeLessThan(86);
  });
});
