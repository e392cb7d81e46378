/**
 * An optimizer state as bytes. Little-endian: the magic `ORTHOPT1`, the CRC-32 of all that follows, the header's length
 * (both uint32), the header (JSON, UTF-8, padded with spaces to a multiple of 4), and the float32 or int32 numbers of all slots
 * in the header's order.
 */
import { CheckpointError, crc32 } from '@orth/backend';
import { checkState, type OptimizerState, parseState, type SlotState } from './checkpoint.js';
import { sizeOf } from './targets.js';

const MAGIC = new TextEncoder().encode('ORTHOPT1');
const CRC_AT = MAGIC.length;
const LENGTH_AT = CRC_AT + 4;
const HEADER_AT = LENGTH_AT + 4;

interface Header extends Omit<OptimizerState, 'variables'> {
  readonly variables: readonly {
    readonly name: string;
    readonly updates: number;
    readonly slots: readonly (Omit<SlotState, 'data'> & { readonly name: string })[];
  }[];
}

/**
 * A state of `saveState` as bytes, for a file, IndexedDB or the network.
 * @throws CheckpointError if `state` is not an optimizer state
 * @example
 * writeFileSync('optimizer.bin', encodeState(await optimizer.saveState()));
 */
export function encodeState(state: OptimizerState): Uint8Array {
  checkState('encodeState', state);
  const { variables, ...rest } = parseState(state);
  const header: Header = {
    ...rest,
    variables: variables.map(({ name, updates, slots }) => ({
      name,
      updates,
      slots: Object.entries(slots).map(([slot, { shape, dtype }]) => ({
        name: slot,
        shape,
        ...(dtype && { dtype }),
      })),
    })),
  };
  const json = new TextEncoder().encode(JSON.stringify(header));
  const data = variables.flatMap(({ slots }) => Object.values(slots));
  const dataAt = HEADER_AT + Math.ceil(json.length / 4) * 4;
  const bytes = new Uint8Array(dataAt + 4 * data.reduce((sum, slot) => sum + slot.data.length, 0));
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(LENGTH_AT, dataAt - HEADER_AT, true);
  bytes.fill(0x20, HEADER_AT, dataAt).set(json, HEADER_AT);
  let at = dataAt;
  for (const { data: values, dtype } of data) {
    for (let i = 0; i < values.length; i++, at += 4) {
      if (dtype) view.setInt32(at, values[i]!, true);
      else view.setFloat32(at, values[i]!, true);
    }
  }
  view.setUint32(CRC_AT, crc32(bytes.subarray(LENGTH_AT)), true);
  return bytes;
}

/**
 * Inverse of {@link encodeState}.
 * @throws CheckpointError if the bytes are damaged, cut short, or something else
 */
export function decodeState(bytes: Uint8Array): OptimizerState {
  const fail = (problem: string): never => {
    throw new CheckpointError(`decodeState: ${problem}`);
  };
  if (!(bytes instanceof Uint8Array)) return fail('bytes must be a Uint8Array');
  if (bytes.length < HEADER_AT || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    return fail('these bytes are not an optimizer state of @orth/muon');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(CRC_AT, true) !== crc32(bytes.subarray(LENGTH_AT))) {
    return fail('the checksum does not match: damaged or cut short');
  }
  const dataAt = HEADER_AT + view.getUint32(LENGTH_AT, true);
  if (dataAt > bytes.length) return fail('the header is longer than the bytes');
  // From here on the bytes are those that were written, so what does not fit was written by something else.
  try {
    const text = new TextDecoder('utf-8', { fatal: true });
    const header = JSON.parse(text.decode(bytes.subarray(HEADER_AT, dataAt))) as Header;
    let at = dataAt;
    const read = ({ shape, dtype }: Omit<SlotState, 'data'>): SlotState => {
      const size = sizeOf(shape);
      if (!Number.isSafeInteger(size) || at + 4 * size > bytes.length) fail('numbers are missing');
      const data = dtype
        ? Int32Array.from({ length: size }, (_, i) => view.getInt32(at + 4 * i, true))
        : Float32Array.from({ length: size }, (_, i) => view.getFloat32(at + 4 * i, true));
      at += 4 * size;
      return { shape, data, ...(dtype && { dtype }) };
    };
    const variables = header.variables.map(({ name, updates, slots }) => ({
      name,
      updates,
      slots: Object.fromEntries(slots.map((slot) => [slot.name, read(slot)])),
    }));
    if (at !== bytes.length) fail('there are more numbers than the header tells of');
    return parseState({ ...header, variables });
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    return fail('the header is not one of an optimizer state');
  }
}
