/** Training on wasm follows cpu and leaves nothing behind. */
import { maxError } from '@orth/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { seededRandom } from '../src/index.js';
import { type Heap, useBoth } from './againstCpu.js';

useBoth();

const vocabulary = 12;
/** Embedding, convolution, depthwise convolution, attention by einsum, a Fourier layer, classifier. */
function model(parameters: Record<string, tf.Variable>, ids: tf.Tensor, labels: tf.Tensor) {
  const p = parameters as Record<'e' | 'conv' | 'depth' | 'filter' | 'q' | 'out', tf.Variable>;
  const x = tf.reshape(tf.gather(p.e, ids), [4, 6, 6, 4]) as tf.Tensor4D;
  const y = tf.maxPool(
    tf.tanh(tf.conv2d(x, p.conv as unknown as tf.Tensor4D, 1, 'same')) as tf.Tensor4D,
    2,
    1,
    'valid',
  );
  const w = tf.depthwiseConv2d(y, p.depth as unknown as tf.Tensor4D, 1, 'same');
  const tokens = tf.reshape(tf.tanh(w), [4, 25, 6]);
  const queries = tf.matMul(tokens, tf.tile(tf.expandDims(p.q, 0), [4, 1, 1]));
  const scores = tf.softmax(tf.einsum('bqc,bkc->bqk', queries, tokens));
  const mixed = tf.matMul(scores, tokens);
  const spectrum = tf.spectral.rfft(tf.transpose(mixed, [0, 2, 1]));
  const filtered = tf.mul(spectrum, tf.complex(p.filter, tf.zerosLike(p.filter)));
  const pooled = tf.mean(tf.abs(filtered), 2);
  const logits = tf.matMul(pooled, p.out as unknown as tf.Tensor2D);
  return tf.losses.softmaxCrossEntropy(labels, logits) as tf.Scalar;
}

async function train(backend: string, steps: number): Promise<number[]> {
  await tf.setBackend(backend);
  const source = seededRandom(5);
  const made = (shape: number[], std: number) =>
    tf.tidy(() => tf.variable(source.normalTensor(shape, 0, std)));
  const parameters = {
    e: made([vocabulary, 4], 1),
    conv: made([3, 3, 4, 6], 0.3),
    depth: made([3, 2, 6, 1], 0.5),
    q: made([6, 6], 0.5),
    filter: made([1, 6, 13], 1),
    out: made([6, 3], 0.5),
  };
  const ids = tf.tensor(
    Int32Array.from({ length: 144 }, () => source.integer(0, vocabulary - 1)),
    [4, 36],
    'int32',
  );
  const labels = tf.tidy(() => tf.oneHot(tf.tensor1d([0, 1, 2, 1], 'int32'), 3));
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const { value, grads } = tf.variableGrads(() => model(parameters, ids, labels));
    losses.push(value.dataSync()[0]!);
    value.dispose();
    tf.tidy(() => {
      for (const [name, gradient] of Object.entries(grads)) {
        const variable = tf.engine().registeredVariables[name]!;
        variable.assign(tf.sub(variable, tf.mul(gradient, 0.1)));
      }
    });
    tf.dispose(grads);
  }
  tf.dispose([ids, labels, ...Object.values(parameters)]);
  return losses;
}

test('50 steps follow cpu to 1e-4, and leave nothing behind', async () => {
  const want = await train('cpu', 50);
  await train('wasm', 1);
  const heap = tf.backend() as unknown as Heap;
  const before = { tensors: tf.memory().numTensors, data: heap.numDataIds() };
  const got = await train('wasm', 50);
  expect(maxError(got, want)).toBeLessThan(1e-4);
  expect(want[49]!).toBeLessThan(0.6 * want[0]!);
  expect({ tensors: tf.memory().numTensors, data: heap.numDataIds() }).toEqual(before);
}, 120_000);

test('10,000 matrix products with gradients do not grow the heap', async () => {
  await tf.setBackend('wasm');
  const heap = tf.backend() as unknown as Heap;
  const w = tf.variable(tf.ones([32, 48]));
  const x = tf.ones([4, 16, 32]);
  const step = () =>
    tf.tidy(() => {
      const { grads } = tf.variableGrads(
        () => tf.sum(tf.matMul(tf.reshape(x, [64, 32]), w as unknown as tf.Tensor2D)) as tf.Scalar,
      );
      w.assign(tf.sub(w, tf.mul(Object.values(grads)[0]!, 1e-6)));
      tf.matMul(x, tf.transpose(x, [0, 2, 1]));
      tf.matMul(x, x, false, true);
    });
  for (let i = 0; i < 50; i++) step();
  const before = {
    tensors: tf.memory().numTensors,
    data: heap.numDataIds(),
    bytes: heap.wasm.HEAPU8.length,
  };
  for (let i = 0; i < 2500; i++) step(); // four products each
  expect({
    tensors: tf.memory().numTensors,
    data: heap.numDataIds(),
    bytes: heap.wasm.HEAPU8.length,
  }).toEqual(before);
  tf.dispose([w, x]);
}, 60_000);
