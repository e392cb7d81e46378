/** Training: gradients against differences, optimizers, dropout, freezing, weights trained whole. */
import { assertNoLeaks, seededRandom } from '@orth/backend';
import { type AdapterOptions, adapt, loraGroup, pegoLoss } from '@orth/lora-group';
import { Muon } from '@orth/muon';
import { expectTensorClose } from '@orth/testing';
import {
  add,
  gather,
  matMul,
  mean,
  memory,
  type Scalar,
  square,
  sub,
  sum,
  type Tensor,
  tensor,
  tensor1d,
  tidy,
  train,
  type Variable,
  variable,
  variableGrads,
} from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

let before = 0;
beforeEach(() => {
  before = memory().numTensors;
});
afterEach(() => {
  expect(memory().numTensors, 'tensors left behind').toBe(before);
});

const make = (shape: number[], seed: number, name?: string): Variable =>
  tidy(() => variable(seededRandom(seed).normalTensor(shape, 0, 0.6), true, name));

const read = (x: Tensor) => Float32Array.from(x.dataSync());

function set(x: Variable, data: ArrayLike<number>): void {
  const value = tensor(Float32Array.from(data), x.shape);
  x.assign(value);
  value.dispose();
}

function stir(list: readonly Variable[], size = 0.3): void {
  const random = seededRandom(77);
  for (const x of list)
    set(
      x,
      read(x).map((w) => w + random.normal(0, size)),
    );
}

/** Gradients of `f` against central differences in each entry of each variable. */
function checkGradients(
  f: () => Scalar,
  list: readonly Variable[],
  { tolerance = 2e-2, h = 1e-2 } = {},
): void {
  const { value, grads } = variableGrads(f, [...list]);
  value.dispose();
  const at = () => tidy(() => f().dataSync()[0]!);
  for (const x of list) {
    const start = read(x);
    const want = start.map((_, i) => {
      const moved = (by: number) => {
        const data = start.slice();
        data[i]! += by;
        set(x, data);
        return at();
      };
      return (moved(h) - moved(-h)) / (2 * h);
    });
    set(x, start);
    const got = grads[x.name]!;
    const scale = Math.max(1, ...want.map(Math.abs));
    expectTensorClose(
      read(got).map((g) => g / scale),
      want.map((g) => g / scale),
      { rtol: tolerance, atol: tolerance },
    );
    got.dispose();
  }
}

const METHODS: Readonly<Record<string, AdapterOptions>> = {
  lora: { r: 2, alpha: 3 },
  group: { r: 1, n: 2 },
  'pissa from the start': { r: 2, init: 'pissa' },
  gralora: { method: 'gralora', r: 2, k: 2 },
  oft: { method: 'oft', blockSize: 2 },
  'oft, series': { method: 'oft', blockSize: 3, neumannTerms: 5 },
};

describe.each(Object.entries(METHODS))('gradients of %s', (_, options) => {
  test.each(['apply', 'weight'] as const)('through %s', async (way) => {
    const W = make([6, 4], 1);
    const x = seededRandom(2).normalTensor([5, 6]);
    const adapters = await adapt({ W }, options);
    const list = adapters.trainableVariables;
    stir(list);
    checkGradients(
      () =>
        tidy(() => {
          const y = way === 'apply' ? adapters.apply('W', x) : matMul(x, adapters.weight('W'));
          return mean(square(y)) as Scalar;
        }),
      list,
    );
    adapters.dispose();
    x.dispose();
    W.dispose();
  });
});

test('the pretrained weight gets no gradient, and the group none of its own without penalty', async () => {
  const W = make([6, 5], 1, 'frozen/W');
  const x = seededRandom(2).normalTensor([7, 6]);
  const group = await loraGroup(W, { r: 2, n: 3 });
  stir(group.trainable);
  const [A, B] = group.trainable.map(read);
  const one = await (async () => {
    const V = tidy(() => variable(W.clone(), true));
    const adapters = await adapt({ V }, { r: 5, alpha: 5, targetModules: 'V', name: null });
    await adapters.addAdapter('one', { r: 5, n: 1 });
    return { V, adapters };
  })();
  // One LoRA of rank n r with the factors side by side is the same function: here seen through its file.
  const { config, weights } = await group.adapters.saveAdapter('group');
  expect(config).toMatchObject({ r: 6, lora_alpha: 6, peft_type: 'LORA' });
  expect(weights.length).toBeGreaterThan(4 * (A!.length + B!.length));
  const { grads, value } = variableGrads(() => tidy(() => sum(square(group.apply(x))) as Scalar));
  expect(Object.keys(grads)).not.toContain('frozen/W');
  for (const g of [value, ...Object.values(grads)]) g?.dispose();
  one.adapters.dispose();
  one.V.dispose();
  group.dispose();
  for (const t of [W, x]) t.dispose();
});

