/** Simulated worlds, in which the regret of a policy can be told. */
import type { Random } from '@orth/backend';

/** One round of a world. */
export interface WorldRound {
  /** `[K, dim]`, or `[dim]` of a world whose actions share a context. */
  readonly features: Float64Array;
  /** Expected reward of each action. */
  readonly means: Float64Array;
  /** Reward that the action gives now. The noise is the round's, whatever the action: runs can be paired. */
  reward(action: number): number;
}

/** A stationary or changing source of rounds, with rewards in [0, 1]. */
export interface World {
  /** Length of a row of features. */
  readonly dim: number;
  /** K. */
  readonly actionCount: number;
  /** Whether actions share one context, for policies with `actionCount`. */
  readonly shared: boolean;
  /** Round `t`, counted from 0; chance comes from `random`. */
  round(t: number, random: Random): WorldRound;
}
