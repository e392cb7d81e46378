/** One contract for every policy, with features per action and with a shared context. */
import { CheckpointError, NonFiniteError, seededRandom } from '@orth/backend';
import { describe, expect, it } from 'vitest';
import {
  bag,
  eeNet,
  epsilonGreedy,
  fastCB,
  linTS,
  linUCB,
  type NeuCBOptions,
  neuFastCB,
  neuralEpsilon,
  neuralTS,
  neuralUCB,
  neuSquareCB,
  type Observation,
  type Policy,
  type PolicyState,
  policyFromJSON,
  type Round,
  regCB,
  sampleAction,
  softmax,
  squareCB,
  uniform,
} from '../src/index.js';
import { chiSquareBound, distance } from './reference.js';

type Create = (options: Shape) => Policy;
interface Shape {
  readonly dim: number;
  readonly actionCount?: number;
  readonly feedback?: 'reward' | 'loss';
  readonly range?: readonly [number, number];
}

const small = { hidden: [6], initialEvery: 5, maxUpdates: 20, learningRate: 0.05 };
const decay = { scale: 1, exponent: -0.5 };
const POLICIES: Record<string, Create> = {
  uniform,
  linUCB: (o) => linUCB(o),
  'linUCB with forgetting': (o) => linUCB({ ...o, forgetting: 0.95, intercept: true }),
  linTS: (o) => linTS(o),
  'linTS of many draws': (o) => linTS({ ...o, draws: 20, intercept: true }),
  epsilonGreedy: (o) => epsilonGreedy({ ...o, epsilon: decay }),
  'epsilonGreedy after uniform rounds': (o) =>
    epsilonGreedy({ ...o, uniformRounds: 10, oracle: 'logistic' }),
  softmax: (o) => softmax({ ...o, temperature: decay, intercept: false }),
  squareCB: (o) => squareCB(o),
  'squareCB with elimination': (o) => squareCB({ ...o, elimination: true, minProbability: 0.1 }),
  'squareCB with a network': (o) => squareCB({ ...o, oracle: 'neural', network: small }),
  fastCB: (o) => fastCB({ ...o, oracle: 'logistic' }),
  regCB: (o) => regCB(o),
  bag: (o) => bag({ ...o, models: 4, minProbability: 0.05 }),
  neuSquareCB: (o) => neuSquareCB({ ...o, ...small }),
  'neuSquareCB by batches': (o) => neuSquareCB({ ...o, ...small, train: 'fullBatch' }),
  'neuSquareCB of the paper': (o) =>
    neuSquareCB({ ...o, hidden: [6], train: 'ogd', perturbation: 'sampled', radius: 1 }),
  neuFastCB: (o) => neuFastCB({ ...o, ...small, capacity: 16 }),
  'neuFastCB of the theory': (o) =>
    neuFastCB({ ...o, hidden: [6, 6], activation: 'elu', initialization: 'theory', train: 'ogd' }),
  neuralEpsilon: (o) => neuralEpsilon({ ...o, ...small, loss: 'kl' }),
  neuralUCB: (o) => neuralUCB({ ...o, ...small }),
  neuralTS: (o) => neuralTS({ ...o, ...small, train: 'fullBatch', draws: 7 }),
  eeNet: (o) => eeNet({ ...o, ...small, pool: 4, exploreHidden: 5 }),
};

const SHAPES: [string, Shape][] = [
  ['features per action', { dim: 3 }],
  ['a shared context', { dim: 3, actionCount: 4 }],
];

const CASES = Object.entries(POLICIES).flatMap(([name, create]) =>
  SHAPES.map(([kind, shape]) => ({ name, kind, create, shape })),
);

/** Rounds and the reward of each action, the same for everyone. */
function* world(shape: Shape, rounds: number, seed = 1) {
  const random = seededRandom(seed);
  for (let t = 0; t < rounds; t++) {
    const K = shape.actionCount ?? 2 + (t % 4);
    const rows = shape.actionCount ? 1 : K;
    const features = Float64Array.from({ length: rows * shape.dim }, () => random.normal() / 2);
    const mask = new Uint8Array(K).fill(1);
    if (t % 3 === 0) mask[t % K] = 0;
    const rewards = Float64Array.from({ length: K }, () => Number(random.uniform() < 0.5));
    yield { t, K, round: { features, mask } satisfies Round, rewards };
  }
}

