/** Every kernel against tfjs's cpu backend, and that none of them is missing here. */
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, test } from 'vitest';
import { deviceKernels } from '../src/kernels/register.js';
import { CASES } from './cases.js';

interface Result {
  readonly shape: number[];
  readonly dtype: string;
  readonly values: ArrayLike<number>;
}

const called = new Set<string>();

/** Runs on a backend; what is left of tensors there is counted. */
async function runOn(backend: string, run: () => tf.Tensor | tf.Tensor[]): Promise<Result[]> {
  await tf.setBackend(backend);
  const before = tf.memory().numTensors;
  let tensors: tf.Tensor[] = [];
  const work = () => {
    tensors = tf.tidy(() => [run()].flat());
    return tensors;
  };
  if (backend === 'cuda') for (const name of (await tf.profile(work)).kernelNames) called.add(name);
  else work();
  const results = await Promise.all(
    tensors.map(async (x) => ({
      shape: x.shape,
      dtype: x.dtype,
      values: (await x.data()) as ArrayLike<number>,
    })),
  );
  tf.dispose(tensors);
  expect(tf.memory().numTensors).toBe(before);
  return results;
}

function compare(got: Result, want: Result, tolerance: number, where: string): void {
  expect({ shape: got.shape, dtype: got.dtype }, where).toEqual({
    shape: want.shape,
    dtype: want.dtype,
  });
  const exact = got.dtype !== 'float32';
  for (let i = 0; i < want.values.length; i++) {
    const [g, w] = [got.values[i]!, want.values[i]!];
    if (g === w || (Number.isNaN(g) && Number.isNaN(w))) continue;
    const allowed = exact ? 0 : tolerance * Math.max(1, Math.abs(w));
    // Written so that a NaN on one side fails.
    if (Math.abs(g - w) <= allowed) continue;
    throw new Error(`${where}, element ${i}: got ${g}, want ${w}`);
  }
}

afterAll(async () => {
  await tf.setBackend('cuda');
});

describe('as on the cpu backend', () => {
  test.each(CASES)('$name', async ({ run, reference = run, tolerance = 1e-5 }) => {
    const want = await runOn('cpu', reference);
    const blocks = (tf.findBackend('cuda') as tf.KernelBackend).numDataIds();
    const got = await runOn('cuda', run);
    expect(got.length).toBe(want.length);
    got.forEach((result, i) => {
      compare(result, want[i]!, tolerance, `result ${i}`);
    });
    // Also what tfjs does not count: temporary tensors of kernels.
    expect((tf.findBackend('cuda') as tf.KernelBackend).numDataIds()).toBe(blocks);
  });

  test('every kernel of the device was called', () => {
    const names = deviceKernels().map(({ kernelName }) => kernelName);
    expect(names.filter((name) => !called.has(name))).toEqual([]);
  });
});
