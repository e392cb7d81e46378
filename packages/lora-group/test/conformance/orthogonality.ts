/** λ-orthogonality, orthogonal convolutions and parametrisations on every backend, read back without blocking. */
import { seededRandom } from '@orth/backend';
import {
  CompatibleAdapter,
  circularConv2d,
  convResiduals,
  lorth,
  orthogonalityErrors,
  orthogonalVariable,
  orthoPenalty,
  retrieval,
} from '@orth/lora-group';
import {
  add,
  memory,
  mul,
  type Scalar,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
  train,
  variable,
} from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';

async function read(x: Tensor): Promise<number> {
  const [value] = await x.data();
  x.dispose();
  return value!;
}

test('an adapter between two models: learns, answers, is saved', async () => {
  const before = memory().numTensors;
  const random = seededRandom(1);
  const [hNew, hOld] = [random.normalTensor([24, 4]), random.normalTensor([24, 5])];
  const labels = Array.from({ length: 24 }, (_, i) => i % 3);
  const adapter = new CompatibleAdapter({ dNew: 4, dOld: 5, backward: 'lambda', lambda: 1 });
  const first = await read(adapter.loss(hNew, hOld, labels));
  await adapter.fit(hNew, hOld, labels, { steps: 4, learningRate: 0.05 });
  expect(await read(adapter.loss(hNew, hOld, labels))).toBeLessThan(first);
  expect(await adapter.deviation()).toBeGreaterThan(0);
  const again = CompatibleAdapter.fromJSON(JSON.parse(JSON.stringify(await adapter.toJSON())));
  const [query, gallery] = [again.backward(hNew), adapter.forward(hOld)];
  const { mAP } = await retrieval(query, gallery, labels, labels);
  expect(mAP).toBeGreaterThan(0.2);
  for (const x of [hNew, hOld, query, gallery, adapter, again]) x.dispose();
  expect(memory().numTensors).toBe(before);
}, 300_000);

test('a circular layer with lorth', async () => {
  const before = memory().numTensors;
  const [start, x] = [
    seededRandom(1).normalTensor([3, 3, 2, 2], 0, 0.3),
    seededRandom(2).normalTensor([1, 6, 6, 2]),
  ];
  const kernel = variable(start);
  const optimizer = train.adam(0.02);
  const loss = () =>
    tidy(() => {
      const kept = sub(sum(square(circularConv2d(x, kernel))), sum(square(x)));
      return add(mul(square(kept), 1e-4), lorth(kernel)) as Scalar;
    });
  const first = (await convResiduals(kernel, { size: 6 })).fro;
  for (let i = 0; i < 3; i++) optimizer.minimize(loss, false, [kernel]);
  expect((await convResiduals(kernel, { size: 6 })).fro).toBeLessThan(first);
  for (const each of [start, x, kernel, optimizer]) each.dispose();
  expect(memory().numTensors).toBe(before);
}, 300_000);

test('a variable by reflections beside a penalty', async () => {
  const before = memory().numTensors;
  const W = orthogonalVariable([5, 3], { map: 'householder' });
  const target = seededRandom(1).normalTensor([5, 3]);
  const optimizer = train.sgd(0.05);
  const loss = () => tidy(() => sum(square(sub(W.value(), target))) as Scalar);
  const first = await read(loss());
  for (let i = 0; i < 2; i++) optimizer.minimize(loss, false, [W.params]);
  expect(await read(loss())).toBeLessThan(first);
  const value = W.value();
  expect((await orthogonalityErrors(value)).fro).toBeLessThan(1e-4);
  expect(await read(orthoPenalty(value, { kind: 'softNorm', weight: 1 }))).toBeLessThan(1e-4);
  for (const each of [W, target, value, optimizer]) each.dispose();
  expect(memory().numTensors).toBe(before);
}, 300_000);
