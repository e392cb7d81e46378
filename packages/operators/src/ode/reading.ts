/**
 * A solver needs numbers off the device to choose its next step. It is written once, as a generator that yields the tensors it
 * wants to read; these run it, with or without waiting.
 */
import type { Tensor } from '@tensorflow/tfjs-core';

/** A computation that yields tensors and is given their values; each tensor is disposed once it is read. */
export type Reading<T> = Generator<Tensor, T, ArrayLike<number>>;

/** Reads without blocking: the only way on WebGPU in Node, and the way not to freeze a page. */
export async function readAsync<T>(reading: Reading<T>): Promise<T> {
  for (let next = reading.next(); ; ) {
    if (next.done) return next.value;
    const wanted = next.value;
    const values = await wanted.data();
    wanted.dispose();
    next = reading.next(values);
  }
}

/** Reads at once. */
export function readSync<T>(reading: Reading<T>): T {
  for (let next = reading.next(); ; ) {
    if (next.done) return next.value;
    const wanted = next.value;
    const values = wanted.dataSync();
    wanted.dispose();
    next = reading.next(values);
  }
}
