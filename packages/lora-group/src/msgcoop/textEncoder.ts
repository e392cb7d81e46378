import type { Tensor1D, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';

/**
 * A frozen text encoder, as much of it as learning prompts needs. {@link TinyTransformerEncoder} with CLIP's weights is
 * one; so is anything that embeds tokens and is differentiable with respect to the embeddings.
 *
 * What comes after the end-of-text token must not change a feature: prompts are padded to the longest of their batch only.
 */
export interface TextEncoder {
  /** Size d of a token's embedding. */
  readonly embedDim: number;
  /** Size D of a text's feature. */
  readonly featureDim: number;
  /** Most tokens of a prompt, start and end included; CLIP's is 77. */
  readonly maxLength: number;
  /** Token that fills up short prompts. Default 0 */
  readonly padId?: number;
  /**
   * Embeddings of tokens, without those of positions.
   * @param tokenIds - rows of one length L
   * @returns shape `[C, L, d]`
   */
  embed(tokenIds: number[][]): Tensor3D;
  /**
   * Features of prompts, differentiable with respect to them.
   * @param prompts - embeddings, shape `[B, L, d]`
   * @param eos - where each prompt ends, int32, shape `[B]`
   * @returns shape `[B, D]`, not normalised
   */
  encode(prompts: Tensor3D, eos: Tensor1D): Tensor2D;
  /**
   * Tokens of a text from its start to its end token, both included, without padding. Needed wherever texts are given
   * instead of tokens.
   */
  tokenize?(text: string): number[];
}

const isFunction = (x: unknown): boolean => typeof x === 'function';

/** @throws TypeError if `encoder` is no text encoder */
export function checkEncoder(caller: string, encoder: unknown): asserts encoder is TextEncoder {
  const x = encoder as Partial<TextEncoder> | null | undefined;
  const sizes = [x?.embedDim, x?.featureDim, x?.maxLength];
  if (
    isFunction(x?.embed) &&
    isFunction(x?.encode) &&
    sizes.every((size) => Number.isInteger(size) && (size as number) > 0)
  ) {
    return;
  }
  throw new TypeError(
    `${caller}: encoder must have embedDim, featureDim, maxLength, embed and encode, got ${typeof encoder}`,
  );
}

/**
 * Tokens of texts.
 * @throws TypeError if the encoder cannot make any
 */
export function tokenizeAll(
  caller: string,
  encoder: TextEncoder,
  texts: readonly string[],
): number[][] {
  if (!encoder.tokenize) {
    throw new TypeError(
      `${caller}: encoder must have tokenize where texts are given, got none; give tokens or tensors instead`,
    );
  }
  return texts.map((text) => encoder.tokenize!(text));
}

/**
 * Demands whole prompts: integers >= 0, at least a start and an end, no longer than the encoder takes with `extra` more.
 * @throws TypeError or RangeError naming the class
 */
export function checkTokens(
  caller: string,
  encoder: TextEncoder,
  tokens: unknown,
  extra: number,
  nameOf: (index: number) => string = (index) => `class ${index}`,
): asserts tokens is readonly (readonly number[])[] {
  if (!Array.isArray(tokens) || tokens.length === 0) {
    throw new TypeError(`${caller}: tokens must be a row of integers for each class, got none`);
  }
  tokens.forEach((row, index) => {
    const valid =
      Array.isArray(row) &&
      row.length >= 2 &&
      row.every((id) => Number.isInteger(id) && (id as number) >= 0);
    if (!valid) {
      throw new RangeError(
        `${caller}: tokens must be integers from a start to an end token, got ${JSON.stringify(row)} for ${nameOf(index)}`,
      );
    }
    if (row.length + extra > encoder.maxLength) {
      throw new RangeError(
        `${caller}: prompts must have at most ${encoder.maxLength} tokens, got ${row.length + extra} for ${nameOf(index)}`,
      );
    }
  });
}

/** Rows filled up to the longest. */
export function padRows(rows: readonly (readonly number[])[], padId = 0): number[][] {
  const longest = rows.reduce((most, row) => Math.max(most, row.length), 0);
  return rows.map((row) => [...row, ...new Array<number>(longest - row.length).fill(padId)]);
}
