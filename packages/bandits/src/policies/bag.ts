/** Bagging: models that each saw its own bootstrap of the past vote. */
import {
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  type Random,
  restoreRandom,
  seededRandom,
} from '@orth/backend';
import { floorRow, uniformRow } from '../exploration.js';
import type { Oracle } from '../oracle.js';
import type { Json, Policy } from '../policy.js';
import type { SavedData } from '../stateCodec.js';
import { BasePolicy } from './basePolicy.js';
import { createOracle, ORACLE_OPTIONS, type OraclePolicyOptions } from './oraclePolicy.js';

/** Options of {@link bag}. */
export interface BagOptions extends Omit<OraclePolicyOptions, 'oracle' | 'network'> {
  /** What each model is. Default `'ridge'` */
  readonly oracle?: 'ridge' | 'logistic';
  /** Number of models, ≥ 1. Default 5 */
  readonly models?: number;
  /** Seed of the bootstrap, integer. Default 0 */
  readonly seed?: number;
}

class Bag extends BasePolicy {
  protected readonly options: BagOptions;
  private readonly oracles: readonly Oracle[];
  private readonly minProbability: number;
  private readonly uniformRounds: number;
  private random: Random;
  private losses = new Float64Array(8);

  constructor(options: BagOptions) {
    const name = 'bag';
    const known = ORACLE_OPTIONS.filter((key) => key !== 'network');
    checkOptions(name, options, [...known, 'models', 'seed']);
    const { oracle = 'ridge', models = 5, seed = 0 } = options;
    super(name, options, { bounded: oracle === 'logistic' });
    const { minProbability = 0, uniformRounds = 0 } = options;
    checkOneOf(name, 'oracle', oracle, ['ridge', 'logistic']);
    checkInteger(name, 'models', models, { min: 1 });
    checkInteger(name, 'seed', seed);
    checkNumber(name, 'minProbability', minProbability, { min: 0, max: 1 });
    checkInteger(name, 'uniformRounds', uniformRounds, { min: 0 });
    this.options = { ...options };
    this.minProbability = minProbability;
    this.uniformRounds = uniformRounds;
    this.random = seededRandom(seed);
    this.oracles = Array.from({ length: models }, () => createOracle(name, options));
  }

  protected allocate(K: number, _random: Random, out: Float64Array): void {
    const { oracles, open } = this;
    if (this.updates < this.uniformRounds) {
      uniformRow(out, 0, K, open);
      return;
    }
    if (this.losses.length < K) this.losses = new Float64Array(K);
    out.fill(0);
    for (const oracle of oracles) {
      oracle.predict(this.x, K, this.losses);
      let best = -1;
      for (let a = 0; a < K; a++) {
        if (open.has(a) && (best < 0 || this.losses[a]! < this.losses[best]!)) best = a;
      }
      out[best]!++;
    }
    for (let a = 0; a < K; a++) out[a]! /= oracles.length;
    if (this.minProbability > 0) floorRow(this.minProbability)(out, 0, K, open);
  }

  protected expect(K: number, out: Float64Array): void {
    if (this.losses.length < K) this.losses = new Float64Array(K);
    out.fill(0);
    for (const oracle of this.oracles) {
      oracle.predict(this.x, K, this.losses);
      for (let a = 0; a < K; a++) out[a]! += this.losses[a]! / this.oracles.length;
    }
    for (let a = 0; a < K; a++) out[a] = this.outcomeOf(out[a]!);
  }

  protected learn(action: number, outcome: number, weight: number): void {
    const loss = this.lossOf(outcome);
    for (const oracle of this.oracles) {
      const copies = this.poisson();
      if (copies > 0) oracle.update(this.x, action, loss, copies * weight);
    }
  }

  /** Poisson(1): how often a bootstrap of a long stream holds an observation (Knuth's product of uniforms). */
  private poisson(): number {
    let count = 0;
    for (let u = this.random.uniform(); u > Math.exp(-1); u *= this.random.uniform()) count++;
    return count;
  }

  protected saved(): { [key: string]: Json } {
    return {
      random: [...this.random.state()],
      oracles: this.oracles.map((oracle) => oracle.save()),
    };
  }

  protected load(data: SavedData): void {
    this.random = restoreRandom(data.randomState('random'));
    const parts = data.parts('oracles', this.oracles.length);
    for (const [m, oracle] of this.oracles.entries()) oracle.load(parts[m]!);
  }
}

/**
 * Vote shares of models trained on online bootstraps: each learns each observation Poisson(1) times.
 * @throws TypeError or RangeError for a bad option
 * @see Bietti, Agarwal and Langford 2021, "A Contextual Bandit Bake-off"
 */
export function bag(options: BagOptions): Policy {
  return new Bag(options);
}
