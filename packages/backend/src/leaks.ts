import { memory } from '@tensorflow/tfjs-core';

/** How many tensors and bytes a piece of work left behind. */
export interface LeakReport {
  /** Tensors alive afterwards less those alive before. */
  readonly tensors: number;
  /** Bytes alive afterwards less those alive before. */
  readonly bytes: number;
}

/**
 * Counts what `work` leaves alive in tfjs's engine. A synchronous `work` that returns tensors counts them too.
 *
 * @example
 * const { tensors } = await measureLeaks(() => optimizer.applyGradients(gradients));
 */
export async function measureLeaks(work: () => unknown): Promise<LeakReport> {
  const before = memory();
  await work();
  const after = memory();
  return { tensors: after.numTensors - before.numTensors, bytes: after.numBytes - before.numBytes };
}

/**
 * Runs `work` and throws if it leaves tensors behind.
 * @throws Error with the count
 */
export async function assertNoLeaks<T>(work: () => T | Promise<T>): Promise<T> {
  let result: T | undefined;
  const { tensors, bytes } = await measureLeaks(async () => {
    result = await work();
  });
  if (tensors > 0) {
    throw new Error(`assertNoLeaks: ${tensors} tensors (${bytes} bytes) were left behind`);
  }
  return result as T;
}
