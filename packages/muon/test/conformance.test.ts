/** A few steps on every backend, read back without blocking, against float64 on the host. */
import { NonFiniteError, seededRandom } from '@orth/backend';
import {
  AdamW,
  DctAdamW,
  decodeState,
  encodeState,
  Muon,
  NorMuon,
  type OrthOptimizer,
  qkClip,
  Root,
  type StepOptions,
  Trion,
} from '@orth/muon';
import { expectTensorClose } from '@orth/testing';
import { memory, type Tensor, tensor, type Variable, variable } from '@tensorflow/tfjs-core';
import { expect, test, vi } from 'vitest';
import { adamWReference, type Matrix, muonReference, toMatrix } from './reference.js';

// A software GPU compiles every kernel on its first use.
vi.setConfig({ testTimeout: 300_000 });

/** Orthogonalisation magnifies rounding where singular values are small; elementwise AdamW hardly does. */
const tolerance = { muon: { rtol: 1e-3, atol: 2e-4 }, adamW: { rtol: 1e-4, atol: 1e-5 } };

const random = seededRandom(8);
const draw = (n: number) => Array.from({ length: n }, () => random.normal());
const kernels = [draw(48), draw(48)];
const bias = draw(8);
const gradients = Array.from({ length: 3 }, () => [draw(48), draw(48), draw(8)]);

const makeVariables = (): Variable[] =>
  [tensor(kernels[0]!, [6, 8]), tensor(kernels[1]!, [6, 8]), tensor(bias, [8])].map((value, i) => {
    const v = variable(value, true, `conformance/${i}`);
    value.dispose();
    return v;
  });

function apply(
  optimizer: OrthOptimizer<StepOptions>,
  variables: readonly Variable[],
  values: number[][],
): void {
  const tensors = values.map((data, i) => tensor(data, variables[i]!.shape));
  try {
    optimizer.applyGradients(variables.map((v, i) => ({ name: v.name, tensor: tensors[i]! })));
  } finally {
    for (const x of tensors) x.dispose();
  }
}

const read = (variables: readonly Tensor[]) => Promise.all(variables.map((v) => v.data()));
const flat = (x: Matrix) => x.flat();

test('Muon with AdamW follows float64 over three steps; saved and loaded it goes on the same', async () => {
  const before = memory().numTensors;
  const variables = makeVariables();
  const options = { weightDecay: 0.1, adamW: { learningRate: 0.01 } };
  let optimizer = new Muon(options);
  const want = kernels.map((w) => ({
    weights: toMatrix(w, 6, 8),
    momentum: toMatrix(Array(48).fill(0), 6, 8),
  }));
  let wantBias = {
    weights: bias,
    m: Array(8).fill(0) as number[],
    v: Array(8).fill(0) as number[],
  };
  for (const [step, values] of gradients.entries()) {
    apply(optimizer, variables, values);
    for (const i of [0, 1]) {
      const { weights, momentum } = want[i]!;
      want[i] = muonReference(weights, toMatrix(values[i]!, 6, 8), momentum, { weightDecay: 0.1 });
    }
    const { weights, m, v } = wantBias;
    wantBias = adamWReference(weights, values[2]!, m, v, step + 1, { learningRate: 0.01 });
    const bytes = encodeState(await optimizer.saveState());
    optimizer.dispose();
    optimizer = new Muon(options);
    optimizer.loadState(decodeState(bytes), variables);
  }
  const [first, second, third] = await read(variables);
  expectTensorClose(first!, flat(want[0]!.weights), tolerance.muon);
  expectTensorClose(second!, flat(want[1]!.weights), tolerance.muon);
  expectTensorClose(third!, wantBias.weights, tolerance.adamW);
  expect(optimizer.iterations).toBe(3);
  optimizer.dispose();
  for (const v of variables) v.dispose();
  expect(memory().numTensors).toBe(before);
});

