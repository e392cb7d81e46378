/** The contract of `ContextualBandit`: decisions, late rewards, bounds, bad input, state. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { NonFiniteError, seededRandom } from '@orth/backend';
import { expect, test } from 'vitest';
import { eeNet } from '../src/policies/eeNet.js';
import { neuFastCB } from '../src/policies/gapWeighting.js';
import { epsilonGreedy } from '../src/policies/greedy.js';
import { linTS } from '../src/policies/linTS.js';
import { linUCB } from '../src/policies/linUCB.js';
import { policyFromJSON } from '../src/policies/policyFromJSON.js';
import { uniform } from '../src/policies/uniform.js';
import type { Observation, Policy } from '../src/policy.js';
import { type ChooseRequest, ContextualBandit } from '../src/service/contextualBandit.js';
import type { ContextualBanditOptions } from '../src/service/options.js';

const json = (bandit: ContextualBandit) => JSON.stringify(bandit.toJSON());

function clock(start = 1000) {
  const now = Object.assign(() => now.time, { time: start });
  return now;
}

/** A round of `K` actions with `dim` features, and what it would bring. */
function rounds(seed: number, count: number, dim = 4, K = 3) {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => {
    const actions = Array.from({ length: K }, () =>
      Array.from({ length: dim }, () => random.normal() / 2),
    );
    return { actions, rewards: actions.map((x) => Number(x[0]! > random.normal() / 4)) };
  });
}

