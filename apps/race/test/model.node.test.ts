import { CheckpointError, seededRandom, useBackend } from '@orth/backend';
import { AdamW } from '@orth/muon';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { batchAt } from '../src/data.js';
import { generate } from '../src/generate.js';
import { Gpt } from '../src/model.js';
import { parseSize } from '../src/modelShape.js';

const shape = { layers: 2, width: 16, heads: 2, hidden: 32, context: 8 };
const text = new TextEncoder().encode('Call me Ishmael. Some years ago, never mind how long.');
let model: Gpt;

beforeAll(async () => {
  await useBackend('cpu');
  model = new Gpt('test', shape, seededRandom(1));
  // Weights as after some training: at the start the last matrix of each branch is 0, and what it hides could be wrong
  // unnoticed.
  const random = seededRandom(2);
  for (const weights of model.variables) {
    if (/output|down|Embedding/.test(weights.name)) {
      weights.assign(random.normalTensor(weights.shape, 0, 0.3));
    }
  }
});
afterAll(() => model.dispose());

const lossOf = (batch: ReturnType<typeof batchAt>) =>
  tf.tidy(() => model.loss(batch).dataSync()[0]!);

test('an untrained model knows nothing: its loss is ln 256', () => {
  const model = new Gpt('untrained', shape, seededRandom(1));
  const batch = batchAt(text, [...Array(40).keys()], 8);
  const loss = tf.tidy(() => model.loss(batch).dataSync()[0]!);
  model.dispose();
  expect(Math.abs(loss - Math.log(256))).toBeLessThan(0.05);
});

test('the gradient of every variable is the slope of the loss', () => {
  const batch = batchAt(text, [0, 9, 18], 8);
  const { grads } = tf.variableGrads(() => model.loss(batch), [...model.variables]);
  for (const weights of model.variables) {
    const gradient = grads[weights.name]!;
    const norm = tf.norm(gradient).dataSync()[0]!;
    // Along the normalised gradient the slope is the gradient's norm; central differences in float32 see it to 1 %.
    const saved = weights.clone();
    const step = 0.005;
    const at = (t: number) => {
      weights.assign(tf.add(saved, tf.mul(gradient, t / norm)));
      return lossOf(batch);
    };
    const slope = (at(step) - at(-step)) / (2 * step);
    weights.assign(saved);
    expect(Math.abs(slope / norm - 1), weights.name).toBeLessThan(0.03);
  }
});

test('bytes to come do not change the logits of bytes before', () => {
  const tokens = [...text.subarray(0, 8)];
  const changed = tokens.map((byte, t) => (t === 5 ? 90 : byte));
  const logits = (row: number[]) =>
    model.logits(tf.tensor1d(row, 'int32'), 8).arraySync() as number[][];
  const [before, after] = [logits(tokens), logits(changed)];
  expect(after.slice(0, 5)).toEqual(before.slice(0, 5));
  for (const t of [5, 6, 7]) expect(after[t]).not.toEqual(before[t]);
});

test('rows of a batch do not see each other', () => {
  const both = model.logits(tf.tensor1d([...text.subarray(0, 16)], 'int32'), 8);
  const second = model.logits(tf.tensor1d([...text.subarray(8, 16)], 'int32'), 8);
  const [a, b] = [tf.slice(both, [8, 0]).dataSync(), second.dataSync()];
  for (let i = 0; i < b.length; i++) expect(a[i]).toBeCloseTo(b[i]!, 5);
});

test('overfits one batch', () => {
  const own = new Gpt('overfit', shape, seededRandom(2));
  const optimizer = new AdamW({ learningRate: 0.02 });
  const batch = batchAt(text, [0, 9], 8);
  for (let step = 0; step < 60; step++) {
    optimizer.minimize(() => own.loss(batch), false, [...own.variables]);
  }
  expect(tf.tidy(() => own.loss(batch).dataSync()[0])).toBeLessThan(0.1);
  own.dispose();
  optimizer.dispose();
});

test('weights of another model are refused and change nothing', async () => {
  const before = await model.getWeights();
  const missing = Object.fromEntries(Object.entries(before).slice(1));
  expect(() => model.setWeights(missing)).toThrow(CheckpointError);
  const wrongSize = { ...before, 'test/head': new Float32Array(3) };
  expect(() => model.setWeights(wrongSize)).toThrow('test/head must have 4096 numbers, got 3');
  expect(() => model.setWeights({ ...before, extra: new Float32Array(1) })).toThrow('extra');
  expect(await model.getWeights()).toEqual(before);
});

test('generation continues the prompt, depends on the seed alone, and leaves no tensor', async () => {
  const write = (seed: number) =>
    generate(model, { prompt: 'Call me ', bytes: 12, random: seededRandom(seed) });
  const before = tf.memory().numTensors;
  const [a, again, other] = [await write(1), await write(1), await write(2)];
  expect(tf.memory().numTensors).toBe(before);
  expect(a.startsWith('Call me ')).toBe(true);
  expect(again).toBe(a);
  expect(other).not.toBe(a);
  await expect(generate(model, { prompt: '', bytes: 1, random: seededRandom(1) })).rejects.toThrow(
    RangeError,
  );
});

test('sizes by name and by numbers', () => {
  expect(parseSize('tiny').layers).toBe(1);
  expect(parseSize('3x96', 48)).toEqual({
    layers: 3,
    width: 96,
    heads: 3,
    hidden: 384,
    context: 48,
  });
  expect(parseSize('1x64x4').heads).toBe(4);
  expect(() => parseSize('huge')).toThrow('must be one of "tiny", "small", "medium"');
  expect(() => parseSize('2x30x4')).toThrow('heads must divide width 30, got 4');
  expect(() => parseSize('0x32')).toThrow(RangeError);
});
