/** Several adapters: names, switching, sums, combinations, and what is refused with nothing changed. */
import { NonFiniteError, seededRandom } from '@orth/backend';
import { type AdaptedVariables, type AdaptOptions, adapt } from '@orth/lora-group';
import { expectTensorClose } from '@orth/testing';
import {
  add,
  matMul,
  memory,
  mul,
  sub,
  type Tensor,
  tensor,
  tidy,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { inputsOf, MODELS, randomize } from './models.js';

let before = 0;
let variables: Record<string, Variable> = {};
let x: Tensor;
beforeEach(() => {
  before = memory().numTensors;
  variables = tidy(() => ({
    'block0.query': variable(seededRandom(1).normalTensor([6, 5])),
    'block0.value': variable(seededRandom(2).normalTensor([6, 5])),
    'block1.query': variable(seededRandom(3).normalTensor([5, 4])),
    kernel: variable(seededRandom(4).normalTensor([2, 2, 3, 4])),
    bias: variable(seededRandom(5).normalTensor([4])),
  }));
  x = seededRandom(6).normalTensor([3, 6]);
});
afterEach(() => {
  for (const v of [...Object.values(variables), x]) v.dispose();
  expect(memory().numTensors, 'tensors left behind').toBe(before);
});

const read = (y: Tensor) => Float32Array.from(y.dataSync());
const PATH = 'block0.query';

function output(adapters: AdaptedVariables, path = PATH): Float32Array {
  return tidy(() => read(adapters.apply(path, x)));
}

/** Adapters `a`, `b` and `c`, off their start. */
async function three(options: AdaptOptions = {}): Promise<AdaptedVariables> {
  const adapters = await adapt(variables, { name: null });
  for (const [i, name] of ['a', 'b', 'c'].entries()) {
    await adapters.addAdapter(name, {
      r: 2,
      alpha: 3 + i,
      init: 'random',
      seed: i,
      targetModules: 'query',
      ...options,
    });
  }
  return adapters;
}

describe('targets', () => {
  test.each([
    ['query', ['block0.query', 'block1.query']],
    ['block0.query', ['block0.query']],
    [
      ['value', 'kernel'],
      ['block0.value', 'kernel'],
    ],
    [/block0/g, ['block0.query', 'block0.value']],
    ['allLinear', ['block0.query', 'block0.value', 'block1.query']],
    [({ shape }: { shape: readonly number[] }) => shape.length === 4, ['kernel']],
  ] as const)('%s', async (targetModules, want) => {
    const adapters = await adapt(variables, { r: 1, targetModules: targetModules as never });
    const got = adapters.describe().filter((target) => 'default' in target.adapters);
    expect(got.map(({ path }) => path)).toEqual(want);
    adapters.dispose();
  });

  test('excluded, by layer, and with other ranks', async () => {
    const adapters = await adapt(variables, {
      r: 2,
      excludeModules: 'value',
      layersToTransform: [0, 1],
      rankPattern: { query: 1, 'block1.query': 3 },
      alphaPattern: { 'block1.query': 6 },
    });
    const ranks = adapters.loraFactors().map(({ path, r }) => [path, r]);
    expect(ranks).toEqual([
      ['block0.query', 1],
      ['block1.query', 3],
    ]);
    const only = await adapters.addAdapter('only', { r: 1, layersToTransform: 1 });
    expect(only).toBeUndefined();
    expect(adapters.loraFactors(['only']).map(({ path }) => path)).toEqual(['block1.query']);
    adapters.dispose();
  });
});

test('switching, sums, disabling: each combination is what its parts say', async () => {
  const adapters = await three();
  expect([...adapters.activeAdapters]).toEqual([['a', 1]]);
  const alone = ['a', 'b', 'c'].map((name) => {
    adapters.setAdapter(name);
    return output(adapters);
  });
  adapters.disableAdapters();
  const base = output(adapters);
  adapters.enableAdapters();
  adapters.setAdapter(['a', 'c'], [0.5, -2]);
  const want = base.map((y, i) => y + 0.5 * (alone[0]![i]! - y) - 2 * (alone[2]![i]! - y));
  expectTensorClose(output(adapters), want, { rtol: 1e-4, atol: 1e-5 });
  const delta = adapters.delta(PATH);
  const effective = adapters.weight(PATH);
  tidy(() =>
    expectTensorClose(add(variables[PATH]!, delta), effective, { rtol: 1e-5, atol: 1e-5 }),
  );
  delta.dispose();
  effective.dispose();
  adapters.setAdapter('a');
  expect(output(adapters)).toEqual(alone[0]);
  adapters.deleteAdapter('a');
  expect(adapters.adapterNames).toEqual(['b', 'c']);
  expect(output(adapters)).toEqual(base);
  expect(adapters.weight(PATH)).toBe(variables[PATH]);
  adapters.dispose();
});

describe.each(['cat', 'svd', 'linear'] as const)('combined by %s', (combination) => {
  test.each([{}, { init: 'pissa' }, { n: 2, r: 1 }] as const)('%o', async (options) => {
    const adapters = await three({ ...options, targetModules: PATH });
    const random = seededRandom(50);
    for (const name of adapters.adapterNames) {
      adapters.setAdapter(name);
      for (const v of adapters.trainableVariables) {
        const value = random.normalTensor(v.shape);
        v.assign(value);
        value.dispose();
      }
    }
    adapters.setAdapter(['a', 'b'], [0.7, -0.4]);
    const want = output(adapters);
    const all = 'init' in options ? 8 : 4;
    const settings =
      combination === 'svd' ? { combination, rank: Math.min(5, all) } : { combination };
    await adapters.addWeightedAdapter(['a', 'b'], [0.7, -0.4], 'sum', settings);
    adapters.setAdapter('sum');
    if (combination === 'linear') expect(output(adapters)).not.toEqual(want);
    else expectTensorClose(output(adapters), want, { rtol: 1e-4, atol: 1e-4 });
    adapters.dispose();
  });
});

test('svd of lower rank is the best approximation; linear is what it says', async () => {
  const adapters = await three({ targetModules: PATH });
  await adapters.addWeightedAdapter(['a', 'b'], [1, 1], 'low', { combination: 'svd', rank: 2 });
  await adapters.addWeightedAdapter(['a', 'b'], [1, 1], 'same');
  const deltaOf = (name: string) => {
    adapters.setAdapter(name);
    return adapters.delta(PATH);
  };
  const [low, whole] = [deltaOf('low'), deltaOf('same')];
  const size = (y: Tensor) => read(y).reduce((s, v) => s + v * v, 0);
  // The rest is orthogonal to the approximation, and smaller than either adapter.
  const rest = tidy(() => size(sub(whole, low)));
  expect(rest + size(low)).toBeCloseTo(size(whole), 3);
  expect(rest).toBeLessThan(
    Math.min(size(low), ...['a', 'b'].map((name) => tidy(() => size(deltaOf(name))))),
  );
  low.dispose();
  whole.dispose();
  await adapters.addWeightedAdapter(['a'], [2], 'twice', { combination: 'linear' });
  adapters.setAdapter('a', [2]);
  const want = output(adapters);
  adapters.setAdapter('twice');
  expectTensorClose(output(adapters), want, { rtol: 1e-5, atol: 1e-5 });
  adapters.dispose();
});

test('merging keeps the model when it is refused, and the weights bit for bit when undone', async () => {
  const adapters = await three();
  const start = Object.values(variables).map(read);
  const now = () => Object.values(variables).map(read);
  const active = output(adapters);
  adapters.merge(['a', 'b']);
  expect([...adapters.activeAdapters.keys()]).toEqual(['a', 'b']);
  expect(adapters.merged).toBe(true);
  const merged = now();
  for (const refused of [
    () => adapters.merge(),
    () => adapters.setAdapter('c'),
    () => adapters.disableAdapters(),
    () => adapters.deleteAdapter('a'),
  ]) {
    expect(refused).toThrow(/merged/);
    expect(now()).toEqual(merged);
  }
  // What is added meanwhile starts from the pretrained weights.
  await adapters.addAdapter('late', { r: 2, useDora: true, init: 'pissa', targetModules: PATH });
  adapters.unmerge();
  expect(now()).toEqual(start);
  expect(() => adapters.unmerge()).toThrow(/must be merged/);
  adapters.setAdapter('late');
  const [base, late] = [tidy(() => read(matMul(x, variables[PATH]!))), output(adapters)];
  expect(late).toEqual(base);
  adapters.setAdapter('a');
  expect(output(adapters)).toEqual(active);
  const bad = adapters.trainableVariables[0]!;
  const value = tensor(read(bad).fill(Number.POSITIVE_INFINITY), bad.shape);
  bad.assign(value);
  value.dispose();
  await expect(adapters.safeMerge()).rejects.toThrow(NonFiniteError);
  expect(now()).toEqual(start);
  expect(adapters.merged).toBe(false);
  await adapters.safeMerge('b');
  expect(adapters.merged).toBe(true);
  adapters.dispose();
  expect(now()).toEqual(start);
  expect(adapters.disposed).toBe(true);
  expect(() => adapters.merge()).toThrow(/must not have been taken off/);
});

const REFUSED: readonly (readonly [string, AdaptOptions, RegExp])[] = [
  ['rank 0', { r: 0 }, /r must be an integer >= 1, got 0/],
  ['a broken rank', { r: 1.5 }, /r must be/],
  [
    'a rank larger than the layer',
    { r: 6 },
    /r for block0.query of \[6, 5\] must be .*<= 5, got 6/,
  ],
  ['no updates', { n: 0 }, /n must be/],
  [
    'a pattern that matches nothing',
    { targetModules: 'keys' },
    /must match a module, got none of block0.query, block0.value/,
  ],
  ['all of them excluded', { excludeModules: /./ }, /must match a module/],
  ['a layer that is not there', { layersToTransform: 7 }, /must match a module/],
  [
    'ranks of nobody',
    { r: 2, rankPattern: { keys: 1 } },
    /rankPattern and alphaPattern must name targets, got keys/,
  ],
  [
    'a target to be trained whole too',
    { r: 2, targetModules: 'value', modulesToSave: 'value' },
    /must not be targets too/,
  ],
  ['modules that are not there', { r: 2, modulesToSave: 'head' }, /modulesToSave must match/],
  ['alpha 0', { alpha: 0 }, /alpha must be/],
  ['dropout 1', { dropout: 1 }, /dropout must be/],
  [
    'dropout where the input is not seen',
    { r: 2, dropout: 0.1, targetModules: 'kernel' },
    /dropout must be 0 for kernel/,
  ],
  [
    'DoRA where there are no columns',
    { r: 2, useDora: true, targetModules: 'kernel' },
    /useDora must be false for kernel/,
  ],
  ['an unknown option', { rank: 3 } as AdaptOptions, /unknown option "rank"/],
  ['an unknown start', { init: 'zeros' as never }, /init must be one of/],
  ['an odd rank for orthogonal starts', { r: 3, init: 'orthogonal' }, /r must be even/],
  [
    'GraLoRA that does not divide',
    { method: 'gralora', r: 3, k: 3 },
    /k must divide both sides of block0.query/,
  ],
  [
    'GraLoRA whose rank does not divide',
    { method: 'gralora', r: 3, k: 2 },
    /r must be divisible by k/,
  ],
  [
    'OFT that does not divide',
    { method: 'oft', blockSize: 4 },
    /blockSize must be > 1 and divide the 6 inputs/,
  ],
  [
    'options of another method',
    { method: 'oft', useDora: true },
    /useDora must be left out with method oft/,
  ],
  ['a selector of nothing', { targetModules: [] }, /targetModules must be/],
  ['a name with a dot', { name: 'a.b' }, /name must be a text without dots/],
];

test.each(REFUSED)('refuses %s, the variables unchanged', async (_, options, message) => {
  const start = Object.values(variables).map(read);
  await expect(adapt(variables, options)).rejects.toThrow(message);
  expect(Object.values(variables).map(read)).toEqual(start);
  expect(Object.values(variables).every((v) => v.trainable)).toBe(true);
});

test.each(REFUSED)(
  'refuses %s as a second adapter, the first unchanged',
  async (_, options, message) => {
    const adapters = await adapt(variables, {
      r: 2,
      init: 'random',
      targetModules: 'query',
      name: 'first',
    });
    const want = output(adapters);
    const { name = 'second', ...rest } = options;
    await expect(adapters.addAdapter(name!, rest)).rejects.toThrow(message);
    expect(adapters.adapterNames).toEqual(['first']);
    expect(output(adapters)).toEqual(want);
    adapters.dispose();
  },
);

test('refuses other misuse', async () => {
  await expect(adapt({} as never)).rejects.toThrow(
    /must be a tf.layers model or an object of variables/,
  );
  await expect(adapt(layers.sequential() as never)).rejects.toThrow(/must be/);
  const adapters = await three();
  await expect(adapt(variables)).rejects.toThrow(/must not have adapters already/);
  await expect(adapters.addAdapter('a')).rejects.toThrow(/name must be new/);
  expect(() => adapters.setAdapter('z')).toThrow(/names must be among a, b, c, got z/);
  expect(() => adapters.setAdapter(['a', 'a'])).toThrow(/names must differ/);
  expect(() => adapters.setAdapter(['a', 'b'], [1])).toThrow(/weights must be as many/);
  expect(() => adapters.setAdapter('a', [Number.NaN])).toThrow(/weights must be/);
  expect(() => adapters.apply('nowhere', x)).toThrow(/path must be one of/);
  expect(() => adapters.apply('kernel', x)).toThrow(/must have rank 2/);
  expect(() => adapters.apply('block1.query', x)).toThrow(/x must have shape/);
  await adapters.addAdapter('dora', { r: 2, useDora: true });
  await expect(adapters.addWeightedAdapter(['a', 'dora'], [1, 1], 'd')).rejects.toThrow(
    /plain LoRA/,
  );
  await adapters.addAdapter('wide', { r: 3 });
  await expect(
    adapters.addWeightedAdapter(['a', 'wide'], [1, 1], 'd', { combination: 'linear' }),
  ).rejects.toThrow(/one rank/);
  await expect(
    adapters.addWeightedAdapter(['a'], [1], 'd', { combination: 'svd', rank: 9 }),
  ).rejects.toThrow(/rank for block0.query must be/);
  expect(adapters.adapterNames).not.toContain('d');
  adapters.disableAdapters();
  expect(() => adapters.merge()).toThrow(/must be enabled/);
  adapters.dispose();
  adapters.dispose();
});

test('merged layers run their own code: no property is left on them', async () => {
  const kind = MODELS.dense!;
  const model = kind.make();
  randomize(model);
  const input = inputsOf(kind);
  const adapters = await adapt(model, { r: 2, init: 'random' });
  expect(model.layers.every((layer) => Object.hasOwn(layer, 'call'))).toBe(true);
  adapters.merge();
  expect(model.layers.some((layer) => Object.hasOwn(layer, 'call'))).toBe(false);
  const count = () => {
    const start = memory().numTensors;
    let most = 0;
    tidy(() => {
      model.predict(input);
      most = memory().numTensors - start;
    });
    return most;
  };
  const merged = count();
  adapters.mergeAndUnload();
  expect(count()).toBe(merged);
  for (const object of [model, ...model.layers, ...model.weights]) {
    for (const key of ['call', 'weights', 'trainableWeights', 'trainable']) {
      expect(Object.hasOwn(object, key)).toBe(false);
    }
  }
  expect(model.trainableWeights).toHaveLength(model.weights.length);
  input.dispose();
  model.dispose();
});

test('starts: PiSSA and OLoRA take from the weight what an SVD and a QR would; orthogonal starts at 0', async () => {
  const adapters = await adapt(variables, { name: null });
  const W = variables[PATH]!;
  for (const init of ['pissa', 'olora', 'orthogonal', 'gaussian'] as const) {
    await adapters.addAdapter(init, { r: 2, init, alpha: 4, targetModules: PATH });
    const { A, B } = adapters.loraFactors([init])[0]!;
    const product = tidy(() => matMul(A, B));
    if (init === 'pissa' || init === 'olora') expect(read(product)).not.toEqual(read(W));
    if (init === 'orthogonal')
      expectTensorClose(
        product,
        read(W).map(() => 0),
        { rtol: 0, atol: 1e-6 },
      );
    if (init === 'gaussian') expect(read(B).every((b) => b === 0)).toBe(true);
    if (init === 'pissa') {
      // s A B is a projection of W on two directions: W − s A B is orthogonal to it.
      const inner = tidy(() => {
        const part = mul(product, 2);
        return read(matMul(part, sub(W, part), true, false)).reduce(
          (s, v) => Math.max(s, Math.abs(v)),
          0,
        );
      });
      expect(inner).toBeLessThan(1e-4);
    }
    if (init === 'olora') {
      // The first two rows of W are theirs.
      expectTensorClose(read(product).slice(0, 10), read(W).slice(0, 10), {
        rtol: 1e-4,
        atol: 1e-5,
      });
    }
    product.dispose();
  }
  adapters.dispose();
});
