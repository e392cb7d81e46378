/** Neural contextual bandits: NeuSquareCB and NeuFastCB against confidence bounds, ε-greedy and a linear model. */
import {
  confidenceBand,
  linUCB,
  type NeuCBOptions,
  neuFastCB,
  neuralEpsilon,
  neuralTS,
  neuralUCB,
  neuSquareCB,
  type Policy,
  type Simulation,
  simulate,
} from '@orth/bandits';
import type { Claim, Repro, ReproContext } from '../harness/repro.js';
import { banditWorlds, type WorldFamily } from '../problems/banditWorlds.js';

/** What the claims are made of: fewer seeds than this say little about regret. */
const SEEDS = 5;

/** Training of all networks: that of the EE-Net code, at the step that suited all of them. */
const TRAINING = { initialRounds: 1000, initialEvery: 10, every: 100, maxUpdates: 2000 };
const LEARNING_RATE = 0.05;
/** The loss of NeuralUCB and NeuralTS has no ½, so half the rate is the same step. */
const CONFIDENCE_RATE = LEARNING_RATE / 2;

interface Shape {
  readonly dim: number;
  readonly actionCount?: number;
  readonly seed: number;
}

/** The best of each policy's grid in a world, by runs on two seeds that are not used here. */
interface Settings {
  readonly fastGamma: number;
  readonly squareGamma: number;
  readonly ucb: { readonly lambda: number; readonly nu: number };
  readonly ts: { readonly lambda: number; readonly nu: number };
  readonly alpha: number;
}

const GRIDS =
  'γ = {10, 50}√t, (λ, ν) of NeuralUCB and NeuralTS {(.01, .01), (.001, .01), (.001, 1), (.0001, 1)}, ε {.01, .05}, α {.05, .2, 1}';

const SETTINGS: Record<string, Settings> = {
  digits: {
    fastGamma: 50,
    squareGamma: 10,
    ucb: { lambda: 1e-4, nu: 1 },
    ts: { lambda: 1e-4, nu: 1 },
    alpha: 1,
  },
  quadratic: {
    fastGamma: 50,
    squareGamma: 50,
    ucb: { lambda: 1e-3, nu: 1 },
    ts: { lambda: 1e-3, nu: 0.01 },
    alpha: 0.2,
  },
  cosine: {
    fastGamma: 50,
    squareGamma: 50,
    ucb: { lambda: 1e-3, nu: 0.01 },
    ts: { lambda: 1e-3, nu: 0.01 },
    alpha: 0.2,
  },
};
const EPSILON = 0.01;

type Name =
  | 'NeuFastCB'
  | 'NeuFastCB without perturbation'
  | 'NeuSquareCB'
  | 'NeuralUCB'
  | 'NeuralTS'
  | 'ε-greedy network'
  | 'LinUCB';

const OURS = ['NeuFastCB', 'NeuSquareCB'] as const;
const BASELINES = ['NeuralUCB', 'NeuralTS', 'ε-greedy network', 'LinUCB'] as const;

function policies({ fastGamma, squareGamma, ucb, ts, alpha }: Settings) {
  const neu = (shape: Shape, scale: number, own: Partial<NeuCBOptions> = {}): NeuCBOptions => ({
    ...shape,
    ...TRAINING,
    learningRate: LEARNING_RATE,
    gamma: { scale, exponent: 0.5 },
    ...own,
  });
  const confidence = { ...TRAINING, learningRate: CONFIDENCE_RATE };
  return {
    NeuFastCB: (shape) => neuFastCB(neu(shape, fastGamma)),
    'NeuFastCB without perturbation': (shape) =>
      neuFastCB(neu(shape, fastGamma, { perturbation: 'none' })),
    NeuSquareCB: (shape) => neuSquareCB(neu(shape, squareGamma)),
    NeuralUCB: (shape) => neuralUCB({ ...shape, ...confidence, ...ucb }),
    NeuralTS: (shape) => neuralTS({ ...shape, ...confidence, ...ts }),
    'ε-greedy network': (shape) =>
      neuralEpsilon({ ...shape, ...TRAINING, learningRate: LEARNING_RATE, epsilon: EPSILON }),
    LinUCB: ({ dim, actionCount }) =>
      linUCB({ dim, ...(actionCount && { actionCount }), alpha, intercept: true }),
  } satisfies Record<Name, (shape: Shape) => Policy>;
}

