import { seededRandom } from '@orth/backend';
import { memory, zeros } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { orthogonalize } from '../src/index.js';

describe('orthogonalize', () => {
  it('gives zeros for zeros and leaves nothing behind', () => {
    const before = memory().numTensors;
    const x = zeros([2, 3]);
    const q = orthogonalize(x);
    expect([...q.dataSync()]).toEqual([0, 0, 0, 0, 0, 0]);
    q.dispose();
    x.dispose();
    const g = seededRandom(1).normalTensor([2, 5, 3]);
    orthogonalize(g, { form: 'gram', method: 'simple' }).dispose();
    g.dispose();
    expect(memory().numTensors).toBe(before);
  });
});
