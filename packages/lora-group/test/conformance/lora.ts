/** Adapters on every backend, read back without blocking. */
import { NonFiniteError, seededRandom } from '@orth/backend';
import { adapt, loraGroup, pegoLoss } from '@orth/lora-group';
import { expectTensorClose } from '@orth/testing';
import {
  add,
  getBackend,
  matMul,
  memory,
  type Scalar,
  square,
  sum,
  type Tensor,
  tensor,
  tidy,
  train,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { expect, test } from 'vitest';

async function stir(list: readonly Variable[]): Promise<void> {
  const random = seededRandom(5);
  for (const x of list) {
    const data = (await x.data()).map((w) => w + random.normal(0, 0.2));
    const value = tensor(data, x.shape);
    x.assign(value);
    value.dispose();
  }
}

async function read(y: Tensor): Promise<Float32Array> {
  const values = Float32Array.from(await y.data());
  y.dispose();
  return values;
}

/** On a GPU a quotient of equal numbers may miss 1 by a rounding. */
const exact = { rtol: 0, atol: 0 };
const dora = { rtol: 1e-6, atol: 1e-6 };

test('a tf.layers model: same before, trained by fit, merged and back, saved and loaded', async () => {
  const before = memory().numTensors;
  const { dense, conv2d, flatten } = layers.layers;
  const model = layers.sequential({
    layers: [
      conv2d({ filters: 4, kernelSize: 3, inputShape: [5, 5, 2], activation: 'relu', name: 'a' }),
      flatten(),
      dense({ units: 4, activation: 'tanh', name: 'b' }),
      dense({ units: 3, activation: 'relu', name: 'c' }),
    ],
  });
  const x = seededRandom(1).normalTensor([4, 5, 5, 2]);
  const y = seededRandom(2).normalTensor([4, 3]);
  const predict = () => read(model.predict(x) as Tensor);
  const kernels = () => Promise.all(model.getWeights().map(async (w) => [...(await w.data())]));
  const base = await predict();
  const start = await kernels();
  const adapters = await adapt(model, { r: 2, n: 2, targetModules: ['a', 'b', 'c'], seed: 1 });
  expect(await predict()).toEqual(base);
  const optimizer = train.sgd(0.05);
  model.compile({ optimizer, loss: 'meanSquaredError' });
  await model.fit(x, y, { epochs: 1, verbose: 0 });
  expect(await kernels()).toEqual(start);
  const trained = await predict();
  expect(trained).not.toEqual(base);
  await adapters.safeMerge();
  expectTensorClose(await predict(), trained, { rtol: 1e-5, atol: 1e-5 });
  adapters.unmerge();
  expect(await kernels()).toEqual(start);
  const files = await adapters.saveAdapter();
  await adapters.loadAdapter(files, { name: 'again', activate: true });
  expect(await predict()).toEqual(trained);
  adapters.dispose();
  expect(await predict()).toEqual(base);
  optimizer.dispose();
  model.dispose();
  for (const t of [x, y]) t.dispose();
  expect(memory().numTensors).toBe(before);
}, 300_000);

test.each([
  ['DoRA', { r: 2, useDora: true }, dora],
  ['PiSSA', { r: 2, init: 'pissa' }, exact],
  ['OFT', { method: 'oft', blockSize: 3 }, exact],
  ['GraLoRA', { method: 'gralora', r: 2, k: 2 }, exact],
] as const)(
  '%s on a variable',
  async (_, options, start) => {
    const W = tidy(() => variable(seededRandom(1).normalTensor([6, 4])));
    const x = seededRandom(2).normalTensor([3, 6]);
    const adapters = await adapt({ W }, options);
    const base = await read(matMul(x, W));
    // Division by a GPU is not exact, nor are its products always in one order.
    const tolerance = getBackend() === 'webgpu' ? dora : start;
    expectTensorClose(
      await read(adapters.apply('W', x)),
      base,
      getBackend() === 'webgpu' ? tolerance : exact,
    );
    await stir(adapters.trainableVariables);
    const adapted = await read(adapters.apply('W', x));
    expectTensorClose(await read(tidy(() => matMul(x, adapters.weight('W')))), adapted, {
      rtol: 1e-4,
      atol: 1e-5,
    });
    const optimizer = train.sgd(0.005);
    const loss = () => tidy(() => sum(square(adapters.apply('W', x))) as Scalar);
    const [first] = await read(loss());
    for (let i = 0; i < 2; i++) optimizer.minimize(loss, false, adapters.trainableVariables);
    const [last] = await read(loss());
    expect(last).toBeLessThan(first!);
    optimizer.dispose();
    adapters.dispose();
    for (const t of [W, x]) t.dispose();
  },
  300_000,
);

test('a group with the loss of PEGO, and a merge that would not be finite', async () => {
  const W = tidy(() => variable(seededRandom(1).normalTensor([5, 4])));
  const group = await loraGroup(W, { r: 1, n: 3 });
  const zero = await read(pegoLoss(group));
  expect(zero[0]).toBe(0);
  await stir(group.trainable);
  const optimizer = train.sgd(0.02);
  const loss = () => tidy(() => add(pegoLoss(group, { lambda: 0.1 }), 0) as Scalar);
  const [first] = await read(loss());
  for (let i = 0; i < 2; i++) optimizer.minimize(loss, false, [...group.trainable]);
  const [last] = await read(loss());
  expect(last).toBeLessThan(first!);
  const start = [...(await W.data())];
  const [A] = group.trainable as [Variable];
  const bad = tensor(
    (await A.data()).map(() => Number.NaN),
    A.shape,
  );
  A.assign(bad);
  bad.dispose();
  await expect(group.adapters.safeMerge()).rejects.toThrow(NonFiniteError);
  expect([...(await W.data())]).toEqual(start);
  optimizer.dispose();
  group.dispose();
  W.dispose();
}, 300_000);
