import { useBackend } from '@orth/backend';
import { beforeAll, expect, test } from 'vitest';
import {
  BatchSampler,
  disposeBatch,
  loadMobyDick,
  splitText,
  validationBatches,
} from '../src/data.js';

beforeAll(async () => {
  await useBackend('cpu');
});

const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);

test('Moby-Dick is there, split without overlap', () => {
  const { train, validation } = loadMobyDick();
  expect(train.length + validation.length).toBeGreaterThan(1.2e6);
  expect(validation.length / train.length).toBeCloseTo(1 / 9, 2);
  expect(new TextDecoder().decode(train)).toContain('Call me Ishmael.');
  expect(new TextDecoder().decode(validation)).toContain('devious-cruising Rachel');
});

test('targets are the bytes that follow', () => {
  const sampler = new BatchSampler(bytes, 3, 5, 1);
  const batch = sampler.next();
  expect(batch.inputs.size).toBe(15);
  expect([...batch.targets.dataSync()]).toEqual([...batch.inputs.dataSync()].map((b) => b + 1));
  disposeBatch(batch);
});

test('a restored sampler goes on with the same batches', () => {
  const next = (sampler: BatchSampler) => [...sampler.next().inputs.dataSync()];
  const sampler = new BatchSampler(bytes, 2, 4, 9);
  next(sampler);
  const state = sampler.state();
  const rest = [next(sampler), next(sampler)];
  const other = new BatchSampler(bytes, 2, 4, 0);
  other.restore(state);
  expect([next(other), next(other)]).toEqual(rest);
});

test('validation rows spread over the whole text', () => {
  const batches = validationBatches(bytes, 5, 2, 4);
  expect(batches.map(({ inputs }) => inputs.size)).toEqual([8, 8, 4]);
  const first = batches.map(({ inputs }) => inputs.dataSync()[0]);
  expect(first).toEqual([0, 38, 76]);
});

test('a text shorter than a row is refused', () => {
  const { train, validation } = splitText(bytes.subarray(0, 20));
  expect(() => new BatchSampler(train, 1, 18, 1)).toThrow('text length must be an integer >= 19');
  expect(() => validationBatches(validation, 1, 1, 8)).toThrow(RangeError);
});