test('pegoLoss: 0 before training with gradient 0; against differences after', async () => {
  const W = make([5, 4], 3);
  const group = await loraGroup(W, { r: 2, n: 3 });
  const list = [...group.trainable];
  const { value, grads } = variableGrads(() => pegoLoss(group), list);
  expect(value.dataSync()[0]).toBe(0);
  for (const g of Object.values(grads)) {
    expect(read(g!).every((entry) => entry === 0)).toBe(true);
    g!.dispose();
  }
  value.dispose();
  stir(list);
  for (const norm of ['l1', 'fro2'] as const) {
    checkGradients(
      () => pegoLoss([group], { lambda: 0.1, preserve: 0.5, diversify: 2, norm }),
      list,
      // Small steps, as the sum of absolute values has kinks.
      { h: 5e-4 },
    );
  }
  const naive = tidy(() => {
    const [A, B] = list as [Variable, Variable];
    const a = A.dataSync();
    const b = B.dataSync();
    const w = W.dataSync();
    // D_i = A_i B_i; Σ |Wᵀ D_i| + Σ_{i<j} |D_iᵀ D_j|
    const D = [0, 1, 2].map((i) =>
      Array.from({ length: 5 }, (_, row) =>
        Array.from({ length: 4 }, (_, column) =>
          [0, 1].reduce((s, k) => s + a[row * 6 + i * 2 + k]! * b[(i * 2 + k) * 4 + column]!, 0),
        ),
      ),
    );
    const rows = (P: number[][], Q: number[][]) => {
      let total = 0;
      for (let i = 0; i < 4; i++)
        for (let j = 0; j < 4; j++) {
          let entry = 0;
          for (let k = 0; k < 5; k++) entry += P[k]![i]! * Q[k]![j]!;
          total += Math.abs(entry);
        }
      return total;
    };
    const Wm = Array.from({ length: 5 }, (_, i) => Array.from(w.slice(i * 4, i * 4 + 4)));
    const preserve = D.reduce((s, d) => s + rows(Wm, d), 0);
    const diversify = rows(D[0]!, D[1]!) + rows(D[0]!, D[2]!) + rows(D[1]!, D[2]!);
    return 0.01 * (preserve + diversify);
  });
  const got = pegoLoss(group, { lambda: 0.01 });
  expect(got.dataSync()[0]).toBeCloseTo(naive, 4);
  got.dispose();
  group.dispose();
  W.dispose();
});

test.each(['adam', 'muon'] as const)(
  'minimize with %s trains adapters and nothing else',
  async (name) => {
    const W = make([8, 6], 1);
    const V = make([6, 3], 2);
    const free = make([3], 3);
    const x = seededRandom(4).normalTensor([16, 8]);
    const y = seededRandom(5).normalTensor([16, 3]);
    const adapters = await adapt({ hidden: W, out: V }, { r: 3, targetModules: ['hidden', 'out'] });
    const optimizer =
      name === 'adam'
        ? train.adam(0.05)
        : new Muon({
            learningRate: 0.05,
            // Factors of rank 3 are narrower than what Muon takes unasked.
            groups: [{ match: /lora_[AB]/, optimizer: 'muon' }],
          });
    const frozen = [W, V].map(read);
    const loss = () =>
      tidy(() => {
        const h = adapters.apply('hidden', x, { training: true });
        const output = adapters.apply('out', h, { bias: free });
        return add(mean(square(sub(output, y))), pegoLoss(adapters, { lambda: 1e-4 })) as Scalar;
      });
    const first = tidy(() => loss().dataSync()[0]!);
    for (let step = 0; step < 60; step++)
      optimizer.minimize(loss, false, adapters.trainableVariables);
    expect(tidy(() => loss().dataSync()[0]!)).toBeLessThan(0.9 * first);
    expect([W, V].map(read)).toEqual(frozen);
    // Without a list of variables the frozen ones stay, too.
    optimizer.dispose();
    const all = train.sgd(0.01);
    const bias = read(free);
    all.minimize(loss);
    expect([W, V].map(read)).toEqual(frozen);
    expect(read(free)).not.toEqual(bias);
    all.dispose();
    adapters.dispose();
    expect([W, V].map((v) => v.trainable)).toEqual([true, true]);
    for (const t of [W, V, free, x, y]) t.dispose();
  },
);

test('dropout: none in inference, inverted in training, resumed from its file', async () => {
  const W = make([50, 4], 1);
  const x = tidy(() => add(seededRandom(2).normalTensor([40, 50], 0, 0), 1));
  const adapters = await adapt({ W }, { r: 4, init: 'random', dropout: 0.5, seed: 8 });
  const output = (training: boolean) => tidy(() => read(adapters.apply('W', x, { training })));
  expect(output(false)).toEqual(output(false));
  const [first, second] = [output(true), output(true)];
  expect(first).not.toEqual(second);
  const update = tidy(() => read(sub(adapters.apply('W', x), matMul(x, W))));
  const mean64 = (list: Float32Array, column: number) =>
    list.filter((_, i) => i % 4 === column).reduce((s, v) => s + v, 0) / 40;
  const base = tidy(() => read(matMul(x, W)));
  for (let column = 0; column < 4; column++) {
    // 40 rows of 50 masked inputs: the mean over rows is near the unmasked update.
    const got = mean64(first, column) - mean64(base, column);
    expect(Math.abs(got - mean64(update, column))).toBeLessThan(0.6);
  }
  const files = await adapters.saveAdapter();
  const next = output(true);
  await adapters.loadAdapter(files, { name: 'again', activate: true });
  expect(output(true)).toEqual(next);
  adapters.dispose();
  for (const t of [W, x]) t.dispose();
});

