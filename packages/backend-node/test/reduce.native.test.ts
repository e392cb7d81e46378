import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';

type Axes = number | number[] | undefined;

const CASES: [number[], Axes][] = [
  [[64, 64], -1],
  [[64, 65], 0],
  [
    [17, 33, 29],
    [1, 2],
  ],
  [
    [17, 33, 29],
    [0, 2],
  ],
  [[17, 33, 29], 1],
  [[100_000], undefined],
  [[1021, 7], undefined],
  [[5003], undefined],
  [[4, 3, 512], -1],
];

/** The same numbers at 12 addresses that differ modulo 64 bytes. */
function copies(values: Float32Array, shape: number[]): tf.Tensor[] {
  return Array.from({ length: 12 }, (_, i) => {
    tf.ones([4 * i + 1]);
    return tf.tensor(Float32Array.from(values), shape);
  });
}

test.each(CASES)(
  'sums of %j over %j are right, and the same wherever the tensor lies',
  (shape, axes) => {
    tf.tidy(() => {
      const size = shape.reduce((a, b) => a * b, 1);
      const values = Float32Array.from({ length: size }, (_, i) => Math.sin(12.9898 * i) + 0.5);
      for (const reduce of [tf.sum, tf.mean]) {
        const [first, ...others] = copies(values, shape).map((x) => reduce(x, axes).dataSync());
        for (const other of others) expect(other).toEqual(first);
        const kept = shape.map((_, axis) => axis);
        const list =
          axes === undefined ? kept : [axes].flat().map((a) => (a + shape.length) % shape.length);
        const want = new Float64Array(first!.length);
        for (let i = 0; i < size; i++) {
          let rest = i;
          let at = 0;
          let stride = 1;
          for (let axis = shape.length - 1; axis >= 0; axis--) {
            const index = rest % shape[axis]!;
            rest = (rest - index) / shape[axis]!;
            if (list.includes(axis)) continue;
            at += stride * index;
            stride *= shape[axis]!;
          }
          want[at]! += values[i]!;
        }
        const count = reduce === tf.mean ? size / want.length : 1;
        // Terms of size one: a float32 sum is good to some ulp of √count of them.
        const scale = (Math.sqrt(size / want.length) + 1) / count;
        first!.forEach((got, i) => {
          expect(Math.abs(got - want[i]! / count)).toBeLessThan(
            4e-6 * scale + 1e-6 * Math.abs(want[i]! / count),
          );
        });
      }
    });
  },
);

test.each([Number.NaN, Number.POSITIVE_INFINITY])('%d in a row stays in its row', (special) => {
  const values = new Float32Array(128 * 64).fill(1);
  values[64] = special;
  const sums = tf.tidy(() => tf.sum(tf.tensor(values, [128, 64]), -1).dataSync());
  expect(sums[1]).toBe(special);
  expect(sums.filter((sum) => sum === 64)).toHaveLength(127);
});
