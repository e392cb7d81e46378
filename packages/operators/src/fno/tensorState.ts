/** Float32 tensors as JSON: base64 of little-endian bytes, so that a state saved anywhere is restored bit for bit. */
import { CheckpointError } from '@orth/backend';

/** A float32 tensor, fit for JSON. */
export interface TensorState {
  readonly shape: readonly number[];
  /** Base64 of the little-endian float32 numbers, row-major. */
  readonly data: string;
}

const CHUNK = 0x8000;

/** Numbers as base64. */
export function encodeNumbers(values: Float32Array): string {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((x, i) => {
    view.setFloat32(4 * i, x, true);
  });
  let text = '';
  for (let i = 0; i < bytes.length; i += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(i, i + CHUNK));
  }
  return btoa(text);
}

/** Inverse of {@link encodeNumbers}; checks the shape. @throws CheckpointError */
export function decodeTensor(
  caller: string,
  name: string,
  state: unknown,
  shape: readonly number[],
): Float32Array {
  const fail = (problem: string): never => {
    throw new CheckpointError(`${caller}: ${name} ${problem}`);
  };
  if (typeof state !== 'object' || state === null) return fail('is missing');
  const { shape: own, data } = state as Partial<TensorState>;
  if (`${own}` !== `${shape}`) return fail(`must have shape [${shape}], got [${own}]`);
  if (typeof data !== 'string') return fail('has no data');
  let text = '';
  try {
    text = atob(data);
  } catch {
    return fail('is not base64');
  }
  const size = shape.reduce((product, n) => product * n, 1);
  if (text.length !== 4 * size) return fail(`must hold ${size} numbers, got ${text.length / 4}`);
  const view = new DataView(Uint8Array.from(text, (c) => c.charCodeAt(0)).buffer);
  return Float32Array.from({ length: size }, (_, i) => view.getFloat32(4 * i, true));
}
