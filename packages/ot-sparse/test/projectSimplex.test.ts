import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import {
  grad,
  memory,
  mul,
  sum,
  type Tensor,
  tensor,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { projectSimplex, projectSparseSimplex } from '../src/index.js';
import { sortedProjection } from './reference.js';

const rowsOf = (data: ArrayLike<number>, n: number) =>
  Array.from({ length: data.length / n }, (_, i) => Array.from(data).slice(i * n, (i + 1) * n));

describe('projectSparseSimplex', () => {
  it('projects rows and columns, ties to the first', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e6 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 10 }),
        fc.constantFrom(0.5, 1, 3),
        (seed, m, n, k, z) => {
          tidy(() => {
            const random = seededRandom(seed);
            // Multiples of 1/4: many ties.
            const data = Float32Array.from({ length: m * n }, () => random.integer(-4, 4) / 4);
            const V = tensor(data, [m, n]);
            const want = rowsOf(data, n).flatMap((row) => sortedProjection(row, k, z));
            const got = projectSparseSimplex(V, { k, z, axis: 1 });
            expectTensorClose(got, want, { rtol: 1e-5, atol: 2e-6 });
            const columns = projectSparseSimplex(transpose(V), { k, z });
            expectTensorClose(transpose(columns), want, { rtol: 1e-5, atol: 2e-6 });
            if (k >= n) expectTensorClose(projectSimplex(V, { z, axis: 1 }), got);
          });
        },
      ),
      { numRuns: 30 },
    );
  });

  it('has the gradient of the support', () => {
    const V = tensor([0.9, 0.5, -1, 0.45, 2, 0, 0.1, -0.2], [2, 4]);
    const W = tensor([1, -2, 3, 4, 5, -6, 7, 8], [2, 4]);
    const f = (x: Tensor) => sum(mul(W, projectSparseSimplex(x, { k: 2, axis: 1 })));
    const got = grad(f)(V);
    // Row 0: support {0, 1}, mean of 1 and −2; row 1: support {0} alone.
    expectTensorClose(got, [1.5, -1.5, 0, 0, 0, 0, 0, 0]);
    for (const x of [V, W, got]) x.dispose();
  });

  it('leaves out −Infinity and takes batches and sizes', () => {
    const before = memory().numTensors;
    const V = tensor([-Infinity, 0, 1, -Infinity, -Infinity, 3, 1, 1, 1, 5, 4, 0], [2, 2, 3]);
    const z = tensor([1, 2, 3, 4], [2, 2]);
    const p = projectSparseSimplex(V, { k: 2, z, axis: 1 });
    expectTensorClose(p, [0, 0, 1, 0, 0, 2, 1.5, 1.5, 0, 2.5, 1.5, 0]);
    const q = projectSimplex(V, { axis: 0 });
    expect(q.shape).toEqual([2, 2, 3]);
    for (const x of [V, z, p, q]) x.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it('keeps a small mass beside large entries', () => {
    const V = tensor([10000, 9999, 9000], [1, 3]);
    const p = projectSparseSimplex(V, { k: 2, z: 1e-3, axis: 1 });
    expectTensorClose(p, [1e-3, 0, 0], { rtol: 1e-6, atol: 0 });
    V.dispose();
    p.dispose();
  });

  it('refuses bad arguments', () => {
    const V = tensor([1, 2], [1, 2]);
    expect(() => projectSparseSimplex(V, { k: 0 })).toThrow('projectSparseSimplex: k must be');
    expect(() => projectSparseSimplex(V, { k: 1, z: 0 })).toThrow('z must be a finite number > 0');
    expect(() => projectSparseSimplex(V, { k: 1, axis: 2 as never })).toThrow(
      'axis must be one of',
    );
    expect(() => projectSimplex(tensor([1]))).toThrow('projectSimplex: V must have rank >= 2');
    expect(() => projectSparseSimplex(V, { k: 1, z: V })).toThrow('z must have shape [2]');
    V.dispose();
  });
});
