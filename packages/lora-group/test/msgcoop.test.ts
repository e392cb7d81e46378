/** MSGCoOp as a whole: what is learned and what stays, symmetry, presets, new classes, files, errors, memory. */
import { assertNoLeaks, CheckpointError, NonFiniteError, seededRandom } from '@orth/backend';
import {
  baseToNew,
  coop,
  descriptionTargets,
  encodeSafetensors,
  type FitStep,
  filterDescriptions,
  kgCoOp,
  MeanPoolEncoder,
  MSGCoOp,
  type MSGCoOpOptions,
  promptLogits,
  type TextEncoder,
  TinyTransformerEncoder,
  type TokenPromptOptions,
} from '@orth/lora-group';
import { expectTensorClose } from '@orth/testing';
import {
  argMax,
  memory,
  mul,
  norm,
  ones,
  type Rank,
  slice,
  type Tensor,
  type Tensor2D,
  tensor1d,
  tensor2d,
  tidy,
  train,
  variableGrads,
  zeros,
} from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';

const NAMES = ['red fox', 'barn_owl', 'pike'];
const DESCRIPTIONS = [
  ['a bushy tail', 'pointed ears and orange fur'],
  ['a white, heart-shaped face'],
  ['a long green fish', 'a flat snout', 'fins far back'],
];
const NEW = ['carp', 'wolf'];
const LABELS = [0, 1, 2, 0, 1, 2, 2];

let encoder: MeanPoolEncoder;
let options: TokenPromptOptions;
let images: Tensor2D;
beforeAll(() => {
  encoder = new MeanPoolEncoder({ embedDim: 6, featureDim: 8, seed: 3 });
  options = { encoder, classNames: NAMES, descriptions: DESCRIPTIONS };
  images = seededRandom(5).normalTensor([LABELS.length, 8]) as Tensor2D;
});

const read = (x: Tensor) => [...x.dataSync()];
const fast = { epochs: 4, learningRate: 0.05 };

/** Contexts after some training. */
async function trained(settings: Partial<MSGCoOpOptions>, fit: object = fast) {
  const model = new MSGCoOp({ ...options, ...settings } as MSGCoOpOptions);
  const history = await model.fit(images, LABELS, fit);
  const contexts = read(model.contexts);
  model.dispose();
  return { contexts, history };
}

test('the defaults: four prompts from "a photo of a", all equal', async () => {
  const model = new MSGCoOp(options);
  expect(model.contexts.shape).toEqual([4, 4, 6]);
  expect(model.trainableVariables).toEqual([model.contexts]);
  expect([model.numPrompts, model.numClasses]).toEqual([4, 3]);
  const text = encoder.embed([encoder.tokenize('a photo of a').slice(1, -1)]);
  for (let i = 0; i < 4; i++) expectTensorClose(slice(model.contexts, i, 1), text);
  expect(model.textFeatures().shape).toEqual([4, 3, 8]);
  expect(await model.spread()).toBe(0);
  expectTensorClose(norm(model.target!, 2, 1), [1, 1, 1], { rtol: 1e-5, atol: 0 });
  model.dispose();
});

test('a prompt is the context between the start and the name, padded behind its end', () => {
  const [prompt] = [encoder.tokenize('a photo of a barn owl.')];
  const expected = encoder.encode(
    encoder.embed([prompt!]),
    tensor1d([prompt!.length - 1], 'int32'),
  );
  const model = new MSGCoOp(options);
  const features = slice(model.textFeatures(), [2, 1, 0], [1, 1, 8]);
  expectTensorClose(read(features), read(expected), { rtol: 1e-5, atol: 1e-6 });
  model.dispose();
});

