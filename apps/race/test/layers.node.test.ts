import { seededRandom, useBackend } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { crossEntropy, maskedSoftmax, rmsNorm, squaredRelu } from '../src/layers.js';

beforeAll(async () => {
  await useBackend('cpu');
});

const random = seededRandom(3);
const x = () => random.normalTensor([6, 8]);

/** Value and gradient of a layer agree with tfjs's automatic differentiation of its definition. */
function expectSame(
  layer: (x: tf.Tensor) => tf.Tensor,
  definition: (x: tf.Tensor) => tf.Tensor,
  input = x(),
) {
  const weights = random.normalTensor(layer(input).shape);
  expectTensorClose(layer(input), definition(input), { rtol: 1e-5, atol: 1e-6 });
  expectTensorClose(tf.grad(layer)(input, weights), tf.grad(definition)(input, weights), {
    rtol: 1e-4,
    atol: 1e-5,
  });
}

test('rmsNorm is x over its root mean square', () => {
  expectSame(rmsNorm, (x) => tf.div(x, tf.sqrt(tf.add(tf.mean(tf.square(x), -1, true), 1e-6))));
});

test('squaredRelu is relu squared', () => {
  expectSame(squaredRelu, (x) => tf.square(tf.relu(x)));
});

test('maskedSoftmax gives masked keys no weight', () => {
  const mask = tf.tensor2d([
    [0, -1e9],
    [0, 0],
  ]);
  const scores = random.normalTensor([3, 2, 2]);
  const p = maskedSoftmax(scores, mask).arraySync() as number[][][];
  for (const [first] of p) expect(first).toEqual([1, 0]);
  expectSame(
    (x) => maskedSoftmax(x, mask),
    (x) => tf.softmax(tf.add(x, mask)),
    scores,
  );
});

test('crossEntropy is the mean of minus the log probability', () => {
  const targets = tf.tensor1d([0, 3, 7, 7, 2, 1], 'int32');
  expectSame(
    (x) => crossEntropy(x as tf.Tensor2D, targets),
    (x) => tf.neg(tf.mean(tf.sum(tf.mul(tf.logSoftmax(x), tf.oneHot(targets, 8)), -1))),
  );
});

test('crossEntropy is exact where a probability underflows', () => {
  const logits = tf.tensor2d([
    [10_000, 0, -10_000],
    [10_000, 10_000, -10_000],
  ]);
  const loss = crossEntropy(logits, tf.tensor1d([2, 1], 'int32'));
  expect(loss.dataSync()[0]).toBeCloseTo((20_000 + Math.log(2)) / 2, 1);
});
