/** Numbers of a policy as JSON without loss: base64 of little-endian float64, so that −0 and every last bit survive. */
import { CheckpointError } from '@orth/backend';
import type { Json } from './policy.js';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const CODES = Uint8Array.from({ length: 128 }, (_, code) => {
  const at = ALPHABET.indexOf(String.fromCharCode(code));
  return at < 0 ? 255 : at;
});

function toBase64(bytes: Uint8Array): string {
  const parts: string[] = [];
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const word = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    text += ALPHABET[word >> 18]! + ALPHABET[(word >> 12) & 63]!;
    text += left > 1 ? ALPHABET[(word >> 6) & 63]! : '=';
    text += left > 2 ? ALPHABET[word & 63]! : '=';
    if (text.length > 8000) {
      parts.push(text);
      text = '';
    }
  }
  parts.push(text);
  return parts.join('');
}

function fromBase64(text: string): Uint8Array | undefined {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  if (text.length % 4 !== 0) return undefined;
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  const end = text.length - padding;
  let at = 0;
  for (let i = 0; i < text.length; i += 4) {
    let word = 0;
    for (let k = 0; k < 4; k++) {
      const code = i + k < end ? (CODES[text.charCodeAt(i + k)] ?? 255) : 0;
      if (code > 63) return undefined;
      word = (word << 6) | code;
    }
    bytes[at++] = word >> 16;
    if (at < bytes.length) bytes[at++] = (word >> 8) & 255;
    if (at < bytes.length) bytes[at++] = word & 255;
  }
  return bytes;
}

/** The numbers as text. */
export function encodeNumbers(values: Float64Array | Float32Array): string {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) view.setFloat64(8 * i, values[i]!, true);
  return toBase64(bytes);
}

/** A JSON value whose infinities are words, as JSON has none. */
export function toPlain(value: unknown): Json {
  if (value === Infinity) return 'Infinity';
  if (value === -Infinity) return '-Infinity';
  if (Array.isArray(value)) return value.map(toPlain);
  if (typeof value === 'object' && value !== null) {
    const kept = Object.entries(value).filter(([, entry]) => entry !== undefined);
    return Object.fromEntries(kept.map(([key, entry]) => [key, toPlain(entry)]));
  }
  return value as Json;
}

/** Undoes {@link toPlain}. */
export function fromPlain(value: Json | undefined): unknown {
  if (value === 'Infinity') return Infinity;
  if (value === '-Infinity') return -Infinity;
  if (Array.isArray(value)) return value.map(fromPlain);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, fromPlain(entry)]));
  }
  return value;
}

/** Reads the `data` of a saved policy; whatever is missing or does not fit throws a `CheckpointError`. */
export class SavedData {
  constructor(
    private readonly caller: string,
    private readonly data: unknown,
    private readonly path = 'data',
  ) {
    if (typeof data !== 'object' || data === null || Array.isArray(data)) {
      throw new CheckpointError(`${caller}: ${path} must be an object`);
    }
  }

  private fail(key: string, rule: string): never {
    throw new CheckpointError(`${this.caller}: ${this.path}.${key} must ${rule}`);
  }

  private raw(key: string): unknown {
    return (this.data as Record<string, unknown>)[key];
  }

  /** Finite numbers that {@link encodeNumbers} wrote; `length` of them, where it is given. */
  numbers(key: string, length?: number): Float64Array {
    const text = this.raw(key);
    const bytes = typeof text === 'string' ? fromBase64(text) : undefined;
    if (!bytes || bytes.length % 8 !== 0) this.fail(key, 'be numbers in base64');
    const values = new Float64Array(bytes.length / 8);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < values.length; i++) values[i] = view.getFloat64(8 * i, true);
    if (length !== undefined && values.length !== length) {
      this.fail(key, `hold ${length} numbers, got ${values.length}`);
    }
    if (!values.every(Number.isFinite)) this.fail(key, 'hold finite numbers');
    return values;
  }

  /** An integer ≥ 0. */
  count(key: string): number {
    const value = this.raw(key);
    if (!Number.isSafeInteger(value) || (value as number) < 0) {
      this.fail(key, 'be an integer >= 0');
    }
    return value as number;
  }

  /** State of a random source. */
  randomState(key: string): readonly number[] {
    const value = this.raw(key);
    if (!Array.isArray(value)) this.fail(key, 'be a list of numbers');
    return value as number[];
  }

  /** A part that is an object. */
  part(key: string): SavedData {
    return new SavedData(this.caller, this.raw(key), `${this.path}.${key}`);
  }

  /** A part that is a list of `length` objects. */
  parts(key: string, length: number): SavedData[] {
    const value = this.raw(key);
    if (!Array.isArray(value) || value.length !== length) {
      this.fail(key, `be a list of ${length} objects`);
    }
    return value.map((entry, i) => new SavedData(this.caller, entry, `${this.path}.${key}[${i}]`));
  }
}