test.each(['throw', 'skip'] as const)(
  'a gradient with NaN writes nothing, and the run goes on as if it had not been: %s',
  async (onNonFinite) => {
    const before = memory().numTensors;
    const runs: ArrayLike<number>[][] = [];
    for (const spoil of [false, true]) {
      const variables = makeVariables();
      const optimizer = new Muon({ onNonFinite });
      apply(optimizer, variables, gradients[0]!);
      if (spoil) {
        const start = await read(variables);
        const bad = gradients[1]!.map((values) => [...values]);
        bad[2]![3] = Number.NaN;
        // Thrown at once where values can be read at once, else by settle.
        const attempt = async () => {
          apply(optimizer, variables, bad);
          await optimizer.settle();
        };
        if (onNonFinite === 'throw') await expect(attempt()).rejects.toThrow(NonFiniteError);
        else await attempt();
        expect(await read(variables)).toEqual(start);
        expect(optimizer.nonFiniteSteps).toBe(1);
        expect(optimizer.iterations).toBe(1);
      }
      apply(optimizer, variables, gradients[2]!);
      await optimizer.settle();
      runs.push(await read(variables));
      optimizer.dispose();
      for (const v of variables) v.dispose();
    }
    expect(runs[1]).toEqual(runs[0]);
    expect(memory().numTensors).toBe(before);
  },
);

test('relatives of Muon: a gradient with NaN changes neither weights nor state', async () => {
  const before = memory().numTensors;
  const optimizers = [
    new NorMuon({ onNonFinite: 'skip' }),
    new Root({ onNonFinite: 'skip' }),
    new Trion({ rank: 2, onNonFinite: 'skip' }),
    new DctAdamW({ rank: 2, errorBits: 8, onNonFinite: 'skip' }),
  ];
  for (const optimizer of optimizers) {
    const variables = makeVariables();
    apply(optimizer, variables, gradients[0]!);
    const start = await read(variables);
    const saved = await optimizer.saveState();
    const bad = gradients[1]!.map((values) => [...values]);
    bad[0]![5] = Number.NaN;
    apply(optimizer, variables, bad);
    await optimizer.settle();
    expect(await read(variables)).toEqual(start);
    expect(await optimizer.saveState()).toEqual({ ...saved, nonFiniteSteps: 1 });
    optimizer.dispose();
    for (const v of variables) v.dispose();
  }
  expect(memory().numTensors).toBe(before);
});

test('AdamW follows float64 over three steps, gradients clipped', async () => {
  const variables = makeVariables();
  const optimizer = new AdamW({ learningRate: 0.05, weightDecay: 0.1, clipNorm: 1 });
  const start = [...kernels, bias];
  let want = start.map((weights) => ({
    weights,
    m: Array(weights.length).fill(0) as number[],
    v: Array(weights.length).fill(0) as number[],
  }));
  for (const [step, values] of gradients.entries()) {
    apply(optimizer, variables, values);
    const norm = Math.hypot(...values.flat());
    want = want.map(({ weights, m, v }, i) => {
      const clipped = values[i]!.map((g) => g / norm);
      const options = { learningRate: 0.05, weightDecay: 0.1 };
      return adamWReference(weights, clipped, m, v, step + 1, options);
    });
  }
  const got = await read(variables);
  for (const [i, { weights }] of want.entries())
    expectTensorClose(got[i]!, weights, tolerance.adamW);
  await optimizer.settle();
  optimizer.dispose();
  for (const v of variables) v.dispose();
});

test('qkClip', async () => {
  const w = tensor(kernels[0]!, [6, 8]);
  const { query, key, gamma } = qkClip(w, w, [8, 1], { heads: 2, threshold: 2 });
  const want = kernels[0]!.map((value, i) => value * (i % 8 < 4 ? 0.5 : 1));
  for (const x of [query, key]) expectTensorClose(await x.data(), want, { rtol: 1e-5, atol: 1e-6 });
  expectTensorClose(await gamma.data(), [0.25, 1], { rtol: 1e-6, atol: 0 });
  for (const x of [w, query, key, gamma]) x.dispose();
});
