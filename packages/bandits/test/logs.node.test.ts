/** Decision logs: replay, damage, reading, dsjson. */
import { crc32 as zlibCrc32 } from 'node:zlib';
import { NonFiniteError, seededRandom } from '@orth/backend';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crc32 } from '../src/logs/crc32.js';
import { formatDsjson, parseDsjson, readDsjson } from '../src/logs/dsjson.js';
import { LogLineError, sealLine } from '../src/logs/events.js';
import { type LoggedDecision, readDecisions } from '../src/logs/interactions.js';
import { evaluateOffPolicy, progressiveValidation } from '../src/offPolicy/evaluateOffPolicy.js';
import { epsilonGreedy } from '../src/policies/greedy.js';
import { linTS } from '../src/policies/linTS.js';
import { linUCB } from '../src/policies/linUCB.js';
import { uniform } from '../src/policies/uniform.js';
import type { Observation, Policy } from '../src/policy.js';
import { ContextualBandit } from '../src/service/contextualBandit.js';

const json = (bandit: ContextualBandit) => JSON.stringify(bandit.toJSON());

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of stream) all.push(each);
  return all;
}

function spliced(
  lines: string[],
  ...[at, remove, ...put]: [number, number, ...string[]]
): string[] {
  const copy = [...lines];
  copy.splice(at, remove, ...put);
  return copy;
}

/** A clock that a test sets. */
const time = { now: 1000 };
const create = (seed = 1) =>
  new ContextualBandit(linTS({ dim: 3 }), {
    seed,
    maxPending: 6,
    maxAge: 400,
    expiredReward: 0,
    now: () => time.now,
  });

/** Decisions, late rewards, duplicates, expiry, and things learnt from elsewhere. */
function serve(bandit: ContextualBandit, steps: number, seed = 3): void {
  const random = seededRandom(seed);
  const waiting: string[] = [];
  for (let i = 0; i < steps; i++) {
    time.now += random.integer(0, 90);
    const actions = [1, 2, 3].map(() => [random.normal(), random.normal()]);
    const request = { context: [random.uniform()], actions, mask: [1, 1, i % 2] };
    waiting.push(bandit.choose(i % 5 ? request : { ...request, explore: false }).decisionId);
    if (random.uniform() < 0.7) {
      const id = waiting[random.integer(0, waiting.length - 1)]!;
      bandit.learn(id, Math.round(random.uniform()));
    }
    if (i % 10 === 0) bandit.learnLogged({ ...request, action: 1, reward: 1, weight: 0.5 });
    if (i % 7 === 0) {
      time.now += 300;
      bandit.expire();
    }
  }
}

function logged(steps: number) {
  const lines: string[] = [];
  const bandit = create();
  serve(bandit, 5, 99);
  bandit.startLog((line) => lines.push(line));
  serve(bandit, steps);
  return { lines, bandit };
}

test('replay gives the state of the bandit that wrote the log, and goes on with it', () => {
  const { lines, bandit } = logged(80);
  const again = create();
  const result = again.replay(lines, { verify: true });
  expect(json(again)).toBe(json(bandit));
  expect(result).toMatchObject({ lines: lines.length, decisions: 80, torn: false });
  const more: string[] = [];
  again.resumeLog((line) => more.push(line));
  const at = time.now;
  serve(again, 30, 5);
  time.now = at;
  serve(bandit, 30, 5);
  expect(json(again)).toBe(json(bandit));
  expect(more).toEqual(lines.slice(result.lines));
  // The whole file, both runs of it.
  const third = create();
  third.replay([...lines.slice(0, result.lines), ...more, '']);
  expect(json(third)).toBe(json(bandit));
});

