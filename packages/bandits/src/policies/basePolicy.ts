/** What all policies do alike: options, checks of rounds and observations, units of outcomes, state. */
import {
  checkFinite,
  checkInteger,
  checkNumber,
  checkOneOf,
  NonFiniteError,
  type Random,
} from '@orth/backend';
import { Opening } from '../exploration.js';
import type {
  FeatureArray,
  Feedback,
  Json,
  Observation,
  Policy,
  PolicyState,
  Round,
} from '../policy.js';
import { type SavedData, toPlain } from '../stateCodec.js';

/** Beyond it sums of the squares of observations would overflow, and what was learnt before would be lost with them. */
const GREATEST_SQUARES = 1e200;

/** Options that every policy has. */
export interface PolicyOptions {
  /** Length of a row of features, integer ≥ 1. */
  readonly dim: number;
  /**
   * Fixed number of actions that share one context `[dim]`, each with a model of its own. Default: features are per
   * action, one model for all, and the number of actions may change from round to round
   */
  readonly actionCount?: number;
  /** Whether outcomes are rewards or losses. Default `'reward'` */
  readonly feedback?: Feedback;
  /**
   * Least and greatest outcome; others are refused. Infinite bounds are allowed where the policy's rule does not rest
   * on bounded losses. Default `[0, 1]`
   */
  readonly range?: readonly [number, number];
}

/** @internal Names of {@link PolicyOptions}. */
export const POLICY_OPTIONS = ['dim', 'actionCount', 'feedback', 'range'] as const;

/** @internal What a subclass fixes. */
export interface PolicyTraits {
  /** Whether losses must be bounded, to be scaled to [0, 1]. */
  readonly bounded?: boolean;
  readonly needsRound?: boolean;
}

/** @internal Options as plain JSON, defaults filled in. */
export type FilledOptions<O> = { readonly [K in keyof O]: O[K] };

/** @internal Base of all policies. */
export abstract class BasePolicy implements Policy {
  readonly dim: number;
  readonly actionCount: number | undefined;
  readonly feedback: Feedback;
  readonly range: readonly [number, number];
  readonly needsRound: boolean;
  /** Features of the round at hand. */
  protected x: Float64Array;
  protected readonly open = new Opening();
  private count = 0;

  protected constructor(
    readonly name: string,
    options: PolicyOptions,
    { bounded = false, needsRound = false }: PolicyTraits = {},
  ) {
    const { dim, actionCount, feedback = 'reward', range = [0, 1] } = options;
    checkInteger(name, 'dim', dim, { min: 1 });
    if (actionCount !== undefined) checkInteger(name, 'actionCount', actionCount, { min: 1 });
    checkOneOf(name, 'feedback', feedback, ['reward', 'loss']);
    checkRange(name, range, bounded);
    this.dim = dim;
    this.actionCount = actionCount;
    this.feedback = feedback;
    this.range = [range[0], range[1]];
    this.needsRound = needsRound;
    this.x = new Float64Array(dim * (actionCount ?? 8));
  }

  /** Options for `toJSON`, with which the constructor makes the same policy. */
  protected abstract readonly options: object;
  /** Fills `out` with probabilities for the features in `x`; `open` holds the mask. */
  protected abstract allocate(K: number, random: Random, out: Float64Array): void;
  /** Fills `out` with expected outcomes for the features in `x`. */
  protected abstract expect(K: number, out: Float64Array): void;
  /** Learns from the `dim` features in `x`; everything is checked. */
  protected abstract learn(
    action: number,
    outcome: number,
    weight: number,
    round: Round | undefined,
  ): void;
  protected abstract saved(): { [key: string]: Json };
  protected abstract load(data: SavedData): void;

  get updates(): number {
    return this.count;
  }

  distribution(round: Round, random: Random, out?: Float64Array): Float64Array {
    const caller = `${this.name}.distribution`;
    const K = this.read(caller, round);
    const { mask, explore = true } = round;
    if (mask && mask.length !== K) {
      throw new RangeError(`${caller}: mask must have length ${K}, got ${mask.length}`);
    }
    const p = this.outputs(caller, K, out);
    if (this.open.set(mask, 0, K) === 0) {
      throw new RangeError(`${caller}: mask must leave an action, got none of ${K}`);
    }
    if (explore) {
      this.allocate(K, random, p);
      return p;
    }
    this.expect(K, p);
    const sign = this.feedback === 'reward' ? 1 : -1;
    let best = -1;
    for (let a = 0; a < K; a++) {
      if (this.open.has(a) && (best < 0 || sign * p[a]! > sign * p[best]!)) best = a;
    }
    return pointMass(p, best);
  }

  predict(round: Round, out?: Float64Array): Float64Array {
    const caller = `${this.name}.predict`;
    const K = this.read(caller, round);
    const y = this.outputs(caller, K, out);
    this.expect(K, y);
    return y;
  }

