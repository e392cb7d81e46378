import { expectTensorClose } from '@orth/testing';
import {
  matMul,
  memory,
  mul,
  relu,
  reshape,
  type Scalar,
  square,
  sum,
  type Tensor,
  type Tensor2D,
  tensor,
  tensor1d,
  tensor2d,
  tidy,
  train,
  variable,
  variableGrads,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  oneHotSquaredLoss,
  type SphericalLossName,
  SphericalOutputLayer,
  type SphericalOutputLayerOptions,
  sphericalSoftmaxLoss,
  taylorSoftmaxLoss,
  zLoss,
} from '../src/index.js';
import { gaussian, rowsOf, toTensor } from './reference.js';
import { DenseLayer64, spherical64 } from './sphericalReference.js';

const D = 40;
const d = 6;
const m = 5;
const W0 = gaussian(1, D * d, 0.3);
const hidden = (step: number) => gaussian(100 + step, m * d);
// Two of the labels are always the same.
const labelsOf = (step: number) => [step % D, 7, 7, (3 * step + 1) % D, D - 1];
const layerOf = (options: Partial<SphericalOutputLayerOptions> = {}) =>
  new SphericalOutputLayer({ classes: D, inputSize: d, initialWeights: W0, ...options });
const mean = new Array<number>(m).fill(1 / m);

function trainLayer(layer: SphericalOutputLayer, steps: number, learningRate: number, from = 0) {
  for (let t = from; t < from + steps; t++) {
    const h = toTensor(hidden(t), [m, d]);
    const y = tensor1d(labelsOf(t), 'int32');
    layer.trainStep(h, y, { learningRate }).hiddenGradient.dispose();
    h.dispose();
    y.dispose();
  }
}

describe.each([
  ['zLoss', 1, { a: 0.3, b: 5 }],
  ['taylorSoftmax', 0.1, {}],
  ['sphericalSoftmax', 0.05, { epsilon: 0.1 }],
  ['squaredError', 0.01, {}],
] as [SphericalLossName, number, Record<string, number>][])('%s', (loss, rate, lossOptions) => {
  it('makes the steps of the dense layer', () => {
    const before = memory().numTensors;
    const layer = layerOf({ loss, lossOptions });
    const dense = new DenseLayer64(D, d, W0, loss, lossOptions);
    for (let t = 0; t < 10; t++) {
      const h = toTensor(hidden(t), [m, d]);
      const y = tensor1d(labelsOf(t), 'int32');
      const got = layer.trainStep(h, y, { learningRate: rate });
      const rows = rowsOf(hidden(t), d);
      const want = dense.step(
        rows,
        labelsOf(t).map((c) => [c]),
        mean,
        rate,
      );
      expectTensorClose(got.losses, want.losses, { rtol: 1e-5, atol: 1e-5 });
      expect(got.loss).toBeCloseTo(want.losses.reduce((a, b) => a + b) / m, 4);
      expectTensorClose(got.hiddenGradient, want.gradients.flat(), { rtol: 1e-4, atol: 1e-5 });
      for (const x of [h, y, got.hiddenGradient]) x.dispose();
    }
    const W = layer.weights();
    expectTensorClose(W, dense.W, { rtol: 1e-5, atol: 1e-6 });
    W.dispose();
    layer.dispose();
    expect(memory().numTensors).toBe(before);
  });
});

describe('beside the same model composed of tfjs operations', () => {
  it.each([
    ['zLoss', zLoss, 1],
    ['taylorSoftmax', taylorSoftmaxLoss, 0.1],
    ['sphericalSoftmax', sphericalSoftmaxLoss, 0.05],
    ['squaredError', oneHotSquaredLoss, 0.01],
  ] as const)(
    '%s: a dense variable, its loss on all logits, and tf.train.sgd',
    (loss, dense, rate) => {
      const layer = layerOf({ loss });
      const start = tensor2d(W0, [D, d]);
      const W = variable(start);
      const optimizer = train.sgd(rate);
      for (let t = 0; t < 20; t++) {
        const h = toTensor(hidden(t), [m, d]) as Tensor2D;
        const y = tensor1d(labelsOf(t), 'int32');
        optimizer.minimize(() => dense(matMul(h, W, false, true), y) as Scalar);
        layer.trainStep(h, y, { learningRate: rate }).hiddenGradient.dispose();
        h.dispose();
        y.dispose();
      }
      const got = layer.weights();
      expectTensorClose(got, W as Tensor, { rtol: 1e-4, atol: 1e-5 });
      for (const x of [start, W, got]) x.dispose();
    },
  );
});

