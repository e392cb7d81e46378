import { seededRandom } from '@orth/backend';
import { expectTensorClose, maxError } from '@orth/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { dct } from '../src/dct.js';
import { dctMatrix } from '../src/dctMatrix.js';
import { selectColumns } from '../src/selectColumns.js';

const normal = (shape: number[], seed = 1) => seededRandom(seed).normalTensor(shape);

describe('dctMatrix', () => {
  it.each([1, 2, 3, 7, 16, 101, 512])('is orthogonal at n = %i', (n) => {
    const Q = dctMatrix(n);
    expect(maxError(tf.matMul(Q, Q, false, true), tf.eye(n))).toBeLessThan(1e-6);
    expectTensorClose(dctMatrix(n, 3), tf.transpose(Q), { rtol: 0, atol: 0 });
  });

  it('holds the formula', async () => {
    const n = 5;
    const values = await dctMatrix(n).data();
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        const want =
          Math.sqrt((i === 0 ? 1 : 2) / n) * Math.cos((Math.PI * i * (2 * j + 1)) / (2 * n));
        expect(values[i * n + j]).toBeCloseTo(want, 6);
      }
    }
  });

  it('refuses bad arguments', () => {
    expect(() => dctMatrix(0)).toThrow('dctMatrix: n must be an integer >= 1, got 0');
    expect(() => dctMatrix(2, 4 as 2)).toThrow(RangeError);
  });
});