test('training lowers the loss, reports, and changes the contexts alone', async () => {
  const tower = new TinyTransformerEncoder({ embedDim: 8, featureDim: 8, heads: 2, layers: 1 });
  const probe = () => {
    const row = tower.tokenize!('some text');
    return read(tower.encode(tower.embed([row]), tensor1d([row.length - 1], 'int32')));
  };
  const before = probe();
  const model = new MSGCoOp({ ...options, encoder: tower, initNoise: 0.05 });
  const start = read(model.contexts);
  const target = read(model.target!);
  const steps: FitStep[] = [];
  const epochs: number[] = [];
  const history = await model.fit(images, LABELS, {
    epochs: 6,
    batchSize: 4,
    learningRate: 0.02,
    onStep: (step) => {
      steps.push(step);
    },
    onEpoch: async ({ epoch }) => {
      epochs.push(epoch);
    },
  });
  expect(history.at(-1)!.loss).toBeLessThan(history[0]!.loss);
  for (const { ce, semantic, diversity, loss } of history) {
    expect(loss).toBeCloseTo(ce + 8 * semantic + diversity, 3);
  }
  expect(epochs).toEqual([0, 1, 2, 3, 4, 5]);
  expect(steps.map(({ done }) => done)).toEqual(steps.map((_, i) => i + 1));
  expect(steps.at(-1)).toMatchObject({ epoch: 5, step: 1, done: 12, total: 12 });
  expect(read(model.contexts)).not.toEqual(start);
  expect(read(model.target!)).toEqual(target);
  expect(probe()).toEqual(before);
  model.dispose();
  tower.dispose();
});

test('equal contexts stay equal, and move as one context at an N-th of the rate and N times the decay', async () => {
  const slow = { learningRate: 0.01, weightDecay: 0.03, epochs: 5 };
  const two = await trained({ numPrompts: 3 }, { ...slow, learningRate: 0.03, weightDecay: 0.01 });
  const one = await trained({ numPrompts: 1 }, slow);
  for (let i = 0; i < 3; i++) {
    const context = two.contexts.slice(i * 24, (i + 1) * 24);
    expectTensorClose(context, one.contexts, { rtol: 1e-4, atol: 1e-5 });
  }
  for (const { diversity } of two.history) expect(diversity).toBeCloseTo(1, 5);
  const model = new MSGCoOp({ ...options, initNoise: 0.05, seed: 2 });
  const spread = await model.spread();
  expect(spread).toBeGreaterThan(0.02);
  await model.fit(images, LABELS, fast);
  expect(await model.spread()).not.toBeCloseTo(spread, 4);
  model.dispose();
});

test('one prompt and no guidance is CoOp; a template target is KgCoOp', async () => {
  const { encoder: e, classNames } = options;
  const single = coop({ encoder: e, classNames: classNames! });
  await single.fit(images, LABELS, fast);
  const same = await trained({
    numPrompts: 1,
    semanticWeight: 0,
    diversityWeight: 3,
    ...{ descriptions: undefined },
  });
  expect(read(single.contexts)).toEqual(same.contexts);
  const template = tidy(() => {
    const rows = NAMES.map((name) => encoder.tokenize(`a photo of a ${name.replace('_', ' ')}.`));
    return NAMES.map((_, i) =>
      encoder.encode(encoder.embed([rows[i]!]), tensor1d([rows[i]!.length - 1], 'int32')),
    ).flatMap(read);
  });
  const guided = kgCoOp({ encoder: e, classNames: classNames! });
  await guided.fit(images, LABELS, fast);
  const target = tensor2d(template, [3, 8]);
  const again = await trained({ numPrompts: 1, target, ...{ descriptions: undefined } });
  expectTensorClose(read(guided.contexts), again.contexts, { rtol: 1e-4, atol: 1e-5 });
  // At the start a prompt of "a photo of a" is the template itself.
  const fresh = kgCoOp({ encoder: e, classNames: classNames! });
  const losses = fresh.losses(images, LABELS);
  expect(losses.semantic.dataSync()[0]).toBeCloseTo(0, 5);
  const own = kgCoOp({ encoder: e, classNames: classNames!, template: (name) => `one ${name}` });
  expect(own.losses(images, LABELS).semantic.dataSync()[0]).toBeGreaterThan(1e-4);
  for (const model of [single, guided, fresh, own]) model.dispose();
  expect(() => kgCoOp({ encoder: e, tokens: [[1, 5, 2]] })).toThrow('classNames');
});

