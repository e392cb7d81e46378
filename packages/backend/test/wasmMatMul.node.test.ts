/** Matrix products and einsum on wasm against cpu. */
import { maxError } from '@orth/testing';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { agrees, type Compute, data, property, scalarOf, useBoth } from './againstCpu.js';

useBoth();

describe('matrix products', () => {
  const size = fc.integer({ min: 1, max: 40 });
  const batches = fc.constantFrom<[number[], number[]]>(
    [[], []],
    [[3], [3]],
    [[3], [1]],
    [[1], [3]],
    [
      [2, 3],
      [2, 3],
    ],
    [[], [2]],
    [[2], []],
  );
  test('all transposes and batches', () =>
    property(
      fc.tuple(size, size, size, fc.boolean(), fc.boolean(), batches),
      ([m, k, n, transposeA, transposeB, [aBatch, bBatch]]) =>
        agrees(
          [
            data(...aBatch, ...(transposeA ? [k, m] : [m, k])),
            data(...bBatch, ...(transposeB ? [n, k] : [k, n])),
          ],
          (a, b) => tf.matMul(a, b, transposeA, transposeB),
        ),
      60,
    ));

  test('batches that broadcast both ways, which cpu cannot do', async () => {
    await tf.setBackend('wasm');
    const [a, b] = [data(2, 1, 3, 4), data(1, 3, 4, 5)].map((d) => tf.tensor(d.values, d.shape));
    const got = tf.matMul(a!, b!);
    const want = tf.matMul(tf.tile(a!, [1, 3, 1, 1]), tf.tile(b!, [2, 1, 1, 1]));
    expect(got.shape).toEqual([2, 3, 3, 5]);
    expect(maxError(got, want)).toBeLessThan(1e-6);
  });

  test('a right factor used under two shapes', async () => {
    await tf.setBackend('wasm');
    const w = data(6, 4);
    const [x, y] = [data(3, 6), data(3, 4)];
    const right = tf.tensor(w.values, [6, 4]);
    tf.matMul(tf.tensor(x.values, x.shape), right as tf.Tensor2D).dispose();
    const got = tf.matMul(tf.tensor(y.values, y.shape), tf.reshape(right, [4, 6]));
    await tf.setBackend('cpu');
    const want = tf.matMul(tf.tensor(y.values, y.shape), tf.tensor(w.values.slice(), [4, 6]));
    expect(maxError(got.dataSync(), want.dataSync())).toBeLessThan(1e-5);
  });

  test('fused with bias and activation', () =>
    property(
      fc.tuple(
        fc.boolean(),
        fc.boolean(),
        fc.constantFrom('linear', 'relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu') as fc.Arbitrary<
          'linear' | 'relu'
        >,
      ),
      ([transposeA, transposeB, activation]) =>
        agrees(
          [
            data(...(transposeA ? [5, 4] : [4, 5])),
            data(...(transposeB ? [3, 5] : [5, 3])),
            data(3),
          ],
          (a, b, bias) =>
            tf.fused.matMul({
              a: a as tf.Tensor2D,
              b: b as tf.Tensor2D,
              bias,
              activation,
              leakyreluAlpha: 0.2,
              transposeA,
              transposeB,
            }),
          activation === 'linear' || activation === 'relu',
        ),
    ));

  test('empty factors', async () => {
    await tf.setBackend('wasm');
    expect(tf.matMul(tf.zeros([0, 3]), tf.zeros([3, 2])).shape).toEqual([0, 2]);
    expect([...tf.matMul(tf.zeros([2, 0]), tf.zeros([0, 1])).dataSync()]).toEqual([0, 0]);
  });
});

describe('einsum', () => {
  const equations = [
    'ij,jk->ik',
    'ij,kj->ik',
    'ij,kj->ki',
    'ji,jk->ik',
    'bij,bjk->bik',
    'bqhd,bkhd->bhqk',
    'bhqk,bkhd->bqhd',
    'ij->ji',
    'ij->i',
    'ij->',
    'i,i->',
    'i,j->ij',
    'ij,ij->ij',
    'ijk,k->ij',
    'ijk,ilm->jkl',
    'abc,cd->dab',
  ];
  const sizes: Record<string, number> = {
    i: 2,
    j: 3,
    k: 4,
    l: 2,
    m: 3,
    b: 2,
    q: 3,
    h: 2,
    d: 4,
    a: 3,
    c: 2,
  };
  test.each(equations)('%s', async (equation) => {
    const terms = equation.split('->')[0]!.split(',');
    await agrees(
      terms.map((term) => data(...[...term].map((label) => sizes[label]!))),
      (...x) => tf.einsum(equation, ...x),
    );
  });
  test('labels summed on their own, which cpu cannot do', async () => {
    await tf.setBackend('wasm');
    const [a, b] = [data(2, 3), data(3)].map((d) => tf.tensor(d.values, d.shape)) as [
      tf.Tensor,
      tf.Tensor,
    ];
    const cases: [string, Compute][] = [
      ['ij,j->', (x, y) => tf.sum(tf.mul(x, y))],
      ['ij,k->j', (x, y) => tf.mul(tf.sum(x, 0), tf.sum(y))],
    ];
    for (const [equation, reference] of cases) {
      const got = tf.grads((x, y) => scalarOf(tf.einsum(equation, x, y)))([a, b]);
      const want = tf.grads((x, y) => scalarOf(reference(x, y)))([a, b]);
      expect(maxError(tf.einsum(equation, a, b), reference(a, b))).toBeLessThan(1e-5);
      for (const [i, gradient] of got.entries()) {
        expect(maxError(gradient, want[i]!)).toBeLessThan(1e-5);
      }
    }
  });
  test('int32', async () => {
    await tf.setBackend('wasm');
    const a = tf.tensor([1, 2, 3, 4], [2, 2], 'int32');
    expect(tf.einsum('ij,jk->ik', a, a).dataSync()).toEqual(Int32Array.of(7, 10, 15, 22));
  });
});
