/** Plays a policy in a world and keeps its regret. */
import { checkInteger, checkNumber, checkOptions, seededRandom } from '@orth/backend';
import { sampleAction } from '../exploration.js';
import type { Policy, Round } from '../policy.js';
import { studentQuantile } from './studentQuantile.js';
import type { World } from './world.js';

/** Options of {@link simulate}. */
export interface SimulateOptions {
  /** T, integer ≥ 1. */
  readonly rounds: number;
  /** Seed of contexts, noise and choices, integer; the first two do not depend on the policy. Default 0 */
  readonly seed?: number;
  /** Rounds until a reward is learnt. Default 0 */
  readonly delay?: number;
  /** Rounds between points of the regret curve. Default 1 */
  readonly every?: number;
  /** Called after every `every` rounds. */
  readonly onStep?: (progress: SimulationProgress) => void;
}

/** Where a simulation is. */
export interface SimulationProgress {
  readonly step: number;
  readonly total: number;
  readonly regret: number;
}

/** What a simulation gave. */
export interface Simulation {
  /** Cumulative expected regret after `every`, 2·`every`, … rounds: Σ (greatest mean − mean of the action). */
  readonly regret: Float64Array;
  /** The last of them. */
  readonly finalRegret: number;
  /** Sum of rewards received. */
  readonly reward: number;
  /** How often each action was taken. */
  readonly counts: Int32Array;
}

interface Pending {
  readonly round: Round;
  readonly action: number;
  readonly probability: number;
  readonly reward: number;
}

/**
 * Plays T rounds. Contexts and noise are those of the seed for every policy, so that policies can be compared in pairs.
 * A policy with `feedback: 'loss'` is told 1 − reward.
 *
 * @throws TypeError or RangeError for a bad option, or a policy that does not fit the world
 */
export function simulate(world: World, policy: Policy, options: SimulateOptions): Simulation {
  const caller = 'simulate';
  checkOptions(caller, options, ['rounds', 'seed', 'delay', 'every', 'onStep']);
  const { rounds, seed = 0, delay = 0, every = 1, onStep } = options;
  checkInteger(caller, 'rounds', rounds, { min: 1 });
  checkInteger(caller, 'seed', seed);
  checkInteger(caller, 'delay', delay, { min: 0 });
  checkInteger(caller, 'every', every, { min: 1, max: rounds });
  const actions = world.shared ? world.actionCount : undefined;
  if (policy.dim !== world.dim || policy.actionCount !== actions) {
    throw new RangeError(
      `${caller}: policy must have dim ${world.dim} and actionCount ${actions}, got ${policy.dim} and ${policy.actionCount}`,
    );
  }
  const chance = seededRandom(seed).fork(1);
  const choices = seededRandom(seed).fork(2);
  const regret = new Float64Array(Math.floor(rounds / every));
  const counts = new Int32Array(world.actionCount);
  const probabilities = new Float64Array(world.actionCount);
  const waiting: Pending[] = [];
  let total = 0;
  let reward = 0;
  for (let t = 0; t < rounds; t++) {
    const { features, means, reward: observe } = world.round(t, chance);
    const round = { features };
    policy.distribution(round, choices, probabilities);
    const action = sampleAction(probabilities, choices.uniform());
    const got = observe(action);
    reward += got;
    counts[action]!++;
    let best = means[0]!;
    for (let a = 1; a < means.length; a++) best = Math.max(best, means[a]!);
    total += best - means[action]!;
    waiting.push({ round, action, probability: probabilities[action]!, reward: got });
    if (waiting.length > delay) learn(world, policy, waiting.shift()!);
    if ((t + 1) % every !== 0) continue;
    regret[(t + 1) / every - 1] = total;
    onStep?.({ step: t + 1, total: rounds, regret: total });
  }
  for (const pending of waiting) learn(world, policy, pending);
  return { regret, finalRegret: total, reward, counts };
}

function learn(world: World, policy: Policy, { round, action, probability, reward }: Pending) {
  const { dim, shared } = world;
  const features = shared
    ? round.features
    : round.features.subarray(action * dim, (action + 1) * dim);
  const outcome = policy.feedback === 'reward' ? reward : 1 - reward;
  policy.update({ features, action, outcome, probability, round });
}

/** A curve over seeds. */
export interface ConfidenceBand {
  readonly mean: Float64Array;
  readonly lower: Float64Array;
  readonly upper: Float64Array;
}

/**
 * Mean of curves over seeds, and at each point the interval that holds the true mean with probability `level`, were the
 * values normal: Student's t.
 *
 * @param curves - two or more of equal length, e.g. {@link Simulation.regret} of several seeds
 * @param level - in (0, 1). Default 0.95
 * @throws RangeError for fewer than two curves, different lengths or a bad level
 */
export function confidenceBand(curves: readonly Float64Array[], level = 0.95): ConfidenceBand {
  const caller = 'confidenceBand';
  checkNumber(caller, 'level', level, { above: 0, below: 1 });
  const n = curves.length;
  const length = curves[0]?.length ?? 0;
  if (n < 2 || curves.some((curve) => curve.length !== length)) {
    const lengths = curves.map((curve) => curve.length);
    throw new RangeError(
      `${caller}: curves must be 2 or more of one length, got lengths [${lengths}]`,
    );
  }
  const t = studentQuantile((1 + level) / 2, n - 1);
  const mean = new Float64Array(length);
  const half = new Float64Array(length);
  for (let i = 0; i < length; i++) {
    for (const curve of curves) mean[i]! += curve[i]! / n;
    let square = 0;
    for (const curve of curves) square += (curve[i]! - mean[i]!) ** 2;
    half[i] = t * Math.sqrt(square / (n - 1) / n);
  }
  return { mean, lower: mean.map((m, i) => m - half[i]!), upper: mean.map((m, i) => m + half[i]!) };
}