describe('SphericalOutputLayer', () => {
  it('takes several targets, weights, sequences and a bias', () => {
    const layer = layerOf({ useBias: true, initialWeights: W0, loss: 'taylorSoftmax' });
    // The bias is a further column of zeros, for a hidden vector that ends in 1.
    const wide = rowsOf(W0, d).flatMap((row) => [...row, 0]);
    const dense = new DenseLayer64(D, d + 1, wide, 'taylorSoftmax');
    const targets = [
      [0, 3],
      [5, 5],
      [7, 1],
      [2, 9],
    ];
    const w = [1, 2, 0, 3];
    for (let t = 0; t < 5; t++) {
      const data = gaussian(50 + t, 4 * d);
      const [h, y] = [toTensor(data, [2, 2, d]), tensor(targets.flat(), [2, 2, 2], 'int32')];
      const weights = tensor2d(w, [2, 2]);
      const got = layer.trainStep(h, y, { learningRate: 0.2, weights });
      const rows = rowsOf(data, d).map((row) => [...row, 1]);
      const want = dense.step(
        rows,
        targets,
        w.map((x) => x / 6),
        0.2,
      );
      expect(got.hiddenGradient.shape).toEqual([2, 2, d]);
      expectTensorClose(
        got.hiddenGradient,
        want.gradients.flatMap((g) => g.slice(0, d)),
        { rtol: 1e-4, atol: 1e-5 },
      );
      for (const x of [h, y, weights, got.hiddenGradient]) x.dispose();
    }
    const [W, b] = [layer.weights(), layer.biases()];
    const rows = rowsOf(dense.W, d + 1);
    expectTensorClose(
      W,
      rows.flatMap((row) => row.slice(0, d)),
      { rtol: 1e-5, atol: 1e-6 },
    );
    expectTensorClose(
      b,
      rows.map((row) => row[d]!),
      { rtol: 1e-5, atol: 1e-6 },
    );
    W.dispose();
    b.dispose();
  });

  it('at learning rate 0 changes nothing', () => {
    const layer = layerOf();
    const before = layer.saveState();
    trainLayer(layer, 3, 0);
    expect(layer.saveState()).toEqual(before);
  });

  it('asynchronously does the same as synchronously', async () => {
    const [one, other] = [layerOf(), layerOf()];
    trainLayer(one, 1, 1);
    const [h, y] = [toTensor(hidden(0), [m, d]), tensor1d(labelsOf(0), 'int32')];
    const step = await other.trainStepAsync(h, y, { learningRate: 1 });
    for (const x of [h, y, step.hiddenGradient]) x.dispose();
    expect(other.saveState()).toEqual(one.saveState());
  });

  it('trains a network below it through minimize: both gradients are those of the dense model', () => {
    const layer = layerOf({ loss: 'taylorSoftmax' });
    const dense = new DenseLayer64(D, d, W0, 'taylorSoftmax');
    const x = toTensor(gaussian(7, m * 4), [m, 4]) as Tensor2D;
    const start = toTensor(gaussian(8, 4 * d), [4, d]) as Tensor2D;
    const y = tensor1d(labelsOf(2), 'int32');
    const kernel = variable(start);
    const model = () => relu(matMul(x, kernel)) as Tensor2D;
    const h = tidy(() => rowsOf(model().dataSync(), d));
    // A factor on the loss counts for the layer's step too.
    const { grads, value } = variableGrads(
      () => mul(layer.trainingLoss(model(), y, { learningRate: 0.1 }), 3),
      [kernel],
    );
    const want = dense.step(
      h,
      labelsOf(2).map((c) => [c]),
      mean.map((w) => 3 * w),
      0.1,
    );
    const through = tidy(() =>
      variableGrads(() => sum(mul(model(), tensor2d(want.gradients))) as Scalar, [kernel]).grads[
        kernel.name
      ]!.clone(),
    );
    expectTensorClose(grads[kernel.name]!, through, { rtol: 1e-4, atol: 1e-5 });
    const W = layer.weights();
    expectTensorClose(W, dense.W, { rtol: 1e-5, atol: 1e-6 });
    const optimizer = train.adam(0.01);
    const losses = Array.from({ length: 30 }, () => {
      const loss = optimizer.minimize(
        () => layer.trainingLoss(model(), y, { learningRate: 0.5 }),
        true,
      )!;
      const number = loss.dataSync()[0]!;
      loss.dispose();
      return number;
    });
    expect(losses.at(-1)).toBeLessThan(losses[0]! / 2);
    optimizer.dispose();
    for (const t of [x, start, y, kernel, value, through, W, ...Object.values(grads)]) t.dispose();
  });

  it('lossOf gives value and gradient and leaves the weights alone', () => {
    const layer = layerOf({ lossOptions: { a: 0.5, b: 3 } });
    const before = layer.saveState();
    const data = hidden(1);
    const start = toTensor(data, [m, d]);
    const h = variable(start);
    const y = tensor1d(labelsOf(1), 'int32');
    const dense = new DenseLayer64(D, d, W0, 'zLoss', { a: 0.5, b: 3 });
    const want = rowsOf(data, d).map((row, i) =>
      spherical64('zLoss', dense.logits(row), labelsOf(1)[i]!, { a: 0.5, b: 3 }),
    );
    const { value, grads } = variableGrads(() => layer.lossOf(h, y, { reduction: 'sum' }), [h]);
    expectTensorClose(value, [want.reduce((a, b) => a + b)], { rtol: 1e-5 });
    expect(layer.saveState()).toEqual(before);
    for (const t of [start, h, y, value, ...Object.values(grads)]) t.dispose();
  });

  it('renormalises by itself and still is the dense layer', () => {
    const layer = layerOf({ conditionLimit: 1.02, lossOptions: { a: 0.3, b: 5 } });
    const dense = new DenseLayer64(D, d, W0, 'zLoss', { a: 0.3, b: 5 });
    trainLayer(layer, 60, 2);
    for (let t = 0; t < 60; t++) {
      dense.step(
        rowsOf(hidden(t), d),
        labelsOf(t).map((c) => [c]),
        mean,
        2,
      );
    }
    expect(layer.stats().renormalizations).toBeGreaterThan(10);
    expect(layer.stats().condition).toBeLessThan(1.02);
    const W = layer.weights();
    expectTensorClose(W, dense.W, { rtol: 1e-5, atol: 1e-5 });
    W.dispose();
  });

  it('predicts: logits, some of them, and the greatest, equal ones by index', async () => {
    const layer = layerOf({ conditionLimit: 1.02 });
    trainLayer(layer, 30, 2);
    expect(layer.stats().pendingMaps).toBeGreaterThan(0);
    const h = toTensor(hidden(9), [m, d]);
    const W = layer.weights();
    const want = tidy(() => matMul(h as Tensor2D, W, false, true).arraySync() as number[][]);
    const all = await layer.logits(h);
    expectTensorClose(all, want.flat(), { rtol: 1e-4, atol: 1e-5 });
    const some = await layer.logits(h, [7, 0, 39]);
    const chosen = want.flatMap((row) => [row[7]!, row[0]!, row[39]!]);
    expectTensorClose(some, chosen, { rtol: 1e-4, atol: 1e-5 });
    const top = await layer.topK(h, 5);
    const logits = all.arraySync() as number[][];
    const order = logits.map((row) =>
      row.map((_, c) => c).sort((a, b) => row[b]! - row[a]! || a - b),
    );
    expect(top.indices.arraySync()).toEqual(order.map((row) => row.slice(0, 5)));
    expectTensorClose(
      top.logits,
      order.flatMap((row, i) => row.slice(0, 5).map((c) => logits[i]![c]!)),
    );
    const flat = new SphericalOutputLayer({
      classes: 9,
      inputSize: 1,
      initialWeights: new Float32Array(9),
    });
    const equal = await flat.topK(tensor2d([[1]]), 3);
    expect([...equal.indices.dataSync()]).toEqual([0, 1, 2]);
    for (const t of [h, W, all, some, top.indices, top.logits, equal.indices, equal.logits])
      t.dispose();
  });

  it('goes on from a saved state bit for bit, also in a copy made by structured cloning', () => {
    const options = { conditionLimit: 1.02, lossOptions: { a: 0.3, b: 5 } };
    const unbroken = layerOf(options);
    trainLayer(unbroken, 40, 2);
    const first = layerOf(options);
    trainLayer(first, 25, 2);
    expect(first.stats().pendingMaps).toBeGreaterThan(0);
    const resumed = new SphericalOutputLayer({ classes: D, inputSize: d, seed: 5, ...options });
    resumed.loadState(structuredClone(first.saveState()));
    trainLayer(resumed, 15, 2, 25);
    expect(resumed.saveState()).toEqual(unbroken.saveState());
  });

  it('refuses foreign and damaged states and keeps its own', () => {
    const layer = layerOf();
    const good = layer.saveState();
    for (const [bad, message] of [
      [null, /saveState/],
      [{ ...good, format: 'x' }, /format/],
      [{ ...good, version: 2 }, /version/],
      [{ ...good, classes: 3 }, /classes must be 40/],
      [{ ...good, loss: 'taylorSoftmax' }, /loss/],
      [{ ...good, U: good.U.slice(1) }, /U must hold 36 numbers/],
      [{ ...good, V: Array.from(good.V) }, /V must be a Float32Array/],
      [{ ...good, Q: good.Q.map(() => Number.NaN) }, /Q must be finite/],
      [{ ...good, ages: good.ages.map(() => 1) }, /ages/],
    ] as const) {
      expect(() => layer.loadState(bad)).toThrow(message);
    }
    expect(layer.saveState()).toEqual(good);
  });

  it('decays weights', () => {
    const layer = layerOf({ loss: 'squaredError' });
    const dense = new DenseLayer64(D, d, W0, 'squaredError');
    for (let t = 0; t < 60; t++) {
      trainLayer(layer, 1, 0.02, t);
      layer.applyWeightDecay(5, 0.02);
      dense.step(
        rowsOf(hidden(t), d),
        labelsOf(t).map((c) => [c]),
        mean,
        0.02,
      );
      for (let i = 0; i < D * d; i++) dense.W[i]! *= 0.9;
    }
    const { Q, columnSums } = layer.factors();
    const W = layer.weights();
    expectTensorClose(W, dense.W, { rtol: 1e-5, atol: 1e-6 });
    const rows = rowsOf(dense.W, d);
    const want = Array.from({ length: d * d }, (_, at) =>
      rows.reduce((t, row) => t + row[Math.floor(at / d)]! * row[at % d]!, 0),
    );
    expectTensorClose(Q, want, { rtol: 1e-4, atol: 1e-5 });
    expectTensorClose(
      columnSums,
      Array.from({ length: d }, (_, j) => rows.reduce((t, row) => t + row[j]!, 0)),
      { rtol: 1e-4, atol: 1e-5 },
    );
    W.dispose();
    expect(() => layer.applyWeightDecay(60, 0.02)).toThrow(/1 - learningRate/);
  });

  it('refuses bad input by name and keeps its state', async () => {
    const layer = layerOf();
    const before = layer.saveState();
    const h = toTensor(hidden(0), [m, d]);
    const y = tensor1d(labelsOf(0), 'int32');
    const step = (a: Tensor, b: Tensor, learningRate = 1) =>
      layer.trainStep(a, b, { learningRate });
    expect(() => step(reshape(h, [d, m]), y)).toThrow(/hidden must have shape/);
    expect(() => step(h, tensor1d([0, 1, 2, 3, D], 'int32'))).toThrow(/labels must be an integer/);
    expect(() => step(h, tensor1d([0, 1, 2, 3, -1], 'int32'))).toThrow(/labels must be/);
    expect(() => step(h, tensor1d([0, 1, 2, 3, 0.5]))).toThrow(/labels must be/);
    expect(() => step(h, tensor1d([0], 'int32'))).toThrow(/labels must have shape/);
    expect(() => step(h, y, -1)).toThrow(/learningRate must be/);
    expect(() => step(h, y, Number.NaN)).toThrow(/learningRate must be/);
    expect(() => step(mul(h, Infinity), y)).toThrow(/hidden must be finite/);
    expect(() => step(mul(h, 1e30), y, 1e300)).toThrow(/nothing was changed/);
    expect(() => layer.trainStep(h, y, { learningRate: 1, rate: 2 } as never)).toThrow(
      /unknown option/,
    );
    expect(() => step(tensor2d([], [0, d]), tensor1d([], 'int32'))).toThrow(/empty/);
    await expect(layer.topK(h, 0)).rejects.toThrow(/k must be/);
    await expect(layer.logits(h, [D])).rejects.toThrow(/classes must be/);
    expect(layer.saveState()).toEqual(before);
    expect(() => layerOf({ classes: 0 })).toThrow(/classes must be/);
    expect(() => layerOf({ loss: 'softmax' as never })).toThrow(/name must be one of/);
    expect(() => layerOf({ loss: 'taylorSoftmax', lossOptions: { a: 1 } })).toThrow(
      /unknown option/,
    );
    expect(() => layerOf({ initialWeights: new Float32Array(3) })).toThrow(/initialWeights/);
    layer.dispose();
    layer.dispose();
    expect(() => step(h, y)).toThrow(/disposed/);
  });

  it('trains with a loss of one’s own', () => {
    // Squared error by other means.
    const own = {
      name: 'own',
      evaluate: (target: number, q: number) => ({
        loss: q - 2 * target + 1,
        target: -2,
        squares: 1,
        sum: 0,
      }),
    };
    const [one, other] = [layerOf({ loss: own }), layerOf({ loss: 'squaredError' })];
    trainLayer(one, 5, 0.01);
    trainLayer(other, 5, 0.01);
    expect(one.saveState().V).toEqual(other.saveState().V);
    tidy(() => {
      expect(sum(square(one.weights())).dataSync()[0]).toBeGreaterThan(0);
    });
  });
});
