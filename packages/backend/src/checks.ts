/**
 * Argument checks. Every message reads `<function>: <argument> must <rule>, got <value>`, and every check runs before
 * any state changes: `RangeError` for values, `TypeError` for kinds.
 */
import { Tensor } from '@tensorflow/tfjs-core';

/** Bounds of a number; each bound is inclusive unless it is named `above` or `below`. */
export interface NumberRange {
  /** Least value allowed. */
  readonly min?: number;
  /** Greatest value allowed. */
  readonly max?: number;
  /** The value must be greater than this. */
  readonly above?: number;
  /** The value must be less than this. */
  readonly below?: number;
}

/** What {@link checkTensor} demands of a tensor. */
export interface TensorRule {
  /** Exact rank. */
  readonly rank?: number;
  /** Least rank. */
  readonly minRank?: number;
  /** Exact shape; `null` leaves an axis free. */
  readonly shape?: readonly (number | null)[];
  /** Allowed dtypes. Default `['float32']` */
  readonly dtype?: readonly string[];
  /** Whether an axis may have length 0. Default false */
  readonly allowEmpty?: boolean;
}

function show(value: unknown): string {
  if (value instanceof Tensor) return `a ${value.dtype} tensor of shape [${value.shape}]`;
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) {
    const rest = value.length > 8 ? ', …' : '';
    return `[${value.slice(0, 8).map(show).join(', ')}${rest}]`;
  }
  if (typeof value === 'object' && value !== null) {
    return Object.getPrototypeOf(value) === Object.prototype
      ? `an object with the keys ${show(Object.keys(value))}`
      : `an instance of ${value.constructor?.name ?? 'an unknown class'}`;
  }
  return String(value);
}

function describe(range: NumberRange, noun: string): string {
  const parts: string[] = [];
  if (range.min !== undefined) parts.push(`>= ${range.min}`);
  if (range.above !== undefined) parts.push(`> ${range.above}`);
  if (range.max !== undefined) parts.push(`<= ${range.max}`);
  if (range.below !== undefined) parts.push(`< ${range.below}`);
  return parts.length > 0 ? `${noun} ${parts.join(' and ')}` : noun;
}

function inRange(value: number, range: NumberRange): boolean {
  return (
    value >= (range.min ?? Number.NEGATIVE_INFINITY) &&
    value <= (range.max ?? Number.POSITIVE_INFINITY) &&
    value > (range.above ?? Number.NEGATIVE_INFINITY) &&
    value < (range.below ?? Number.POSITIVE_INFINITY)
  );
}

/**
 * Demands a finite number.
 * @param caller - the function named in the message
 * @param argument - the argument named in the message
 * @throws TypeError if `value` is not a number; RangeError if it is not finite or out of `range`
 */
export function checkNumber(
  caller: string,
  argument: string,
  value: unknown,
  range: NumberRange = {},
): asserts value is number {
  const rule = `${caller}: ${argument} must be ${describe(range, 'a finite number')}, got ${show(value)}`;
  if (typeof value !== 'number') throw new TypeError(rule);
  if (!Number.isFinite(value) || !inRange(value, range)) throw new RangeError(rule);
}

/**
 * Demands an integer.
 * @throws TypeError if `value` is not a number; RangeError if it is not an integer or out of `range`
 */
export function checkInteger(
  caller: string,
  argument: string,
  value: unknown,
  range: NumberRange = {},
): asserts value is number {
  const rule = `${caller}: ${argument} must be ${describe(range, 'an integer')}, got ${show(value)}`;
  if (typeof value !== 'number') throw new TypeError(rule);
  if (!Number.isInteger(value) || !inRange(value, range)) throw new RangeError(rule);
}

/**
 * Demands true or false.
 * @throws TypeError otherwise
 */
export function checkBoolean(
  caller: string,
  argument: string,
  value: unknown,
): asserts value is boolean {
  if (typeof value === 'boolean') return;
  throw new TypeError(`${caller}: ${argument} must be true or false, got ${show(value)}`);
}

/**
 * Demands one of a few values.
 * @throws RangeError otherwise, listing the choices
 */
export function checkOneOf<T>(
  caller: string,
  argument: string,
  value: unknown,
  choices: readonly T[],
): asserts value is T {
  if (choices.includes(value as T)) return;
  const list = choices.map(show).join(', ');
  throw new RangeError(`${caller}: ${argument} must be one of ${list}, got ${show(value)}`);
}

/**
 * Demands a plain options object without unknown keys, so that a misspelt option is never silently ignored.
 * @throws TypeError if `options` is not an object or has a key that is not in `known`
 */
export function checkOptions(caller: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new TypeError(`${caller}: options must be an object, got ${show(options)}`);
  }
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    throw new TypeError(`${caller}: unknown option ${show(key)}; known are ${known.join(', ')}`);
  }
}

/**
 * Demands a tensor of a certain rank, shape and dtype.
 * @throws TypeError if `x` is no tensor or has another dtype; RangeError for rank, shape, or an empty axis; Error if it
 *   was disposed
 */
export function checkTensor(
  caller: string,
  argument: string,
  x: unknown,
  rule: TensorRule = {},
): asserts x is Tensor {
  if (!(x instanceof Tensor)) {
    throw new TypeError(`${caller}: ${argument} must be a tensor, got ${show(x)}`);
  }
  if (x.isDisposed) throw new Error(`${caller}: ${argument} must not be disposed`);
  const { rank, minRank, shape, dtype = ['float32'], allowEmpty = false } = rule;
  const got = `got shape [${x.shape}]`;
  if (!dtype.includes(x.dtype)) {
    throw new TypeError(
      `${caller}: ${argument} must have dtype ${dtype.join(' or ')}, got ${x.dtype}`,
    );
  }
  if (rank !== undefined && x.rank !== rank) {
    throw new RangeError(`${caller}: ${argument} must have rank ${rank}, ${got}`);
  }
  if (minRank !== undefined && x.rank < minRank) {
    throw new RangeError(`${caller}: ${argument} must have rank >= ${minRank}, ${got}`);
  }
  if (
    shape &&
    (shape.length !== x.rank || shape.some((n, axis) => n !== null && n !== x.shape[axis]))
  ) {
    const want = shape.map((n) => n ?? '*').join(',');
    throw new RangeError(`${caller}: ${argument} must have shape [${want}], ${got}`);
  }
  if (!allowEmpty && x.size === 0) {
    throw new RangeError(`${caller}: ${argument} must not be empty, ${got}`);
  }
}

/**
 * Demands that every entry is finite. A tensor is read back synchronously: slow on WebGPU in a browser, and impossible
 * on WebGPU in Node, where it throws; pass `await tensor.data()` there.
 * @throws RangeError naming the first entry that is not
 */
export function checkFinite(
  caller: string,
  argument: string,
  values: Tensor | ArrayLike<number>,
): void {
  const flat = values instanceof Tensor ? values.dataSync() : values;
  for (let i = 0; i < flat.length; i++) {
    if (Number.isFinite(flat[i])) continue;
    throw new RangeError(`${caller}: ${argument} must be finite, got ${flat[i]} at index ${i}`);
  }
}
