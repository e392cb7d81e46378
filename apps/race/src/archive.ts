/**
 * One file that holds plain data with typed arrays, and knows when it is damaged:
 *
 *     8 bytes   magic
 *     32 bytes  SHA-256 of all that follows
 *     4 bytes   length of the header, little-endian
 *     header    JSON; a typed array is `{"$array": type, "offset": bytes, "length": items}`
 *     arrays    each at a multiple of 8 bytes from the end of the header's own padding
 */
import { createHash, randomUUID } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CheckpointError } from '@orth/backend';

const MAGIC = Buffer.from('ORTHRACE');
const HASH_BYTES = 32;
const START = MAGIC.length + HASH_BYTES;
const ALIGNMENT = 8;

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  uint8: Uint8Array,
} as const;
type ArrayName = keyof typeof ARRAYS;
type TypedArray = InstanceType<(typeof ARRAYS)[ArrayName]>;

const align = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();

function nameOf(value: unknown): ArrayName | undefined {
  const names = Object.keys(ARRAYS) as ArrayName[];
  return names.find((name) => value instanceof ARRAYS[name]);
}

/**
 * Packs plain data: objects, arrays, strings, finite numbers, booleans, null, and typed arrays anywhere among them.
 * @throws TypeError for a number that JSON cannot hold
 */
export function encodeArchive(value: unknown): Buffer {
  const arrays: TypedArray[] = [];
  let size = 0;
  const json = JSON.stringify(value, (key, item: unknown) => {
    const name = nameOf(item);
    if (name) {
      const array = item as TypedArray;
      const entry = { $array: name, offset: size, length: array.length };
      arrays.push(array);
      size += align(array.byteLength);
      return entry;
    }
    if (typeof item === 'number' && !Number.isFinite(item)) {
      throw new TypeError(`encodeArchive: ${key} must be a finite number, got ${item}`);
    }
    return item;
  });
  const header = Buffer.from(json);
  const base = START + align(4 + header.length);
  const bytes = Buffer.alloc(base + size);
  bytes.writeUInt32LE(header.length, START);
  header.copy(bytes, START + 4);
  let offset = base;
  for (const array of arrays) {
    Buffer.from(array.buffer, array.byteOffset, array.byteLength).copy(bytes, offset);
    offset += align(array.byteLength);
  }
  MAGIC.copy(bytes);
  digest(bytes.subarray(START)).copy(bytes, MAGIC.length);
  return bytes;
}

/**
 * Unpacks what {@link encodeArchive} packed.
 * @throws CheckpointError if the bytes are something else, cut short, or changed in any bit
 */
export function decodeArchive(bytes: Buffer, source: string): unknown {
  if (bytes.length < START || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new CheckpointError(`${source} is not a checkpoint of the race`);
  }
  const body = bytes.subarray(START);
  if (!digest(body).equals(bytes.subarray(MAGIC.length, START))) {
    throw new CheckpointError(`${source} is damaged: its checksum does not match its contents`);
  }
  const headerLength = body.readUInt32LE(0);
  const base = align(4 + headerLength);
  const header = body.subarray(4, 4 + headerLength).toString();
  return JSON.parse(header, (_, item: unknown) => {
    if (typeof item !== 'object' || item === null || !('$array' in item)) return item;
    const { $array, offset, length } = item as {
      $array: ArrayName;
      offset: number;
      length: number;
    };
    const Type = ARRAYS[$array];
    const from = base + offset;
    // A copy of its own: the file's buffer need not be aligned, and can be freed.
    const copy = Uint8Array.from(body.subarray(from, from + length * Type.BYTES_PER_ELEMENT));
    return new Type(copy.buffer);
  });
}

/** Writes a file so that whoever looks sees the old contents or the new ones, never half of them. */
export async function writeAtomically(path: string, contents: Uint8Array | string): Promise<void> {
  const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
  try {
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(contents);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** @throws CheckpointError if the file cannot be read or is not a whole archive */
export async function readArchive(path: string): Promise<unknown> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'ENOENT' ? 'there is no such file' : error.message;
    throw new CheckpointError(`${path} cannot be read: ${why}`);
  });
  return decodeArchive(bytes, path);
}