test('predictions: of new classes by the same contexts, and by a classifier kept alone', async () => {
  const model = new MSGCoOp(options);
  await model.fit(images, LABELS, fast);
  const logits = model.logits(images);
  const expected = read(argMax(logits, 1));
  expect([...(await model.predict(images))]).toEqual(expected);
  expectTensorClose(logits, promptLogits(model.textFeatures(), images), { rtol: 1e-5, atol: 1e-4 });
  expect(model.classWeights().shape).toEqual([3, 8]);
  const tokens = NEW.map((name) => encoder.tokenize(`${name}.`));
  const byName = model.logits(images, { classNames: NEW });
  expect(byName.shape).toEqual([LABELS.length, 2]);
  expectTensorClose(model.logits(images, { tokens }), byName);
  const result = await baseToNew(model, {
    base: { imageFeatures: images, labels: LABELS },
    novel: { imageFeatures: images, labels: [0, 1, 1, 0, 1, 0, 1], classNames: NEW },
  });
  expect(result.harmonicMean).toBeCloseTo(
    (2 * result.base * result.novel) / (result.base + result.novel),
    6,
  );
  expect(result.base).toBeCloseTo(
    expected.filter((label, i) => label === LABELS[i]).length / LABELS.length,
    6,
  );
  model.dispose();
});

describe('stopped, saved, loaded and continued', () => {
  test.each([
    ['in one batch', { epochs: 6, learningRate: 0.02 }],
    ['in batches, by the schedule', { epochs: 6, batchSize: 3 }],
  ])('equals never stopped, %s', async (_, fit) => {
    const whole = await trained({ initNoise: 0.02 }, fit);
    const first = new MSGCoOp({ ...options, initNoise: 0.02 });
    await first.fit(images, LABELS, { ...fit, finalEpoch: 2 });
    expect(first.epoch).toBe(2);
    const bytes = await first.save();
    first.dispose();
    const second = new MSGCoOp({ ...options, ctxInit: 'random', ctxTokens: 4 });
    second.load(bytes);
    expect(second.epoch).toBe(2);
    await second.fit(images, LABELS, { ...fit, initialEpoch: second.epoch });
    expect(read(second.contexts)).toEqual(whole.contexts);
    second.dispose();
  });

  test('damaged and foreign files are refused, the model unchanged', async () => {
    const model = new MSGCoOp(options);
    const other = new MSGCoOp({ ...options, numPrompts: 2 });
    const before = read(model.contexts);
    const bytes = await model.save();
    expect(() => model.load(bytes.subarray(0, bytes.length - 3))).toThrow(CheckpointError);
    expect(() => other.load(bytes)).toThrow('shape [2,4,6]');
    const nothing = encodeSafetensors(new Map(), new Map([['format', 'pt']]));
    expect(() => model.load(nothing)).toThrow('file of save, got one of pt');
    const nan = encodeSafetensors(
      new Map([['contexts', { shape: [4, 4, 6], data: new Float32Array(96).fill(Number.NaN) }]]),
      new Map([
        ['format', 'orth-msgcoop'],
        ['version', '1'],
        ['epoch', '3'],
      ]),
    );
    expect(() => model.load(nan)).toThrow('finite');
    expect(read(model.contexts)).toEqual(before);
    expect(model.epoch).toBe(0);
    model.dispose();
    other.dispose();
  });
});

