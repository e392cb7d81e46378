/** Data as rows that can be asked for by number, and the order in which training sees them. */
import {
  CheckpointError,
  checkInteger,
  checkOneOf,
  checkOptions,
  type Random,
  type RandomState,
  restoreRandom,
  seededRandom,
} from '@orth/backend';
import { type Tensor, tensor } from '@tensorflow/tfjs-core';
import { checkNumbers } from '../checks.js';

/** Examples, which the caller disposes. */
export interface Batch {
  /** One row an example. */
  readonly inputs: Tensor;
  /** Whole numbers, int32: one an example, or one for each position. */
  readonly targets: Tensor;
}

/** Examples by number. */
export interface Dataset {
  /** How many there are. */
  readonly size: number;
  /** Some of them, in the order of `indices`. */
  batch(indices: readonly number[]): Batch;
}

/** Windows of a text, as {@link tokenWindows} makes them. */
export interface TokenDataset extends Dataset {
  readonly tokens: Int32Array;
  readonly contextLength: number;
  readonly targets: 'last' | 'all';
}

/** Options of {@link tokenWindows}. */
export interface TokenWindowsOptions {
  /** Tokens that a prediction sees, integer >= 1. */
  readonly contextLength: number;
  /** What is predicted: the token after the window (`[B]`), or that after each of its tokens (`[B, T]`). Default `'last'` */
  readonly targets?: 'last' | 'all';
}

/**
 * Every window of a text as an example: `contextLength` tokens, and the token or tokens to predict.
 * @param tokens - whole numbers >= 0, more than `contextLength`
 * @throws TypeError or RangeError for a wrong token or option
 */
export function tokenWindows(
  tokens: ArrayLike<number>,
  options: TokenWindowsOptions,
): TokenDataset {
  const caller = 'tokenWindows';
  checkOptions(caller, options, ['contextLength', 'targets']);
  const { contextLength, targets = 'last' } = options;
  checkInteger(caller, 'contextLength', contextLength, { min: 1 });
  checkOneOf(caller, 'targets', targets, ['last', 'all']);
  checkNumbers(caller, 'tokens', tokens, { min: 0, minLength: contextLength + 1 });
  const text = Int32Array.from(tokens);
  return {
    tokens: text,
    contextLength,
    targets,
    size: text.length - contextLength,
    batch(indices) {
      const rows = indices.length;
      const inputs = new Int32Array(rows * contextLength);
      const all = targets === 'all';
      const next = new Int32Array(all ? rows * contextLength : rows);
      indices.forEach((from, row) => {
        inputs.set(text.subarray(from, from + contextLength), row * contextLength);
        if (all) next.set(text.subarray(from + 1, from + contextLength + 1), row * contextLength);
        else next[row] = text[from + contextLength]!;
      });
      return {
        inputs: tensor(inputs, [rows, contextLength], 'int32'),
        targets: tensor(next, all ? [rows, contextLength] : [rows], 'int32'),
      };
    },
  };
}

/** Where an {@link EpochSampler} is: plain JSON. */
export interface EpochSamplerState {
  /** State of the random source before the current epoch was shuffled. */
  readonly random: RandomState;
  /** Examples of the current epoch that were given out. */
  readonly position: number;
}

/** Draws batches without replacement, in a new order each epoch; a batch may hold the end of one and the start of the next. */
export class EpochSampler {
  private random: Random;
  private before: RandomState;
  private order: number[];
  private position = 0;

  /**
   * A sampler at the start of its first epoch.
   * @param size - examples, integer >= 1
   * @param batchSize - integer >= 1
   * @param seed - integer
   * @throws TypeError or RangeError for a wrong number
   */
  constructor(
    private readonly size: number,
    private readonly batchSize: number,
    seed: number,
  ) {
    checkInteger('EpochSampler', 'size', size, { min: 1 });
    checkInteger('EpochSampler', 'batchSize', batchSize, { min: 1 });
    this.random = seededRandom(seed);
    this.before = this.random.state();
    this.order = this.shuffled();
  }

  /** Numbers of the next batch's examples. */
  next(): number[] {
    const batch: number[] = [];
    while (batch.length < this.batchSize) {
      if (this.position === this.size) {
        this.before = this.random.state();
        this.order = this.shuffled();
        this.position = 0;
      }
      const end = Math.min(this.position + this.batchSize - batch.length, this.size);
      batch.push(...this.order.slice(this.position, end));
      this.position = end;
    }
    return batch;
  }

  /** The state that {@link restore} continues from. */
  state(): EpochSamplerState {
    return { random: this.before, position: this.position };
  }

  /**
   * Continues from a state of a sampler of the same size.
   * @throws CheckpointError if `state` is no such state; nothing is changed then
   */
  restore({ random, position }: EpochSamplerState): void {
    const source = restoreRandom(random);
    if (!Number.isInteger(position) || position < 0 || position > this.size) {
      throw new CheckpointError(
        `EpochSampler.restore: position must be an integer in [0, ${this.size}], got ${position}`,
      );
    }
    this.random = source;
    this.before = random;
    this.order = this.shuffled();
    this.position = position;
  }

  private shuffled(): number[] {
    return this.random.shuffle(Array.from({ length: this.size }, (_, i) => i));
  }
}
