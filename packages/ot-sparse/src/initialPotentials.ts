/** Warm starts: potentials of a previous solve, for one problem or a batch. */
import {
  checkWeights,
  readLater,
  readNow,
  type TransportRequest,
  toFloat64,
  type WeightsInput,
} from './transportArguments.js';

/** Potentials, shape `[m]` and `[n]` (for the whole batch) or `[…, m]` and `[…, n]`: tensors, or numbers on the host. */
export interface DualsInput {
  readonly alpha?: WeightsInput | undefined;
  readonly beta?: WeightsInput | undefined;
}

/** Potentials of one problem; what was not given is undefined. */
export interface InitialPotentials {
  readonly alpha?: Float64Array | undefined;
  readonly beta?: Float64Array | undefined;
}

/**
 * Checks kinds and shapes; reads nothing.
 * @throws TypeError or RangeError naming `init`
 */
export function checkInit(request: TransportRequest, init: DualsInput | undefined): void {
  if (init === undefined) return;
  const { caller, batchShape, m, n } = request;
  if (typeof init !== 'object' || init === null) {
    throw new TypeError(`${caller}: init must be an object with alpha or beta, got ${init}`);
  }
  if (init.alpha === undefined && init.beta === undefined) {
    throw new TypeError(`${caller}: init must have alpha or beta, got neither`);
  }
  checkWeights(caller, 'init.alpha', init.alpha, batchShape, m);
  checkWeights(caller, 'init.beta', init.beta, batchShape, n);
}

/** Reads potentials, one entry a problem; undefined where none were given. */
export function readInit(
  request: TransportRequest,
  init: DualsInput | undefined,
): InitialPotentials[] | undefined {
  if (!init) return undefined;
  const { caller } = request;
  const read = (x: WeightsInput | undefined) => (x === undefined ? x : readNow(caller, x));
  return split(request, read(init.alpha), read(init.beta));
}

/** {@link readInit} for backends that cannot be read synchronously. */
export async function readInitAsync(
  request: TransportRequest,
  init: DualsInput | undefined,
): Promise<InitialPotentials[] | undefined> {
  if (!init) return undefined;
  const read = async (x: WeightsInput | undefined) => (x === undefined ? x : readLater(x));
  const [alpha, beta] = await Promise.all([read(init.alpha), read(init.beta)]);
  return split(request, alpha, beta);
}

function split(
  { caller, count, m, n }: TransportRequest,
  alpha: ArrayLike<number> | undefined,
  beta: ArrayLike<number> | undefined,
): InitialPotentials[] {
  const side = (argument: string, data: ArrayLike<number> | undefined, length: number) => {
    if (!data) return () => undefined;
    const all = toFloat64(data);
    const bad = all.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) {
      throw new RangeError(
        `${caller}: ${argument} must be finite, got ${all[bad]} at index ${bad}`,
      );
    }
    const shared = all.length === length;
    return (index: number) =>
      all.subarray(shared ? 0 : index * length, shared ? length : (index + 1) * length);
  };
  const [alphaOf, betaOf] = [side('init.alpha', alpha, m), side('init.beta', beta, n)];
  return Array.from({ length: count }, (_, index) => ({
    alpha: alphaOf(index),
    beta: betaOf(index),
  }));
}
