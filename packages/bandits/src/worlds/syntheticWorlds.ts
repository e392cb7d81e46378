/** Worlds with a known reward function of random contexts. */
import {
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  type Random,
  seededRandom,
} from '@orth/backend';
import type { World } from './world.js';

/** Options of the synthetic worlds. */
export interface SyntheticOptions {
  /** Length of a context. Default 20 */
  readonly dim?: number;
  /** K. Default 4 */
  readonly actionCount?: number;
  /** Standard deviation of a reward; rewards are cut to [0, 1]. Default 0.1 */
  readonly noise?: number;
  /** Whether actions share a context, each with a function of its own; else one function of each action's. Default false */
  readonly shared?: boolean;
  /** Seed of the reward function, integer. Default 0 */
  readonly seed?: number;
}

/** Form of a non-linear reward; s is `√dim · xᵀa`, close to standard normal for x on the unit sphere. */
export type NonlinearKind = 'quadratic' | 'bilinear' | 'cosine';

/** Options of {@link nonlinearWorld}. */
export interface NonlinearOptions extends SyntheticOptions {
  /**
   * `'quadratic'`: s²/8. `'bilinear'`: |Ax|²/2 with A of N(0, 1/dim) entries. `'cosine'`: (1 + cos 1.5 s)/2.
   * Default `'quadratic'`
   */
  readonly kind?: NonlinearKind;
}

const OPTIONS = ['dim', 'actionCount', 'noise', 'shared', 'seed'] as const;

type RewardFunction = (x: Float64Array, at: number) => number;

/** Rewards 0.1 + 0.8 h, h cut to [0, 1]: noise of 0.1 is rarely cut. */
function syntheticWorld(
  caller: string,
  options: SyntheticOptions,
  create: (random: Random, dim: number) => RewardFunction,
): World {
  const { dim = 20, actionCount = 4, noise = 0.1, shared = false, seed = 0 } = options;
  checkInteger(caller, 'dim', dim, { min: 1 });
  checkInteger(caller, 'actionCount', actionCount, { min: 1 });
  checkNumber(caller, 'noise', noise, { min: 0 });
  checkInteger(caller, 'seed', seed);
  const random = seededRandom(seed);
  const functions = Array.from({ length: shared ? actionCount : 1 }, () => create(random, dim));
  const rows = shared ? 1 : actionCount;
  return {
    dim,
    actionCount,
    shared,
    round(_t, chance) {
      const features = new Float64Array(rows * dim);
      for (let row = 0; row < rows; row++) unitVector(chance, features, row * dim, dim);
      const means = Float64Array.from({ length: actionCount }, (_, a) => {
        const h = shared ? functions[a]!(features, 0) : functions[0]!(features, a * dim);
        return 0.1 + 0.8 * Math.min(1, Math.max(0, h));
      });
      const z = noise * chance.normal();
      return {
        features,
        means,
        reward: (action) => Math.min(1, Math.max(0, means[action]! + z)),
      };
    },
  };
}

function unitVector(random: Random, out: Float64Array, at: number, n: number): void {
  let square = 0;
  for (let i = at; i < at + n; i++) {
    out[i] = random.normal();
    square += out[i]! ** 2;
  }
  for (let i = at; i < at + n; i++) out[i]! /= Math.sqrt(square);
}

/** s = √dim · xᵀa for a random unit vector a. */
function projection(random: Random, dim: number): RewardFunction {
  const a = new Float64Array(dim);
  unitVector(random, a, 0, dim);
  return (x, at) => {
    let s = 0;
    for (let i = 0; i < dim; i++) s += x[at + i]! * a[i]!;
    return Math.sqrt(dim) * s;
  };
}

/**
 * Rewards linear in contexts on the unit sphere: `0.1 + 0.8 (1/2 + s/6)` with s = √dim · xᵀa.
 * @throws TypeError or RangeError for a bad option
 */
export function linearWorld(options: SyntheticOptions = {}): World {
  checkOptions('linearWorld', options, OPTIONS);
  return syntheticWorld('linearWorld', options, (random, dim) => {
    const s = projection(random, dim);
    return (x, at) => 0.5 + s(x, at) / 6;
  });
}

/**
 * Rewards that no linear model fits: the forms of NeuralUCB's synthetic experiments, scaled to [0, 1].
 * @throws TypeError or RangeError for a bad option
 * @see Zhou, Li and Gu 2020, arXiv:1911.04462
 */
export function nonlinearWorld(options: NonlinearOptions = {}): World {
  const caller = 'nonlinearWorld';
  checkOptions(caller, options, [...OPTIONS, 'kind']);
  const { kind = 'quadratic', ...rest } = options;
  checkOneOf(caller, 'kind', kind, ['quadratic', 'bilinear', 'cosine']);
  return syntheticWorld(caller, rest, (random, dim) => {
    if (kind === 'bilinear') {
      const rows = Array.from({ length: dim }, () =>
        Float64Array.from({ length: dim }, () => random.normal() / Math.sqrt(dim)),
      );
      return (x, at) =>
        rows.reduce((sum, row) => {
          let dot = 0;
          for (let i = 0; i < dim; i++) dot += row[i]! * x[at + i]!;
          return sum + dot * dot * (dim / 2);
        }, 0) / dim;
    }
    const s = projection(random, dim);
    if (kind === 'quadratic') return (x, at) => s(x, at) ** 2 / 8;
    return (x, at) => (1 + Math.cos(1.5 * s(x, at))) / 2;
  });
}

/**
 * One world after the other, each for `every` rounds, round and round: what a policy that never forgets fails at.
 *
 * @param worlds - of the same dim, actionCount and kind of context
 * @param every - rounds, integer ≥ 1
 * @throws TypeError or RangeError if the worlds differ in shape, there is none, or `every` is bad
 */
export function switchingWorld(worlds: readonly World[], every: number): World {
  const caller = 'switchingWorld';
  checkInteger(caller, 'every', every, { min: 1 });
  const [first] = worlds;
  if (!first) throw new RangeError(`${caller}: worlds must hold 1 or more worlds, got none`);
  const { dim, actionCount, shared } = first;
  for (const world of worlds) {
    if (world.dim === dim && world.actionCount === actionCount && world.shared === shared) continue;
    throw new RangeError(
      `${caller}: worlds must have one shape, got ${actionCount} x ${dim} and ${world.actionCount} x ${world.dim}`,
    );
  }
  return {
    dim,
    actionCount,
    shared,
    round: (t, random) => worlds[Math.floor(t / every) % worlds.length]!.round(t, random),
  };
}
