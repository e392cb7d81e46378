import { formatResult, parseFixture, runFixture } from '@orth/testing';
import { memory } from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { adapters } from './fixtures.js';

const files = import.meta.glob('./fixtures/*.json', { eager: true, import: 'default' });

/** A software GPU compiles every kernel on its first use. */
const timeout = 300_000;

test.each(Object.entries(files))(
  '%s',
  async (_, json) => {
    const before = memory().numTensors;
    const result = await runFixture(parseFixture(json), adapters);
    expect(result.status, formatResult(result)).toBe('ok');
    expect(memory().numTensors).toBe(before);
  },
  timeout,
);

test('there are fixtures', () => {
  expect(Object.keys(files).length).toBeGreaterThan(3);
});