test('a line that is altered, missing, repeated or foreign is named; the bandit stays as it was', () => {
  const { lines } = logged(20);
  const fresh = create();
  const before = json(fresh);
  const damaged: [string[], string][] = [
    [[], 'line 1 must begin a log, got none'],
    [lines.slice(1), 'line 1 must have number 0, got 1'],
    [spliced(lines, 4, 1), 'line 5 must have number 4, got 5'],
    [spliced(lines, 4, 0, lines[3]!), 'line 5 must have number 4, got 3'],
    [spliced(lines, 6, 1, lines[6]!.replace('"time":', '"tmie":')), 'line 7 was altered'],
    [spliced(lines, 6, 1, lines[6]!.slice(0, -9)), 'line 7 is torn'],
    [spliced(lines, 6, 1, ''), 'line 7 must not be empty'],
    [spliced(lines, 6, 1, sealLine({ n: 6, type: 'guess' })), 'must hold a known event, got guess'],
    [spliced(lines, 6, 1, sealLine({ n: 6, type: 'start' })), 'line 7 must not begin a log'],
    [
      spliced(lines, 6, 1, sealLine({ n: 6, type: 'learn', time: 1e6, id: 'x', reward: 1 })),
      'line 7: ContextualBandit.replay: decision x must wait for its reward',
    ],
    [[sealLine({ n: 0, type: 'start', state: {} })], 'line 1: must be of a bandit with the same'],
  ];
  for (const [bad, message] of damaged) {
    expect(() => fresh.replay(bad), message).toThrow(message);
    expect(() => fresh.replay(bad)).toThrow(LogLineError);
  }
  expect(() => create(2).replay(lines)).toThrow(
    'line 1: must be of a bandit with the same options, but options.seed was 1 and is 2',
  );
  const other = new ContextualBandit(linUCB({ dim: 3 }));
  expect(() => other.replay(lines)).toThrow('line 1: must be of a bandit with the same options');
  expect(json(fresh)).toBe(before);
  expect(() => fresh.replay(lines, { allow: true } as never)).toThrow('unknown option "allow"');
});

test('a torn last line is left out where that is allowed', () => {
  const { lines } = logged(20);
  const whole = create();
  whole.replay(lines.slice(0, -1));
  for (const keep of [1, 20, lines.at(-1)!.length - 1]) {
    const torn = [...lines.slice(0, -1), lines.at(-1)!.slice(0, keep)];
    const fresh = create();
    expect(() => fresh.replay(torn)).toThrow(`line ${lines.length} is torn`);
    expect(fresh.replay(torn, { allowTornLine: true })).toMatchObject({
      lines: lines.length - 1,
      torn: true,
    });
    expect(json(fresh)).toBe(json(whole));
    // In the middle it is damage all the same.
    expect(() => fresh.replay([...torn, lines[0]!], { allowTornLine: true })).toThrow('is torn');
  }
});

test('any single character that changes is noticed', () => {
  const { lines } = logged(4);
  fc.assert(
    fc.property(fc.nat(lines[2]!.length - 1), fc.constantFrom('0', '9', 'x', '"'), (at, put) => {
      fc.pre(lines[2]![at] !== put);
      const changed = lines[2]!.slice(0, at) + put + lines[2]!.slice(at + 1);
      expect(() => create().replay(spliced(lines, 2, 1, changed))).toThrow('line 3');
    }),
    { numRuns: 200 },
  );
});

test('verify refuses decisions that come out otherwise', () => {
  const lines: string[] = [];
  const bandit = new ContextualBandit(uniform({ dim: 1 }), { seed: 1, now: () => 5 });
  bandit.startLog((line) => lines.push(line));
  bandit.choose({ actions: [[1], [2], [3]] });
  const { crc: _, ...event } = JSON.parse(lines[1]!);
  const forged = [lines[0]!, sealLine({ ...event, index: (event.index + 1) % 3 })];
  const fresh = () => new ContextualBandit(uniform({ dim: 1 }), { seed: 1 });
  expect(() => fresh().replay(forged, { verify: true })).toThrow(
    'line 2: ContextualBandit.replay: the decision must come out as it did',
  );
  expect(fresh().replay(forged).decisions).toBe(1);
});

