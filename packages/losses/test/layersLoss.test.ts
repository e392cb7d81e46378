import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import {
  memory,
  oneHot,
  type Tensor,
  tensor1d,
  tensor2d,
  tidy,
  train,
} from '@tensorflow/tfjs-core';
import { initializers, type LayersModel, layers, sequential } from '@tensorflow/tfjs-layers';
import { expect, it } from 'vitest';
import {
  asLayersLoss,
  compSumLoss,
  crossEntropyLoss,
  EnsLoss,
  generalizedCrossEntropyLoss,
  hingeLoss,
} from '../src/index.js';

const random = seededRandom(1);
const count = 60;
const points = Array.from({ length: count }, (_, i) => {
  const angle = (i % 3) * 2.1;
  return [Math.cos(angle), Math.sin(angle)].map((x) => 2 * x + 0.3 * random.normal());
});
const classes = points.map((_, i) => i % 3);

function modelOf(units: number): LayersModel {
  const kernelInitializer = initializers.glorotUniform({ seed: 1 });
  return sequential({ layers: [layers.dense({ inputShape: [2], units, kernelInitializer })] });
}

async function accuracyAfter(
  loss: (yTrue: Tensor, yPred: Tensor) => Tensor,
  units: number,
  y: Tensor,
  right: (row: number[], i: number) => boolean,
): Promise<number> {
  const model = modelOf(units);
  const optimizer = train.sgd(0.3);
  model.compile({ optimizer, loss });
  const x = tensor2d(points);
  await model.fit(x, y, { epochs: 12, batchSize: 20, shuffle: false, verbose: 0 });
  const scores = model.predict(x) as Tensor;
  const rows = scores.arraySync() as number[][];
  for (const v of [x, scores, optimizer]) v.dispose();
  model.dispose();
  return rows.filter(right).length / count;
}

const hot2 = (labels: number[]) => tidy(() => oneHot(tensor1d(labels, 'int32'), 2, 1, 0, 'int32'));
const hot = () => tidy(() => oneHot(tensor1d(classes, 'int32'), 3, 1, 0, 'int32'));
const isLargest = (row: number[], i: number) => row.indexOf(Math.max(...row)) === classes[i];

it.each([
  ['compSumLoss', () => asLayersLoss(compSumLoss, { tau: 1.5 })],
  ['generalizedCrossEntropyLoss', () => asLayersLoss(generalizedCrossEntropyLoss, { q: 0.3 })],
  ['EnsLoss, many classes', () => new EnsLoss({ seed: 1 }).asLayersLoss()],
] as const)('%s in compile and fit', async (_, make) => {
  const before = memory().numTensors;
  const y = hot();
  expect(await accuracyAfter(make(), 3, y, isLargest)).toBeGreaterThan(0.95);
  y.dispose();
  expect(memory().numTensors).toBe(before);
});

it.each([
  ['hingeLoss', () => asLayersLoss(hingeLoss)],
  ['EnsLoss', () => new EnsLoss({ seed: 1, period: 1 }).asLayersLoss()],
] as const)('%s on a column of scores', async (_, make) => {
  const y = tensor2d(classes.map((c) => [c === 0 ? 1 : 0]));
  const right = ([score]: number[], i: number) => score! > 0 === (classes[i] === 0);
  expect(await accuracyAfter(make(), 1, y, right)).toBeGreaterThan(0.95);
  y.dispose();
});

it('sample weights of tf.layers count, since each example has its own number', async () => {
  const model = modelOf(3);
  const optimizer = train.sgd(0);
  model.compile({ optimizer, loss: asLayersLoss(crossEntropyLoss) });
  const [x, y] = [tensor2d(points), hot()];
  const { history } = await model.fit(x, y, {
    batchSize: count,
    epochs: 1,
    verbose: 0,
    classWeight: { 0: 2, 1: 0, 2: 1 },
  });
  tidy(() => {
    const each = crossEntropyLoss(model.predict(x) as Tensor, y, { reduction: 'none' });
    const want = [...each.dataSync()].reduce((t, l, i) => t + l * [2, 0, 1][classes[i]!]!, 0);
    expect(history.loss![0]).toBeCloseTo(want / count, 4);
  });
  for (const v of [x, y, optimizer]) v.dispose();
  model.dispose();
});

it.each([
  ['hingeLoss', () => asLayersLoss(hingeLoss)],
  ['EnsLoss', () => new EnsLoss({ seed: 1 }).asLayersLoss()],
  ['EnsLoss, two units', () => new EnsLoss({ seed: 1 }).asLayersLoss()],
] as const)('class weights count on a column of labels: %s', async (name, make) => {
  const model = modelOf(name === 'EnsLoss, two units' ? 2 : 1);
  const optimizer = train.sgd(0);
  model.compile({ optimizer, loss: make() });
  const x = tensor2d(points);
  const labels = classes.map((c) => (c === 0 ? 1 : 0));
  const y = model.outputs[0]!.shape[1] === 2 ? hot2(labels) : tensor2d(labels, [count, 1]);
  const { history } = await model.fit(x, y, {
    batchSize: count,
    shuffle: false,
    epochs: 1,
    verbose: 0,
    classWeight: { 0: 3, 1: 0.5 },
  });
  tidy(() => {
    // A loss of the same seed draws the same.
    const each = make()(y, model.predict(x) as Tensor);
    expect(each.shape).toEqual([count]);
    const want = [...each.dataSync()].reduce((t, l, i) => t + l * [3, 0.5][labels[i]!]!, 0);
    expect(history.loss![0]).toBeCloseTo(want / count, 4);
  });
  for (const v of [x, y, optimizer]) v.dispose();
  model.dispose();
});

it('takes class indices as a column or without one', () => {
  tidy(() => {
    const s = tensor2d([1, 2, 3, 0, 1, -1], [2, 3]);
    const loss = asLayersLoss(crossEntropyLoss);
    const want = crossEntropyLoss(s, tensor1d([2, 0], 'int32'), { reduction: 'none' });
    expectTensorClose(loss(tensor2d([[2], [0]]), s), want);
    expectTensorClose(loss(tensor1d([2, 0]), s), want);
    const ensLoss = () => new EnsLoss({ seed: 2 }).asLayersLoss();
    const oneHotWay = ensLoss()(tensor2d([0, 0, 1, 1, 0, 0], [2, 3]), s);
    expectTensorClose(ensLoss()(tensor2d([[2], [0]]), s), oneHotWay);
  });
});
