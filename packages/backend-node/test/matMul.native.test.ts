import { expectTensorClose } from '@orth/testing';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

/** Row-major product in float64 with numpy's broadcasting of batches, by the definition. */
function reference(a: tf.Tensor, b: tf.Tensor, transposeA: boolean, transposeB: boolean) {
  const [x, y] = [a.dataSync(), b.dataSync()];
  const [aRows, aColumns] = a.shape.slice(-2) as [number, number];
  const [bRows, bColumns] = b.shape.slice(-2) as [number, number];
  const [m, k, n] = [
    transposeA ? aColumns : aRows,
    transposeA ? aRows : aColumns,
    transposeB ? bRows : bColumns,
  ];
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(
    a.shape.slice(0, -2),
    b.shape.slice(0, -2),
  );
  const count = tf.util.sizeFromShape(batch);
  const slice = (index: number, own: number[]) => {
    const coordinates = tf.util.indexToLoc(index, batch.length, tf.util.computeStrides(batch));
    return own.reduce((at, size, axis) => {
      const c = coordinates[batch.length - own.length + axis]!;
      return at * size + (size === 1 ? 0 : c);
    }, 0);
  };
  const out = new Float32Array(count * m * n);
  for (let g = 0; g < count; g++) {
    const p = slice(g, a.shape.slice(0, -2)) * m * k;
    const q = slice(g, b.shape.slice(0, -2)) * k * n;
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let l = 0; l < k; l++) {
          const left = x[p + (transposeA ? l * m + i : i * k + l)]!;
          sum += left * y[q + (transposeB ? j * k + l : l * n + j)]!;
        }
        out[(g * m + i) * n + j] = sum;
      }
    }
  }
  return { values: out, shape: [...batch, m, n] };
}

const size = fc.integer({ min: 1, max: 40 });
const batches = fc.constantFrom<[number[], number[]]>(
  [[], []],
  [[3], [3]],
  [[1], [4]],
  [[4], [1]],
  [[5], []],
  [[], [5]],
  [
    [2, 3],
    [2, 3],
  ],
  [
    [2, 1],
    [1, 3],
  ],
  [[2, 3], [3]],
);

describe('matMul', () => {
  test('every transposition, size and broadcast batch equals the definition', () => {
    fc.assert(
      fc.property(
        batches,
        size,
        size,
        size,
        fc.boolean(),
        fc.boolean(),
        ([aBatch, bBatch], m, k, n, transposeA, transposeB) => {
          tf.tidy(() => {
            const a = tf.randomNormal(
              [...aBatch, ...(transposeA ? [k, m] : [m, k])],
              0,
              1,
              'float32',
              m,
            );
            const b = tf.randomNormal(
              [...bBatch, ...(transposeB ? [n, k] : [k, n])],
              0,
              1,
              'float32',
              n,
            );
            const { values, shape } = reference(a, b, transposeA, transposeB);
            const got = tf.matMul(a, b, transposeA, transposeB);
            expect(got.shape).toEqual(shape);
            expectTensorClose(got, values, { rtol: 1e-5, atol: 2e-5 });
          });
        },
      ),
      { numRuns: 150 },
    );
  });

  test('large products agree with float64', () => {
    tf.tidy(() => {
      const a = tf.randomNormal([257, 300], 0, 1, 'float32', 1);
      const b = tf.randomNormal([300, 129], 0, 1, 'float32', 2);
      const { values } = reference(a, b, false, false);
      expectTensorClose(tf.matMul(a, b), values, { rtol: 1e-5, atol: 1e-4 });
    });
  });

  test('empty factors give empty or zero results', () => {
    tf.tidy(() => {
      expect(tf.matMul(tf.zeros([0, 3]), tf.zeros([3, 2])).shape).toEqual([0, 2]);
      const zeros = tf.matMul(tf.zeros([20, 0]), tf.zeros([0, 30]));
      expect([...zeros.dataSync()]).toEqual(new Array(600).fill(0));
    });
  });

  test('refuses other dtypes and sizes that do not fit', () => {
    tf.tidy(() => {
      const kernel = (a: tf.Tensor, b: tf.Tensor) =>
        tf.engine().runKernel('BatchMatMul', { a, b }, { transposeA: false, transposeB: true });
      expect(() => kernel(tf.ones([2, 2], 'int32'), tf.ones([2, 2]))).toThrow(
        'matMul: both factors must be float32, got int32 and float32',
      );
      expect(() => kernel(tf.ones([2, 3]), tf.ones([2, 2]))).toThrow(
        'matMul: inner dimensions must agree, got shapes [2,3] and [2,2] with transposeA=false and transposeB=true',
      );
    });
  });

  test('gradients are those of the definition', () => {
    tf.tidy(() => {
      const a = tf.randomNormal([4, 33, 20], 0, 1, 'float32', 3);
      const b = tf.randomNormal([4, 33, 17], 0, 1, 'float32', 4);
      const [da, db] = tf.grads((x: tf.Tensor, y: tf.Tensor) => tf.matMul(x, y, true, false))([
        a,
        b,
      ]) as [tf.Tensor, tf.Tensor];
      const ones = tf.ones([4, 20, 17]);
      expectTensorClose(da, reference(b, ones, false, true).values, { atol: 1e-4 });
      expectTensorClose(db, reference(a, ones, false, false).values, { atol: 1e-4 });
    });
  });
});

describe('fused.matMul', () => {
  const activations = ['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu', 'prelu'] as const;

  test.each(activations)('bias and %s equal the composed ops', (activation) => {
    tf.tidy(() => {
      for (const shape of [
        [9, 31],
        [3, 9, 31],
      ]) {
        for (const bias of [undefined, tf.randomNormal([21], 0, 1, 'float32', 5)]) {
          const a = tf.randomNormal(shape as [number, number], 0, 1, 'float32', 6);
          const b = tf.randomNormal([...shape.slice(0, -2), 31, 21], 0, 1, 'float32', 7);
          const slope = tf.randomUniform([21], 0.1, 0.9, 'float32', 8);
          const got = tf.fused.matMul({
            a,
            b: b as tf.Tensor2D,
            bias,
            activation,
            preluActivationWeights: activation === 'prelu' ? slope : undefined,
            leakyreluAlpha: 0.3,
          });
          let want: tf.Tensor = tf.matMul(a, b as tf.Tensor2D);
          if (bias) want = tf.add(want, bias);
          const apply: Record<typeof activation, () => tf.Tensor> = {
            linear: () => want,
            relu: () => tf.relu(want),
            relu6: () => tf.relu6(want),
            elu: () => tf.elu(want),
            sigmoid: () => tf.sigmoid(want),
            leakyrelu: () => tf.leakyRelu(want, 0.3),
            prelu: () => tf.prelu(want, slope),
          };
          expectTensorClose(got, apply[activation](), { rtol: 1e-5, atol: 1e-5 });
        }
      }
    });
  });

  test('nothing to sum over leaves bias and activation', () => {
    tf.tidy(() => {
      const bias = tf.tensor1d([-1, 2]);
      const a = tf.zeros([3, 0]) as tf.Tensor2D;
      const got = tf.fused.matMul({ a, b: tf.zeros([0, 2]), bias, activation: 'relu' });
      expect([...got.dataSync()]).toEqual([0, 2, 0, 2, 0, 2]);
    });
  });
});