test('contexts of each class: gradients of their own, no other number of classes', async () => {
  const model = new MSGCoOp({ ...options, classSpecific: true, numPrompts: 2, initNoise: 0.1 });
  expect(model.contexts.shape).toEqual([2, 3, 4, 6]);
  const { value, grads } = variableGrads(
    () => model.losses(images, LABELS).total,
    model.trainableVariables,
  );
  const gradient = grads[model.contexts.name]!;
  expect(gradient.shape).toEqual([2, 3, 4, 6]);
  expect(read(slice(gradient, [0, 0, 0, 0], [1, 1, 4, 6]))).not.toEqual(
    read(slice(gradient, [0, 1, 0, 0], [1, 1, 4, 6])),
  );
  for (const x of [value, gradient]) x.dispose();
  const history = await model.fit(images, LABELS, fast);
  expect(history.at(-1)!.loss).toBeLessThan(history[0]!.loss);
  expect(() => model.logits(images, { classNames: NEW })).toThrow('class-specific');
  model.dispose();
});

test('initial contexts as tensors of every shape', () => {
  const random = seededRandom(1);
  for (const [shape, settings, expected] of [
    [[2, 6], {}, [4, 2, 6]],
    [[3, 2, 6], {}, [3, 2, 6]],
    [[2, 6], { classSpecific: true, numPrompts: 2 }, [2, 3, 2, 6]],
    [[2, 2, 6], { classSpecific: true }, [2, 3, 2, 6]],
    [[2, 3, 2, 6], { classSpecific: true }, [2, 3, 2, 6]],
  ] as const) {
    const ctxInit = random.normalTensor([...shape]);
    const model = new MSGCoOp({ ...options, ...settings, ctxInit });
    expect(model.contexts.shape).toEqual(expected);
    const first = slice(
      model.contexts,
      expected.map(() => 0),
      [...expected.slice(0, -2).map(() => 1), ...expected.slice(-2)],
    );
    expect(read(first)).toEqual(read(ctxInit).slice(0, 12));
    model.dispose();
    ctxInit.dispose();
  }
  const model = new MSGCoOp({ ...options, ctxInit: 'random', ctxTokens: 3, seed: 4 });
  expect(model.contexts.shape).toEqual([4, 3, 6]);
  const values = read(model.contexts);
  expect(Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length)).toBeCloseTo(0.02, 2);
  model.dispose();
});

test('feature-space mode: an offset of given features, new classes too', async () => {
  const classFeatures = seededRandom(7).normalTensor([3, 8]) as Tensor2D;
  const target = seededRandom(8).normalTensor([3, 8]) as Tensor2D;
  const model = new MSGCoOp({ classFeatures, target, numPrompts: 2, initNoise: 0.1 });
  expect(model.contexts.shape).toEqual([2, 8]);
  const history = await model.fit(images, LABELS, { epochs: 5, learningRate: 0.01 });
  expect(history.at(-1)!.loss).toBeLessThan(history[0]!.loss);
  const novel = seededRandom(9).normalTensor([2, 8]) as Tensor2D;
  expect([...(await model.predict(images, { classFeatures: novel }))]).toHaveLength(7);
  expect(() => model.logits(images, { classNames: NEW })).toThrow('classFeatures');
  const single = kgCoOp({ classFeatures });
  expect(single.losses(images, LABELS).semantic.dataSync()[0]).toBeCloseTo(0, 6);
  const bare = coop({ classFeatures });
  expect(bare.contexts.shape).toEqual([1, 8]);
  for (const each of [model, single, bare]) each.dispose();
});

test("any optimizer of tfjs, features anew each epoch, labels as a tensor, the signal's end", async () => {
  const labels = tensor1d(LABELS, 'int32');
  const model = new MSGCoOp(options);
  const before = memory().numTensors;
  const optimizer = train.adam(0.02);
  const seen: number[] = [];
  const history = await model.fit(
    (epoch) => {
      seen.push(epoch);
      return tidy(() => mul(images, 1 + epoch) as Tensor2D);
    },
    labels,
    { epochs: 5, optimizer },
  );
  expect(seen).toEqual([0, 1, 2, 3, 4]);
  expect(history[0]!.learningRate).toBeUndefined();
  expect(history.at(-1)!.loss).toBeLessThan(history[0]!.loss);
  optimizer.dispose();
  expect(memory().numTensors).toBe(before);
  const controller = new AbortController();
  const stopped = model.fit(images, labels, {
    signal: controller.signal,
    onStep: ({ done }) => {
      if (done === 2) controller.abort(new Error('enough'));
    },
  });
  await expect(stopped).rejects.toThrow('enough');
  expect(model.epoch).toBe(2);
  model.dispose();
});

