import {
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkOptions,
  type RandomState,
} from '@orth/backend';
import type { Optimizer } from '@tensorflow/tfjs-core';
import type { AdamState } from './adam.js';
import { checkLossOptions } from './compatibilityLoss.js';
import type { EmbeddingMapForm } from './embeddingMaps.js';
import { checkLambdaOptions } from './lambdaOrth.js';

/** Options of `CompatibleAdapter`. */
export interface CompatibleAdapterOptions {
  /** Features of the old model, integer >= 1. */
  readonly dOld: number;
  /** Features of the new model, integer >= 1. */
  readonly dNew: number;
  /** Form of the map of new embeddings into the old space. Default `'lambda'` */
  readonly backward?: EmbeddingMapForm;
  /** Form of the map of stored old embeddings towards new ones; null for none. Default `'affine'` */
  readonly forward?: 'affine' | 'lowRank' | 'mlp' | null;
  /** Threshold of `'lambda'`, absolute, >= 0. Default 12, for 512 or 1024 features */
  readonly lambda?: number;
  /** Threshold by size instead: `lambda = lambdaRel · √m`. */
  readonly lambdaRel?: number;
  /** Steepness of the threshold, > 0. Default 10 */
  readonly alpha?: number;
  /** Temperature of the contrastive loss, > 0. Default 0.1 */
  readonly tau?: number;
  /** Factors of the forward, backward and contrastive losses, >= 0. Default `[1, 1, 1]` */
  readonly weights?: readonly [number, number, number];
  /** Rank of `'lowRank'`, <= m. Default: the smaller of 64 and m */
  readonly rank?: number;
  /** Hidden units of `'mlp'`. Default 256 */
  readonly hidden?: number;
  /**
   * Where a backward map that is a square matrix starts: `'identity'`, or `'procrustes'`, the best orthogonal matrix for the
   * data of the first `fit`, of which 0 steps then are the closed form. Default `'identity'`
   */
  readonly init?: 'identity' | 'procrustes';
  /**
   * Whether to divide either side by its standard deviation within the maps: `'auto'` if they differ by more than a factor
   * of two. Default `'auto'`
   */
  readonly standardize?: boolean | 'auto';
  /** Seed of initial values and of batches. Default 0 */
  readonly seed?: number;
}

/** How training stands. */
export interface CompatibleFitProgress {
  /** Steps done in this `fit`. */
  readonly step: number;
  readonly total: number;
  readonly loss: number;
}

/** Options of `CompatibleAdapter.fit`. */
export interface CompatibleFitOptions {
  /** Integer >= 0. Default 400 */
  readonly steps?: number;
  /** Items a step, all if there are fewer. Default 256 */
  readonly batchSize?: number;
  /** Of Adam, > 0. Default 1e-3 */
  readonly learningRate?: number;
  /** Takes Adam's place; its state is not part of the adapter's. */
  readonly optimizer?: Optimizer;
  /** Told after each step. */
  readonly onStep?: (progress: CompatibleFitProgress) => void;
  /** Stops between two steps: `fit` rejects with its reason, and the adapter stays as it is then. */
  readonly signal?: AbortSignal;
}

/** A `CompatibleAdapter` as plain data, fit for JSON. */
export interface CompatibleAdapterState {
  readonly version: 1;
  readonly options: CompatibleAdapterOptions;
  readonly backward: Readonly<Record<string, readonly number[]>>;
  readonly forward: Readonly<Record<string, readonly number[]>> | null;
  readonly adam: AdamState;
  readonly random: RandomState;
  /** Divisors of new and old embeddings, fixed by the first fit; null before. */
  readonly scales: readonly [number, number] | null;
}

const OPTIONS: readonly (keyof CompatibleAdapterOptions)[] = [
  'dOld',
  'dNew',
  'backward',
  'forward',
  'lambda',
  'lambdaRel',
  'alpha',
  'tau',
  'weights',
  'rank',
  'hidden',
  'init',
  'standardize',
  'seed',
];

const FORMS: readonly EmbeddingMapForm[] = ['orthogonal', 'lambda', 'affine', 'lowRank', 'mlp'];

/** Demands options that an adapter can be made with. */
export function checkAdapterOptions(options: CompatibleAdapterOptions): void {
  const caller = 'CompatibleAdapter';
  checkOptions(caller, options, OPTIONS);
  const { dOld, dNew, backward = 'lambda', forward = 'affine', init = 'identity' } = options;
  checkInteger(caller, 'dOld', dOld, { min: 1 });
  checkInteger(caller, 'dNew', dNew, { min: 1 });
  checkOneOf(caller, 'backward', backward, FORMS);
  checkOneOf(caller, 'forward', forward, ['affine', 'lowRank', 'mlp', null]);
  const { lambda, lambdaRel, alpha } = options;
  checkLambdaOptions(caller, {
    ...(lambda !== undefined && { lambda }),
    ...(lambdaRel !== undefined && { lambdaRel }),
    ...(alpha !== undefined && { alpha }),
  });
  checkLossOptions(caller, options);
  checkInteger(caller, 'rank', options.rank ?? 1, { min: 1, max: Math.min(dOld, dNew) });
  checkInteger(caller, 'hidden', options.hidden ?? 256, { min: 1 });
  checkOneOf(caller, 'init', init, ['identity', 'procrustes']);
  if (init === 'procrustes' && (backward === 'lowRank' || backward === 'mlp')) {
    throw new RangeError(
      `${caller}: init must be "identity" for backward ${backward}, got "procrustes"`,
    );
  }
  if (options.standardize !== 'auto') {
    checkBoolean(caller, 'standardize', options.standardize ?? true);
  }
  checkInteger(caller, 'seed', options.seed ?? 0);
}