/** A policy that records what it is given. */
function spy(policy: Policy): Policy & { readonly seen: Observation[] } {
  const seen: Observation[] = [];
  return new Proxy(policy, {
    get(target, key) {
      if (key === 'seen') return seen;
      if (key === 'update') {
        return (observation: Observation) => {
          seen.push(observation);
          target.update(observation);
        };
      }
      const value = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  }) as Policy & { readonly seen: Observation[] };
}

test('chooses one of the actions given, and learns', () => {
  const bandit = new ContextualBandit(epsilonGreedy({ dim: 2, epsilon: 0.1 }), { seed: 3 });
  const actions = [
    { id: 'red', features: [1, 0], price: 3 },
    { id: 'blue', features: new Float32Array([0, 1]), price: 4 },
  ];
  for (let i = 0; i < 200; i++) {
    const { action, index, probability, probabilities, decisionId } = bandit.choose({ actions });
    expect(action).toBe(actions[index]);
    expect(probabilities[index]).toBe(probability);
    expect(probabilities[0]! + probabilities[1]!).toBeCloseTo(1, 12);
    expect(bandit.learn(decisionId, action.id === 'blue' ? 1 : 0)).toBe('learned');
  }
  expect(bandit.probabilities({ actions })[1]).toBeCloseTo(0.95, 12);
  expect(bandit.choose({ actions, explore: false })).toMatchObject({ index: 1, probability: 1 });
  expect(bandit.predict({ actions })[1]).toBeGreaterThan(0.9);
  expect(bandit.statistics).toEqual({ decisions: 201, learned: 200, expired: 0, pending: 1 });
});

test('probabilities are those with which actions are chosen', () => {
  // χ² of 20,000 decisions over 4 actions: above 21.1 (3 degrees of freedom) with chance 1e-4 where they are.
  const policy = epsilonGreedy({ dim: 2, epsilon: 0.4 });
  policy.update({ features: new Float64Array([0, 1]), outcome: 1 });
  const bandit = new ContextualBandit(policy, { seed: 11, maxPending: 5 });
  const actions = [
    [1, 0],
    [0, 1],
    [-1, 0],
    [0, -1],
  ];
  const counts = [0, 0, 0, 0];
  const n = 20_000;
  const want = bandit.probabilities({ actions });
  for (let i = 0; i < n; i++) {
    const { index, probabilities } = bandit.choose({ actions });
    counts[index]!++;
    expect(probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
  }
  const chi2 = counts.reduce((sum, c, a) => sum + (c - n * want[a]!) ** 2 / (n * want[a]!), 0);
  expect(chi2).toBeLessThan(21.1);
  expect(bandit.statistics.pending).toBe(5);
});

test('masked actions are never chosen', () => {
  const bandit = new ContextualBandit(uniform({ dim: 1 }), { seed: 1 });
  const actions = [[1], [2], [3], [4]];
  for (let i = 0; i < 200; i++) {
    const { index, probability } = bandit.choose({ actions, mask: [0, true, 0, 1] });
    expect([1, 3]).toContain(index);
    expect(probability).toBeCloseTo(0.5, 12);
  }
});

test('the number of actions may change; policies with actionCount take labels or none', () => {
  const bandit = new ContextualBandit(linUCB({ dim: 3 }));
  for (const K of [1, 5, 2]) {
    const actions = Array.from({ length: K }, (_, a) => [a, 1]);
    expect(bandit.choose({ context: [0.5], actions }).probabilities).toHaveLength(K);
  }
  const fixed = new ContextualBandit(linUCB({ dim: 2, actionCount: 3 }));
  const labelled = fixed.choose({ context: [1, 0], actions: ['a', 'b', 'c'] });
  expect(['a', 'b', 'c'][labelled.index]).toBe(labelled.action);
  const { action, index } = fixed.choose({ context: [1, 0] });
  expect(action).toBe(index);
  expect(() => fixed.choose({ context: [1, 0], actions: ['a', 'b'] })).toThrow(
    'actions must be 3, got 2',
  );
  expect(() => fixed.choose({})).toThrow('context must be given');
  expect(() => fixed.choose({ context: [1] })).toThrow('context must have length 2, got 1');
});

test('dense rows are context, action and their products', () => {
  const policy = spy(linUCB({ dim: 11 }));
  const bandit = new ContextualBandit(policy, { interactions: true });
  const context = new Float64Array([2, -0]);
  const { decisionId } = bandit.choose({ context, actions: [[3, 5, 7]] });
  context[0] = 99;
  bandit.learn(decisionId, 1);
  expect([...policy.seen[0]!.features]).toEqual([2, 0, 3, 5, 7, 6, 10, 14, 0, 0, 0]);
  expect(() => bandit.choose({ context: [1, 2, 3], actions: [[1, 2]] })).toThrow(
    'context must have length 2 as before, got 3',
  );
  expect(() => bandit.choose({ context: [1, 2], actions: [[1, 2, 3], [1]] })).toThrow(
    'context and actions[1] must have 11 features together, got 2 + 1 + 2·1',
  );
});

test('hashed rows take names, words, labels and lists; the same name is the same feature', () => {
  const policy = spy(linUCB({ dim: 64 }));
  const bandit = new ContextualBandit(policy, { encoding: 'hashed', interactions: true });
  const row = (
    context: ChooseRequest['context'],
    action: NonNullable<ChooseRequest['actions']>[0],
  ) => {
    const { decisionId } = bandit.choose({ ...(context && { context }), actions: [action] });
    bandit.learn(decisionId, 1);
    return [...policy.seen.at(-1)!.features];
  };
  const total = (x: number[]) => x.reduce((sum, v) => sum + Math.abs(v), 0);
  expect(total(row({ age: 0.5, city: 'Bonn', member: true, old: false }, 'news'))).toBe(
    // 0.5 + 1 + 1 of the context, 1 of the label, and each context feature times it
    0.5 + 1 + 1 + 1 + 0.5 + 1 + 1,
  );
  expect(row({ a: 1 }, { b: 2 })).toEqual(row({ a: 1 }, { id: 7, features: { b: 2 } }));
  expect(row(undefined, 'news')).toEqual(row(undefined, { action: 'news' }));
  expect(row(undefined, [0, 3])).toEqual(row(undefined, { 1: 3 }));
  expect(row({ x: 'a' }, 'k')).not.toEqual(row({ x: 'b' }, 'k'));
  const other = new ContextualBandit(linUCB({ dim: 64 }), { encoding: 'hashed', hashSeed: 1 });
  expect(other.predict({ actions: ['news'] })).toHaveLength(1);
});

test('hashing learns from names what dense rows learn from numbers', () => {
  const bandit = new ContextualBandit(epsilonGreedy({ dim: 32, epsilon: 0.2 }), {
    encoding: 'hashed',
    interactions: true,
    seed: 5,
  });
  const random = seededRandom(8);
  let late = 0;
  for (let i = 0; i < 1500; i++) {
    const user = random.uniform() < 0.5 ? 'ann' : 'bob';
    const { action, decisionId } = bandit.choose({ context: { user }, actions: ['tea', 'coffee'] });
    const liked = (user === 'ann') === (action === 'tea');
    bandit.learn(decisionId, liked ? 1 : 0);
    if (i >= 1000) late += Number(liked) / 500;
  }
  expect(late).toBeGreaterThan(0.8);
});

test('same seed, same decisions; another seed, others', () => {
  const run = (seed: number) => {
    const bandit = new ContextualBandit(linTS({ dim: 4 }), { seed });
    return rounds(1, 50).map(({ actions, rewards }) => {
      const { index, decisionId } = bandit.choose({ actions });
      bandit.learn(decisionId, rewards[index]!);
      return decisionId + index;
    });
  };
  expect(run(1)).toEqual(run(1));
  expect(run(1)).not.toEqual(run(2));
});

test('rewards come late and in any order: a linear model is what it would have been', () => {
  const decide = (order: (ids: readonly number[]) => readonly number[]) => {
    const policy = epsilonGreedy({ dim: 4, epsilon: 1 });
    const bandit = new ContextualBandit(policy, { seed: 2 });
    const made = rounds(3, 60).map(({ actions, rewards }) => {
      const { index, decisionId } = bandit.choose({ actions });
      return { decisionId, reward: rewards[index]! };
    });
    for (const i of order([...made.keys()])) {
      expect(bandit.learn(made[i]!.decisionId, made[i]!.reward)).toBe('learned');
    }
    return bandit.predict({ actions: rounds(4, 1)[0]!.actions });
  };
  const straight = decide((ids) => ids);
  const shuffled = decide((ids) => seededRandom(9).shuffle(ids));
  for (const [a, y] of straight.entries()) expect(shuffled[a]).toBeCloseTo(y, 9);
});

test('duplicates and unknown ids are told apart and change nothing', () => {
  const bandit = new ContextualBandit(linUCB({ dim: 1 }), { maxSettled: 2 });
  const ids = [1, 2, 3, 4].map(() => bandit.choose({ actions: [[1]] }).decisionId);
  expect(bandit.learn(ids[0]!, 1)).toBe('learned');
  const before = json(bandit);
  expect(bandit.learn(ids[0]!, 0)).toBe('duplicate');
  expect(bandit.learn('nobody', 1)).toBe('unknown');
  expect(json(bandit)).toBe(before);
  for (const id of ids.slice(1)) bandit.learn(id, 0);
  // Two are remembered; the first was settled before them.
  expect(bandit.learn(ids[0]!, 0)).toBe('unknown');
  expect(bandit.learn(ids[3]!, 0)).toBe('duplicate');
});

test('the oldest decision expires when too many wait, or when it is too old', () => {
  const now = clock();
  const options = { maxPending: 3, maxAge: 100, expiredReward: 0, now };
  const policy = spy(linUCB({ dim: 1 }));
  const bandit = new ContextualBandit(policy, options);
  const ids = [0, 1, 2, 3].map((i) => {
    now.time = 1000 + 10 * i;
    return bandit.choose({ actions: [[i]] }).decisionId;
  });
  expect(bandit.statistics).toMatchObject({ pending: 3, expired: 1 });
  expect(bandit.learn(ids[0]!, 1)).toBe('expired');
  expect(policy.seen.map(({ features, outcome }) => [features[0], outcome])).toEqual([[0, 0]]);
  now.time = 1110;
  expect(bandit.expire()).toBe(0);
  now.time = 1111;
  expect(bandit.expire()).toBe(1);
  now.time = 1125;
  expect(bandit.learn(ids[2]!, 1)).toBe('expired');
  expect(bandit.learn(ids[3]!, 1)).toBe('learned');
  expect(policy.seen.map(({ outcome }) => outcome)).toEqual([0, 0, 0, 1]);
  // A clock that goes back stands still.
  now.time = 5;
  const { decisionId } = bandit.choose({ actions: [[1]] });
  now.time = 1225;
  expect(bandit.learn(decisionId, 1)).toBe('learned');
});

test('without an expired reward nothing is learnt from silence', () => {
  const policy = spy(linUCB({ dim: 1 }));
  const bandit = new ContextualBandit(policy, { maxPending: 1 });
  for (let i = 0; i < 5; i++) bandit.choose({ actions: [[1]] });
  expect(policy.seen).toHaveLength(0);
  expect(bandit.statistics).toMatchObject({ expired: 4, pending: 1 });
});

test('own ids', () => {
  const bandit = new ContextualBandit(uniform({ dim: 1 }));
  expect(bandit.choose({ actions: [[1]], decisionId: 'mine' }).decisionId).toBe('mine');
  expect(() => bandit.choose({ actions: [[1]], decisionId: 'mine' })).toThrow(
    'ContextualBandit.choose: decisionId must not be in use, got "mine"',
  );
  bandit.learn('mine', 1);
  expect(() => bandit.choose({ actions: [[1]], decisionId: 'mine' })).toThrow('in use');
  // The decision is the same whatever its id.
  const pair = [{}, { decisionId: 'x' }].map((id) => {
    const other = new ContextualBandit(uniform({ dim: 1 }), { seed: 4 });
    const actions = [[1], [2], [3], [4], [5], [6]];
    return [1, 2, 3].map((i) => {
      const own = 'decisionId' in id ? { decisionId: `x${i}` } : {};
      return other.choose({ actions, ...own }).index;
    });
  });
  expect(pair[0]).toEqual(pair[1]);
});

test('bad input is refused by name and changes nothing', () => {
  const bandit = new ContextualBandit(linUCB({ dim: 2 }), { seed: 1 });
  const first = bandit.choose({
    actions: [
      [1, 2],
      [3, 4],
    ],
  });
  const before = json(bandit);
  // biome-ignore lint/suspicious/noExplicitAny: what types forbid is to be refused
  const requests: [any, string][] = [
    [{ actions: [] }, 'choose: actions must hold an action, got none'],
    [{}, 'actions must hold an action, got none'],
    [{ actions: 'ab' }, 'actions must be an array, got string'],
    [{ actions: [[1]] }, 'actions[0] must have 2 features together, got 0 + 1'],
    [
      {
        actions: [
          [1, 2],
          [1, 2, 3],
        ],
      },
      'actions[1] must have 2 features together, got 0 + 3',
    ],
    [{ context: [1], actions: [[1]] }, 'context must have length 0 as before, got 1'],
    [{ actions: [[1, Number.NaN]] }, 'actions[0] must be finite, got NaN at index 1'],
    [{ actions: [[1, Infinity]] }, 'actions[0] must be finite, got Infinity at index 1'],
    [{ actions: [[1, '2']] }, 'actions[0] must be finite, got 2 at index 1'],
    [{ actions: [[1, 1e160]] }, 'features must have a sum of squares'],
    [{ actions: [null] }, 'actions[0] must be an array of numbers or an object'],
    [{ actions: ['a'] }, 'actions[0] must have features, got a'],
    [{ actions: [{ x: 1 }] }, "features by name need encoding 'hashed'"],
    [{ context: { a: {} }, actions: [[1, 2]] }, 'context.a must be a finite number, a word'],
    [{ context: { a: Number.NaN }, actions: [[1, 2]] }, 'context.a must be a finite number'],
    [{ actions: [[1, 2]], mask: [0] }, 'mask must allow an action, got none'],
    [{ actions: [[1, 2]], mask: [1, 1] }, 'mask must have an entry for each of 1 actions'],
    [{ actions: [[1, 2]], explore: 1 }, 'explore must be true or false'],
    [{ actions: [[1, 2]], decisionId: '' }, 'decisionId must be a non-empty string'],
    [{ actions: [[1, 2]], contxt: [] }, 'unknown option "contxt"'],
  ];
  for (const [request, message] of requests) {
    expect(() => bandit.choose(request), message).toThrow(message);
  }
  // biome-ignore lint/suspicious/noExplicitAny: what types forbid is to be refused
  const rewards: [any, string][] = [
    [Number.NaN, 'learn: reward must be a finite number >= 0 and <= 1, got NaN'],
    [Infinity, 'reward must be'],
    [1.01, 'got 1.01'],
    [-0.01, 'got -0.01'],
    ['1', 'reward must be a finite number'],
    [undefined, 'reward must be'],
  ];
  for (const [reward, message] of rewards) {
    expect(() => bandit.learn(first.decisionId, reward)).toThrow(message);
  }
  expect(() => bandit.learn(7 as never, 1)).toThrow('decisionId must be a string, got number');
  expect(() => bandit.learnLogged({ actions: [[1, 2]], action: 1, reward: 1 })).toThrow(
    'action must be an integer >= 0 and < 1, got 1',
  );
  expect(json(bandit)).toBe(before);
  expect(bandit.learn(first.decisionId, 1)).toBe('learned');
  const open = new ContextualBandit(linUCB({ dim: 1, range: [-Infinity, Infinity] }));
  const { decisionId } = open.choose({ actions: [[1]] });
  expect(() => open.learn(decisionId, Infinity)).toThrow('reward must be a finite number');
});

test('bad options are refused by name', () => {
  const policy = linUCB({ dim: 2 });
  // biome-ignore lint/suspicious/noExplicitAny: what types forbid is to be refused
  const options: [any, string][] = [
    [{ seed: 0.5 }, 'seed must be an integer'],
    [{ maxPending: 0 }, 'maxPending must be an integer >= 1, got 0'],
    [{ maxAge: 0 }, 'maxAge must be'],
    [{ maxSettled: -1 }, 'maxSettled must be'],
    [{ expiredReward: 2 }, 'expiredReward must be a finite number >= 0 and <= 1, got 2'],
    [{ encoding: 'sparse' }, 'encoding must be one of "dense", "hashed"'],
    [{ interactions: 1 }, 'interactions must be true or false'],
    [{ now: 5 }, 'now must be a function, got number'],
    [{ sed: 1 }, 'unknown option "sed"'],
  ];
  for (const [option, message] of options) {
    expect(() => new ContextualBandit(policy, option)).toThrow(message);
  }
  expect(() => new ContextualBandit({} as never)).toThrow('policy must be a policy');
  const fixed = linUCB({ dim: 2, actionCount: 2 });
  expect(() => new ContextualBandit(fixed, { interactions: true })).toThrow('interactions must be');
  const broken = new ContextualBandit(policy, { now: () => Number.NaN });
  expect(() => broken.choose({ actions: [[1, 2]] })).toThrow('now() must be a finite number');
});

test('losses', () => {
  const bandit = new ContextualBandit(epsilonGreedy({ dim: 2, feedback: 'loss', epsilon: 0.1 }));
  const actions = [
    [1, 0],
    [0, 1],
  ];
  for (let i = 0; i < 100; i++) {
    const { index, decisionId } = bandit.choose({ actions });
    bandit.learn(decisionId, index);
  }
  expect(bandit.choose({ actions, explore: false }).index).toBe(0);
  const { decisionId } = bandit.choose({ actions });
  expect(() => bandit.learn(decisionId, 2)).toThrow('loss must be a finite number >= 0 and <= 1');
});

const NETWORK = { hidden: [6], initialEvery: 3, maxUpdates: 20 };
const SERVED: [string, () => Policy, ContextualBanditOptions][] = [
  ['EE-Net, whole rounds', () => eeNet({ dim: 4, ...NETWORK, pool: 5, exploreHidden: 4 }), {}],
  ['NeuFastCB', () => neuFastCB({ dim: 4, ...NETWORK }), { maxPending: 5, expiredReward: 0 }],
  ['linTS, pending, expired', () => linTS({ dim: 4 }), { maxPending: 7, expiredReward: 0.25 }],
  ['linUCB, ages', () => linUCB({ dim: 4 }), { maxAge: 500, maxSettled: 5 }],
  ['epsilon-greedy, hashed', () => epsilonGreedy({ dim: 16 }), { encoding: 'hashed' }],
];

test.each(SERVED)('%s: saved, restored and continued is as never stopped', (_, policy, options) => {
  const play = (stopAt: number) => {
    const now = clock();
    let bandit = new ContextualBandit(policy(), { ...options, seed: 6, now });
    const random = seededRandom(1);
    const waiting: [string, number][] = [];
    const trace: unknown[] = [];
    for (const [i, { actions, rewards }] of rounds(7, 80).entries()) {
      if (i === stopAt) {
        const state = JSON.parse(json(bandit));
        bandit = ContextualBandit.fromJSON(state, { now });
        expect(JSON.stringify(state)).toBe(json(bandit));
      }
      now.time += random.integer(0, 100);
      const { index, decisionId, probabilities } = bandit.choose({ actions, mask: [1, i % 3, 1] });
      trace.push(decisionId, index, ...probabilities);
      waiting.push([decisionId, rewards[index]!]);
      while (waiting.length > 0 && random.uniform() < 0.5) {
        const [id, reward] = waiting.splice(random.integer(0, waiting.length - 1), 1)[0]!;
        trace.push(bandit.learn(id, reward));
      }
    }
    return { trace, state: json(bandit) };
  };
  const straight = play(-1);
  expect(play(40)).toEqual(straight);
  expect(play(79)).toEqual(straight);
});

test('a damaged or foreign state is refused', () => {
  const bandit = new ContextualBandit(linUCB({ dim: 2 }), { seed: 1 });
  bandit.learn(bandit.choose({ actions: [[1, 2]] }).decisionId, 1);
  bandit.choose({ actions: [[1, 2]] });
  const good = JSON.parse(json(bandit));
  const damage: [(state: typeof good) => unknown, string][] = [
    [() => undefined, 'state must be what ContextualBandit.toJSON gave'],
    [() => ({}), 'state must be what ContextualBandit.toJSON gave'],
    [(s) => s.policy, 'state must be what ContextualBandit.toJSON gave'],
    [(s) => ({ ...s, version: 2 }), 'version 1, got 2'],
    [(s) => ({ ...s, policy: { ...s.policy, policy: 'nope' } }), 'state.policy must be one of'],
    [(s) => ({ ...s, options: { ...s.options, maxPending: 0 } }), 'maxPending must be'],
    [(s) => ({ ...s, options: { ...s.options, colour: 1 } }), 'unknown option "colour"'],
    [(s) => ({ ...s, data: { ...s.data, decisions: -1 } }), 'data.decisions must be'],
    [(s) => ({ ...s, data: { ...s.data, time: 'now' } }), 'data.time must be'],
    [(s) => ({ ...s, data: { ...s.data, pending: 3 } }), 'data.pending and data.settled'],
  ];
  for (const [change, message] of damage) {
    expect(() => ContextualBandit.fromJSON(change(good)), message).toThrow(message);
  }
  const pending: [object, string][] = [
    [{ id: 5 }, 'data.pending[0].id must be'],
    [{ probability: 0 }, 'data.pending[0].probability must be in (0, 1]'],
    [{ row: 'AAAA' }, 'data.pending[0].row must be'],
    [{ action: -1 }, 'data.pending[0].action must be'],
    [{ time: good.data.time + 1 }, 'data.pending[0].time must not be'],
  ];
  for (const [change, message] of pending) {
    const data = { ...good.data, pending: [{ ...good.data.pending[0], ...change }] };
    expect(() => ContextualBandit.fromJSON({ ...good, data }), message).toThrow(message);
  }
  const settled = { ...good.data, settled: [['x', 'lost']] };
  expect(() => ContextualBandit.fromJSON({ ...good, data: settled })).toThrow('data.settled[0]');
  expect(() => ContextualBandit.fromJSON(good, { nw: 1 } as never)).toThrow('unknown option "nw"');
});

test('a damaged round of a policy that learns from whole rounds is refused', () => {
  const bandit = new ContextualBandit(eeNet({ dim: 2, ...NETWORK, pool: 5 }));
  bandit.choose({
    actions: [
      [1, 2],
      [3, 4],
    ],
    mask: [1, 1],
  });
  const good = JSON.parse(json(bandit));
  const [pending] = good.data.pending;
  const { rows, mask } = pending.round;
  const rounds: [object, string][] = [
    [{ rows: pending.row.slice(0, -4), mask }, 'round.rows must be numbers'],
    [{ rows: '', mask }, 'round.rows must hold rows of 2 numbers'],
    [{ rows, mask: [1] }, 'round.mask must hold 0 or 1 for each of 2 actions'],
    [{ rows, mask: [1, 7] }, 'round.mask must hold'],
  ];
  for (const [round, message] of rounds) {
    const data = { ...good.data, pending: [{ ...pending, round }] };
    expect(() => ContextualBandit.fromJSON({ ...good, data }), message).toThrow(message);
  }
});

test('own policies are restored by their own function', () => {
  const own = (): Policy => Object.assign(Object.create(uniform({ dim: 1 })), { name: 'own' });
  const bandit = new ContextualBandit(own());
  bandit.choose({ actions: [[1]] });
  const state = JSON.parse(json(bandit));
  state.policy.policy = 'own';
  expect(() => ContextualBandit.fromJSON(state)).toThrow('state.policy must be one of');
  const restorePolicy = () => policyFromJSON({ ...state.policy, policy: 'uniform' });
  expect(ContextualBandit.fromJSON(state, { restorePolicy }).statistics.pending).toBe(1);
});

test('memory is flat over many decisions, some of which are never rewarded', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const inUse = () => {
    for (let i = 0; i < 3; i++) collect();
    return process.memoryUsage().heapUsed + process.memoryUsage().external;
  };
  const bandit = new ContextualBandit(linUCB({ dim: 4 }), { maxPending: 500, maxSettled: 500 });
  const { actions } = rounds(1, 1)[0]!;
  const late: string[] = [];
  let before = 0;
  for (let i = 0; i < 40_000; i++) {
    if (i === 10_000) before = inUse();
    const due = late[i % 100];
    if (due && i % 7) bandit.learn(due, 1);
    late[i % 100] = bandit.choose({ actions }).decisionId;
  }
  // 30,000 decisions that left 20 bytes each would be 600 KB.
  expect(inUse() - before).toBeLessThan(500_000);
});

test('a probability that rounding left above 1 is 1', () => {
  const rounded = Object.assign(Object.create(uniform({ dim: 1 })), {
    distribution: () => new Float64Array([0, 1 + 2 ** -50]),
  }) as Policy;
  const { index, probability } = new ContextualBandit(rounded).choose({ actions: [[1], [2]] });
  expect([index, probability]).toEqual([1, 1]);
});

test('a policy whose probabilities do not sum to 1 is found out before anything is changed', () => {
  const broken = Object.assign(Object.create(uniform({ dim: 1 })), {
    distribution: () => new Float64Array([0.2, 0.2]),
  }) as Policy;
  const bandit = new ContextualBandit(broken);
  expect(() => bandit.choose({ actions: [[1], [2]] })).toThrow('must sum to 1, got 0.4');
  expect(bandit.statistics.decisions).toBe(0);
});

test('refuses features that would overflow what was learnt, and its log can be replayed', () => {
  const lines: string[] = [];
  const make = () => new ContextualBandit(linUCB({ dim: 2 }), { seed: 1 });
  const bandit = make();
  bandit.startLog((line) => lines.push(line));
  const large = { actions: [[1e160, 0]], action: 0, reward: 1 };
  expect(() => bandit.learnLogged(large)).toThrow(NonFiniteError);
  const { decisionId } = bandit.choose({
    actions: [
      [1, 0],
      [0, 1],
    ],
  });
  bandit.learn(decisionId, 1);
  const again = make();
  again.replay(lines);
  expect(again.toJSON()).toEqual(bandit.toJSON());
  expect(ContextualBandit.fromJSON(JSON.parse(JSON.stringify(bandit))).toJSON()).toEqual(
    bandit.toJSON(),
  );
});
