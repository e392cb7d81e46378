/** Rounds of contextual bandits, choose and learn: beside PyTorch; their rate, latency and memory. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  ContextualBandit,
  type ContextualBanditOptions,
  linTS,
  linUCB,
  neuFastCB,
  neuralUCB,
  type Policy,
  policyFromJSON,
  squareCB,
} from '@orth/bandits';
import { openBandit } from '@orth/bandits/node';
import { quantileSorted } from 'simple-statistics';
import type { Bench, BenchCase, BenchContext, Figure, FigureCase } from '../harness/bench.js';
import type { Contestant } from '../harness/contestant.js';
import { type BanditRounds, banditRounds, roundTensors } from '../problems/banditRounds.js';
import { Network64, ridge64 } from '../reference/bandits64.js';

/** `[d, K]`. */
type Size = readonly [number, number];

const SIZES: readonly Size[] = [
  [10, 5],
  [10, 50],
  [100, 5],
  [100, 50],
];
const HIDDEN = 100;
/** Rounds that are given again and again; also the history that is trained on. */
const POOL = 256;
/** Rounds after which states are compared. */
const COMPARED = 40;
const LEARNING_RATE = 0.01;
const LAMBDA = 0.1;
const GAMMA = 100;
/** Steps of descent in one training: the authors' for NeuralUCB. */
const UPDATES = 1000;

const label = ([dim, K]: Size) => `d=${dim} K=${K}`;

/** Numbers that a saved policy holds in base64 under a name, however deep. */
function saved(state: unknown, key: string, count: number): Float64Array {
  const seek = (value: unknown): string | undefined => {
    if (typeof value !== 'object' || value === null) return undefined;
    for (const [name, each] of Object.entries(value)) {
      if (name === key && typeof each === 'string') return each;
      const found = seek(each);
      if (found) return found;
    }
    return undefined;
  };
  const text = seek(state);
  if (!text) throw new Error(`a saved policy must hold ${key}`);
  const { buffer } = new Uint8Array(Buffer.from(text, 'base64'));
  const wide = buffer.byteLength === 8 * count;
  return wide ? new Float64Array(buffer) : Float64Array.from(new Float32Array(buffer));
}

const parameterCount = (dim: number) => (dim + 2) * HIDDEN + 1;

const worst = (got: ArrayLike<number>, want: Float64Array) => {
  const scale = want.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return want.reduce((most, x, i) => Math.max(most, Math.abs(x - got[i]!)), 0) / scale;
};

/** Choosing and learning, round after round. */
function player({ features, rewards }: BanditRounds, bandit: ContextualBandit): () => void {
  let i = 0;
  return () => {
    const at = i++ % features.length;
    const { decisionId, index } = bandit.choose({ actions: features[at]! });
    bandit.learn(decisionId, rewards[at]![index]!);
  };
}

/** The rounds in which states are compared: action 7 i mod K, whatever would have been chosen. */
const forced = ({ features, rewards, K }: BanditRounds) =>
  Array.from({ length: COMPARED }, (_, i) => {
    const at = i % features.length;
    const action = (7 * i) % K;
    return { row: Float64Array.from(features[at]![action]!), reward: rewards[at]![action]! };
  });

/** A policy, what of its state is compared, and what it is to be in float64. */
interface Subject {
  readonly policy: 'linUCB' | 'neuralUCB' | 'neuralTrain' | 'neuFastCB';
  readonly label: string;
  readonly measure: string;
  readonly params: Readonly<Record<string, unknown>>;
  create(size: Size, rounds: BanditRounds): Policy;
  state(policy: Policy, size: Size, rounds: BanditRounds): ArrayLike<number>;
  error(state: ArrayLike<number>, size: Size, rounds: BanditRounds, theta: Float64Array): number;
}

const NEVER = { initialRounds: 0, every: 1e9 };

/** NeuralUCB with a full history; it trains after every further round. */
function trained([dim]: Size, { features, rewards }: BanditRounds): Policy {
  const policy = neuralUCB({ dim, lambda: LAMBDA, capacity: POOL, ...NEVER });
  for (const [i, rows] of features.entries()) {
    policy.update({ features: rows[0]!, outcome: rewards[i]![0]! });
  }
  const state = policy.toJSON();
  const often = { ...state.options, every: 1, maxUpdates: UPDATES, tolerance: 0 };
  return policyFromJSON({ ...state, options: often });
}

