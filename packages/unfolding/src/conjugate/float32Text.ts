import { CheckpointError, crc32 } from '@orth/backend';

/** float32 numbers as text that JSON keeps bit for bit, with a checksum. */
export interface Float32Text {
  /** Base64, little endian. */
  readonly base64: string;
  readonly crc32: number;
}

/** Long arguments lists overflow the stack. */
const CHUNK = 0x2000;

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Bytes of each number turned round, where the machine writes them the other way. */
function littleEndian(bytes: Uint8Array): Uint8Array {
  if (LITTLE_ENDIAN) return bytes;
  for (let i = 0; i < bytes.length; i += 4) bytes.subarray(i, i + 4).reverse();
  return bytes;
}

export function encodeFloat32(values: Float32Array): Float32Text {
  const bytes = littleEndian(new Uint8Array(values.slice().buffer));
  let text = '';
  for (let i = 0; i < bytes.length; i += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(i, i + CHUNK));
  }
  return { base64: btoa(text), crc32: crc32(bytes) };
}

/** @throws CheckpointError that says what is wrong with the text */
export function decodeFloat32(
  caller: string,
  name: string,
  saved: Float32Text | undefined,
  length: number,
): Float32Array {
  const fail = (problem: string) => new CheckpointError(`${caller}: ${name} ${problem}`);
  if (typeof saved?.base64 !== 'string') throw fail('is missing');
  let text: string;
  try {
    text = atob(saved.base64);
  } catch {
    throw fail('is damaged: no base64');
  }
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  if (crc32(bytes) !== saved.crc32) throw fail('is damaged: its checksum is wrong');
  if (bytes.length !== 4 * length) {
    throw fail(`must hold ${length} numbers, got ${bytes.length / 4}`);
  }
  const values = new Float32Array(littleEndian(bytes).buffer);
  if (!values.every(Number.isFinite)) throw fail('holds numbers that are not finite');
  return values;
}