test('bad input is refused before anything changes', async () => {
  const make = (settings: object) => () => new MSGCoOp({ ...options, ...settings } as never);
  const target = ones<Rank.R2>([2, 8]);
  const count = memory().numTensors;
  expect(make({ descriptions: undefined, target })).toThrow('a row for each class');
  expect(make({ target })).toThrow('beside descriptions');
  expect(make({ descriptions: undefined })).toThrow('target or descriptions');
  expect(make({ descriptions: [['x'], [], ['y']] })).toThrow('"barn_owl"');
  expect(make({ descriptions: [['x']] })).toThrow('a list for each of 3 classes');
  expect(make({ classNames: [] })).toThrow('classNames');
  expect(make({ tokens: [[1, 2]] })).toThrow('one of classNames, tokens');
  expect(make({ classNames: undefined, tokens: [[1, 5]] })).toThrow('classNames must be given');
  expect(make({ classNames: [...NAMES.slice(0, 2), 'x '.repeat(80)] })).toThrow(
    'at most 77 tokens, got 87',
  );
  expect(make({ numPrompts: 0 })).toThrow('numPrompts');
  expect(make({ ctxTokens: 3 })).toThrow('ctxTokens 3');
  expect(make({ ctxInit: '' })).toThrow('a word');
  expect(make({ ctxInit: 4 })).toThrow('a text or a tensor');
  expect(make({ initNoise: -1 })).toThrow('initNoise');
  expect(make({ seed: 0.5 })).toThrow('seed');
  expect(make({ encoder: {} })).toThrow('encoder must have');
  expect(make({ prompts: 3 })).toThrow('unknown option');
  expect(memory().numTensors).toBe(count);
  const ctxInit = ones([4, 2, 5]);
  expect(make({ ctxInit })).toThrow('shape [n,6]');
  expect(make({ ctxInit: ones([4, 2, 6]), numPrompts: 3 })).toThrow('numPrompts 3, got 4');
  const mute = { ...encoderParts(), tokenize: undefined } as unknown as TextEncoder;
  expect(make({ encoder: mute })).toThrow('tokenize');

  const model = new MSGCoOp(options);
  const before = read(model.contexts);
  const optimizer = train.sgd(1);
  const leftover = memory().numTensors;
  const nan = tensor2d([...read(images).slice(0, 55), Number.NaN], [7, 8]);
  const flat = tidy(() => mul(images, tensor2d([1, 1, 0, 1, 1, 1, 1], [7, 1])) as Tensor2D);
  await expect(model.fit(nan, LABELS)).rejects.toThrow('finite, got NaN in row 6');
  await expect(model.fit(flat, LABELS)).rejects.toThrow('such a row 2');
  await expect(model.predict(nan)).rejects.toThrow('finite');
  await expect(model.fit(images, [0, 1, 2, 3, 0, 1, 2])).rejects.toThrow('labels');
  await expect(model.fit(images, [0])).rejects.toThrow('labels must be 7');
  const beyond = tensor1d([0, 1, 2, 3, 0, 1, 2], 'int32');
  await expect(model.fit(images, beyond)).rejects.toThrow('labels');
  for (const [settings, message] of [
    [{ epochs: 0 }, 'epochs'],
    [{ initialEpoch: 101 }, 'initialEpoch'],
    [{ finalEpoch: 101 }, 'finalEpoch'],
    [{ momentum: 1 }, 'momentum'],
    [{ rate: 1 }, 'unknown option'],
    [{ optimizer: {} }, 'optimizer must be one of tfjs'],
    [{ optimizer, momentum: 0.5 }, 'beside optimizer'],
  ] as const) {
    await expect(model.fit(images, LABELS, settings as object)).rejects.toThrow(message);
  }
  const twice = model.fit(images, LABELS, { epochs: 1, learningRate: 0 });
  await expect(model.fit(images, LABELS)).rejects.toThrow('already');
  expect(() => model.dispose()).toThrow('must not be training');
  await twice;
  expect(read(model.contexts)).toEqual(before);
  for (const x of [nan, flat, beyond]) x.dispose();
  // The momentum of the one training that ran.
  expect(memory().numTensors).toBe(leftover + 1);
  optimizer.dispose();
  model.dispose();
  model.dispose();
  expect(() => model.textFeatures()).toThrow('disposed');
  expect(model.trainableVariables).toEqual([]);
});

