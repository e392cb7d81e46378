/** Comparison of the wasm backend with the cpu backend, both in one process. */
import { maxError } from '@orth/testing';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, expect } from 'vitest';
import { seededRandom, useBackend } from '../src/index.js';

/** Starts both backends before a file's tests. */
export const useBoth = () =>
  beforeAll(async () => {
    await useBackend('cpu');
    await useBackend('wasm');
  });

/** What the tests look at in the wasm backend. */
export interface Heap {
  numDataIds(): number;
  wasm: { HEAPU8: Uint8Array };
}

/** Plain data, so that each backend makes its own tensors. */
export interface Data {
  readonly shape: number[];
  readonly values: Float32Array;
}

export const random = seededRandom(20260101);
/** Normal random numbers of the given shape. */
export const data = (...shape: number[]): Data => {
  const size = shape.reduce((product, n) => product * n, 1);
  return { shape, values: Float32Array.from({ length: size }, () => random.normal()) };
};

export type Compute = (...inputs: tf.Tensor[]) => tf.Tensor;

/** A scalar that depends on every entry of y differently. */
export const scalarOf = (y: tf.Tensor): tf.Scalar =>
  tf.sum(tf.mul(y, tf.reshape(tf.cos(tf.range(0, y.size)), y.shape)));

/** Value, shape and gradients of `compute` on the active backend. */
function evaluate(inputs: readonly Data[], compute: Compute, withGradients: boolean) {
  return tf.tidy(() => {
    const xs = inputs.map(({ shape, values }) => tf.tensor(values.slice(), shape));
    const y = compute(...xs);
    const gradients = withGradients ? tf.grads((...z) => scalarOf(compute(...z)))(xs) : [];
    return {
      shape: y.shape,
      outputs: [y, ...gradients].map((x) => Float32Array.from(x.dataSync())),
    };
  });
}

const scale = (values: Float32Array) => values.reduce((most, v) => Math.max(most, Math.abs(v)), 1);

/** Runs on cpu, then on wasm, and demands agreement; returns the greatest error relative to the largest entry. */
export async function agrees(inputs: readonly Data[], compute: Compute, withGradients = true) {
  await tf.setBackend('cpu');
  const want = evaluate(inputs, compute, withGradients);
  await tf.setBackend('wasm');
  const heap = tf.backend() as unknown as Heap;
  const before = heap.numDataIds();
  const got = evaluate(inputs, compute, withGradients);
  expect(heap.numDataIds()).toBe(before);
  expect(got.shape).toEqual(want.shape);
  const errors = want.outputs.map((w, i) => maxError(got.outputs[i]!, w) / scale(w));
  const error = Math.max(...errors);
  expect(error).toBeLessThan(2e-5);
  return error;
}

/** Checks a property over random cases; on failure fast-check prints the case and the seed. */
export const property = <T>(
  arbitrary: fc.Arbitrary<T>,
  check: (value: T) => Promise<unknown>,
  runs = 40,
) =>
  fc.assert(
    fc.asyncProperty(arbitrary, async (value) => {
      await check(value);
    }),
    { numRuns: runs, seed: Number(process.env.SEED ?? 7) },
  );
