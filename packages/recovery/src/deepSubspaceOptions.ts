import {
  checkBoolean,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkTensor,
} from '@orth/backend';
import type { Tensor4D } from '@tensorflow/tfjs-core';
import { checkArchitecture, checkImages } from './convAutoencoder.js';

/** The stages, in order. */
export type DeepSubspaceStage = 'pretrain' | 'selfExpression' | 'structured';

/** A step of training. */
export interface DeepSubspaceEpoch {
  readonly stage: DeepSubspaceStage;
  /** From 0, within the stage. */
  readonly epoch: number;
  /** Loss before the step. */
  readonly loss: number;
}

/** Options of `deepSubspaceClustering`. */
export interface DeepSubspaceOptions {
  /** Clusters, 2 … n. */
  readonly clusters: number;
  /** Assumed dimension of the subspaces: coefficients kept in each column, 1 … n. 12 is customary for digits. Default 9 */
  readonly subspaceDim?: number;
  /** Channels of the input and of each layer. */
  readonly channels: readonly number[];
  /** Side of each layer's kernel. */
  readonly kernels: readonly number[];
  /** How the auto-encoder starts: by reconstruction, by the author code's distance loss, or at random. Default `'reconstruction'` */
  readonly pretrain?: 'reconstruction' | 'distance' | 'none';
  /** Keep the diagonal of C at 0, so that no sample explains itself. Default true */
  readonly zeroDiagonal?: boolean;
  /** A stage ends when its loss has changed by less than this share, > 0, … Default 5e−4 */
  readonly relTol?: number;
  /** … for so many steps in a row, integer >= 1. Default 5 */
  readonly patience?: number;
  /** Full-batch steps of pre-training, integer >= 1. Default 300 */
  readonly pretrainEpochs?: number;
  /** Most steps of the self-expression stage, integer >= 1. Default 180 */
  readonly selfExpressionEpochs?: number;
  /** Most steps of the structured stage, integer >= 0. Default 120 */
  readonly structuredEpochs?: number;
  /** Steps after which labels are computed anew in the structured stage, integer >= 1. Default 5 */
  readonly relabelEvery?: number;
  /** Adam's, > 0. Default 1e−3 */
  readonly learningRate?: number;
  /** Starts of k-means for the labels, integer >= 1. Default 20 */
  readonly restarts?: number;
  /** Integer. Default 0 */
  readonly seed?: number;
  /** Called after each step. */
  readonly onEpoch?: (epoch: DeepSubspaceEpoch) => void;
  /** Ends training early; labels are computed from what there is. */
  readonly signal?: AbortSignal;
}

const KEYS = [
  'clusters',
  'subspaceDim',
  'channels',
  'kernels',
  'pretrain',
  'zeroDiagonal',
  'relTol',
  'patience',
  'pretrainEpochs',
  'selfExpressionEpochs',
  'structuredEpochs',
  'relabelEvery',
  'learningRate',
  'restarts',
  'seed',
  'onEpoch',
  'signal',
];

/** Options with defaults filled in. */
export type ResolvedDeepSubspaceOptions = Required<
  Omit<DeepSubspaceOptions, 'onEpoch' | 'signal'>
> &
  Pick<DeepSubspaceOptions, 'onEpoch' | 'signal'>;

/** @throws TypeError or RangeError for a wrong option or images that do not fit */
export function resolveDeepSubspaceOptions(
  caller: string,
  x: Tensor4D,
  options: DeepSubspaceOptions,
): ResolvedDeepSubspaceOptions {
  checkTensor(caller, 'x', x, { rank: 4 });
  checkOptions(caller, options, KEYS);
  const n = x.shape[0];
  const resolved = {
    subspaceDim: Math.min(9, n),
    pretrain: 'reconstruction' as const,
    zeroDiagonal: true,
    relTol: 5e-4,
    patience: 5,
    pretrainEpochs: 300,
    selfExpressionEpochs: 180,
    structuredEpochs: 120,
    relabelEvery: 5,
    learningRate: 1e-3,
    restarts: 20,
    seed: 0,
    ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
  } as ResolvedDeepSubspaceOptions;
  checkInteger(caller, 'clusters', resolved.clusters, { min: 2, max: n });
  checkInteger(caller, 'subspaceDim', resolved.subspaceDim, { min: 1, max: n });
  checkArchitecture(caller, resolved.channels, resolved.kernels);
  checkImages(caller, x, resolved.channels, resolved.kernels);
  checkOneOf(caller, 'pretrain', resolved.pretrain, ['reconstruction', 'distance', 'none']);
  checkBoolean(caller, 'zeroDiagonal', resolved.zeroDiagonal);
  checkNumber(caller, 'relTol', resolved.relTol, { above: 0 });
  checkInteger(caller, 'structuredEpochs', resolved.structuredEpochs, { min: 0 });
  for (const name of [
    'patience',
    'pretrainEpochs',
    'selfExpressionEpochs',
    'relabelEvery',
    'restarts',
  ] as const) {
    checkInteger(caller, name, resolved[name], { min: 1 });
  }
  checkNumber(caller, 'learningRate', resolved.learningRate, { above: 0 });
  checkInteger(caller, 'seed', resolved.seed);
  return resolved;
}