/** The encoder's members as own properties, so that a test can take one away. */
function encoderParts(): TextEncoder {
  const { embedDim, featureDim, maxLength } = encoder;
  return {
    embedDim,
    featureDim,
    maxLength,
    embed: (ids) => encoder.embed(ids),
    encode: (prompts, eos) => encoder.encode(prompts, eos),
  };
}

test('a text feature without direction stops training, the contexts as they were', async () => {
  const broken: TextEncoder = {
    ...encoderParts(),
    encode: (prompts, eos) => tidy(() => mul(encoder.encode(prompts, eos), 0)),
  };
  const tokens = NAMES.map((name) => encoder.tokenize(`${name}.`));
  const model = new MSGCoOp({ encoder: broken, tokens, ctxInit: 'random', semanticWeight: 0 });
  const before = read(model.contexts);
  await expect(model.fit(images, LABELS)).rejects.toThrow(NonFiniteError);
  expect(read(model.contexts)).toEqual(before);
  model.dispose();
});

test('targets by any encoder of texts, and the choice of descriptions', async () => {
  const texts: string[] = [];
  const target = await descriptionTargets(
    (list) => {
      texts.push(...list);
      return seededRandom(1).normalTensor([list.length, 8]) as Tensor2D;
    },
    NAMES,
    DESCRIPTIONS,
  );
  expect(texts[2]).toBe('a photo of barn owl, a white, heart-shaped face');
  expect(texts).toHaveLength(6);
  expectTensorClose(norm(target, 2, 1), [1, 1, 1], { rtol: 1e-5, atol: 0 });
  const rows = tensor2d([1, 0, 1, 0.1, -1, 0, 3, 0.2], [4, 2]);
  expect(await filterDescriptions(rows, 3)).toEqual([0, 1, 3]);
  expect(await filterDescriptions(rows)).toEqual([0, 1, 2, 3]);
  await expect(filterDescriptions(rows, 5)).rejects.toThrow('k');
  await expect(filterDescriptions(zeros([2, 3]))).rejects.toThrow('row 0');
  for (const x of [target, rows]) x.dispose();
});

test('no tensor is left behind', async () => {
  const model = new MSGCoOp({ ...options, initNoise: 0.02 });
  await model.fit(images, LABELS, { epochs: 1, batchSize: 3 });
  await assertNoLeaks(async () => {
    await model.fit(images, LABELS, { epochs: 1, batchSize: 3 });
    await model.predict(images, { classNames: NEW });
    await model.spread();
    model.load(await model.save());
    for (const x of [model.textFeatures(), model.logits(images), model.classWeights()]) x.dispose();
    for (const x of Object.values(model.losses(images, LABELS))) x.dispose();
  });
  model.dispose();
  const before = memory().numTensors;
  new MSGCoOp(options).dispose();
  kgCoOp({ encoder, classNames: NAMES }).dispose();
  expect(memory().numTensors).toBe(before);
});
