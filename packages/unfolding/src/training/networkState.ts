/** The weights of a network with what rebuilds it, as plain data and as bytes. */
import { CheckpointError, crc32 } from '@orth/backend';
import { type Tensor, tensor, tidy, type Variable } from '@tensorflow/tfjs-core';

/** One weight, row-major. */
export interface WeightState {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** A saved network: plain data that survives structured cloning; {@link encodeNetwork} makes bytes of it. */
export interface NetworkState {
  readonly format: 'orth-unfolding';
  readonly version: 1;
  /** The network's class. */
  readonly className: string;
  /** Options that rebuild it, plain JSON. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Weights by name. */
  readonly weights: Readonly<Record<string, WeightState>>;
}

/** Weights of a network by their names in saved states. */
export type NamedVariables = readonly (readonly [string, Variable])[];

const MAGIC = new TextEncoder().encode('ORTHUNF1');
const HEADER_AT = MAGIC.length + 8;

/** Reads all weights back. */
export async function saveNetwork(
  className: string,
  config: Readonly<Record<string, unknown>>,
  variables: NamedVariables,
): Promise<NetworkState> {
  const weights = variables.map(
    async ([name, v]) => [name, { shape: [...v.shape], data: await v.data() }] as const,
  );
  return {
    format: 'orth-unfolding',
    version: 1,
    className,
    config,
    weights: Object.fromEntries(await Promise.all(weights)),
  };
}

/**
 * Demands the state of a class.
 * @throws CheckpointError otherwise
 */
export function checkNetworkState(caller: string, state: unknown, className: string): NetworkState {
  const { format, version, className: got } = (state ?? {}) as Partial<NetworkState>;
  if (format !== 'orth-unfolding' || version !== 1 || got !== className) {
    const what = format === 'orth-unfolding' ? `one of ${String(got)}` : 'something else';
    throw new CheckpointError(`${caller}: state must be what ${className} saved, got ${what}`);
  }
  return state as NetworkState;
}

/**
 * Assigns saved weights; all are checked before the first one changes.
 * @throws CheckpointError if a name, a shape or a number does not fit
 */
export function loadWeights(
  caller: string,
  variables: NamedVariables,
  weights: NetworkState['weights'],
): void {
  const fail = (problem: string): never => {
    throw new CheckpointError(`${caller}: ${problem}; nothing was changed`);
  };
  const known = variables.map(([name]) => name);
  const extra = Object.keys(weights ?? {}).find((name) => !known.includes(name));
  if (extra !== undefined) fail(`there is no weight ${extra}; there are ${known.join(', ')}`);
  const values = variables.map(([name, v]) => {
    const saved = weights?.[name];
    if (!saved || `${saved.shape}` !== `${v.shape}` || saved.data?.length !== v.size) {
      fail(`${name} must have shape [${v.shape}], got [${saved?.shape ?? 'nothing'}]`);
    }
    const data = Float32Array.from(saved!.data);
    const at = data.findIndex((x) => !Number.isFinite(x));
    if (at >= 0) fail(`${name} must be finite, got ${saved!.data[at]} at ${at}`);
    return data;
  });
  tidy(() => {
    for (const [i, [, v]] of variables.entries()) {
      v.assign(tensor(values[i]!, v.shape, 'float32') as Tensor);
    }
  });
}

/**
 * A saved network as bytes, for a file, IndexedDB or the network: the magic `ORTHUNF1`, the CRC-32 of all that follows
 * it, the header's length (uint32 little-endian, both), the header (JSON, padded), and all weights as float32.
 * @throws CheckpointError if `state` is not a saved network
 */
export function encodeNetwork(state: NetworkState): Uint8Array {
  const { format, version, className, config, weights } = checkNetworkState(
    'encodeNetwork',
    state,
    state?.className,
  );
  const entries = Object.entries(weights);
  const shapes = entries.map(([name, { shape }]) => ({ name, shape }));
  const json = new TextEncoder().encode(
    JSON.stringify({ format, version, className, config, shapes }),
  );
  const dataAt = HEADER_AT + Math.ceil(json.length / 4) * 4;
  const count = entries.reduce((total, [, { data }]) => total + data.length, 0);
  const bytes = new Uint8Array(dataAt + 4 * count);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(MAGIC.length + 4, dataAt - HEADER_AT, true);
  bytes.fill(0x20, HEADER_AT, dataAt).set(json, HEADER_AT);
  let at = dataAt;
  for (const [, { data }] of entries) {
    for (let i = 0; i < data.length; i++, at += 4) view.setFloat32(at, data[i]!, true);
  }
  view.setUint32(MAGIC.length, crc32(bytes.subarray(MAGIC.length + 4)), true);
  return bytes;
}

/**
 * Inverse of {@link encodeNetwork}.
 * @throws CheckpointError if the bytes are damaged, cut short, or something else
 */
export function decodeNetwork(bytes: Uint8Array): NetworkState {
  const fail = (problem: string): never => {
    throw new CheckpointError(`decodeNetwork: ${problem}`);
  };
  if (!(bytes instanceof Uint8Array)) return fail('bytes must be a Uint8Array');
  if (bytes.length < HEADER_AT || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    return fail('these bytes are not a network of @orth/unfolding');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(MAGIC.length, true) !== crc32(bytes.subarray(MAGIC.length + 4))) {
    return fail('the checksum does not match: damaged or cut short');
  }
  const dataAt = HEADER_AT + view.getUint32(MAGIC.length + 4, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(HEADER_AT, dataAt)));
  let at = dataAt;
  const weights = header.shapes.map(({ name, shape }: { name: string; shape: number[] }) => {
    const size = shape.reduce((product, n) => product * n, 1);
    const data = Float32Array.from({ length: size }, (_, i) => view.getFloat32(at + 4 * i, true));
    at += 4 * size;
    return [name, { shape, data }] as const;
  });
  const { format, version, className, config } = header;
  return { format, version, className, config, weights: Object.fromEntries(weights) };
}
