import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';

/** Above every size from which kernels are native. */
const COUNT = 2 ** 15;

const SPECIAL = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  0,
  -0,
  1e-38,
  -1e-38,
  3e38,
  -3e38,
  88.7,
  89,
  -87.3,
  -100,
  -104,
  17,
  -17,
  1e-6,
  -1e-6,
];

/** Special values first, then numbers of every magnitude and sign. */
function sample(shift: number): Float32Array {
  return Float32Array.from({ length: COUNT }, (_, i) => {
    const at = (i + shift) % COUNT;
    if (at < SPECIAL.length) return SPECIAL[at]!;
    return Math.sin(at * 12.9898) * 10 ** ((at % 12) - 7);
  });
}

/** Agreement to a few units in the last place of float32; below 1e−37 digits run out. */
function expectSame(name: string, got: ArrayLike<number>, want: (i: number) => number): void {
  for (let i = 0; i < COUNT; i++) {
    const w = Math.fround(want(i));
    const g = got[i]!;
    if (g === w || (Number.isNaN(g) && Number.isNaN(w))) continue;
    const error = Math.abs(g - w);
    if (error <= Math.max(4e-7 * Math.abs(w), 1e-37)) continue;
    throw new Error(`${name}: entry ${i} is ${g}, want ${w}`);
  }
}

describe('elementwise kernels keep every digit, NaN and infinity', () => {
  const unary: [string, (x: tf.Tensor) => tf.Tensor, (x: number) => number][] = [
    ['abs', tf.abs, Math.abs],
    ['cos', tf.cos, Math.cos],
    ['exp', tf.exp, Math.exp],
    ['neg', tf.neg, (x) => -x],
    ['relu', tf.relu, (x) => (Number.isNaN(x) ? x : Math.max(0, x))],
    ['sigmoid', tf.sigmoid, (x) => 1 / (1 + Math.exp(-x))],
    ['sin', tf.sin, Math.sin],
    ['square', tf.square, (x) => x * x],
    ['tanh', tf.tanh, Math.tanh],
    ['sqrt', (x) => tf.sqrt(tf.abs(x)), (x) => Math.sqrt(Math.abs(x))],
    ['log', (x) => tf.log(tf.abs(x)), (x) => Math.log(Math.abs(x))],
  ];
  test.each(unary)('%s', (name, op, formula) => {
    tf.tidy(() => {
      const x = sample(0);
      expectSame(name, op(tf.tensor1d(x)).dataSync(), (i) => formula(x[i]!));
    });
  });

  const binary: [
    string,
    (a: tf.Tensor, b: tf.Tensor) => tf.Tensor,
    (a: number, b: number) => number,
  ][] = [
    ['add', tf.add, (a, b) => a + b],
    ['sub', tf.sub, (a, b) => a - b],
    ['mul', tf.mul, (a, b) => a * b],
    ['div', tf.div, (a, b) => a / b],
    ['squaredDifference', tf.squaredDifference, (a, b) => Math.fround(a - b) ** 2],
  ];
  test.each(binary)('%s', (name, op, formula) => {
    for (let shift = 0; shift < SPECIAL.length; shift++) {
      tf.tidy(() => {
        const [a, b] = [sample(0), sample(shift)];
        const got = op(tf.tensor1d(a), tf.tensor1d(b)).dataSync();
        expectSame(`${name} shifted by ${shift}`, got, (i) => formula(a[i]!, b[i]!));
      });
    }
  });

  test('operands are broadcast as tfjs does', () => {
    tf.tidy(() => {
      const a = tf.randomNormal([64, 1, 128], 0, 1, 'float32', 1);
      for (const shape of [[3, 128], [3, 1], [1], [], [64, 3, 128]]) {
        const b = tf.randomNormal(shape, 0, 1, 'float32', 2);
        const got = tf.sub(a, b);
        const rows = tf.broadcast_util.assertAndGetBroadcastShape(a.shape, b.shape);
        expect(got.shape).toEqual(rows);
        const want = tf.add(tf.broadcastTo(a, rows), tf.mul(tf.broadcastTo(b, rows), -1));
        expect([...got.dataSync()]).toEqual([...want.dataSync()]);
      }
    });
  });

  test('other dtypes stay what they are', () => {
    tf.tidy(() => {
      const x = tf.range(0, COUNT, 1, 'int32');
      expect(tf.mul(x, x).dtype).toBe('int32');
      expect(tf.mul(x, x).dataSync()[300]).toBe(90_000);
      expect(tf.sum(x).dtype).toBe('int32');
    });
  });
});

