/**
 * What every policy of this package is: a host-side, synchronous learner that turns the features of the actions into
 * probabilities, and observed outcomes into knowledge.
 *
 * Two rules make decision logs replayable. `distribution` changes nothing: chance comes in through its argument, so the
 * caller may seed it per decision. Only `update` changes state, and it depends on the state and the observation alone
 * (learning that needs chance draws it from a stream inside the state). Hence replaying the observations of a log in
 * their order rebuilds a policy bit for bit, however many decisions lay between them.
 */
import type { Random } from '@orth/backend';

/** A row or matrix of numbers on the host. */
export type FeatureArray = Float64Array | Float32Array;

/** What is known when a decision is due. */
export interface Round {
  /**
   * Row-major features. For a policy without `actionCount`: `[K, dim]`, one row an action, K ≥ 1 free to change from
   * round to round. For a policy with `actionCount`: the `[dim]` context that all actions share.
   */
  readonly features: FeatureArray;
  /** `[K]`, nonzero where the action may be taken; at least one must. Masked actions get probability 0. Default all */
  readonly mask?: Uint8Array;
  /** False takes the action of the best predicted mean (the first of equals) with probability 1. Default true */
  readonly explore?: boolean;
}

/** What came of a decision. */
export interface Observation {
  /** `[dim]`: the row of the action that was taken, or the shared context of a policy with `actionCount`. */
  readonly features: FeatureArray;
  /** Index of the action that was taken. Only policies with `actionCount` need it. Default 0 */
  readonly action?: number;
  /** The reward or the loss, as the policy's `feedback` says, within the policy's `range`. */
  readonly outcome: number;
  /** Probability with which the action was taken, in (0, 1]. The policies of this package learn without it. */
  readonly probability?: number;
  /** Importance of this observation in learning, ≥ 0: 1/p gives regression by inverse propensity. Default 1 */
  readonly weight?: number;
  /** The whole round, which policies with `needsRound` learn from too. Absent, they learn from the action alone. */
  readonly round?: Round;
}

/** Whether outcomes are to be made large or small. */
export type Feedback = 'reward' | 'loss';

/** Plain data that JSON carries without loss. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json };

/** Everything that a policy is, as plain JSON; `policyFromJSON` makes an equal policy of it. */
export interface PolicyState {
  readonly format: 'orth-bandits-policy';
  readonly version: 1;
  /** {@link Policy.name}. */
  readonly policy: string;
  /** The options of the constructor, defaults filled in. */
  readonly options: { readonly [key: string]: Json };
  /** What was learnt; arrays of numbers as base64 of their little-endian bytes. */
  readonly data: { readonly [key: string]: Json };
}

/** A contextual bandit. Everything is float64 on the host; only `update` changes state. */
export interface Policy {
  /** The function that makes it, e.g. `linUCB`. */
  readonly name: string;
  /** Length of a row of features. */
  readonly dim: number;
  /**
   * Given: the number of actions is fixed, they share one context `[dim]`, and each has a model of its own (linear) or a
   * block of its own in the network's input (neural). Undefined: features are per action, and K may change.
   */
  readonly actionCount: number | undefined;
  readonly feedback: Feedback;
  /** Least and greatest outcome that `update` accepts. */
  readonly range: readonly [number, number];
  /** Whether `update` learns more when {@link Observation.round} is given. */
  readonly needsRound: boolean;
  /** How many observations were learnt. */
  readonly updates: number;
  /**
   * Probabilities over the K actions: ≥ 0, sum 1 up to rounding, 0 where masked. These are the probabilities to draw
   * from and to log. A policy that decides by drawn scores (Thompson sampling) returns the vote shares of its `draws`
   * draws; with one draw that is a point mass, whose 1 is no propensity for off-policy evaluation.
   *
   * @param random - where chance comes from; policies that need none leave it untouched
   * @param out - `[K]`, filled and returned in place of a new array
   * @throws RangeError for features of a wrong length or not finite, no action, or none left by the mask; NonFiniteError
   *   for features whose squares sum to more than 1e200
   */
  distribution(round: Round, random: Random, out?: Float64Array): Float64Array;
  /**
   * Expected outcome of each of the K actions, in the unit of `feedback` and `range`, without exploration.
   * Policies without a model (`uniform`) predict the middle of the range.
   * @throws as `distribution`; the mask is not looked at
   */
  predict(round: Round, out?: Float64Array): Float64Array;
  /**
   * Learns from one observation.
   * @throws TypeError or RangeError for wrong features, action, outcome, probability or weight; the state is then
   *   unchanged
   */
  update(observation: Observation): void;
  /** The whole state, from which `policyFromJSON` continues bit for bit. */
  toJSON(): PolicyState;
}
