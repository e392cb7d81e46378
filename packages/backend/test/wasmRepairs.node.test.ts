/** Kernels of tfjs's wasm backend that gave wrong numbers, against cpu. */
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { agrees, data, useBoth } from './againstCpu.js';

useBoth();

test('oneHot in float32, with places out of range and other values', () =>
  agrees(
    [data(1)],
    (x) => {
      const indices = tf.tensor2d([0, 2, -1, 5, 1, 1], [2, 3], 'int32');
      return tf.mul(x, tf.oneHot(indices, 4, 1.5, -0.25, 'float32'));
    },
    false,
  ));

// The cpu backend does not know such axes either: the same axis counted from the start is the reference.
test.each([0, 1, 2])('cumsum and cumprod along %i, counted from the end', async (axis) => {
  await tf.setBackend('wasm');
  for (const cumulative of [tf.cumsum, tf.cumprod]) {
    const x = tf.randomUniform([3, 4, 5], -1, 1, 'float32', 7);
    const [want, got] = [axis, axis - 3].map((along) => cumulative(x, along, true, true));
    expect(got!.shape).toEqual(want!.shape);
    expect(await got!.data()).toEqual(await want!.data());
    tf.dispose([x, want!, got!]);
  }
  await agrees([data(3, 4, 5)], (x) => tf.cumsum(x, axis, true, true));
});

test('clipByValue keeps NaN', async () => {
  await tf.setBackend('wasm');
  const clipped = tf.clipByValue([Number.NaN, -2, 0.5, 2, Number.POSITIVE_INFINITY], -1, 1);
  expect([...(await clipped.data())]).toEqual([Number.NaN, -1, 0.5, 1, 1]);
  clipped.dispose();
});