describe('dct', () => {
  it('is the same by products and by Fourier transforms, both ways, for every length', () => {
    for (const n of [...Array.from({ length: 40 }, (_, i) => i + 1), 4096]) {
      const x = normal([2, n], n);
      for (const type of [2, 3] as const) {
        const fast = dct(x, { type, transform: 'fft' });
        expectTensorClose(fast, dct(x, { type, transform: 'matmul' }), { rtol: 0, atol: 1e-4 });
      }
      expectTensorClose(dct(dct(x), { type: 3 }), x, { rtol: 0, atol: 1e-4 });
    }
  });

  it('transforms any axis', () => {
    const x = normal([3, 4, 5]);
    for (const axis of [0, 1, 2, -1, -2]) {
      const last = axis < 0 ? axis + 3 : axis;
      const order = [0, 1, 2].map((i) => (i === last ? 2 : i === 2 ? last : i));
      const want = tf.transpose(dct(tf.transpose(x, order)), order);
      expectTensorClose(dct(x, { axis }), want);
    }
  });

  it('refuses bad arguments', () => {
    const x = normal([2, 3]);
    expect(() => dct(x, { axis: 2 })).toThrow('dct: axis must be an integer >= -2 and < 2, got 2');
    expect(() => dct(x, { transform: 'dft' as 'fft' })).toThrow(RangeError);
    expect(() => dct(x, { typo: 1 } as object)).toThrow('unknown option "typo"');
    expect(() => dct(tf.scalar(1))).toThrow(RangeError);
  });

  it('leaks nothing', () => {
    const x = normal([2, 6]);
    const before = tf.memory().numTensors;
    dct(x, { transform: 'fft' }).dispose();
    dct(x, { type: 3, axis: 0, transform: 'fft' }).dispose();
    dct(x, { axis: 0 }).dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('selectColumns', () => {
  const shapes = [
    [9, 6],
    [6, 9],
    [5, 5],
    [2, 7, 4],
    [2, 4, 7],
  ];

  it.each(shapes.map((shape) => [shape]))('projects orthogonally, shape %j', (shape) => {
    const a = normal(shape);
    const [R, C] = shape.slice(-2) as [number, number];
    const k = Math.min(R, C);
    const squareNorm = tf.sum(tf.square(a)).dataSync()[0]!;
    let last = Infinity;
    for (let rank = 1; rank <= k; rank++) {
      const { low, back, vectors } = selectColumns(a, { rank, norm: 2 });
      const projected = back(low);
      const error = tf.sum(tf.square(tf.sub(a, projected))).dataSync()[0]!;
      // Parseval: what is not in the coordinates is the error.
      const kept = tf.sum(tf.square(low)).dataSync()[0]!;
      expect(error + kept).toBeCloseTo(squareNorm, 3);
      expect(error).toBeLessThanOrEqual(last + 1e-4);
      if (shape.length === 2) expect(error).toBeLessThanOrEqual((1 - rank / k) * squareNorm + 1e-4);
      last = error;
      const gram = tf.matMul(vectors, vectors, false, true);
      expect(maxError(gram, tf.broadcastTo(tf.eye(rank), gram.shape))).toBeLessThan(1e-5);
    }
    expect(last).toBeLessThan(1e-4);
  });

  it('gives the same by products, by Fourier transforms and by a table of one’s own', () => {
    for (const shape of shapes) {
      const a = normal(shape);
      const k = Math.min(...shape.slice(-2));
      for (const [basis, type] of [
        ['dct2', 2],
        ['dct3', 3],
      ] as const) {
        const wanted = selectColumns(a, { rank: 2, basis });
        const fast = selectColumns(a, { rank: 2, basis, transform: 'fft' });
        const own = selectColumns(a, { rank: 2, basis: dctMatrix(k, type) });
        for (const other of [fast, own]) {
          expectTensorClose(other.indices, wanted.indices, { rtol: 0, atol: 0 });
          expectTensorClose(other.low, wanted.low, { atol: 1e-5 });
        }
      }
    }
  });

  it('orders by norm, ties to the lower index', () => {
    const a = tf.tensor2d([1, 3, 3, 0, 3, 1, 0, 0, 0, 0, 0, 0], [2, 6]);
    const identity = tf.eye(2) as tf.Tensor2D;
    expect([...selectColumns(a, { rank: 2, basis: identity }).indices.dataSync()]).toEqual([0, 1]);
    const tied = tf.mul(tf.onesLike(tf.zeros([70, 64])), 1);
    const { indices } = selectColumns(tied, { rank: 40, basis: tf.eye(64) as tf.Tensor2D });
    expect([...indices.dataSync()]).toEqual(Array.from({ length: 40 }, (_, i) => i));
  });

  it('takes a batch as a loop', () => {
    const a = normal([3, 5, 8]);
    const batch = selectColumns(a, { rank: 2 });
    const each = tf.unstack(a).map((x) => selectColumns(x, { rank: 2 }));
    expectTensorClose(batch.low, tf.stack(each.map(({ low }) => low)));
    expectTensorClose(batch.back(batch.low), tf.stack(each.map(({ low, back }) => back(low))));
  });

  it('refuses bad arguments', () => {
    const a = normal([4, 3]);
    expect(() => selectColumns(a, { rank: 4 })).toThrow(
      'selectColumns: rank must be an integer >= 1 and <= 3, got 4',
    );
    expect(() => selectColumns(a, { rank: 0 })).toThrow(RangeError);
    expect(() => selectColumns(a, { rank: 1, norm: 3 as 1 })).toThrow(RangeError);
    expect(() => selectColumns(a, { rank: 1, basis: 'dct4' as 'dct2' })).toThrow(RangeError);
    const ones = tf.ones([3, 3]) as tf.Tensor2D;
    expect(() => selectColumns(a, { rank: 1, basis: ones })).toThrow('basis must be orthogonal');
    expect(() => selectColumns(a, { rank: 1, basis: tf.ones([3, 4]) as tf.Tensor2D })).toThrow(
      'basis must have shape [3,3]',
    );
    const basis = dctMatrix(3);
    expect(() => selectColumns(a, { rank: 1, basis, transform: 'fft' })).toThrow(RangeError);
    expect(() => selectColumns(tf.ones([3]), { rank: 1 })).toThrow(RangeError);
    const bad = tf.tensor2d([Number.NaN, 1, 1, 1], [2, 2]);
    expect(() => selectColumns(bad, { rank: 1, checkFinite: true })).toThrow('must be finite');
  });

  it('leaks nothing', () => {
    const a = normal([4, 6]);
    const before = tf.memory().numTensors;
    const { indices, vectors, low, back } = selectColumns(a, { rank: 2 });
    back(low).dispose();
    for (const x of [indices, vectors, low]) x.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});