function observationOf(shape: Shape, round: Round, action: number, outcome: number): Observation {
  const at = shape.actionCount ? 0 : action * shape.dim;
  return { features: round.features.slice(at, at + shape.dim), action, outcome, round };
}

/** Plays and learns; returns all that could be seen. */
function play(policy: Policy, shape: Shape, rounds: number, seed = 1) {
  const seen: number[] = [];
  for (const { t, round, rewards } of world(shape, rounds, seed)) {
    const random = seededRandom(seed).fork(t);
    const p = policy.distribution(round, random);
    const action = sampleAction(p, random.uniform());
    seen.push(...p, action);
    policy.update(observationOf(shape, round, action, rewards[action]!));
  }
  return seen;
}

const text = (policy: Policy) => JSON.stringify(policy);

describe.each(CASES)('$name, $kind', ({ create, shape }) => {
  it('gives probabilities, none to masked actions, and changes nothing by it', () => {
    const policy = create(shape);
    for (const { t, K, round, rewards } of world(shape, 40)) {
      const before = t % 10 === 0 ? text(policy) : '';
      const random = seededRandom(t);
      const p = policy.distribution(round, random);
      expect(p.length).toBe(K);
      expect(Math.abs(p.reduce((a, b) => a + b, 0) - 1)).toBeLessThan(1e-9);
      for (let a = 0; a < K; a++) {
        expect(p[a]!).toBeGreaterThanOrEqual(0);
        if (round.mask[a] === 0) expect(p[a]).toBe(0);
      }
      const greedy = policy.distribution({ ...round, explore: false }, random);
      const y = policy.predict(round);
      const open = y.map((value, a) => (round.mask[a] ? value : -Infinity));
      expect(y.every(Number.isFinite)).toBe(true);
      expect(greedy.indexOf(1)).toBe(open.indexOf(Math.max(...open)));
      const out = new Float64Array(K);
      expect(policy.distribution(round, seededRandom(t), out)).toBe(out);
      expect(distance(out, p)).toBe(0);
      if (before) expect(text(policy)).toBe(before);
      const action = sampleAction(p, random.uniform());
      policy.update(observationOf(shape, round, action, rewards[action]!));
    }
    expect(policy.updates).toBe(40);
  });

  it('plays the only action', () => {
    const one = { ...shape, ...(shape.actionCount && { actionCount: 1 }) };
    const policy = create(one);
    const features = Float64Array.of(0.1, 0.2, 0.3);
    for (let t = 0; t < 12; t++) {
      expect([...policy.distribution({ features }, seededRandom(t))]).toEqual([1]);
      policy.update({ features, action: 0, outcome: t % 2 });
    }
  });

  it('is the same for the same seeds, and goes on from its JSON bit for bit', () => {
    const [a, b] = [create(shape), create(shape)];
    const seen = play(a, shape, 60);
    expect(play(b, shape, 30)).toEqual(seen.slice(0, play(create(shape), shape, 30).length));
    const state = JSON.parse(text(b)) as PolicyState;
    const restored = policyFromJSON(state);
    expect(text(restored)).toBe(text(b));
    expect(restored.name).toBe(b.name);
    expect(play(restored, shape, 40, 2)).toEqual(play(b, shape, 40, 2));
    expect(text(restored)).toBe(text(b));
  });

  it('learns losses as the mirror image of rewards', () => {
    const rewards = create(shape);
    const losses = create({ ...shape, feedback: 'loss' });
    const wide = create({ ...shape, range: [-3, 5] });
    const scaled = !/^(linUCB|linTS|neuralUCB|neuralTS)/.test(rewards.name);
    for (const { t, round, rewards: r } of world(shape, 30)) {
      const p = rewards.distribution(round, seededRandom(t));
      const action = sampleAction(p, 0.5);
      rewards.update(observationOf(shape, round, action, r[action]!));
      losses.update(observationOf(shape, round, action, 1 - r[action]!));
      wide.update(observationOf(shape, round, action, 8 * r[action]! - 3));
    }
    // Rules on rewards in their own unit are not invariant under a shift.
    if (!scaled) return;
    for (const { t, round } of world(shape, 5, 9)) {
      const p = rewards.distribution(round, seededRandom(t));
      const y = rewards.predict(round);
      expect(distance(p, losses.distribution(round, seededRandom(t)))).toBeLessThan(1e-9);
      expect(distance(p, wide.distribution(round, seededRandom(t)))).toBeLessThan(1e-9);
      expect(
        distance(
          y,
          losses.predict(round).map((v) => 1 - v),
        ),
      ).toBeLessThan(1e-9);
      expect(
        distance(
          y,
          wide.predict(round).map((v) => (v + 3) / 8),
        ),
      ).toBeLessThan(1e-9);
    }
  });

  it('refuses bad input by name and stays as it was', () => {
    const policy = create(shape);
    play(policy, shape, 10);
    const before = text(policy);
    const features = Float64Array.of(0.1, 0.2, 0.3);
    const good: Observation = { features, action: 0, outcome: 0.5 };
    const bad: [object, string][] = [
      [{ features: Float64Array.of(1, 2) }, 'features must have length 3, got 2'],
      [{ features: Float64Array.of(1, Number.NaN, 2) }, 'features must be finite, got NaN'],
      [{ features: [1, 2, 3] }, 'features must be a Float64Array'],
      [{ outcome: Number.NaN }, 'outcome must be a finite number >= 0 and <= 1, got NaN'],
      [{ outcome: 1.5 }, 'outcome must be a finite number >= 0 and <= 1, got 1.5'],
      [{ outcome: '1' }, 'outcome must be a finite number'],
      [{ action: -1 }, 'action must be an integer >= 0'],
      [{ action: 0.5 }, 'action must be an integer'],
      [{ probability: 0 }, 'probability must be a finite number > 0 and <= 1, got 0'],
      [{ probability: 1.1 }, 'probability must'],
      [{ weight: -1 }, 'weight must be a finite number >= 0, got -1'],
    ];
    if (shape.actionCount) {
      bad.push([{ action: 4 }, 'action must be an integer >= 0 and < 4, got 4']);
      bad.push([{ action: undefined }, 'action must be given']);
    }
    for (const [own, message] of bad) {
      expect(() => policy.update({ ...good, ...own })).toThrow(`${policy.name}.update: ${message}`);
      expect(text(policy)).toBe(before);
    }
    const random = seededRandom(1);
    const refuse = (round: object, message: string) => {
      const whole = { features: new Float64Array(3), ...round };
      expect(() => policy.distribution(whole, random)).toThrow(message);
    };
    refuse({ features: new Float64Array(0) }, 'features must');
    refuse({ features: new Float64Array(4) }, 'features must');
    refuse({ features: Float64Array.of(0, Infinity, 0) }, 'finite, got Infinity at index 1');
    const large = Float64Array.of(0, 1e160, 0);
    refuse({ features: large }, 'features must have a sum of squares <= 1e+200, got Infinity');
    expect(() => policy.update({ ...good, features: large })).toThrow(NonFiniteError);
    refuse({ mask: new Uint8Array(7) }, 'mask must have length');
    refuse({ mask: new Uint8Array(shape.actionCount ?? 1) }, 'mask must leave an action');
    expect(text(policy)).toBe(before);
  });

  it('refuses damaged state', () => {
    const policy = create(shape);
    play(policy, shape, 12);
    const state = JSON.parse(text(policy)) as { data: Record<string, unknown> } & PolicyState;
    const refused = (damaged: unknown) =>
      expect(() => policyFromJSON(damaged as PolicyState)).toThrow(CheckpointError);
    refused(null);
    refused({ ...state, format: 'other' });
    refused({ ...state, version: 2 });
    refused({ ...state, policy: 'toString' });
    refused({ ...state, options: { ...state.options, dim: -1 } });
    refused({ ...state, options: { ...state.options, unknown: 1 } });
    refused({ ...state, data: undefined });
    for (const key of Object.keys(state.data)) {
      const { [key]: _, ...rest } = state.data;
      refused({ ...state, data: rest });
      if (typeof state.data[key] === 'string') {
        refused({
          ...state,
          data: { ...state.data, [key]: `${state.data[key].slice(0, -4)}!@==` },
        });
        refused({ ...state, data: { ...state.data, [key]: state.data[key].slice(0, -12) } });
      }
    }
  });
});