const SUBJECTS: readonly Subject[] = [
  {
    policy: 'linUCB',
    label: 'LinUCB, all arms at once',
    measure: 'θ after 40 given rounds, relative to float64',
    params: {},
    create: ([dim]) => linUCB({ dim }),
    // θ by predicting on the unit vectors.
    state: (policy, [dim]) => {
      const unit = new Float64Array(dim * dim);
      for (let i = 0; i < dim; i++) unit[i * dim + i] = 1;
      return policy.predict({ features: unit });
    },
    error(state, _, rounds) {
      const played = forced(rounds);
      const rows = played.map(({ row }) => row);
      const theta = ridge64(
        rows,
        played.map(({ reward }) => reward),
      );
      return worst(state, theta);
    },
  },
  {
    policy: 'neuralUCB',
    label: 'NeuralUCB, a backward pass an arm',
    measure: 'diagonal of the design after 40 given rounds, relative to float64',
    params: { hidden: HIDDEN, lambda: LAMBDA, nu: 1 },
    create: ([dim]) => neuralUCB({ dim, lambda: LAMBDA, capacity: POOL, ...NEVER }),
    state: (policy, [dim]) => saved(policy.toJSON(), 'U', parameterCount(dim)),
    error(state, [dim], rounds, theta) {
      const network = new Network64(theta, dim, HIDDEN);
      const design = new Float64Array(theta.length).fill(LAMBDA);
      for (const { row } of forced(rounds)) {
        for (const [k, g] of network.gradient(row).entries()) design[k]! += g * g;
      }
      return worst(state, design);
    },
  },
  {
    policy: 'neuralTrain',
    label: 'NeuralUCB that trains 1000 steps a round',
    measure: 'mean squared error on the history after 40 rounds with 40 000 steps',
    params: {
      hidden: HIDDEN,
      lambda: LAMBDA,
      nu: 1,
      updates: UPDATES,
      learningRate: LEARNING_RATE,
    },
    create: trained,
    state(policy, _, { features, rewards }) {
      // The history: what was played in the last rounds, the first action in those before.
      const played = forced({ features, rewards, dim: 0, K: features[0]!.length });
      const rest = features.slice(COMPARED).map((rows, i) => ({
        row: Float64Array.from(rows[0]!),
        reward: rewards[i + COMPARED]![0]!,
      }));
      const history = [...played, ...rest];
      const total = history.reduce(
        (sum, { row, reward }) => sum + (policy.predict({ features: row })[0]! - reward) ** 2,
        0,
      );
      return [total / history.length];
    },
    error: (state) => state[0]!,
  },
  {
    policy: 'neuFastCB',
    label: 'NeuFastCB, one step of descent a round',
    measure: 'parameters after 40 given rounds, relative to float64',
    params: { hidden: HIDDEN, gamma: GAMMA, learningRate: LEARNING_RATE },
    create: ([dim]) =>
      neuFastCB({
        dim,
        train: 'ogd',
        perturbation: 'none',
        learningRate: LEARNING_RATE,
        gamma: GAMMA,
      }),
    state: (policy, [dim]) => saved(policy.toJSON(), 'theta', parameterCount(dim)),
    error(state, [dim], rounds, theta) {
      const network = new Network64(theta, dim, HIDDEN);
      for (const { row, reward } of forced(rounds)) {
        const sigmoid = 1 / (1 + Math.exp(-network.predict(row)));
        network.descend(row, sigmoid - (1 - reward), LEARNING_RATE);
      }
      return worst(state, network.theta);
    },
  },
];

function subjectCase(context: BenchContext, subject: Subject, size: Size): BenchCase {
  const { policy: name, params } = subject;
  return {
    name: `bandits/${name}`,
    size: label(size),
    errorMeasure: subject.measure,
    async prepare() {
      const rounds = banditRounds(context.random(size[0] * 1000 + size[1]), POOL, ...size);
      const start = subject.create(size, rounds);
      const theta =
        name === 'linUCB'
          ? new Float64Array(1)
          : saved(start.toJSON(), 'theta', parameterCount(size[0]));
      const play = player(rounds, new ContextualBandit(start));
      const ours: Contestant = {
        name: `@orth/bandits: ${subject.label}`,
        threads: 1,
        time(runs) {
          const begin = performance.now();
          for (let i = 0; i < runs; i++) play();
          return performance.now() - begin;
        },
        error() {
          const policy = subject.create(size, rounds);
          for (const { row, reward } of forced(rounds)) {
            policy.update({ features: row, outcome: reward });
          }
          return subject.error(subject.state(policy, size, rounds), size, rounds, theta);
        },
      };
      const inputs = {
        ...roundTensors(rounds),
        theta: { shape: [theta.length], data: Float32Array.from(theta) },
      };
      const shared = { policy: name, ...params };
      const peers = await context.python.torch({
        script: 'bandits',
        label: subject.label,
        params: { ...shared, count: 1 },
        inputs,
        accuracy: { params: { ...shared, count: COMPARED, forced: true }, inputs },
        error: ([state]) => subject.error(state!.data, size, rounds, theta),
      });
      return { ours, peers };
    },
  };
}

const SERVED: Readonly<Record<string, (dim: number) => Policy>> = {
  linUCB: (dim) => linUCB({ dim }),
  linTS: (dim) => linTS({ dim }),
  squareCB: (dim) => squareCB({ dim }),
  neuFastCB: (dim) => neuFastCB({ dim }),
};