/** Regrets of every policy in a world, the same contexts and noise for all in a seed. */
async function play(family: WorldFamily, rounds: number, seeds: readonly number[], tell: Tell) {
  const regrets = new Map<Name, number[]>();
  const curves = new Map<Name, Simulation[]>();
  for (const [name, create] of Object.entries(policies(SETTINGS[family.name]!))) {
    for (const seed of seeds) {
      tell(`${family.name}, ${name}, seed ${seed}`);
      const world = family.create(seed);
      const { dim, shared, actionCount } = world;
      const policy = create({ dim, seed, ...(shared && { actionCount }) });
      const result = simulate(world, policy, { rounds, seed, every: rounds / 10 });
      push(regrets, name as Name, result.finalRegret);
      push(curves, name as Name, result);
      // Runs are synchronous and long: let progress be drawn.
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }
  return { regrets, order: orderOf(curves) };
}

type Tell = ReproContext['onProgress'];

function push<T>(map: Map<Name, T[]>, name: Name, value: T): void {
  map.set(name, [...(map.get(name) ?? []), value]);
}

/** All policies from least regret to most, with the half width of a 95 % interval (Student's t over seeds). */
function orderOf(curves: Map<Name, Simulation[]>): string {
  const rows = [...curves].map(([name, runs]) => {
    const { mean, upper } = confidenceBand(runs.map(({ regret }) => regret));
    const last = mean.length - 1;
    return { name, mean: mean[last]!, half: upper[last]! - mean[last]! };
  });
  rows.sort((a, b) => a.mean - b.mean);
  return rows
    .map(({ name, mean, half }) => `${name} ${mean.toFixed(0)} ± ${half.toFixed(0)}`)
    .join(' < ');
}

async function* claimsOf(family: WorldFamily, context: ReproContext): AsyncIterable<Claim> {
  const rounds = context.quick ? 1000 : 5000;
  // Regret differs between runs by more than three seeds show.
  const seeds =
    context.seeds.length >= SEEDS || context.quick ? context.seeds : more(context.seeds);
  const { regrets, order } = await play(family, rounds, seeds, context.onProgress);
  const setting =
    `${family.setting}; T = ${rounds}; networks of 100 ReLU units, SGD ${LEARNING_RATE}, trained every 10 rounds to 1000, ` +
    `then every 100, at most 2000 steps; settings by grids on other seeds: ${GRIDS}`;
  const compare = (baseline: Name, ours: Name, claim: string, extra = ''): Claim => ({
    claim: `${family.name}: ${claim}`,
    setting: setting + extra,
    baseline: `${baseline}: cumulative regret`,
    ours: `${ours}: cumulative regret`,
    results: seeds.map((seed, i) => ({
      seed,
      baseline: regrets.get(baseline)![i]!,
      ours: regrets.get(ours)![i]!,
    })),
    effect: 'ratio',
    expectation: { of: 'mean', below: 1 },
  });
  const ordering = `. Order, mean ± 95 % interval: ${order}`;
  yield compare('NeuSquareCB', 'NeuFastCB', 'NeuFastCB has less regret than NeuSquareCB', ordering);
  for (const ours of OURS) {
    for (const baseline of BASELINES) {
      yield compare(baseline, ours, `${ours} has less regret than ${baseline}`);
    }
  }
  yield compare(
    'NeuFastCB without perturbation',
    'NeuFastCB',
    'the perturbation, in expectation, lowers the regret of NeuFastCB',
  );
}

/** The seeds and those that follow, five in all. */
function more(seeds: readonly number[]): number[] {
  const all = [...seeds];
  for (let next = Math.max(...seeds) + 1; all.length < SEEDS; next++) all.push(next);
  return all;
}

export const repro: Repro = {
  system: 'bandits',
  description:
    'Cumulative regret of NeuFastCB and NeuSquareCB against NeuralUCB, NeuralTS, ε-greedy and LinUCB',
  async *claims(context) {
    const worlds = banditWorlds();
    for (const family of context.quick ? worlds.slice(0, 2) : worlds) {
      yield* claimsOf(family, context);
    }
  },
};