  update(observation: Observation): void {
    const caller = `${this.name}.update`;
    const { features, action = 0, outcome, probability = 1, weight = 1, round } = observation;
    const [least, greatest] = this.range;
    checkFeatures(caller, features);
    if (features.length !== this.dim) {
      throw new RangeError(
        `${caller}: features must have length ${this.dim}, got ${features.length}`,
      );
    }
    // A test of the common case first: checks that build messages would cost more than the learning.
    if (!(outcome >= least && outcome <= greatest && Number.isFinite(outcome))) {
      checkNumber(caller, 'outcome', outcome, { min: least, max: greatest });
    }
    if (this.actionCount !== undefined && observation.action === undefined) {
      throw new TypeError(`${caller}: action must be given where actions share a context`);
    }
    if (!(Number.isInteger(action) && action >= 0 && action < (this.actionCount ?? Infinity))) {
      checkInteger(caller, 'action', action, { min: 0, below: this.actionCount ?? Infinity });
    }
    if (!(probability > 0 && probability <= 1)) {
      checkNumber(caller, 'probability', probability, { above: 0, max: 1 });
    }
    if (!(weight >= 0 && weight < Infinity)) checkNumber(caller, 'weight', weight, { min: 0 });
    if (round && this.needsRound) this.read(caller, round);
    this.x.set(features);
    this.demandFinite(caller, features);
    this.learn(action, outcome, weight, round);
    this.count++;
  }

  toJSON(): PolicyState {
    return {
      format: 'orth-bandits-policy',
      version: 1,
      policy: this.name,
      options: toPlain(this.options) as PolicyState['options'],
      data: { updates: this.count, ...this.saved() },
    };
  }

  /** @internal Takes over what `toJSON` saved; a policy that threw here is to be thrown away. */
  restore(data: SavedData): void {
    this.count = data.count('updates');
    this.load(data);
  }

  /** Outcome as a loss: scaled to [0, 1] where the range is finite, else negated if it is a reward. */
  protected lossOf(outcome: number): number {
    const [least, greatest] = this.range;
    const width = greatest - least;
    if (width === Infinity) return this.feedback === 'loss' ? outcome : -outcome;
    return (this.feedback === 'loss' ? outcome - least : greatest - outcome) / width;
  }

  /** Undoes {@link lossOf}. */
  protected outcomeOf(loss: number): number {
    const [least, greatest] = this.range;
    const width = greatest - least;
    if (width === Infinity) return this.feedback === 'loss' ? loss : -loss;
    return this.feedback === 'loss' ? least + width * loss : greatest - width * loss;
  }

  /** Outcome as a number to make large, in its own unit. */
  protected rewardOf(outcome: number): number {
    return this.feedback === 'reward' ? outcome : -outcome;
  }

  /** Copies the features of a round to `x`; returns the number of actions. */
  protected read(caller: string, round: Round): number {
    const { features } = round;
    checkFeatures(caller, features);
    const { length } = features;
    const shared = this.actionCount !== undefined;
    if (shared ? length !== this.dim : length === 0 || length % this.dim !== 0) {
      const rule = shared ? `have length ${this.dim}` : `hold 1 or more rows of ${this.dim}`;
      throw new RangeError(`${caller}: features must ${rule}, got ${length} numbers`);
    }
    if (this.x.length < length) this.x = new Float64Array(length);
    this.x.set(features);
    this.demandFinite(caller, features);
    return this.actionCount ?? length / this.dim;
  }

  /** Demands that what was copied to `x` is finite, and so small that sums of squares stay so. */
  private demandFinite(caller: string, features: FeatureArray): void {
    const { x } = this;
    // One sum tells of NaN, infinities and what is too large.
    let sum = 0;
    for (let i = 0; i < features.length; i++) sum += x[i]! * x[i]!;
    if (sum <= GREATEST_SQUARES) return;
    checkFinite(caller, 'features', features);
    throw new NonFiniteError(
      `${caller}: features must have a sum of squares <= ${GREATEST_SQUARES}, got ${sum}`,
    );
  }

  private outputs(caller: string, K: number, out: Float64Array | undefined): Float64Array {
    if (out && out.length !== K) {
      throw new RangeError(`${caller}: out must have length ${K}, got ${out.length}`);
    }
    return out ?? new Float64Array(K);
  }
}

function checkFeatures(caller: string, features: unknown): asserts features is FeatureArray {
  if (features instanceof Float64Array || features instanceof Float32Array) return;
  throw new TypeError(`${caller}: features must be a Float64Array or Float32Array`);
}

function checkRange(caller: string, range: unknown, bounded: boolean): void {
  const [least, greatest] = (Array.isArray(range) ? range : []) as unknown[];
  const numbers = typeof least === 'number' && typeof greatest === 'number';
  if (numbers && (range as unknown[]).length === 2 && least < greatest) {
    if (!bounded || greatest - least < Infinity) return;
    throw new RangeError(`${caller}: range must be finite, got [${range}]`);
  }
  throw new RangeError(`${caller}: range must be [least, greatest], got ${String(range)}`);
}

/** @internal Probability 1 on one action. */
export function pointMass(out: Float64Array, action: number): Float64Array {
  out.fill(0);
  out[action] = 1;
  return out;
}