test('what cannot be written does not happen', () => {
  const bandit = create();
  let full = false;
  const lines: string[] = [];
  bandit.startLog((line) => {
    if (full) throw new Error('no space left on device');
    lines.push(line);
  });
  serve(bandit, 10);
  const waiting = bandit.choose({ context: [1], actions: [[0, 1]] }).decisionId;
  full = true;
  const before = json(bandit);
  const request = { context: [0.5], actions: [[1, 2]] };
  expect(() => bandit.choose(request)).toThrow('no space left');
  expect(() => bandit.learn(waiting, 1)).toThrow('no space left');
  expect(() => bandit.learnLogged({ ...request, action: 0, reward: 1 })).toThrow('no space left');
  time.now += 1e6;
  expect(() => bandit.expire()).toThrow('no space left');
  expect(json(bandit)).toBe(before);
  time.now -= 1e6;
  full = false;
  expect(bandit.learn(waiting, 1)).toBe('learned');
  const again = create();
  again.replay(lines);
  expect(json(again)).toBe(json(bandit));
});

test('what a diverging policy refuses is refused again when the log is replayed', () => {
  // Refuses every reward above a half while it has learnt nothing.
  const touchy = (): Policy => {
    const inner = linUCB({ dim: 1 });
    return new Proxy(inner, {
      get(target, key) {
        if (key === 'update') {
          return (observation: Observation) => {
            if (observation.outcome > 0.5 && target.updates === 0)
              throw new NonFiniteError('diverged');
            target.update(observation);
          };
        }
        const value = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  };
  const lines: string[] = [];
  const options = { maxPending: 2, expiredReward: 1, now: () => 5, restorePolicy: touchy };
  const bandit = new ContextualBandit(touchy(), options);
  bandit.startLog((line) => lines.push(line));
  const first = bandit.choose({ actions: [[1]] }).decisionId;
  expect(() => bandit.learn(first, 1)).toThrow(NonFiniteError);
  expect(() => bandit.learnLogged({ actions: [[1]], action: 0, reward: 1 })).toThrow('diverged');
  expect(bandit.statistics).toMatchObject({ learned: 0, pending: 1 });
  bandit.choose({ actions: [[1]] });
  const third = bandit.choose({ actions: [[1]] }).decisionId;
  // The first made room, though its expired reward was refused too.
  expect(bandit.statistics).toMatchObject({ expired: 1, pending: 2 });
  expect(bandit.policy.updates).toBe(0);
  expect(bandit.learn(third, 0)).toBe('learned');
  bandit.choose({ actions: [[1]] });
  bandit.choose({ actions: [[1]] });
  expect(bandit.policy.updates).toBe(2);
  const again = new ContextualBandit(touchy(), options);
  again.replay(lines, { verify: true });
  expect(json(again)).toBe(json(bandit));
});

test('a log can be continued only where nothing is missing from it', () => {
  const { lines } = logged(3);
  const bandit = create();
  const write = () => {};
  expect(() => bandit.resumeLog(write)).toThrow('a log must be replayed just before');
  bandit.replay(lines);
  bandit.choose({ context: [1], actions: [[1, 2]] });
  expect(() => bandit.resumeLog(write)).toThrow('a log must be replayed just before');
  expect(() => bandit.startLog('file' as never)).toThrow('write must be a function, got string');
});

test('features that JSON writes otherwise are learnt as they are read', () => {
  const lines: string[] = [];
  const make = () => new ContextualBandit(linUCB({ dim: 3 }), { now: () => 1 });
  const bandit = make();
  bandit.startLog((line) => lines.push(line));
  const odd = new Float32Array([0.1, -0, 1e-40]);
  bandit.learn(bandit.choose({ actions: [odd] }).decisionId, 0.1 + 0.2);
  const again = make();
  again.replay(lines, { verify: true });
  expect(json(again)).toBe(json(bandit));
});

test('rewarded decisions are read out of a log', async () => {
  const lines: string[] = [];
  const bandit = new ContextualBandit(uniform({ dim: 2 }), { now: () => 7 });
  const early = bandit.choose({ actions: [[1, 1]] }).decisionId;
  bandit.startLog((line) => lines.push(line));
  const actions = [{ id: 'a', features: [1, 0] }, [0, 1]];
  const [x, y] = [1, 2].map(() => bandit.choose({ actions, mask: [1, 1] }));
  bandit.learn(early, 1);
  bandit.learn(y!.decisionId, 0.5);
  const decisions = await collect(readDecisions([...lines, '']));
  expect(decisions).toEqual([
    {
      decisionId: y!.decisionId,
      time: 7,
      actions,
      mask: [1, 1],
      action: y!.index,
      probability: 0.5,
      probabilities: [0.5, 0.5],
      reward: 0.5,
    },
  ]);
  const all = await collect(readDecisions(lines, { missingReward: 0 }));
  expect(all.map(({ decisionId }) => decisionId)).toEqual([y!.decisionId, x!.decisionId]);
  const few = await collect(readDecisions(lines, { missingReward: 0, maxPending: 1 }));
  expect(few.map(({ decisionId }) => decisionId)).toEqual([x!.decisionId, y!.decisionId]);
  await expect(collect(readDecisions(['{}']))).rejects.toThrow('readDecisions: line 1 is torn');
});

test('a log is evaluated and learnt from as it is read', async () => {
  const lines: string[] = [];
  const random = seededRandom(4);
  const options = { interactions: true };
  const logging = new ContextualBandit(uniform({ dim: 3 }), { ...options, seed: 2 });
  logging.startLog((line) => lines.push(line));
  for (let i = 0; i < 800; i++) {
    const context = [random.uniform() < 0.5 ? 1 : -1];
    const { action, decisionId } = logging.choose({ context, actions: [[1], [-1]] });
    logging.learn(decisionId, action[0] === context[0] ? 1 : 0);
  }
  // Playing what suits the context brings 1, always: half of what the log played.
  const learner = new ContextualBandit(epsilonGreedy({ dim: 3, epsilon: 0.1 }), options);
  const progress = await progressiveValidation(readDecisions(lines), {
    probabilities: (decision) => learner.probabilities(decision),
    predict: (decision) => learner.predict(decision),
    learn: (decision) => learner.learnLogged(decision),
  });
  expect(progress.rounds).toBe(800);
  expect(progress.loggedReward).toBeCloseTo(0.5, 1);
  expect(progress.snips.value).toBeGreaterThan(0.9);
  // Once learnt, it plays the right one with probability 0.95.
  const learnt = await evaluateOffPolicy(readDecisions(lines), (d) => learner.probabilities(d));
  expect(Math.abs(learnt.snips.value - 0.95)).toBeLessThan(0.01);
});

test('dsjson is what VW calls so', () => {
  const decision: LoggedDecision = {
    decisionId: 'e1',
    time: Date.UTC(2024, 0, 2, 3, 4, 5, 678),
    context: { user: 'ann', age: 0.5 },
    actions: [[1, 2], { id: 'b', features: { size: 3 } }, 'c'],
    action: 1,
    probability: 0.25,
    probabilities: [0.5, 0.25, 0.25],
    reward: 0.75,
  };
  expect(JSON.parse(formatDsjson(decision))).toEqual({
    _label_cost: -0.75,
    _label_probability: 0.25,
    _label_Action: 2,
    _labelIndex: 1,
    o: [{ v: 0.75, EventId: 'e1', ActionTaken: true }],
    Timestamp: '2024-01-02T03:04:05.678Z',
    Version: '1',
    EventId: 'e1',
    a: [2, 1, 3],
    c: {
      shared: { user: 'ann', age: 0.5 },
      _multi: [{ action: [1, 2] }, { action: { size: 3 } }, { action: { action: 'c' } }],
    },
    p: [0.25, 0.5, 0.25],
  });
  expect(parseDsjson(formatDsjson(decision))).toEqual({
    ...decision,
    actions: [[1, 2], { size: 3 }, { action: 'c' }],
  });
  expect(JSON.parse(formatDsjson(decision, { feedback: 'loss' }))._label_cost).toBe(0.75);
  expect(parseDsjson(formatDsjson({ ...decision, weight: 4 })).weight).toBeCloseTo(4, 12);
  const { actions: _, context: __, ...bare } = decision;
  expect(JSON.parse(formatDsjson(bare)).c._multi[2]).toEqual({ action: { action: '2' } });
});

test('dsjson of a VW service is read', async () => {
  // The form that VW documents: namespaces by any name, `a` and `p` in the order of the ranking.
  const line = JSON.stringify({
    _label_cost: -1,
    _label_probability: 0.8,
    _label_Action: 2,
    _labelIndex: 1,
    o: [{ v: 1, EventId: 'x', ActionTaken: false }],
    Timestamp: '2021-02-04T16:31:29.2460000Z',
    Version: '1',
    EventId: 'x',
    a: [2, 1],
    c: {
      FromUrl: [{ timeofday: 'night', weather: 'Sunny' }],
      _synthetic: true,
      User: { major: 'eng', hobbies: { chess: 1 } },
      _multi: [{ Action: { topic: 'a' } }, { Action: { topic: 'b' }, i: { constant: 1 } }],
    },
    p: [0.8, 0.2],
    VWState: { m: 'N/A' },
    pdrop: 0.5,
  });
  const dangling = '{"RewardValue":1,"EventId":"y"}';
  const [decision, ...rest] = await collect(readDsjson([line, '', dangling]));
  expect(rest).toEqual([]);
  expect(decision).toEqual({
    decisionId: 'x',
    time: Date.UTC(2021, 1, 4, 16, 31, 29, 246),
    context: {
      'FromUrl.0.timeofday': 'night',
      'FromUrl.0.weather': 'Sunny',
      'User.major': 'eng',
      'User.hobbies.chess': 1,
    },
    actions: [{ topic: 'a' }, { 'Action.topic': 'b', 'i.constant': 1 }],
    action: 1,
    probability: 0.8,
    probabilities: [0.2, 0.8],
    reward: 1,
    weight: 2,
  });
  const bandit = new ContextualBandit(linUCB({ dim: 32 }), { encoding: 'hashed' });
  bandit.learnLogged(decision!);
  expect(bandit.policy.updates).toBe(1);
  const broken: [string, string][] = [
    ['{', 'readDsjson: line 2: '],
    [line.replace('"_multi"', '"multi"'), 'must hold a decision with c._multi'],
    [line.replace('"_labelIndex":1', '"_labelIndex":2'), 'must name one of its 2 actions'],
    [line.replace('"_label_cost":-1', '"_label_cost":null'), 'must have a finite _label_cost'],
    [line.replace('"_label_probability":0.8', '"_label_probability":0'), 'in (0, 1], got 0'],
    [line.replace('"a":[2,1]', '"a":[3,1]'), 'must rank actions 1 to 2, got 3'],
    [line.replace('"pdrop":0.5', '"pdrop":1'), 'must have pdrop in [0, 1), got 1'],
  ];
  for (const [bad, message] of broken) {
    await expect(collect(readDsjson([line, bad]))).rejects.toThrow(message);
    await expect(collect(readDsjson([line, bad]))).rejects.toThrow(LogLineError);
  }
  expect(() => formatDsjson({ ...decision!, action: 5 })).toThrow('must hold the action taken, 5');
  expect(() => formatDsjson({ ...decision!, probabilities: [1] })).toThrow('must have length 2');
  expect(() => formatDsjson(decision!, { feedback: 'cost' as never })).toThrow('feedback must be');
});

test('dsjson keeps what a bandit logged', async () => {
  const lines: string[] = [];
  const bandit = new ContextualBandit(uniform({ dim: 3 }), { now: () => 1e12 });
  bandit.startLog((line) => lines.push(line));
  serve(bandit, 20);
  const decisions = await collect(readDecisions(lines));
  const back = await collect(readDsjson(decisions.map((d) => formatDsjson(d))));
  expect(back).toEqual(decisions.map(({ mask: _, ...d }) => d));
});

test('the checksum is that of zlib', () => {
  for (const text of ['', 'a', 'Ω≈ç√ 😀', 'x'.repeat(5000)]) {
    expect(crc32(text)).toBe(zlibCrc32(text).toString(16).padStart(8, '0'));
  }
});
