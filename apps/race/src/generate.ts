import { checkNumber, type Random } from '@orth/backend';
import { div, slice, softmax, type Tensor, tensor1d, tidy } from '@tensorflow/tfjs-core';
import type { Gpt } from './model.js';
import { BYTES } from './modelShape.js';

/** Options of {@link generate}. */
export interface GenerateOptions {
  /** Text to continue; not empty. */
  readonly prompt: string;
  /** Bytes to add. */
  readonly bytes: number;
  /** Divides the logits: below 1 bolder, above 1 wilder; > 0. Default 0.7 */
  readonly temperature?: number;
  /** Where the draws come from. */
  readonly random: Random;
  /** Stops between two bytes. */
  readonly signal?: AbortSignal;
}

/**
 * Continues a text, byte by byte, each drawn from the model's distribution.
 * @returns prompt and continuation, decoded as UTF-8
 * @throws RangeError for an empty prompt or a temperature <= 0
 */
export async function generate(
  model: Gpt,
  { prompt, bytes, temperature = 0.7, random, signal }: GenerateOptions,
): Promise<string> {
  checkNumber('generate', 'temperature', temperature, { above: 0 });
  const text = [...new TextEncoder().encode(prompt)];
  checkNumber('generate', 'prompt length in bytes', text.length, { min: 1 });
  const { context } = model.shape;
  for (let i = 0; i < bytes && !signal?.aborted; i++) {
    const window = text.slice(-context);
    const probabilities: Tensor = tidy(() => {
      const logits = model.logits(tensor1d(window, 'int32'), window.length);
      return softmax(div(slice(logits, [window.length - 1, 0], [1, BYTES]), temperature));
    });
    text.push(draw(await probabilities.data(), random.uniform()));
    probabilities.dispose();
  }
  return new TextDecoder().decode(Uint8Array.from(text));
}

/** The first index at which the running sum passes `u`. */
function draw(probabilities: ArrayLike<number>, u: number): number {
  let sum = 0;
  for (let i = 0; i < probabilities.length; i++) {
    sum += probabilities[i]!;
    if (u < sum) return i;
  }
  return probabilities.length - 1;
}
