import { seededRandom, useBackend } from '@orth/backend';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, expect, test } from 'vitest';

const BATCH = 8;
const LENGTH = 16;
const WIDTH = 16;
const CLASSES = 5;
const STEPS = 50;

afterAll(async () => {
  await useBackend('node');
});

/**
 * Tokens are embedded, laid out as an image, and go through an ordinary convolution, a strided one, a depthwise one and a
 * fused dense layer: every native kernel, its gradients, and the wasm kernels between them.
 */
function lossCurve(): number[] {
  const random = seededRandom(3);
  const weight = (shape: number[], deviation: number) => {
    const initial = random.normalTensor(shape, 0, deviation);
    const made = tf.variable(initial);
    initial.dispose();
    return made;
  };
  const embedding = weight([32, WIDTH], 0.5);
  const filter = weight([3, 3, WIDTH, 24], 0.1) as tf.Variable<tf.Rank.R4>;
  const strided = weight([3, 3, 24, 32], 0.1) as tf.Variable<tf.Rank.R4>;
  const depthwise = weight([3, 3, 32, 1], 0.3) as tf.Variable<tf.Rank.R4>;
  const dense = weight([4 * 4 * 32, CLASSES], 0.05) as tf.Variable<tf.Rank.R2>;
  const bias = weight([CLASSES], 0) as tf.Variable<tf.Rank.R1>;
  const variables = [embedding, filter, strided, depthwise, dense, bias];
  // The label follows from the tokens, so that there is something to learn.
  const tokens = Array.from({ length: BATCH * LENGTH * 4 }, () =>
    Math.floor(random.uniform() * 32),
  );
  const ids = tf.tensor1d(tokens, 'int32');
  const labels = tf.tensor1d(
    Array.from({ length: BATCH }, (_, i) => tokens[i * LENGTH * 4]! % CLASSES),
    'int32',
  );
  const targets = tf.oneHot(labels, CLASSES);
  const optimizer = tf.train.adam(0.003);
  const loss = () => {
    const image = tf.reshape(tf.gather(embedding, ids), [BATCH, 8, 8, WIDTH]) as tf.Tensor4D;
    const first = tf.relu(tf.conv2d(image, filter, 1, 'same'));
    const second = tf.relu(tf.conv2d(first, strided, 2, 'same'));
    const third = tf.relu(tf.depthwiseConv2d(second, depthwise, 1, 'same'));
    const logits = tf.fused.matMul({ a: tf.reshape(third, [BATCH, -1]), b: dense, bias });
    return tf.neg(tf.mean(tf.sum(tf.mul(targets, tf.logSoftmax(logits)), 1))) as tf.Scalar;
  };
  const curve: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    const value = optimizer.minimize(loss, true, variables)!;
    curve.push(value.dataSync()[0]!);
    value.dispose();
  }
  optimizer.dispose();
  tf.dispose([ids, labels, targets, ...variables]);
  return curve;
}

test('a model with embedding, convolutions and a dense layer trains as on wasm', async () => {
  await useBackend('wasm');
  const before = tf.memory().numTensors;
  const want = lossCurve();
  await useBackend('node');
  const got = lossCurve();
  expect(tf.memory().numTensors).toBe(before);
  expect(want[STEPS - 1]!).toBeLessThan(want[0]! / 4);
  got.forEach((loss, step) => {
    expect(Math.abs(loss - want[step]!), `step ${step}: ${loss} and ${want[step]}`).toBeLessThan(
      1e-4,
    );
  });
});
