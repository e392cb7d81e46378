/**
 * The safetensors format: 8 bytes of header length (little-endian), a JSON header, the numbers. Written here, since it is
 * short and nothing on npm is kept up. A file may come from a stranger: all is checked before a number is read.
 */
import { CheckpointError } from '@orth/backend';
import { type FileTensor, sizeOf } from './fileTensor.js';

/** Bytes of a number, by dtype; other dtypes are refused. */
const BYTES: Readonly<Record<string, number>> = { F64: 8, F32: 4, F16: 2, BF16: 2 };

/** The format's own bound on the header's length. */
const LONGEST_HEADER = 100_000_000;
const LENGTH_BYTES = 8;

/** Tensors and texts of a safetensors file. */
export interface Safetensors {
  /** By name, in the file's order. */
  readonly tensors: ReadonlyMap<string, FileTensor>;
  /** The texts under `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
}

function fail(problem: string): never {
  throw new CheckpointError(`decodeSafetensors: ${problem}`);
}

const isRecord = (x: unknown): x is Record<string, unknown> =>
  typeof x === 'object' && x !== null && !Array.isArray(x);

const isSize = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;

/**
 * Tensors as a safetensors file, float32, header padded so that the numbers are aligned.
 *
 * @param tensors - row-major, by name
 * @param metadata - texts to keep beside them. Default: none
 * @throws TypeError or RangeError if a name is `__metadata__`, or numbers and shape disagree
 * @see https://github.com/huggingface/safetensors, "Format"
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, FileTensor>,
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array<ArrayBuffer> {
  const entries: string[] = [];
  const write = (key: string, value: unknown) => {
    entries.push(`${JSON.stringify(key)}:${JSON.stringify(value)}`);
  };
  const texts = [...metadata].map(
    ([key, text]) => `${JSON.stringify(key)}:${JSON.stringify(text)}`,
  );
  if (texts.length > 0) entries.push(`"__metadata__":{${texts.join(',')}}`);
  let at = 0;
  for (const [name, { shape, data }] of tensors) {
    if (name === '__metadata__') {
      throw new RangeError(`encodeSafetensors: a tensor must not be called __metadata__, got one`);
    }
    if (!shape.every(isSize) || sizeOf(shape) !== data.length) {
      const rule = `${name} must have as many numbers as its shape says`;
      throw new RangeError(`encodeSafetensors: ${rule}, got ${data.length} for [${shape}]`);
    }
    write(name, { dtype: 'F32', shape, data_offsets: [at, at + 4 * data.length] });
    at += 4 * data.length;
  }
  const header = new TextEncoder().encode(`{${entries.join(',')}}`);
  const dataAt = LENGTH_BYTES + Math.ceil(header.length / 8) * 8;
  const bytes = new Uint8Array(dataAt + at);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(dataAt - LENGTH_BYTES), true);
  bytes.fill(0x20, LENGTH_BYTES, dataAt).set(header, LENGTH_BYTES);
  let to = dataAt;
  for (const { data } of tensors.values()) {
    for (let i = 0; i < data.length; i++, to += 4) view.setFloat32(to, data[i]!, true);
  }
  return bytes;
}

interface Entry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly from: number;
  readonly to: number;
}

/**
 * Reads a safetensors file of float32, float64, float16 or bfloat16 tensors; all become float32.
 *
 * @param bytes - the whole file
 * @throws CheckpointError if the bytes are cut short or damaged, a dtype is another, tensors overlap, leave gaps or reach
 *   past the end
 * @example
 * const { tensors } = decodeSafetensors(readFileSync('adapter_model.safetensors'));
 */
export function decodeSafetensors(bytes: Uint8Array): Safetensors {
  if (!(bytes instanceof Uint8Array)) fail('bytes must be a Uint8Array');
  if (bytes.length < LENGTH_BYTES + 2) fail('these bytes are too few for a safetensors file');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(LONGEST_HEADER))
    fail('the header is too long, or this is no safetensors file');
  const dataAt = LENGTH_BYTES + Number(length);
  if (dataAt > bytes.length) fail('the header is longer than the bytes: cut short?');
  const { entries, metadata } = readHeader(bytes.subarray(LENGTH_BYTES, dataAt));
  // The numbers have to follow one another without gap or overlap, to the last byte.
  let expected = 0;
  for (const { name, from, to } of [...entries].sort((a, b) => a.from - b.from || a.to - b.to)) {
    if (from !== expected) fail(`${JSON.stringify(name)} overlaps another tensor or leaves a gap`);
    expected = to;
  }
  if (dataAt + expected !== bytes.length) {
    fail(`the header tells of ${expected} bytes of numbers, got ${bytes.length - dataAt}`);
  }
  const tensors = new Map<string, FileTensor>();
  for (const entry of entries) {
    tensors.set(entry.name, { shape: entry.shape, data: readNumbers(view, dataAt, entry) });
  }
  return { tensors, metadata };
}

function readHeader(bytes: Uint8Array): { entries: Entry[]; metadata: Map<string, string> } {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    fail('the header is not JSON');
  }
  if (!isRecord(header)) return fail('the header is not an object');
  const metadata = new Map<string, string>();
  const entries: Entry[] = [];
  // Names go into maps: as keys of objects, `__proto__` would reach further than this file.
  for (const [name, value] of Object.entries(header)) {
    if (!isRecord(value)) return fail(`${JSON.stringify(name)} is not described by an object`);
    if (name === '__metadata__') {
      for (const [key, text] of Object.entries(value)) {
        if (typeof text !== 'string') fail('__metadata__ must hold texts');
        metadata.set(key, text as string);
      }
    } else entries.push(readEntry(name, value));
  }
  return { entries, metadata };
}

function readEntry(name: string, { dtype, shape, data_offsets }: Record<string, unknown>): Entry {
  const label = JSON.stringify(name);
  if (typeof dtype !== 'string' || !Object.hasOwn(BYTES, dtype)) {
    return fail(`${label} must have dtype ${Object.keys(BYTES).join(', ')}, got ${String(dtype)}`);
  }
  if (!Array.isArray(shape) || !shape.every(isSize)) return fail(`${label} has no valid shape`);
  if (!Array.isArray(data_offsets) || data_offsets.length !== 2 || !data_offsets.every(isSize)) {
    return fail(`${label} has no valid data_offsets`);
  }
  const [from, to] = data_offsets as [number, number];
  const size = sizeOf(shape) * BYTES[dtype]!;
  if (!Number.isSafeInteger(size) || to - from !== size) {
    return fail(`${label} of shape [${shape}] needs ${size} bytes, got ${to - from}`);
  }
  return { name, dtype, shape, from, to };
}

function readNumbers(view: DataView, dataAt: number, { dtype, shape, from }: Entry): Float32Array {
  const width = BYTES[dtype]!;
  const read = READERS[dtype]!;
  return Float32Array.from({ length: sizeOf(shape) }, (_, i) =>
    read(view, dataAt + from + i * width),
  );
}

const READERS: Readonly<Record<string, (view: DataView, at: number) => number>> = {
  F64: (view, at) => view.getFloat64(at, true),
  F32: (view, at) => view.getFloat32(at, true),
  F16: (view, at) => halfToNumber(view.getUint16(at, true)),
  BF16: (view, at) => {
    WORD.setUint32(0, view.getUint16(at, true) << 16);
    return WORD.getFloat32(0);
  },
};

const WORD = new DataView(new ArrayBuffer(4));

/** IEEE 754 binary16. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
