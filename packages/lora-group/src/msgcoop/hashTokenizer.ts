import { checkInteger } from '@orth/backend';

/** Tokens of {@link hashTokenizer} that mean something else than a word. */
const START = 1;
const END = 2;
const FIRST_WORD = 3;

/**
 * A tokenizer without a vocabulary, for tests and demos: each word and each punctuation mark, in small letters, is hashed
 * (FNV-1a) to one of `size - 3` tokens, so two words may share one. 0 is padding, 1 the start, 2 the end.
 *
 * @param size - of the vocabulary, integer >= 4
 * @throws TypeError or RangeError for a wrong size
 */
export function hashTokenizer(size: number): (text: string) => number[] {
  checkInteger('hashTokenizer', 'size', size, { min: FIRST_WORD + 1 });
  return (text) => {
    const words = text.toLowerCase().match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? [];
    const ids = words.map((word) => {
      let hash = 0x811c9dc5;
      for (const byte of new TextEncoder().encode(word)) {
        hash = Math.imul(hash ^ byte, 0x01000193);
      }
      return FIRST_WORD + ((hash >>> 0) % (size - FIRST_WORD));
    });
    return [START, ...ids, END];
  };
}
