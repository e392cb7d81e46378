import type { Random } from '@orth/backend';

/** What a reproduction is given. */
export interface ReproContext {
  /** Shorter runs; the row's setting must say so. */
  readonly quick: boolean;
  /** Seeds to run, three or more. */
  readonly seeds: readonly number[];
  readonly backend: string;
  /** Random numbers of a seed. */
  random(seed: number): Random;
  /** Tells the human what runs. */
  onProgress(what: string): void;
}

/** What one seed gave. */
export interface SeedResult {
  readonly seed: number;
  readonly baseline: number;
  readonly ours: number;
}

/** How the effect of a seed is computed: ours / baseline, or ours − baseline. */
export type EffectKind = 'ratio' | 'difference';

/** When a claim holds: bounds on the effect, of the mean over seeds or of every single seed. */
export interface Expectation {
  readonly of: 'mean' | 'everySeed';
  readonly atMost?: number;
  readonly atLeast?: number;
  /** Strictly less than this. */
  readonly below?: number;
}

/** A claim with its measurements, from which the row is computed. */
export interface Claim {
  /** The sentence that is tested, with the direction and the bound. */
  readonly claim: string;
  /** Data, model, steps, learning rates, backend: what one needs to judge or repeat it. */
  readonly setting: string;
  /** Names of the two numbers, e.g. `AdamW train loss`. */
  readonly baseline: string;
  readonly ours: string;
  readonly results: readonly SeedResult[];
  readonly effect: EffectKind;
  readonly expectation: Expectation;
}

/** A reproduction: what a file in `repros/` exports as `repro`. */
export interface Repro {
  readonly system: string;
  /** One line for `--list`. */
  readonly description: string;
  /** Measures and yields each claim when its numbers are there. */
  claims(context: ReproContext): AsyncIterable<Claim>;
}

/** A number over seeds. */
export interface Summary {
  readonly what: string;
  readonly mean: number;
  /** Standard deviation over seeds (n − 1). */
  readonly spread: number;
  readonly values: readonly number[];
}

/** A row of the reproduction table. `holds` is computed from the numbers beside it. */
export interface ReproRow {
  readonly system: string;
  readonly claim: string;
  readonly setting: string;
  readonly baseline: Summary;
  readonly ours: Summary;
  readonly effect: Summary;
  readonly holds: boolean;
  readonly expectation: Expectation;
  readonly seeds: readonly number[];
}
