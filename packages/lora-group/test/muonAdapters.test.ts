/** Muon on the factors of adapters, together with regularisers: what moves, what falls, what stays. */
import { seededRandom } from '@orth/backend';
import { type AdaptedModel, adapt, lambdaOrth, orthoPenalty, pegoLoss } from '@orth/lora-group';
import { Muon } from '@orth/muon';
import {
  add,
  addN,
  losses,
  memory,
  mul,
  type Scalar,
  type Tensor,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { expect, test } from 'vitest';

type Penalty = (adapters: AdaptedModel) => Scalar;

/** Factors `A [in, n r]` of all layers: their columns are what an update reads. */
const readers = (adapters: AdaptedModel) => adapters.loraFactors().map(({ A }) => A as Tensor);

const PENALTIES: Readonly<Record<string, Penalty>> = {
  PEGO: (adapters) => pegoLoss(adapters, { lambda: 3e-3 }),
  'λ-orthogonality of A': (adapters) =>
    addN(readers(adapters).map((A) => lambdaOrth(A, { lambda: 0.1, side: 'columns' }))) as Scalar,
  'soft orthogonality of A': (adapters) => orthoPenalty(readers(adapters), { weight: 0.1 }),
};

function makeModel(): layers.Sequential {
  const { dense } = layers.layers;
  const model = layers.sequential({
    layers: [
      dense({ units: 12, activation: 'tanh', inputShape: [10], name: 'one' }),
      dense({ units: 12, activation: 'tanh', name: 'two' }),
      dense({ units: 3, name: 'head' }),
    ],
  });
  const random = seededRandom(1);
  const values = model.getWeights().map((w) => random.normalTensor(w.shape, 0, 0.4));
  model.setWeights(values);
  for (const x of values) x.dispose();
  return model;
}

/** Trains adapters of rank 2 in groups of 2 on the two hidden layers. */
async function run(penalty: Penalty, strength: number) {
  const before = memory().numTensors;
  const model = makeModel();
  const x = seededRandom(2).normalTensor([32, 10]);
  const labels = tensor2d(
    Array.from({ length: 32 }, (_, i) => [0, 1, 2].map((c) => Number(i % 3 === c))),
  );
  const adapters = await adapt(model, { r: 2, n: 2, targetModules: ['one', 'two'], seed: 3 });
  const read = (list: readonly Tensor[]) => list.map((w) => [...w.dataSync()]);
  const factors = adapters.trainableVariables;
  const pretrained = read(model.getWeights());
  const starts = read(factors);
  const task = () => losses.softmaxCrossEntropy(labels, model.apply(x) as Tensor) as Scalar;
  const optimizer = new Muon({
    learningRate: 0.03,
    weightDecay: 0,
    // A factor of rank 2 is narrower than what Muon takes unasked.
    groups: [{ match: /lora_[AB]/, optimizer: 'muon' }],
  });
  const value = (f: () => Tensor) => tidy(() => f().dataSync()[0]!);
  const first = value(task);
  const tensors: number[] = [];
  for (let step = 0; step < 20; step++) {
    const loss = () => tidy(() => add(task(), mul(penalty(adapters), strength)) as Scalar);
    optimizer.minimize(loss, false, factors);
    tensors.push(memory().numTensors);
  }
  const result = {
    first,
    last: value(task),
    penalty: value(() => penalty(adapters)),
    unmoved: read(factors).filter((w, i) => w.every((v, at) => v === starts[i]![at])).length,
    routes: optimizer.describeGroups(factors).map((group) => group.optimizer),
  };
  expect(read(model.getWeights())).toEqual(pretrained);
  expect(new Set(tensors.slice(1)).size).toBe(1);
  adapters.merge();
  const merged = read(model.getWeights());
  expect(merged.filter((w, i) => w.some((v, at) => v !== pretrained[i]![at]))).toHaveLength(2);
  adapters.dispose();
  expect(read(model.getWeights())).toEqual(pretrained);
  optimizer.dispose();
  model.dispose();
  for (const t of [x, labels]) t.dispose();
  expect(memory().numTensors).toBe(before);
  return result;
}

test.each(Object.entries(PENALTIES))(
  'Muon on A and B with %s: only they move, the loss falls, and the penalty holds',
  async (_, penalty) => {
    const free = await run(penalty, 0);
    const held = await run(penalty, 1);
    for (const { first, last, unmoved } of [free, held]) {
      expect(last).toBeLessThan(0.8 * first);
      expect(unmoved).toBe(0);
    }
    expect(held.penalty).toBeLessThan(0.8 * free.penalty);
    expect(held.routes).toEqual(['muon', 'muon', 'muon', 'muon']);
  },
);
