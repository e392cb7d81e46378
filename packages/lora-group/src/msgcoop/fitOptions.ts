import { checkBoolean, checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { Optimizer } from '@tensorflow/tfjs-core';
import { warmupCosine } from './warmupCosine.js';

/** Losses of a step or, as means over images, of an epoch. */
export interface FitLosses {
  readonly ce: number;
  readonly semantic: number;
  readonly diversity: number;
  /** Weighted sum. */
  readonly loss: number;
}

/** Progress after a step. */
export interface FitStep extends FitLosses {
  /** Epoch and step within it, from 0. */
  readonly epoch: number;
  readonly step: number;
  /** Steps of this call in all, and done. */
  readonly total: number;
  readonly done: number;
}

/** Progress after an epoch. */
export interface FitEpoch extends FitLosses {
  /** From 0. */
  readonly epoch: number;
  /** Epochs of the whole training. */
  readonly epochs: number;
  /** Undefined with an optimizer of yours. */
  readonly learningRate: number | undefined;
}

/** Options of {@link MSGCoOp.fit}. */
export interface FitOptions {
  /** Epochs of the whole training, also the length of the schedule. Default 100 */
  readonly epochs?: number;
  /** Epochs already done; momentum goes on from there, at 0 (default) it starts anew. */
  readonly initialEpoch?: number;
  /** Stop after so many epochs. Default: `epochs` */
  readonly finalEpoch?: number;
  /** Images a step. Default 128 */
  readonly batchSize?: number;
  /** A constant, or by epoch from 0. Default `warmupCosine({ epochs })`, up to 0.002 */
  readonly learningRate?: number | ((epoch: number) => number);
  /** Of SGD, in [0, 1). Default 0.9 */
  readonly momentum?: number;
  /** Of SGD, added to the gradient as PyTorch does. Default 5e-4 */
  readonly weightDecay?: number;
  /** Any optimizer in place of SGD; the three options above are then its own affair, as is saving its state. */
  readonly optimizer?: Optimizer;
  /** Whether images come in another order each epoch, where they do not fit one step. Default true */
  readonly shuffle?: boolean;
  /** Called after each step; awaited. */
  readonly onStep?: (progress: FitStep) => void | Promise<void>;
  /** Called after each epoch; awaited. */
  readonly onEpoch?: (progress: FitEpoch) => void | Promise<void>;
  /** Stops training before the next step; what was learned stays. */
  readonly signal?: AbortSignal;
}

/** Options with defaults. */
export interface ResolvedFit {
  readonly epochs: number;
  readonly initialEpoch: number;
  readonly finalEpoch: number;
  readonly batchSize: number;
  readonly learningRate: (epoch: number) => number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly optimizer: Optimizer | undefined;
  readonly shuffle: boolean;
}

const SGD_OPTIONS = ['learningRate', 'momentum', 'weightDecay'] as const;

/** @throws TypeError or RangeError for a wrong option */
export function resolveFit(caller: string, options: FitOptions): ResolvedFit {
  checkOptions(caller, options, [
    ...['epochs', 'initialEpoch', 'finalEpoch', 'batchSize', 'optimizer', 'shuffle'],
    ...SGD_OPTIONS,
    ...['onStep', 'onEpoch', 'signal'],
  ]);
  const { epochs = 100, initialEpoch = 0, batchSize = 128, shuffle = true } = options;
  const { momentum = 0.9, weightDecay = 5e-4, optimizer } = options;
  checkInteger(caller, 'epochs', epochs, { min: 1 });
  const { finalEpoch = epochs, learningRate = warmupCosine({ epochs }) } = options;
  checkInteger(caller, 'initialEpoch', initialEpoch, { min: 0, max: epochs });
  checkInteger(caller, 'finalEpoch', finalEpoch, { min: initialEpoch, max: epochs });
  checkInteger(caller, 'batchSize', batchSize, { min: 1 });
  checkNumber(caller, 'momentum', momentum, { min: 0, below: 1 });
  checkNumber(caller, 'weightDecay', weightDecay, { min: 0 });
  checkBoolean(caller, 'shuffle', shuffle);
  if (typeof learningRate !== 'function') {
    checkNumber(caller, 'learningRate', learningRate, { min: 0 });
  }
  if (optimizer !== undefined) {
    if (!(optimizer instanceof Optimizer)) {
      throw new TypeError(`${caller}: optimizer must be one of tfjs, got ${typeof optimizer}`);
    }
    for (const name of SGD_OPTIONS) {
      if (options[name] === undefined) continue;
      throw new TypeError(`${caller}: ${name} must not be given beside optimizer, got both`);
    }
  }
  return {
    epochs,
    initialEpoch,
    finalEpoch,
    batchSize,
    learningRate: typeof learningRate === 'function' ? learningRate : () => learningRate,
    momentum,
    weightDecay,
    optimizer,
    shuffle,
  };
}
