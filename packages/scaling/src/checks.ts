/** Argument checks that several functions of this package share. */
import { checkNumber, type NumberRange } from '@orth/backend';

/** Numbers in an array of any kind, each finite and within `range`. */
export function checkNumbers(
  caller: string,
  argument: string,
  values: unknown,
  range: NumberRange & { minLength?: number } = {},
): asserts values is ArrayLike<number> {
  const { minLength = 1, ...bounds } = range;
  const isArray = Array.isArray(values) || (ArrayBuffer.isView(values) && 'length' in values);
  if (!isArray) {
    throw new TypeError(`${caller}: ${argument} must be an array of numbers, got ${typeof values}`);
  }
  const numbers = values as ArrayLike<number>;
  if (numbers.length < minLength) {
    throw new RangeError(
      `${caller}: ${argument} must have at least ${minLength} entries, got ${numbers.length}`,
    );
  }
  const { min = -Infinity, above = -Infinity, max = Infinity, below = Infinity } = bounds;
  for (let i = 0; i < numbers.length; i++) {
    const x = numbers[i]!;
    // The message is made only when it is needed: a spectrum may have a million entries.
    if (Number.isFinite(x) && x >= min && x > above && x <= max && x < below) continue;
    checkNumber(caller, `${argument}[${i}]`, x, bounds);
  }
}

/** Demands two arrays of one length. */
export function checkSameLength(
  caller: string,
  first: readonly [string, ArrayLike<unknown>],
  second: readonly [string, ArrayLike<unknown>],
): void {
  if (first[1].length === second[1].length) return;
  throw new RangeError(
    `${caller}: ${second[0]} must have as many entries as ${first[0]} (${first[1].length}), got ${second[1].length}`,
  );
}

/** Demands a function. */
export function checkFunction(caller: string, argument: string, value: unknown): void {
  if (typeof value === 'function') return;
  throw new TypeError(`${caller}: ${argument} must be a function, got ${typeof value}`);
}
