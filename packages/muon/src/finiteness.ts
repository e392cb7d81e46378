import {
  all,
  concat,
  getBackend,
  isFinite as isFiniteEach,
  stack,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';

/** Backends whose values cannot be read back synchronously, or only by stalling the device. */
const DEFERRED = new Set(['webgpu', 'webgl']);

/** Whether a value can be read back at once on the active backend. */
export function readsAtOnce(): boolean {
  return !DEFERRED.has(getBackend());
}

/** Whether every entry of every flat tensor is finite; reads one number a tensor back. */
export function areFinite(flats: readonly Tensor[]): boolean {
  if (flats.length === 0) return true;
  // A NaN or an infinity never leaves a sum again; a sum of finite numbers may still overflow, hence the second look.
  const sums = tidy(() => concat(flats.map((x) => sum(x, 0, true))).dataSync());
  return flats.every((x, i) => Number.isFinite(sums[i]) || firstNonFinite(x) < 0);
}

/** Index of the first NaN or infinity, or −1. */
export function firstNonFinite(x: Tensor): number {
  return x.dataSync().findIndex((value) => !Number.isFinite(value));
}

/** Scalar bool on the device: whether every entry of every flat tensor is finite. */
export function finiteMask(flats: readonly Tensor[]): Tensor {
  return tidy(() => {
    const flags = flats.map((x) => all(isFiniteEach(x)));
    return flags.length === 1 ? flags[0]! : all(stack(flags));
  });
}
