import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CheckpointError, useBackend } from '@orth/backend';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { checkpointPath } from '../src/checkpoint.js';
import { splitText } from '../src/data.js';
import { type RaceEvent, type RaceOptions, runRace } from '../src/race.js';
import { chooseRates, runSweep } from '../src/sweep.js';

const corpus = splitText(new TextEncoder().encode('Call me Ishmael. Some years ago. '.repeat(80)));
const size = { layers: 1, width: 16, heads: 2, hidden: 32, context: 8 };
const settings = { size, steps: 12, batch: 4, validationInterval: 5, validationRows: 8 };
const race = (options: RaceOptions = {}) => runRace({ corpus, settings, ...options });
const folder = () => mkdtemp(join(tmpdir(), 'race-'));

beforeAll(async () => {
  await useBackend('wasm');
});

test('everyone starts from the same weights on the same batches, and learns', async () => {
  const { contestants, finished, step, targetLoss } = await race();
  expect([finished, step]).toEqual([true, 12]);
  const [a, b] = contestants;
  expect(a!.validation[0]).toEqual(b!.validation[0]);
  expect(a!.trainLoss[0]).toBe(b!.trainLoss[0]);
  expect(a!.trainLoss[11]).not.toBe(b!.trainLoss[11]);
  for (const { trainLoss, validation, seconds, stateBytes, divergedAt } of contestants) {
    expect(trainLoss[11]).toBeLessThan(trainLoss[0]! - 0.3);
    expect(validation.map((v) => v.step)).toEqual([0, 5, 10, 12]);
    expect([...seconds].sort((x, y) => x - y)).toEqual(seconds);
    expect(stateBytes).toBeGreaterThan(0);
    expect(divergedAt).toBeNull();
  }
  const losses = contestants.map(({ finalValidationLoss }) => finalValidationLoss!);
  expect(targetLoss).toBe(Math.max(...losses));
  for (const { stepsToTarget } of contestants) expect(stepsToTarget).not.toBeNull();
});

test('what one computes does not depend on who else races', async () => {
  const both = await race();
  const alone = await race({ settings: { ...settings, optimizers: ['muon'] } });
  const muon = both.contestants.find(({ optimizer }) => optimizer === 'muon')!;
  expect(alone.contestants[0]!.trainLoss).toEqual(muon.trainLoss);
});

test('another seed gives another race', async () => {
  const [a, b] = [await race(), await race({ settings: { ...settings, seed: 2 } })];
  expect(a.contestants[0]!.trainLoss[0]).not.toBe(b.contestants[0]!.trainLoss[0]);
});

test('steps leave no tensor behind, nor does the whole race', async () => {
  const before = tf.memory().numTensors;
  const counts = new Map<number, number>();
  const onEvent = (event: RaceEvent) => {
    if (event.kind === 'step') counts.set(event.step, tf.memory().numTensors);
  };
  await race({ settings: { ...settings, steps: 25 }, sampleBytes: 3, onEvent });
  expect(counts.get(24)).toBe(counts.get(3));
  expect(tf.memory().numTensors).toBe(before);
});

test('a stopped and resumed race equals one that never stopped', async () => {
  const output = await folder();
  const controller = new AbortController();
  const stopped = await race({
    output,
    signal: controller.signal,
    onEvent(event) {
      if (event.kind === 'step' && event.step === 7) controller.abort();
    },
  });
  expect([stopped.finished, stopped.step]).toEqual([false, 7]);
  expect(stopped.contestants.map(({ trainLoss }) => trainLoss.length)).toEqual([7, 7]);
  const resumed = await runRace({ corpus, output, resume: true });
  const whole = await race({ output: await folder() });
  resumed.contestants.forEach((contestant, i) => {
    expect(contestant.trainLoss).toEqual(whole.contestants[i]!.trainLoss);
    const losses = contestant.validation.map(({ step, loss }) => [step, loss]);
    expect(losses).toEqual(whole.contestants[i]!.validation.map(({ step, loss }) => [step, loss]));
  });
});

test('a checkpoint that is damaged, foreign or from another text is refused and left alone', async () => {
  const output = await folder();
  const resume = (options: RaceOptions = {}) =>
    runRace({ corpus, output, resume: true, ...options });
  await expect(resume()).rejects.toThrow('there is no such file');
  await race({ output });
  const path = checkpointPath(output);
  const good = await readFile(path);
  const tensors = tf.memory().numTensors;

  const other = splitText(new TextEncoder().encode('another text '.repeat(80)));
  await expect(resume({ corpus: other })).rejects.toThrow('another text');
  const damaged = Buffer.from(good);
  damaged[good.length - 20]! ^= 1;
  await writeFile(path, damaged);
  await expect(resume()).rejects.toThrow(CheckpointError);
  expect(await readFile(path)).toEqual(damaged);
  await writeFile(path, 'something else');
  await expect(resume()).rejects.toThrow('is not a checkpoint of the race');
  expect(tf.memory().numTensors).toBe(tensors);

  await writeFile(path, good);
  expect((await resume()).finished).toBe(true);
});

test('a rate that blows up ends the race for its optimiser only', async () => {
  const { contestants, finished } = await race({
    settings: { ...settings, learningRates: { adamW: 1e37 } },
  });
  const [adamW, muon] = contestants;
  expect(finished).toBe(true);
  expect(adamW!.divergedAt).toBeGreaterThan(0);
  expect(adamW!.finalValidationLoss).toBeNull();
  expect([muon!.divergedAt, muon!.trainLoss.length]).toEqual([null, 12]);
});

test('bad options are refused', async () => {
  const refused = (options: object) =>
    expect(runRace({ corpus, ...options } as RaceOptions)).rejects;
  await refused({ typo: 1 }).toThrow('unknown option "typo"');
  await refused({ settings: { step: 3 } }).toThrow('unknown option "step"');
  await refused({ settings: { steps: 0 } }).toThrow('steps must be an integer >= 1');
  await refused({ settings: { optimizers: ['sgd'] } }).toThrow('must be one of "adamW", "muon"');
  await refused({ settings: { optimizers: ['muon', 'muon'] } }).toThrow('must differ');
  await refused({ settings: { learningRates: { muon: 0 } } }).toThrow('learning rate of muon');
  await refused({ targetLoss: -1 }).toThrow('targetLoss must be');
  await refused({ resume: true }).toThrow('resume needs an output folder');
});

test('a sweep gives every optimiser as many trials and says when a grid is too narrow', async () => {
  const tiny = { ...settings, steps: 2 };
  const { rows, choices } = await runSweep({ corpus, settings: tiny });
  const count = (name: string) => rows.filter(({ optimizer }) => optimizer === name).length;
  expect(count('adamW')).toBe(count('muon'));
  expect(choices.map(({ optimizer }) => optimizer)).toEqual(['adamW', 'muon']);
  const row = (learningRate: number, validationLoss: number | null) =>
    ({ optimizer: 'muon', learningRate, validationLoss }) as const;
  expect(chooseRates([row(1, 3), row(2, 2), row(4, null)])[0]).toMatchObject({
    learningRate: 2,
    interior: true,
  });
  expect(chooseRates([row(1, 3), row(2, 2)])[0]!.interior).toBe(false);
  expect(chooseRates([row(1, null)])).toEqual([]);
});
