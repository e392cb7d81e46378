import { checkInteger, checkNumber, checkOptions, checkTensor, seededRandom } from '@orth/backend';
import { type Tensor, tensor, tidy } from '@tensorflow/tfjs-core';
import { checkFunction, checkNumbers } from '../checks.js';
import type { Predictor } from './evaluate.js';

/** Options of {@link sampleTokens}. */
export interface SampleTokensOptions {
  /** What each text goes on from: token rows of one length, which is what the model sees at each step. */
  readonly prompts: readonly ArrayLike<number>[];
  /** Tokens of each text, integer >= 1. */
  readonly length: number;
  /** Divides the logits, > 0. Default 1 */
  readonly temperature?: number;
  /** Seed of the draws. Default 0 */
  readonly seed?: number;
  /** Stops before the next token. */
  readonly signal?: AbortSignal;
}

/** One draw from softmax(logits / T), by Gumbel's trick left out: the cumulative sum is as quick for a few hundred. */
function draw(logits: Float32Array, temperature: number, uniform: number): number {
  let greatest = -Infinity;
  for (const l of logits) greatest = Math.max(greatest, l);
  let total = 0;
  for (const l of logits) total += Math.exp((l - greatest) / temperature);
  let left = uniform * total;
  for (let token = 0; token < logits.length; token++) {
    left -= Math.exp((logits[token]! - greatest) / temperature);
    if (left < 0) return token;
  }
  // Rounding only: the last token with a positive probability.
  return logits.length - 1;
}

/**
 * Texts that a model (or an {@link Ensemble}) writes, token by token, all at once in a batch.
 *
 * @param model - logits of a window of tokens `[B, T]`, int32: `[B, V]`, or `[B, T, V]` of which the last are taken
 * @returns the texts, without their prompts
 * @throws TypeError or RangeError for a wrong option or logits of another shape
 */
export async function sampleTokens(
  model: Predictor,
  options: SampleTokensOptions,
): Promise<Int32Array[]> {
  const caller = 'sampleTokens';
  checkOptions(caller, options, ['prompts', 'length', 'temperature', 'seed', 'signal']);
  checkFunction(caller, 'model.predict', model?.predict);
  const { prompts, length, temperature = 1, seed = 0, signal } = options;
  checkInteger(caller, 'length', length, { min: 1 });
  checkNumber(caller, 'temperature', temperature, { above: 0 });
  if (!Array.isArray(prompts) || prompts.length === 0) {
    throw new TypeError(`${caller}: prompts must be a list of token rows`);
  }
  const width = prompts[0]!.length;
  prompts.forEach((prompt, i) => {
    checkNumbers(caller, `prompts[${i}]`, prompt, { min: 0, minLength: width });
    if (prompt.length !== width) {
      throw new RangeError(
        `${caller}: prompts must have one length, got ${width} and ${prompt.length}`,
      );
    }
  });
  const random = seededRandom(seed);
  const rows = prompts.length;
  const windows = new Int32Array(rows * width);
  prompts.forEach((prompt, row) => {
    windows.set(Array.from(prompt), row * width);
  });
  const texts = prompts.map(() => new Int32Array(length));
  for (let at = 0; at < length; at++) {
    signal?.throwIfAborted();
    const input = tensor(windows.slice(), [rows, width], 'int32');
    let logits: Tensor;
    try {
      logits = tidy(() => model.predict(input));
    } finally {
      input.dispose();
    }
    const [lead, vocabulary] = [logits.shape.slice(0, -1), logits.shape.at(-1)!];
    const values = (await logits.data()) as Float32Array;
    const shape = lead.length === 1 ? [rows, null] : [rows, width, null];
    checkTensor(caller, 'logits', logits, { shape });
    logits.dispose();
    const stride = values.length / rows;
    for (let row = 0; row < rows; row++) {
      const end = (row + 1) * stride;
      const token = draw(values.subarray(end - vocabulary, end), temperature, random.uniform());
      texts[row]![at] = token;
      windows.copyWithin(row * width, row * width + 1, (row + 1) * width);
      windows[(row + 1) * width - 1] = token;
    }
  }
  return texts;
}
