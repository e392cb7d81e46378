/** A fitted regressor as plain JSON. */
import { CheckpointError } from '@orth/backend';

const FORMAT = 'orth/random-feature-regressor';

/** A tensor as plain numbers. */
export interface PlainTensor {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** What `RandomFeatureRegressor.save` gives: plain JSON. */
export interface RegressorState {
  readonly format: typeof FORMAT;
  readonly version: 1;
  /** A feature map of one's own is `'function'` and has to be given again. */
  readonly features: 'relu' | 'fourier' | 'function';
  /** `'Infinity'` as JSON has none. */
  readonly k: number | 'Infinity';
  readonly ridge: number;
  readonly seed: number;
  readonly bandwidth: number;
  /** Targets were a vector. */
  readonly vector: boolean;
  /** `coefficients`, and `directions`, `phases` or `points` where there are any. */
  readonly tensors: Readonly<Record<string, PlainTensor>>;
}

function isPlainTensor(x: unknown): x is PlainTensor {
  if (typeof x !== 'object' || x === null) return false;
  const { shape, data } = x as Partial<PlainTensor>;
  if (!Array.isArray(shape) || !Array.isArray(data)) return false;
  if (!shape.every((n) => Number.isInteger(n) && n > 0)) return false;
  return data.length === shape.reduce((a, b) => a * b, 1) && data.every(Number.isFinite);
}

/** Stamps a state. */
export const stamp = (state: Omit<RegressorState, 'format' | 'version'>): RegressorState => ({
  format: FORMAT,
  version: 1,
  ...state,
});

/**
 * Demands a well-formed state.
 * @throws CheckpointError otherwise
 */
export function checkRegressorState(
  caller: string,
  state: unknown,
): asserts state is RegressorState {
  const fail = (problem: string): never => {
    throw new CheckpointError(`${caller}: state must be a saved regressor; ${problem}`);
  };
  if (typeof state !== 'object' || state === null) fail('got no object');
  const { format, version, features, k, ridge, seed, bandwidth, tensors } =
    state as Partial<RegressorState>;
  if (format !== FORMAT) fail(`its format is ${JSON.stringify(format)}`);
  if (version !== 1) fail(`its version is ${JSON.stringify(version)}, known is 1`);
  if (!['relu', 'fourier', 'function'].includes(features as string)) fail('features are unknown');
  const goodK = k === 'Infinity' || (Number.isInteger(k) && (k as number) > 0);
  if (!goodK || !Number.isFinite(ridge) || !Number.isInteger(seed) || !Number.isFinite(bandwidth)) {
    fail('a number is missing or wrong');
  }
  if (typeof tensors !== 'object' || tensors === null) fail('tensors are missing');
  const needed = ['coefficients'];
  if (k === 'Infinity') needed.push('points');
  else if (features !== 'function') needed.push('directions');
  if (features === 'fourier' && k !== 'Infinity') needed.push('phases');
  for (const name of needed) {
    if (!isPlainTensor(tensors![name])) fail(`tensors.${name} is missing or damaged`);
  }
  const [rows] = tensors!.coefficients!.shape;
  const want = k === 'Infinity' ? tensors!.points!.shape[0] : k;
  if (rows !== want) fail(`coefficients have ${rows} rows, want ${want}`);
  if (tensors!.directions && needed.includes('directions') && tensors!.directions.shape[0] !== k) {
    fail(`directions have ${tensors!.directions.shape[0]} rows, want ${k}`);
  }
}