describe('options', () => {
  it('are refused by name', () => {
    expect(() => linUCB({ dim: 0 })).toThrow('linUCB: dim must be an integer >= 1, got 0');
    expect(() => linUCB({ dim: 2, alpa: 1 } as never)).toThrow('linUCB: unknown option "alpa"');
    expect(() => squareCB({ dim: 2, range: [0, Infinity] })).toThrow(
      'squareCB: range must be finite',
    );
    expect(() => linUCB({ dim: 2, range: [1, 0] })).toThrow('range must be [least, greatest]');
    expect(() => neuFastCB({ dim: 2, hidden: [] })).toThrow('neuFastCB: hidden must be a list');
    expect(() => neuFastCB({ dim: 2, perturbation: 'sampled' })).toThrow("train must be 'ogd'");
    expect(() => neuSquareCB({ dim: 2, radius: -1 })).toThrow('radius');
    expect(() => epsilonGreedy({ dim: 2, epsilon: 2 })).toThrow('epsilonGreedy: epsilon must');
    expect(() => softmax({ dim: 2, temperature: 0 })).toThrow('temperature must be > 0');
    expect(() => squareCB({ dim: 2, gamma: { horizon: 10 } as never })).toThrow('regressionRegret');
    expect(() => fastCB({ dim: 2, oracle: 'logistic', elimination: true })).toThrow('oracle');
    expect(() => epsilonGreedy({ dim: 2, network: {} })).toThrow("oracle 'neural'");
    expect(() => linTS({ dim: 2, draws: 0 })).toThrow('linTS: draws must be an integer >= 1');
  });

  it('take unbounded outcomes where the rule allows it', () => {
    const range = [-Infinity, Infinity] as const;
    for (const create of [linUCB, linTS, epsilonGreedy, softmax, uniform, neuralUCB]) {
      const policy = create({ dim: 2, range });
      policy.update({ features: Float64Array.of(1, 2), outcome: -1234 });
      expect(() => policy.update({ features: Float64Array.of(1, 2), outcome: Infinity })).toThrow(
        'outcome',
      );
      const restored = policyFromJSON(JSON.parse(text(policy)));
      expect(restored.range).toEqual(range);
    }
  });

  it('set γ by the theory', () => {
    const gamma = { horizon: 1000, regressionRegret: 5, bestLoss: 900 };
    const features = Float64Array.of(1, 0, 0, 1, 1, 1);
    const probability = (create: typeof squareCB, value: NeuCBOptions['gamma']) => {
      const policy = create({ dim: 2, intercept: false, gamma: value! });
      policy.update({ features: Float64Array.of(1, 0), outcome: 1 });
      policy.update({ features: Float64Array.of(0, 1), outcome: 0 });
      return policy.distribution({ features }, seededRandom(1));
    };
    const square = Math.sqrt((3 * 1000) / (5 + Math.log(2 / 0.05)));
    const fast = Math.max(Math.sqrt((3 * 900) / (3 * 5)), 30);
    expect(distance(probability(squareCB, gamma), probability(squareCB, square))).toBe(0);
    expect(distance(probability(fastCB, gamma), probability(fastCB, fast))).toBe(0);
  });
});