test('an embedding as a variable, through weight', async () => {
  const table = make([9, 4], 1);
  const adapters = await adapt({ table }, { r: 2, seed: 3 });
  stir(adapters.trainableVariables);
  const ids = tensor1d([1, 1, 8], 'int32');
  checkGradients(
    () => tidy(() => sum(square(gather(adapters.weight('table'), ids))) as Scalar),
    adapters.trainableVariables,
  );
  ids.dispose();
  adapters.dispose();
  table.dispose();
});

test('unfreeze trains the model too; freeze takes it back', async () => {
  const W = make([4, 3], 1);
  const adapters = await adapt({ W }, { r: 2 });
  expect(adapters.trainableVariables).toHaveLength(2);
  adapters.unfreeze();
  expect(adapters.trainableVariables).toContain(W);
  expect(W.trainable).toBe(true);
  adapters.freeze();
  expect(W.trainable).toBe(false);
  expect(adapters.countParameters()).toEqual({ trainable: 14, adapters: 14, base: 12 });
  adapters.dispose();
  W.dispose();
});

test('a new head trains beside adapters, batch normalisation stays still, and both come off', async () => {
  const { dense, batchNormalization } = layers.layers;
  const model = layers.sequential({
    layers: [
      dense({ units: 6, inputShape: [4], name: 'body' }),
      batchNormalization({ name: 'norm' }),
      dense({ units: 3, activation: 'softmax', name: 'head' }),
    ],
  });
  const x = seededRandom(2).normalTensor([16, 4]);
  const labels = tidy(() =>
    tensor(
      Array.from({ length: 48 }, (_, i) => (i % 4 === 0 ? 1 : 0)),
      [16, 3],
    ),
  );
  const start = model.getWeights().map(read);
  const predict = () => {
    const y = model.predict(x) as Tensor;
    const values = read(y);
    y.dispose();
    return values;
  };
  const base = predict();
  const adapters = await adapt(model, {
    r: 2,
    modulesToSave: 'head',
    bias: 'loraOnly',
    targetModules: 'body',
  });
  expect(predict()).toEqual(base);
  const optimizer = train.adam(0.05);
  model.compile({ optimizer, loss: 'categoricalCrossentropy' });
  await model.fit(x, labels, { epochs: 3, verbose: 0 });
  const trained = predict();
  const now = model.getWeights().map(read);
  // In the order of the model: body's kernel stays, its bias moves; the normalisation stays, the head moves.
  const moved = now.map((w, i) => `${w}` !== `${start[i]}`);
  const names = model.weights.map(({ originalName }) => originalName.replace(/_[^/]*\//, '/'));
  expect(names.filter((_, i) => moved[i])).toEqual(
    names.filter((name) => /body.*bias|head/.test(name)),
  );
  await adapters.addAdapter('other', { r: 1, targetModules: 'body', modulesToSave: 'head' });
  adapters.setAdapter('other');
  expect(predict()).toEqual(base);
  adapters.setAdapter('default');
  expect(predict()).toEqual(trained);
  expect(() => adapters.setAdapter(['default', 'other'])).toThrow(
    /must not train one weight twice/,
  );
  const files = await adapters.saveAdapter();
  adapters.disableAdapters();
  expect(predict()).toEqual(base);
  adapters.enableAdapters();
  adapters.dispose();
  expect(predict()).toEqual(base);
  expect(model.getWeights().map(read)).toEqual(start);
  const again = await adapt(model, { name: null });
  await again.loadAdapter(files);
  expect(predict()).toEqual(trained);
  const plain = again.mergeAndUnload();
  expectTensorClose(predict(), trained, { rtol: 1e-5, atol: 1e-6 });
  expect(plain).toBe(model);
  expect(Object.hasOwn(model, 'weights')).toBe(false);
  optimizer.dispose();
  model.dispose();
  for (const t of [x, labels]) t.dispose();
});

test('steps leave no tensors behind', async () => {
  const W = make([6, 5], 1);
  const x = seededRandom(2).normalTensor([4, 6]);
  for (const options of [
    { r: 2, useDora: true, dropout: 0.2 },
    { method: 'oft', blockSize: 3 },
  ] as const) {
    const adapters = await adapt({ W }, options);
    const optimizer = train.adam(0.01);
    const step = () =>
      optimizer.minimize(
        () => tidy(() => sum(square(adapters.apply('W', x, { training: true }))) as Scalar),
        false,
        adapters.trainableVariables,
      );
    step();
    await assertNoLeaks(() => {
      for (let i = 0; i < 50; i++) step();
    });
    optimizer.dispose();
    adapters.dispose();
  }
  for (const t of [W, x]) t.dispose();
});
