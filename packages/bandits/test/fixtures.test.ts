import { formatResult, parseFixture, runFixture } from '@orth/testing';
import { memory } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { adapters } from './fixtures.js';

const files = import.meta.glob('./fixtures/*.json', { eager: true, import: 'default' });

describe('golden fixtures', () => {
  it('are there', () => expect(Object.keys(files).length).toBeGreaterThan(0));

  it.each(Object.entries(files))('%s', async (_, json) => {
    const before = memory().numTensors;
    const result = await runFixture(parseFixture(json), adapters);
    expect(result.status, formatResult(result)).toBe('ok');
    expect(memory().numTensors).toBe(before);
  });
});