describe('training that diverges', () => {
  it.each([
    ['neuSquareCB', (o: Shape) => neuSquareCB({ ...o, ...small, learningRate: 1e30 })],
    ['neuSquareCB, ogd', (o: Shape) => neuSquareCB({ ...o, train: 'ogd', learningRate: 1e38 })],
    ['neuralUCB', (o: Shape) => neuralUCB({ ...o, ...small, learningRate: 1e30 })],
    ['eeNet', (o: Shape) => eeNet({ ...o, ...small, learningRate: 1e30 })],
  ])('is refused with nothing changed: %s', (_, create) => {
    const policy = create({ dim: 3 });
    const features = Float64Array.of(0.5, -0.3, 0.2);
    let refused = 0;
    for (let t = 0; t < 12; t++) {
      const before = text(policy);
      try {
        policy.update({ features, outcome: t % 2 });
      } catch (error) {
        refused++;
        expect(error).toBeInstanceOf(NonFiniteError);
        expect(text(policy)).toBe(before);
      }
    }
    expect(refused).toBeGreaterThan(0);
    expect(policy.updates).toBe(12 - refused);
    expect(policy.predict({ features }).every(Number.isFinite)).toBe(true);
  });
});

describe('relations between policies', () => {
  it('delayed and shuffled observations give linear policies the same model', () => {
    const shape = { dim: 3, actionCount: 4 };
    const random = seededRandom(3);
    const observations = Array.from({ length: 200 }, (_, i) => ({
      features: Float64Array.from({ length: 3 }, () => random.normal()),
      action: i % 4,
      outcome: random.uniform(),
    }));
    const [now, later] = [linUCB(shape), linUCB(shape)];
    for (const o of observations) now.update(o);
    for (const o of random.shuffle(observations)) later.update(o);
    const features = Float64Array.of(0.3, -0.2, 0.9);
    expect(distance(now.predict({ features }), later.predict({ features }))).toBeLessThan(1e-10);
  });

  it('a linear network makes NeuralUCB diagonal LinUCB', () => {
    // f = x w with no other parameter moving its gradient: g = (x, 1) in W1 and b1, h = x w in W2.
    const policy = neuralUCB({
      ...{ dim: 3, hidden: [1], activation: 'identity', lambda: 0.5, nu: 2 },
      ...{ initialEvery: 1000, initialRounds: 1e6 },
    });
    const state = JSON.parse(text(policy)) as PolicyState;
    expect(state.policy).toBe('neuralUCB');
    const random = seededRandom(4);
    const rows = () => Float64Array.from({ length: 12 }, () => random.normal());
    const theta = policyTheta(state);
    const [w, b, v] = [theta.slice(0, 3), theta[3]!, theta[4]!];
    const U = new Float64Array(6).fill(0.5);
    const gradient = (x: Float64Array) => {
      const h = x.reduce((sum, value, i) => sum + value * w[i]!, b);
      return [...x.map((value) => value * v), v, h, 1];
    };
    for (let t = 0; t < 30; t++) {
      const features = rows();
      const scores = [0, 1, 2, 3].map((a) => {
        const x = features.slice(3 * a, 3 * a + 3);
        const f = v * x.reduce((sum, value, i) => sum + value * w[i]!, b) + theta[5]!;
        const norm = gradient(x).reduce((sum, g, i) => sum + (g * g) / U[i]!, 0);
        return f + Math.sqrt(0.5 * 2 * norm);
      });
      const best = scores.indexOf(Math.max(...scores));
      expect(policy.distribution({ features }, random).indexOf(1)).toBe(best);
      const x = features.slice(3 * best, 3 * best + 3);
      for (const [i, g] of gradient(x).entries()) U[i]! += g * g;
      policy.update({ features: x, outcome: 0.5 });
    }
  });

  it('zero exploration is greedy', () => {
    const features = Float64Array.of(0.3, 0.1, -0.4, 0.8, 0.5, 0.5);
    for (const policy of [
      neuralUCB({ dim: 2, ...small, nu: 0 }),
      neuralTS({ dim: 2, ...small, nu: 0 }),
      linTS({ dim: 2, nu: 0 }),
      epsilonGreedy({ dim: 2, epsilon: 0 }),
    ]) {
      for (let t = 0; t < 10; t++) {
        policy.update({ features: features.slice(2, 4), outcome: 0.9 });
        policy.update({ features: features.slice(0, 2), outcome: 0.1 });
      }
      const y = policy.predict({ features });
      const p = policy.distribution({ features }, seededRandom(1));
      expect(p.indexOf(1)).toBe(y.indexOf(Math.max(...y)));
    }
  });

  // False alarms: one in a million runs with other seeds.
  it('vote shares of Thompson sampling are its choice frequencies', () => {
    const one = neuralTS({ dim: 2, ...small, nu: 1, lambda: 0.1 });
    const state = JSON.parse(text(one));
    const many = policyFromJSON({ ...state, options: { ...state.options, draws: 50_000 } });
    const features = Float64Array.of(0.3, 0.1, -0.4, 0.8, 0.5, 0.5);
    const p = many.distribution({ features }, seededRandom(1));
    const n = 20_000;
    const counts = new Float64Array(3);
    const random = seededRandom(2);
    for (let i = 0; i < n; i++) counts[one.distribution({ features }, random).indexOf(1)]!++;
    // Both are samples, so the variance is that of their difference.
    const statistic = counts.reduce(
      (sum, c, a) => sum + (c - n * p[a]!) ** 2 / (n * p[a]! * (1 + n / 50_000)),
      0,
    );
    expect(statistic).toBeLessThan(chiSquareBound(2));
  });
});

function policyTheta(state: PolicyState): Float64Array {
  const bytes = Uint8Array.from(atob(state.data.theta as string), (c) => c.charCodeAt(0));
  return new Float64Array(bytes.buffer);
}