describe('softmax, sums and means', () => {
  const values = Float32Array.from({ length: 24 * 5 * 96 }, (_, i) => 3 * Math.sin(i * 7.7));
  const make = () => tf.tensor3d(values, [24, 5, 96]);

  test('softmax', () => {
    tf.tidy(() => {
      const got = tf.softmax(make()).dataSync();
      for (let row = 0; row < 24 * 5; row++) {
        const exps = values.slice(96 * row, 96 * (row + 1)).map(Math.exp);
        const total = exps.reduce((sum, e) => sum + e, 0);
        exps.forEach((e, i) => {
          expect(Math.abs(got[96 * row + i]! - e / total)).toBeLessThan(1e-7);
        });
      }
      const odd = tf.concat([make(), tf.fill([24, 5, 1], Number.NaN)], 2);
      expect(tf.softmax(odd).dataSync().every(Number.isNaN)).toBe(true);
    });
  });

  test.each([[[0]], [[1]], [[2]], [[-1]], [[0, 1]], [[0, 2]], [[1, 2]], [[0, 1, 2]]])(
    'over axes %o',
    (axes) => {
      tf.tidy(() => {
        const x = make();
        const normal = axes.map((axis) => (axis + 3) % 3);
        const sizes = [24, 5, 96];
        const kept = sizes.map((n, axis) => (normal.includes(axis) ? 1 : n));
        const total = new Float64Array(kept[0]! * kept[1]! * kept[2]!);
        values.forEach((value, i) => {
          const at = [Math.floor(i / 480), Math.floor(i / 96) % 5, i % 96];
          const [p, q, r] = at.map((c, axis) => (kept[axis] === 1 ? 0 : c)) as [
            number,
            number,
            number,
          ];
          total[(p * kept[1]! + q) * kept[2]! + r]! += value;
        });
        const count = values.length / total.length;
        for (const keepDims of [false, true]) {
          const [sum, mean] = [tf.sum(x, axes, keepDims), tf.mean(x, axes, keepDims)];
          const shape = keepDims ? kept : sizes.filter((_, axis) => !normal.includes(axis));
          expect(sum.shape).toEqual(shape);
          expect(mean.shape).toEqual(shape);
          const [sums, means] = [sum.dataSync(), mean.dataSync()];
          total.forEach((want, i) => {
            expect(Math.abs(sums[i]! - want)).toBeLessThan(2e-3);
            expect(Math.abs(means[i]! - want / count)).toBeLessThan(1e-6);
          });
        }
      });
    },
  );
});

test.each([[[1, 0, 2]], [[2, 1, 0]], [[0, 2, 1]], [[2, 0, 1]], [[1, 2, 0]]])(
  'transpose by %o',
  (perm) => {
    tf.tidy(() => {
      const shape = [12, 20, 24];
      const x = tf.reshape(tf.range(0, 12 * 20 * 24), shape);
      const y = tf.transpose(x, perm);
      expect(y.shape).toEqual(perm.map((axis) => shape[axis]));
      const strides = [480, 24, 1];
      const got = y.dataSync();
      let at = 0;
      for (let i = 0; i < y.shape[0]!; i++) {
        for (let j = 0; j < y.shape[1]!; j++) {
          for (let k = 0; k < y.shape[2]!; k++) {
            const [p, q, r] = perm.map((axis) => strides[axis]!) as [number, number, number];
            if (got[at++] !== i * p + j * q + k * r) throw new Error(`wrong at ${i}, ${j}, ${k}`);
          }
        }
      }
    });
  },
);
