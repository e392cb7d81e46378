import { seededRandom, useBackend } from '@orth/backend';
import { Muon } from '@orth/muon';
import { beforeAll, expect, test } from 'vitest';
import { Gpt } from '../src/model.js';
import { SIZES } from '../src/modelShape.js';
import { OPTIMIZERS } from '../src/optimizers.js';
import { warmupThenLinear } from '../src/schedule.js';

beforeAll(async () => {
  await useBackend('cpu');
});

test('every optimiser is tuned with as many trials, and its rate is not at the edge of its grid', () => {
  const entries = Object.values(OPTIMIZERS);
  for (const { label, sweep, learningRate } of entries) {
    expect(sweep.length, label).toBe(entries[0]!.sweep.length);
    expect(
      [...sweep].sort((a, b) => a - b),
      label,
    ).toEqual(sweep);
    expect(sweep.slice(1, -1), label).toContain(learningRate);
  }
});

test('Muon takes the matrices of the blocks and leaves embeddings and head to AdamW', () => {
  const model = new Gpt('groups', SIZES.small, seededRandom(1));
  const optimizer = OPTIMIZERS.muon.create(warmupThenLinear(0.01, 10)) as Muon;
  expect(optimizer).toBeInstanceOf(Muon);
  const groups = optimizer.describeGroups(model.variables);
  const adamW = groups.filter((group) => group.optimizer === 'adamW').map(({ name }) => name);
  expect(adamW).toEqual(['groups/tokenEmbedding', 'groups/positionEmbedding', 'groups/head']);
  expect(groups.filter((group) => group.optimizer === 'muon').length).toBe(6 * SIZES.small.layers);
  model.dispose();
  optimizer.dispose();
});

test('the schedule rises to its peak in the first twentieth and falls to almost nothing', () => {
  const rate = warmupThenLinear(0.01, 400);
  const rates = Array.from({ length: 400 }, (_, step) => rate(step));
  expect(Math.max(...rates)).toBe(0.01);
  expect(rates.indexOf(0.01)).toBe(20);
  expect(rates[0]).toBeGreaterThan(0);
  expect(rates[210]).toBeCloseTo(0.005, 10);
  expect(rates[399]).toBeGreaterThan(0);
  expect(rates[399]).toBeLessThan(0.0001);
  expect(warmupThenLinear(0.01, 1)(0)).toBeGreaterThan(0);
});