/** Rate and latencies of rounds that are timed one by one. */
function timed(play: () => void, warmUp: number, count: number): Figure[] {
  for (let i = 0; i < warmUp; i++) play();
  const times = new Float64Array(count);
  const begin = performance.now();
  let last = begin;
  for (let i = 0; i < count; i++) {
    play();
    const now = performance.now();
    times[i] = now - last;
    last = now;
  }
  const rate = count / ((last - begin) / 1000);
  const sorted = Array.from(times.sort());
  const microseconds = (p: number) => 1000 * quantileSorted(sorted, p);
  return [
    { what: 'decisions', value: rate, unit: '1/s' },
    { what: 'p50', value: microseconds(0.5), unit: 'µs' },
    { what: 'p99', value: microseconds(0.99), unit: 'µs' },
  ];
}

function servedFigures(context: BenchContext, name: string, size: Size): FigureCase {
  return {
    name: `bandits/${name}`,
    size: label(size),
    measure() {
      const rounds = banditRounds(context.random(size[0] * 1000 + size[1]), POOL, ...size);
      const play = player(rounds, new ContextualBandit(SERVED[name]!(size[0])));
      const neural = name === 'neuFastCB';
      const count = (neural ? 2000 : size[0] === 10 ? 20_000 : 4000) / (context.quick ? 4 : 1);
      const [rate, ...latencies] = timed(play, count / 4, count);
      const bounded = !neural && size[0] === 10 && size[1] === 5;
      return [{ ...rate!, ...(bounded && { atLeast: 20_000 }) }, ...latencies];
    },
  };
}

/** With every change in a file before it happens. */
function loggedFigures(context: BenchContext, size: Size): FigureCase {
  return {
    name: 'bandits/linUCB, logged',
    size: label(size),
    async measure() {
      const folder = mkdtempSync(join(tmpdir(), 'orth-bench-'));
      const create = () => new ContextualBandit(linUCB({ dim: size[0] }));
      const { bandit, close } = openBandit(join(folder, 'log.jsonl'), create);
      try {
        const rounds = banditRounds(context.random(1), POOL, ...size);
        return timed(player(rounds, bandit), 1000, context.quick ? 3000 : 10_000);
      } finally {
        await close();
        rmSync(folder, { recursive: true });
      }
    },
  };
}

/** Bytes in use once garbage is collected. */
function bytesInUse(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // What the first run frees may have held more.
  for (let i = 0; i < 3; i++) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Many decisions, each rewarded a thousand decisions later, every hundredth never. */
function memoryFigures(context: BenchContext): FigureCase {
  const count = context.quick ? 200_000 : 1_000_000;
  return {
    name: 'bandits/linUCB, memory',
    size: `d=10 K=5, ${count} decisions`,
    measure() {
      const { features, rewards } = banditRounds(context.random(1), POOL, 10, 5);
      // Full before the first look, so that what still grows is no store that fills up.
      const bounds: ContextualBanditOptions = context.quick
        ? { maxPending: 500, maxSettled: 10_000 }
        : { maxPending: 2000 };
      const bandit = new ContextualBandit(linUCB({ dim: 10 }), bounds);
      const late: { id: string; reward: number }[] = [];
      const seen: number[] = [];
      for (let i = 1; i <= count; i++) {
        const at = i % POOL;
        const { decisionId, index } = bandit.choose({ actions: features[at]! });
        const slot = i % 1000;
        const due = late[slot];
        if (due && i % 100 !== 0) bandit.learn(due.id, due.reward);
        late[slot] = { id: decisionId, reward: rewards[at]![index]! };
        if (i % (count / 5) === 0) seen.push(bytesInUse() / 2 ** 20);
      }
      const [first, ...later] = seen;
      return [
        { what: 'in use after a fifth', value: first!, unit: 'MB' },
        {
          what: 'greatest growth since',
          value: Math.max(...later) - first!,
          unit: 'MB',
          atMost: 2,
        },
        { what: 'growth over the last fifth', value: later[3]! - later[2]!, unit: 'MB', atMost: 2 },
      ];
    },
  };
}

export const bench: Bench = {
  name: 'bandits',
  description:
    'choosing and learning, linear and neural, against PyTorch; rates, latencies, memory',
  cases(context) {
    const sizes = context.quick ? SIZES.slice(0, 1) : SIZES;
    return SUBJECTS.flatMap((subject) =>
      (subject.policy === 'neuralTrain' ? sizes.filter(([, K]) => K === 5) : sizes).map((size) =>
        subjectCase(context, subject, size),
      ),
    );
  },
  figures(context) {
    return [
      ...Object.keys(SERVED).flatMap((name) =>
        SIZES.map((size) => servedFigures(context, name, size)),
      ),
      loggedFigures(context, [10, 5]),
      memoryFigures(context),
    ];
  },
};
