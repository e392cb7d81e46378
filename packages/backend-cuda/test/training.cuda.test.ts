/** Models train on the device as on wasm, without a kernel on the host, the same on every run. */
import { seededRandom, useBackend } from '@orth/backend';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, expect, test } from 'vitest';
import { deviceKernels } from '../src/kernels/register.js';

const STEPS = 50;

afterAll(async () => {
  await tf.setBackend('cuda');
});

type Weights = (shape: number[], deviation: number) => tf.Variable;

/** A model's loss, on tensors and variables that it makes. */
type Model = (weight: Weights, random: ReturnType<typeof seededRandom>) => () => tf.Scalar;

const BATCH = 4;

/** Embedding, an ordinary, a strided and a depthwise convolution, pooling, a fused dense layer. */
const convolutional: Model = (weight, random) => {
  const embedding = weight([16, 4], 0.5);
  const filter = weight([3, 3, 4, 6], 0.2) as tf.Variable<tf.Rank.R4>;
  const strided = weight([3, 3, 6, 8], 0.2) as tf.Variable<tf.Rank.R4>;
  const depthwise = weight([3, 3, 8, 1], 0.3) as tf.Variable<tf.Rank.R4>;
  const dense = weight([2 * 2 * 8, 5], 0.1) as tf.Variable<tf.Rank.R2>;
  const bias = weight([5], 0) as tf.Variable<tf.Rank.R1>;
  const tokens = Array.from({ length: BATCH * 64 }, () => Math.floor(random.uniform() * 16));
  return () => {
    const ids = tf.tensor1d(tokens, 'int32');
    const labels = tf.tensor1d(
      Array.from({ length: BATCH }, (_, i) => tokens[64 * i]! % 5),
      'int32',
    );
    const image = tf.reshape(tf.gather(embedding, ids), [BATCH, 8, 8, 4]) as tf.Tensor4D;
    const first = tf.relu(tf.conv2d(image, filter, 1, 'same'));
    const second = tf.elu(tf.conv2d(first, strided, 2, 'same'));
    const third = tf.relu(tf.depthwiseConv2d(second, depthwise, 1, 'same'));
    const pooled = tf.add(tf.maxPool(third, 2, 2, 'valid'), tf.avgPool(third, 2, 2, 'valid'));
    const logits = tf.fused.matMul({ a: tf.reshape(pooled, [BATCH, -1]), b: dense, bias });
    const targets = tf.oneHot(labels, 5);
    return tf.neg(tf.mean(tf.sum(tf.mul(targets, tf.logSoftmax(logits)), 1))) as tf.Scalar;
  };
};

const LENGTH = 8;
const WIDTH = 12;
const HEADS = 2;

/** What the race trains, in small: a block of causal attention and an MLP between an embedding and a head. */
const transformer: Model = (weight, random) => {
  const size = WIDTH / HEADS;
  const [tokens, positions] = [weight([16, WIDTH], 0.5), weight([LENGTH, WIDTH], 0.2)];
  const [query, key, value, output] = Array.from({ length: 4 }, () => weight([WIDTH, WIDTH], 0.3));
  const [up, down] = [weight([WIDTH, 2 * WIDTH], 0.3), weight([2 * WIDTH, WIDTH], 0.2)];
  const head = weight([WIDTH, 16], 0.2);
  const text = Array.from({ length: BATCH * LENGTH + 1 }, () => Math.floor(random.uniform() * 16));
  const norm = (x: tf.Tensor) => tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), 1e-6)));
  const product = (x: tf.Tensor, w: tf.Tensor) => tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D);
  return () => {
    const [ids, next] = [0, 1].map((from) =>
      tf.tensor1d(text.slice(from, from + BATCH * LENGTH), 'int32'),
    ) as [tf.Tensor1D, tf.Tensor1D];
    const mask = tf.tensor2d(
      Array.from({ length: LENGTH ** 2 }, (_, i) =>
        i % LENGTH > Math.floor(i / LENGTH) ? -1e9 : 0,
      ),
      [LENGTH, LENGTH],
    );
    const toHeads = (y: tf.Tensor) =>
      tf.reshape(tf.transpose(tf.reshape(y, [BATCH, LENGTH, HEADS, size]), [0, 2, 1, 3]), [
        BATCH * HEADS,
        LENGTH,
        size,
      ]);
    let x: tf.Tensor = tf.reshape(tf.gather(tokens, ids), [BATCH, LENGTH, WIDTH]);
    x = tf.reshape(tf.add(x, positions), [BATCH * LENGTH, WIDTH]);
    const n = norm(x);
    const [q, k, v] = [query!, key!, value!].map((w) => toHeads(product(n, w)));
    const scores = tf.add(tf.mul(tf.matMul(q!, k!, false, true), 1 / Math.sqrt(size)), mask);
    const mixed = tf.reshape(tf.matMul(tf.softmax(scores), v!), [BATCH, HEADS, LENGTH, size]);
    const rows = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [BATCH * LENGTH, WIDTH]);
    x = tf.add(x, product(rows, output!));
    x = tf.add(x, product(tf.square(tf.relu(product(norm(x), up))), down));
    const logits = product(norm(x), head);
    const picked = tf.sum(tf.mul(tf.oneHot(next, 16), tf.logSoftmax(logits)), 1);
    return tf.neg(tf.mean(picked)) as tf.Scalar;
  };
};

/** Losses of all steps on a backend; what is not disposed there would be found. */
async function train(backend: string, model: Model, steps = STEPS): Promise<number[]> {
  await tf.setBackend(backend);
  const before = tf.memory().numTensors;
  const random = seededRandom(3);
  const variables: tf.Variable[] = [];
  const loss = model((shape, deviation) => {
    const initial = random.normalTensor(shape, 0, deviation);
    const made = tf.variable(initial);
    initial.dispose();
    variables.push(made);
    return made;
  }, random);
  const optimizer = tf.train.adam(0.01);
  const curve: number[] = [];
  for (let step = 0; step < steps; step++) {
    const value = optimizer.minimize(() => tf.tidy(loss), true, variables)!;
    curve.push((await value.data())[0]!);
    value.dispose();
  }
  optimizer.dispose();
  tf.dispose(variables);
  expect(tf.memory().numTensors).toBe(before);
  return curve;
}

test.each([
  ['a convolutional model', convolutional],
  ['a transformer', transformer],
])('%s', async (_, model) => {
  await useBackend('wasm');
  const want = await train('wasm', model);
  const got = await train('cuda', model);
  expect(want[STEPS - 1]!).toBeLessThan(want[0]! / 3);
  got.forEach((loss, step) => {
    expect(Math.abs(loss - want[step]!), `step ${step}: ${loss} and ${want[step]}`).toBeLessThan(
      1e-4,
    );
  });
  // Sums have one order, whatever runs beside them.
  expect(await train('cuda', model, 5)).toEqual(got.slice(0, 5));
  const device = new Set(deviceKernels().map(({ kernelName }) => kernelName));
  const { kernelNames } = await tf.profile(async () => {
    await train('cuda', model, 1);
    return tf.scalar(0);
  });
  // tfjs also lists operations, by names that end so.
  const kernels = kernelNames.filter((name) => !name.endsWith('__op'));
  expect(kernels.filter((name) => !device.has(name))).toEqual([]);
});
