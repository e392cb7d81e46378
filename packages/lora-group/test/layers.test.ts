/** Adapters on tf.layers models, kind by kind. */
import { seededRandom } from '@orth/backend';
import { type AdaptedModel, type AdaptOptions, adapt } from '@orth/lora-group';
import { expectTensorClose } from '@orth/testing';
import { memory, type Tensor, tensor, train, type Variable } from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { inputsOf, MODELS, type ModelCase, randomize } from './models.js';

let before = 0;
beforeEach(() => {
  before = memory().numTensors;
});
afterEach(() => {
  expect(memory().numTensors, 'tensors left behind').toBe(before);
});

function predict(model: layers.LayersModel, x: Tensor): Float32Array {
  const y = model.predict(x) as Tensor;
  const values = Float32Array.from(y.dataSync());
  y.dispose();
  return values;
}

const bytes = (weights: readonly Tensor[]) => weights.map((w) => Float32Array.from(w.dataSync()));

/** Moves every factor off its start, as training would. */
function stir(adapters: { readonly trainableVariables: Variable[] }, seed = 9): void {
  const random = seededRandom(seed);
  for (const variable of adapters.trainableVariables) {
    const data = variable.dataSync().map((x) => x + random.normal(0, 0.1));
    const value = tensor(data, variable.shape);
    variable.assign(value);
    value.dispose();
  }
}

async function fit(model: layers.LayersModel, x: Tensor, epochs = 2): Promise<void> {
  const optimizer = train.sgd(0.05);
  model.compile({ optimizer, loss: 'meanSquaredError' });
  const shape = [x.shape[0]!, ...model.outputs[0]!.shape.slice(1)] as number[];
  const y = seededRandom(7).normalTensor(shape);
  await model.fit(x, y, { epochs, batchSize: 2, shuffle: false, verbose: 0 });
  y.dispose();
  optimizer.dispose();
}

const VARIANTS: Readonly<Record<string, AdaptOptions>> = {
  lora: { r: 2, alpha: 4 },
  'group of 3': { r: 1, n: 3 },
  rsLoRA: { r: 2, alpha: 3, useRslora: true },
  DoRA: { r: 2, useDora: true },
  PiSSA: { r: 2, init: 'pissa', alpha: 4 },
  OLoRA: { r: 2, init: 'olora' },
};

const cases = Object.entries(MODELS).flatMap(([kind, model]) =>
  Object.entries(VARIANTS)
    .filter(([variant]) => !(variant === 'DoRA' && kind === 'depthwise'))
    .map(([variant, options]) => ({ kind, variant, model, options })),
);

async function withAdapters(
  kind: ModelCase,
  options: AdaptOptions,
  work: (
    model: layers.LayersModel,
    adapters: AdaptedModel<layers.LayersModel>,
    x: Tensor,
    base: Float32Array,
  ) => void | Promise<void>,
): Promise<void> {
  const model = kind.make();
  randomize(model);

  const x = inputsOf(kind);
  const base = predict(model, x);
  const adapters = await adapt(model, options);
  try {
    await work(model, adapters, x, base);
  } finally {
    adapters.dispose();
    x.dispose();
    model.dispose();
  }
  before += kind.leaves ?? 0;
}

const all = (): true => true;

describe.each(cases)('$kind, $variant', ({ model: kind, options }) => {
  test('the same before training, merged the same after, and back bit for bit', async () => {
    await withAdapters(kind, { ...options, targetModules: all }, (model, adapters, x, base) => {
      expect(predict(model, x)).toEqual(base);
      stir(adapters);
      const adapted = predict(model, x);
      expect(adapted).not.toEqual(base);
      const weights = bytes(model.getWeights());
      adapters.merge();
      expect(bytes(model.getWeights())).not.toEqual(weights);
      expectTensorClose(predict(model, x), adapted, { rtol: 1e-5, atol: 1e-5 });
      adapters.unmerge();
      expect(bytes(model.getWeights())).toEqual(weights);
      expect(predict(model, x)).toEqual(adapted);
      adapters.disableAdapters();
      expect(predict(model, x)).toEqual(base);
      adapters.enableAdapters();
      expect(predict(model, x)).toEqual(adapted);
      adapters.dispose();
      expect(predict(model, x)).toEqual(base);
      expect(bytes(model.getWeights())).toEqual(weights);
    });
  });
});

describe.each(Object.entries(MODELS).filter(([, { fits }]) => fits ?? true))('%s', (_, kind) => {
  test('fit trains the adapters alone', async () => {
    await withAdapters(kind, { r: 2, targetModules: all }, async (model, adapters, x) => {
      const weights = bytes(model.getWeights());
      const factors = bytes(adapters.trainableVariables);
      expect(model.trainableWeights.length).toBe(factors.length);
      await fit(model, x);
      expect(bytes(model.getWeights())).toEqual(weights);
      const moved = bytes(adapters.trainableVariables).filter(
        (now, i) => `${now}` !== `${factors[i]}`,
      );
      // Every target trains; in the first steps, one factor of each at least.
      expect(moved.length).toBeGreaterThanOrEqual(factors.length / 2);
    });
  });
});

const OTHER_METHODS: readonly (readonly [string, string, AdaptOptions])[] = [
  ['GraLoRA adds to a dense layer', 'dense', { method: 'gralora', r: 4, k: 2, targetModules: 'd' }],
  [
    'GraLoRA replaces a weight',
    'attention',
    { method: 'gralora', r: 4, k: 2, targetModules: 'key' },
  ],
  ['OFT of a dense layer', 'dense', { method: 'oft', blockSize: 3, targetModules: 'a' }],
  ['OFT, series', 'dense', { method: 'oft', blockSize: 2, neumannTerms: 5, targetModules: 'a' }],
  ['OFT of a convolution', 'conv2d', { method: 'oft', blockSize: 6, targetModules: ['a', 'c'] }],
  [
    'OFT of a weight',
    'attention',
    { method: 'oft', blockSize: 3, targetModules: ['query', 'out'] },
  ],
];

test.each(OTHER_METHODS)('%s', async (_, name, options) => {
  const wide = {
    make: () =>
      layers.sequential({
        layers: [layers.layers.dense({ units: 4, inputShape: [6], activation: 'relu', name: 'd' })],
      }),
    shape: [3, 6],
    targets: ['d'],
  };
  const kind = options.targetModules === 'd' ? wide : MODELS[name]!;
  await withAdapters(kind, options, (model, adapters, x, base) => {
    checkMethod(model, adapters, x, base);
  });
});

function checkMethod(
  model: layers.LayersModel,
  adapters: AdaptedModel<layers.LayersModel>,
  x: Tensor,
  base: Float32Array,
): void {
  expect(predict(model, x)).toEqual(base);
  stir(adapters);
  const adapted = predict(model, x);
  expect(adapted).not.toEqual(base);
  adapters.merge();
  expectTensorClose(predict(model, x), adapted, { rtol: 1e-5, atol: 1e-5 });
  adapters.unmerge();
  expect(predict(model, x)).toEqual(adapted);
}
