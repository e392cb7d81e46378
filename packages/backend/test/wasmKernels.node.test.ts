/** Which kernels the wasm backend has, and those that move elements, against cpu. */
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { registerWasmTrainingKernels } from '../src/index.js';
import { agrees, data, property, random, useBoth } from './againstCpu.js';

useBoth();

test('every kernel of cpu is on wasm, but for five that no training step calls', () => {
  const missing = tf
    .getKernelsForBackend('cpu')
    .map(({ kernelName }) => kernelName)
    .filter((name) => !tf.getKernel(name, 'wasm'));
  // Draw paints on a canvas; Ragged* and StaticRegexReplace work on text and on ragged lookups, without gradients.
  expect(missing.sort()).toEqual([
    'Draw',
    'RaggedGather',
    'RaggedRange',
    'RaggedTensorToTensor',
    'StaticRegexReplace',
  ]);
});

test('registering again changes nothing', () => {
  const before = tf.getKernel('BatchMatMul', 'wasm');
  registerWasmTrainingKernels();
  expect(tf.getKernel('BatchMatMul', 'wasm')).toBe(before);
});

const int = (values: number[], shape: number[]) => tf.tensor(values, shape, 'int32');
test('gather along any axis, with repeated indices and batch dimensions', async () => {
  await property(
    fc.tuple(fc.integer({ min: 0, max: 2 }), fc.array(fc.nat(3), { minLength: 1, maxLength: 9 })),
    ([axis, ids]) => agrees([data(4, 5, 6)], (x) => tf.gather(x, int(ids, [ids.length]), axis)),
  );
  await agrees([data(2, 5, 3)], (x) => tf.gather(x, int([0, 4, 1, 1], [2, 2]), 1, 1));
  await agrees([data(2, 3, 5, 3)], (x) => tf.gather(x, int([0, 4, 1, 1], [2, 2]), 2, 1));
});
test('an index out of range is refused', async () => {
  await tf.setBackend('wasm');
  expect(() => tf.gather(tf.ones([3, 2]), int([0, 3], [2]))).toThrow(
    'gather: indices must be in [0, 2], got 3',
  );
});
test('unsortedSegmentSum drops ids out of range', () =>
  agrees(
    [data(5, 2, 3)],
    (x) => tf.unsortedSegmentSum(x, int([0, -1, 2, 2, 7], [5]) as tf.Tensor1D, 3),
    false,
  ));
test('slice, split, unstack, tile, transpose', () =>
  property(
    fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 5 }),
    async (shape) => {
      const order = random.shuffle(shape.map((_, axis) => axis));
      const begin = shape.map((n) => random.integer(0, n - 1));
      const size = shape.map((n, i) => random.integer(1, n - begin[i]!));
      const axis = random.integer(0, shape.length - 1);
      await agrees([data(...shape)], (x) => tf.slice(x, begin, size));
      await agrees([data(...shape)], (x) => tf.transpose(x, order));
      await agrees([data(...shape)], (x) =>
        tf.concat(tf.split(x, shape[axis]!, axis).reverse(), axis),
      );
      await agrees([data(...shape)], (x) => tf.stack(tf.unstack(x, axis).reverse(), axis));
      await agrees([data(...shape)], (x) => tf.sum(x, order.slice(0, 1 + axis)));
      if (shape.length < 5) {
        await agrees([data(...shape)], (x) =>
          tf.tile(
            x,
            shape.map((n) => (n % 3) + 1),
          ),
        );
      }
    },
  ));
test('casts to bool as cpu does', () =>
  agrees(
    [{ shape: [4], values: Float32Array.of(0, 0.5, 256, -1) }],
    (x) => tf.cast(tf.cast(x, 'bool'), 'float32'),
    false,
  ));
test('stridedSlice keeps its dtype', async () => {
  await tf.setBackend('wasm');
  const y = tf.stridedSlice(int([1, 2, 3, 4, 5, 6], [2, 3]), [0, 2], [2, -4], [1, -2]);
  expect(y.dtype).toBe('int32');
  expect(y.arraySync()).toEqual([
    [3, 1],
    [6, 4],
  ]);
});
