import { type Tensor2D, tensor1d, tidy } from '@tensorflow/tfjs-core';
import { padRows, type TextEncoder } from './textEncoder.js';

/** Features of whole prompts that contain nothing learned, shape `[texts, D]`, not normalised. */
export function encodeTokens(
  encoder: TextEncoder,
  tokens: readonly (readonly number[])[],
): Tensor2D {
  return tidy(() => {
    const ends = tokens.map((row) => row.length - 1);
    return encoder.encode(encoder.embed(padRows(tokens, encoder.padId)), tensor1d(ends, 'int32'));
  });
}
