/** What an adapter is, and what is told of adapters. */
import type { Random } from '@orth/backend';
import type { AdapterModule } from './adapterModule.js';
import type { Combination } from './combineAdapters.js';
import type { ExtraWeights } from './extraWeights.js';
import type { TargetInfo } from './matchTargets.js';
import type { ResolvedOptions } from './options.js';

/** An adapter by name. */
export interface Adapter {
  readonly name: string;
  readonly options: ResolvedOptions;
  readonly modules: ReadonlyMap<string, AdapterModule>;
  readonly extras: ExtraWeights;
  /** Where dropout's masks come from. */
  readonly random: Random;
}

/** A module that takes part in a forward pass. */
export interface ActiveModule {
  readonly module: AdapterModule;
  readonly weight: number;
  readonly dropout: number;
  readonly random: Random;
}

/** Anything with a flag whether it is trained. */
export interface Trainable {
  trainable: boolean;
}

/** Numbers of parameters. */
export interface ParameterCount {
  /** Trained now: active adapters, weights trained whole beside them, and the model's own where they are not frozen. */
  readonly trainable: number;
  /** Of all adapters. */
  readonly adapters: number;
  /** Of the pretrained model. */
  readonly base: number;
}

/** A target, and what adapters it has. */
export interface TargetDescription extends TargetInfo {
  /** Parameters of each adapter here, by name. */
  readonly adapters: Readonly<Record<string, number>>;
}

/** Options of {@link AdapterSet.loadAdapter}. */
export interface LoadOptions {
  /** Name to load it under. Default `'default'` */
  readonly name?: string;
  /** Whether to make it the active one. Default: if no other is */
  readonly activate?: boolean;
  /** From paths in the file to paths here, as tfjs renames layers. Default: the same */
  readonly mapPath?: (path: string) => string;
}

/** Options of {@link AdapterSet.addWeightedAdapter}. */
export interface WeightedOptions {
  /** Default `'cat'`, the exact sum. */
  readonly combination?: Combination;
  /** Rank for `'svd'`. Default: the greatest of those combined */
  readonly rank?: number;
}
