/** Neural contextual bandits: NeuSquareCB and NeuFastCB against confidence bounds, ε-greedy and a linear model. */
import {
  confidenceBand,
  linUCB,
  type NeuCBOptions,
  type NeuralUCBOptions,
  neuFastCB,
  neuralEpsilon,
  neuralTS,
  neuralUCB,
  neuSquareCB,
  type Policy,
  type Schedule,
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

/** A policy of a kind, with words for the setting. */
interface Candidate {
  readonly words: string;
  create(shape: Shape): Policy;
  /** The same without output perturbation. */
  readonly unperturbed?: Candidate;
}

const BASELINES = ['NeuralUCB', 'NeuralTS', 'ε-greedy network', 'LinUCB'] as const;
const OURS = ['NeuFastCB', 'NeuSquareCB'] as const;
const ABLATION = 'NeuFastCB without perturbation';
type Tuned = (typeof BASELINES)[number] | (typeof OURS)[number];
type Name = Tuned | typeof ABLATION;

const neuGrid = (create: (options: NeuCBOptions) => Policy): Candidate[] =>
  [10, 50].flatMap((scale) => {
    const make = (shape: Shape, own: Partial<NeuCBOptions>) =>
      create({
        ...shape,
        ...TRAINING,
        learningRate: LEARNING_RATE,
        gamma: { scale, exponent: 0.5 },
        ...own,
      });
    return [0.03, 0.1].map((perturbationScale) => ({
      words: `γ ${scale}√t, c_p ${perturbationScale}`,
      create: (shape: Shape) => make(shape, { perturbationScale }),
      unperturbed: {
        words: `γ ${scale}√t`,
        create: (shape: Shape) => make(shape, { perturbation: 'none' }),
      },
    }));
  });

const confidenceGrid = (create: (options: NeuralUCBOptions) => Policy): Candidate[] =>
  [
    { lambda: 1e-2, nu: 1e-2 },
    { lambda: 1e-3, nu: 1e-2 },
    { lambda: 1e-3, nu: 1 },
    { lambda: 1e-4, nu: 1 },
  ].map((own) => ({
    words: `λ ${own.lambda}, ν ${own.nu}`,
    create: (shape) => create({ ...shape, ...TRAINING, learningRate: CONFIDENCE_RATE, ...own }),
  }));

const DECAY: Schedule = { scale: 1, exponent: -0.5 };

/** Four settings for each. */
const GRIDS: Record<Tuned, Candidate[]> = {
  NeuFastCB: neuGrid(neuFastCB),
  NeuSquareCB: neuGrid(neuSquareCB),
  NeuralUCB: confidenceGrid(neuralUCB),
  NeuralTS: confidenceGrid(neuralTS),
  'ε-greedy network': [0.01, 0.05, 0.1, DECAY].map((epsilon) => ({
    words: `ε ${typeof epsilon === 'number' ? epsilon : '1/√t'}`,
    create: (shape) =>
      neuralEpsilon({ ...shape, ...TRAINING, learningRate: LEARNING_RATE, epsilon }),
  })),
  LinUCB: [0.1, 0.3, 1, 3].map((alpha) => ({
    words: `α ${alpha}`,
    create: ({ dim, actionCount }) =>
      linUCB({ dim, ...(actionCount && { actionCount }), alpha, intercept: true }),
  })),
};

type Tell = ReproContext['onProgress'];

async function run(family: WorldFamily, candidate: Candidate, rounds: number, seed: number) {
  const world = family.create(seed);
  const { dim, shared, actionCount } = world;
  const policy = candidate.create({ dim, seed, ...(shared && { actionCount }) });
  const result = simulate(world, policy, { rounds, seed, every: rounds / 10 });
  // Runs are synchronous and long: let progress be drawn.
  await new Promise((resolve) => setTimeout(resolve, 0));
  return result;
}

/** The setting of the least mean regret on seeds that the claims do not use. */
async function tune(name: Tuned, family: WorldFamily, rounds: number, seeds: number[], tell: Tell) {
  let best: { candidate: Candidate; regret: number } | undefined;
  for (const candidate of GRIDS[name]) {
    tell(`${family.name}, tuning ${name}: ${candidate.words}`);
    let regret = 0;
    for (const seed of seeds) {
      regret += (await run(family, candidate, rounds, seed)).finalRegret;
    }
    if (!best || regret < best.regret) best = { candidate, regret };
  }
  return best!.candidate;
}

/** Every policy in a world, the same contexts and noise for all in a seed. */
async function play(
  family: WorldFamily,
  { rounds, seeds, tuning }: { rounds: number; seeds: readonly number[]; tuning: number[] },
  tell: Tell,
) {
  const runs = new Map<Name, Simulation[]>();
  const words: string[] = [];
  const candidates: [Name, Candidate][] = [];
  for (const name of [...OURS, ...BASELINES]) {
    const candidate = await tune(name, family, rounds, tuning, tell);
    words.push(`${name} ${candidate.words}`);
    candidates.push([name, candidate]);
    if (name === 'NeuFastCB') candidates.push([ABLATION, candidate.unperturbed!]);
  }
  for (const [name, candidate] of candidates) {
    const results: Simulation[] = [];
    for (const seed of seeds) {
      tell(`${family.name}, ${name}, seed ${seed}`);
      results.push(await run(family, candidate, rounds, seed));
    }
    runs.set(name, results);
  }
  return { runs, words: words.join('; ') };
}

/** All policies from least regret to most, with the half width of a 95 % interval (Student's t over seeds). */
function orderOf(runs: Map<Name, Simulation[]>): string {
  const rows = [...runs].map(([name, results]) => {
    const { mean, upper } = confidenceBand(results.map(({ regret }) => regret));
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
  const after = Math.max(...seeds) + 1000;
  const tuning = context.quick ? [after] : [after, after + 1];
  const { runs, words } = await play(family, { rounds, seeds, tuning }, context.onProgress);
  const setting =
    `${family.setting}; T = ${rounds}; networks of 100 ReLU units, SGD ${LEARNING_RATE}, trained every 10 rounds to 1000, ` +
    `then every 100, at most 2000 steps; best of four settings each on ${tuning.length} other seeds: ${words}`;
  const compare = (baseline: Name, ours: Name, claim: string, extra = ''): Claim => ({
    claim: `${family.name}: ${claim}`,
    setting: setting + extra,
    baseline: `${baseline}: cumulative regret`,
    ours: `${ours}: cumulative regret`,
    results: seeds.map((seed, i) => ({
      seed,
      baseline: runs.get(baseline)![i]!.finalRegret,
      ours: runs.get(ours)![i]!.finalRegret,
    })),
    effect: 'ratio',
    expectation: { of: 'mean', below: 1 },
  });
  const ordering = `. Order, mean ± 95 % interval: ${orderOf(runs)}`;
  yield compare('NeuSquareCB', 'NeuFastCB', 'NeuFastCB has less regret than NeuSquareCB', ordering);
  for (const ours of OURS) {
    for (const baseline of BASELINES) {
      yield compare(baseline, ours, `${ours} has less regret than ${baseline}`);
    }
  }
  yield compare(
    ABLATION,
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
