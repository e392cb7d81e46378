/** The everyday rules: ε-greedy and Boltzmann's. */
import { checkOptions } from '@orth/backend';
import { greedyRow, softmaxRow } from '../exploration.js';
import type { NeuralRegressionOptions } from '../neural/neuralOracle.js';
import { REGRESSION_OPTIONS } from '../neural/neuralOracle.js';
import type { Policy } from '../policy.js';
import { checkSchedule, type Schedule, scheduleAt } from '../schedules.js';
import {
  createOracle,
  EXPLORATION_OPTIONS,
  type ExplorationPolicyOptions,
  type NeuralOracleOptions,
  ORACLE_OPTIONS,
  OraclePolicy,
  type OraclePolicyOptions,
} from './oraclePolicy.js';

/** Options of {@link epsilonGreedy}. */
export interface EpsilonGreedyOptions extends OraclePolicyOptions {
  /**
   * ε in [0, 1], or how it decays with the count of observations, e.g. `{ scale: 1, exponent: -1 / 3 }`. Default 0.05
   */
  readonly epsilon?: Schedule;
}

/** Options of {@link softmax}. */
export interface SoftmaxOptions extends OraclePolicyOptions {
  /** Temperature > 0 in units of losses scaled to [0, 1], or how it decays. Default 0.1 */
  readonly temperature?: Schedule;
}

/** Options of {@link neuralEpsilon}. */
export interface NeuralEpsilonOptions extends ExplorationPolicyOptions, NeuralOracleOptions {
  /** ε in [0, 1], or how it decays. Default 0.01 */
  readonly epsilon?: Schedule;
}

const boundedFor = (options: OraclePolicyOptions) =>
  options.oracle === 'logistic' || options.network?.loss === 'kl';

function greedyPolicy(
  name: string,
  options: ExplorationPolicyOptions,
  oracle: OraclePolicyOptions,
  epsilon: Schedule,
): Policy {
  checkSchedule(name, 'epsilon', epsilon, 1);
  return new OraclePolicy(name, options, {
    bounded: boundedFor(oracle),
    oracle: () => createOracle(name, oracle),
    rule: (p, K, open, t) => greedyRow(scheduleAt(epsilon, t))(p, 0, K, open),
  });
}

/**
 * ε of the probability to all actions alike, the rest to the best predicted, shared by ties.
 * @throws TypeError or RangeError for a bad option
 */
export function epsilonGreedy(options: EpsilonGreedyOptions): Policy {
  const name = 'epsilonGreedy';
  checkOptions(name, options, [...ORACLE_OPTIONS, 'epsilon']);
  return greedyPolicy(name, { ...options }, options, options.epsilon ?? 0.05);
}

/**
 * ε-greedy over a network, the baseline of the neural bandit papers: {@link epsilonGreedy} with `oracle: 'neural'`, its
 * options flat and no perturbation.
 * @throws TypeError or RangeError for a bad option
 */
export function neuralEpsilon(options: NeuralEpsilonOptions): Policy {
  const name = 'neuralEpsilon';
  checkOptions(name, options, [...EXPLORATION_OPTIONS, ...REGRESSION_OPTIONS, 'loss', 'epsilon']);
  const network: NeuralOracleOptions = {
    perturbation: 'none',
    ...networkOf(options),
    ...(options.loss && { loss: options.loss }),
  };
  const oracle = { ...explorationOf(options), oracle: 'neural' as const, network };
  return greedyPolicy(name, { ...options }, oracle, options.epsilon ?? 0.01);
}

/**
 * Boltzmann exploration: probability ∝ exp(−predicted loss / temperature).
 * @throws TypeError or RangeError for a bad option
 */
export function softmax(options: SoftmaxOptions): Policy {
  const name = 'softmax';
  checkOptions(name, options, [...ORACLE_OPTIONS, 'temperature']);
  const { temperature = 0.1 } = options;
  checkSchedule(name, 'temperature', temperature);
  if (temperature === 0) throw new RangeError(`${name}: temperature must be > 0, got 0`);
  return new OraclePolicy(
    name,
    { ...options },
    {
      bounded: boundedFor(options),
      oracle: () => createOracle(name, options),
      // A temperature that decays without a minimum would end in 0/0.
      rule: (p, K, open, t) =>
        softmaxRow(Math.max(scheduleAt(temperature, t), 1e-12))(p, 0, K, open),
    },
  );
}

/** @internal The network's options among flat ones. */
export function networkOf(options: NeuralRegressionOptions): NeuralRegressionOptions {
  const keys = REGRESSION_OPTIONS.filter((key) => options[key] !== undefined);
  return Object.fromEntries(keys.map((key) => [key, options[key]]));
}

/** @internal The exploration options among others. */
export function explorationOf(options: ExplorationPolicyOptions): ExplorationPolicyOptions {
  const keys = EXPLORATION_OPTIONS.filter((key) => options[key] !== undefined);
  return Object.fromEntries(keys.map((key) => [key, options[key]])) as never;
}
