/** The gradients that @orth/backend adds to tfjs or puts in place of its own, against finite differences. */
import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';

const random = seededRandom(3);
const int = (values: number[], shape = [values.length]) => tf.tensor(values, shape, 'int32');

type Op = (...inputs: tf.Tensor[]) => tf.Tensor;

/** A scalar that depends on every entry of y differently. */
const scalarOf = (y: tf.Tensor): tf.Scalar =>
  tf.sum(tf.mul(y, tf.reshape(tf.cos(tf.range(0, y.size)), y.shape)));

/** Central differences; exact but for rounding where op is linear in each entry. */
function finiteDifferences(
  op: Op,
  inputs: Float32Array[],
  shapes: number[][],
  which: number,
  step: number,
) {
  const value = (at: number, shift: number) =>
    tf.tidy(() => {
      const xs = inputs.map((values, i) => {
        const copy = values.slice();
        if (i === which) copy[at]! += shift;
        return tf.tensor(copy, shapes[i]!);
      });
      return scalarOf(op(...xs)).dataSync()[0]!;
    });
  return inputs[which]!.map((_, at) => (value(at, step) - value(at, -step)) / (2 * step));
}

function check(shapes: number[][], op: Op, step = 1e-2) {
  // Distinct values, none near another: no maximum changes its place within a step.
  const inputs = shapes.map((shape, which) => {
    const size = shape.reduce((product, n) => product * n, 1);
    return Float32Array.from(random.shuffle(Array.from({ length: size }, (_, i) => i)), (i) => {
      return 0.137 + 0.0213 * which + (1.6 * (i - size / 2)) / size;
    });
  });
  const before = tf.memory().numTensors;
  tf.tidy(() => {
    const xs = inputs.map((values, i) => tf.tensor(values.slice(), shapes[i]!));
    const gradients = tf.grads((...z: tf.Tensor[]) => scalarOf(op(...z)))(xs);
    for (const [i, gradient] of gradients.entries()) {
      expect(gradient.shape).toEqual(shapes[i]);
      const want = finiteDifferences(op, inputs, shapes, i, step);
      expectTensorClose(gradient.dataSync(), want, { rtol: 3e-3, atol: 3e-3 });
    }
  });
  expect(tf.memory().numTensors).toBe(before);
}

describe('operands that broadcast', () => {
  const ops = { maximum: tf.maximum, minimum: tf.minimum, squaredDifference: tf.squaredDifference };
  test.each(Object.keys(ops) as (keyof typeof ops)[])('%s', (name) => {
    check(
      [
        [2, 3, 4],
        [3, 1],
      ],
      (a, b) => ops[name](a!, b!),
      1e-3,
    );
    check(
      [
        [2, 1, 4],
        [3, 1],
      ],
      (a, b) => ops[name](a!, b!),
      1e-3,
    );
    check([[], [2, 3]], (a, b) => ops[name](a!, b!), 1e-3);
  });
  test('matMul over batch dimensions', () => {
    check(
      [
        [3, 2, 4],
        [1, 4, 2],
      ],
      (a, b) => tf.matMul(a!, b!),
    );
    check(
      [
        [2, 4],
        [3, 5, 4],
      ],
      (a, b) => tf.matMul(a!, b!, false, true),
    );
  });
});

describe('reductions and scans', () => {
  test('cumsum along any axis', () => {
    check([[3, 2, 4]], (x) => tf.cumsum(x!, 0));
    check([[3, 2, 4]], (x) => tf.cumsum(x!, 1, true, true));
  });
  test('prod, also where an entry is 0', () => {
    check([[2, 3, 2]], (x) => tf.prod(x!, 1));
    check([[2, 3, 2]], (x) => tf.prod(x!, [0, 2], true));
    check([[4]], (x) => tf.prod(x!));
    const gradient = tf.grad((x: tf.Tensor) => tf.prod(x) as tf.Tensor)(tf.tensor([2, 0, 3]));
    expect([...gradient.dataSync()]).toEqual([0, 6, 0]);
  });
  test('topk', () => check([[3, 5]], (x) => tf.topk(x!, 2).values));
});

describe('comparisons are constants', () => {
  test('where with a condition computed from x', () => {
    check([[5], [5]], (a, b) => tf.where(tf.greater(a!, b!), tf.mul(a!, 2), tf.square(b!)), 1e-3);
    check([[6]], (x) =>
      tf.where(tf.logicalAnd(tf.less(x!, 0.3), tf.notEqual(x!, 9)), tf.mul(x!, 3), x!),
    );
  });
  test('divNoNan', () => check([[2, 3], [3]], (a, b) => tf.divNoNan(a!, tf.add(b!, 3))));
});

describe('moving elements', () => {
  test('gather with batch dimensions, repeated indices and any axis', () => {
    check([[2, 4, 3]], (x) => tf.gather(x!, int([0, 3, 3, 1], [2, 2]), 1, 1));
    check([[2, 3, 4]], (x) => tf.gather(x!, int([0, 3, 3, 1], [2, 2]), 2, 1));
    check([[2, 3, 4]], (x) => tf.gather(x!, int([0, 3, 3, 1], [2, 2]), -1));
    check([[4, 2]], (x) => tf.gather(x!, int([2, 2, 0])));
  });
  test('gatherND, scatterND, tensorScatterUpdate', () => {
    check([[4, 3]], (x) => tf.gatherND(x!, int([0, 2, 3, 1], [2, 2])));
    check([[4, 3]], (x) => tf.gatherND(x!, int([3, 3], [2, 1])));
    check([[2, 3]], (x) => tf.scatterND(int([0, 3], [2, 1]), x!, [5, 3]));
    check(
      [
        [5, 3],
        [2, 3],
      ],
      (x, y) => tf.tensorScatterUpdate(tf.mul(x!, 1), int([0, 3], [2, 1]), y!),
    );
  });
  test('stridedSlice, diag, unstack of one', () => {
    check([[5, 6]], (x) => tf.stridedSlice(x!, [0, 5], [5, 0], [2, -2]));
    check([[4]], (x) => tf.diag(x!));
    check([[1, 3]], (x) => tf.unstack(x!)[0]!);
  });
  test('depthToSpace', () =>
    check([[1, 2, 3, 8]], (x) => tf.depthToSpace(x as tf.Tensor4D, 2, 'NHWC')));
  test('conv3dTranspose', () =>
    check(
      [
        [1, 2, 2, 1, 2],
        [2, 2, 2, 2, 2],
      ],
      (x, w) => tf.conv3dTranspose(x as tf.Tensor5D, w as tf.Tensor5D, [1, 4, 4, 2, 2], 2, 'same'),
    ));
});

describe('resizing of images', () => {
  const modes: [boolean, boolean][] = [
    [false, false],
    [true, false],
    [false, true],
  ];
  test.each(modes)('alignCorners %s, halfPixelCenters %s', (corners, centres) => {
    const to: [number, number][] = [
      [5, 7],
      [2, 3],
    ];
    for (const size of to) {
      check(
        [[1, 3, 4, 2]],
        (x) => tf.image.resizeBilinear(x as tf.Tensor4D, size, corners, centres),
        0.1,
      );
      check(
        [[1, 3, 4, 2]],
        (x) => tf.image.resizeNearestNeighbor(x as tf.Tensor4D, size, corners, centres),
        0.1,
      );
    }
  });
});

describe('einsum', () => {
  test.each(['ij,jk->ik', 'bqhd,bkhd->bhqk', 'ij->ji', 'ij->i', 'i,j->ij', 'ijk,k->ij'])(
    '%s',
    (equation) => {
      const sizes: Record<string, number> = { i: 2, j: 3, k: 2, b: 2, q: 2, h: 2, d: 3 };
      const terms = equation.split('->')[0]!.split(',');
      check(
        terms.map((term) => [...term].map((label) => sizes[label]!)),
        (...x) => tf.einsum(equation, ...x),
      );
    },
  );
});

describe('complex numbers', () => {
  const two = [
    [2, 5],
    [2, 5],
  ];
  const z = (a?: tf.Tensor, b?: tf.Tensor) => tf.complex(a!, b!);
  test('fft, ifft and their real forms', () => {
    check(two, (a, b) => tf.imag(tf.fft(z(a, b))));
    check(two, (a, b) => tf.real(tf.ifft(z(a, b))));
    check([[2, 6]], (x) => tf.real(tf.spectral.rfft(x!)));
    check([[2, 7]], (x) => tf.imag(tf.spectral.rfft(x!, 9)));
    check(two, (a, b) => tf.spectral.irfft(z(a, b)));
  });
  test('arithmetic', () => {
    check(two, (a, b) => tf.real(tf.mul(z(a, b), z(b, a))));
    check(two, (a, b) => tf.imag(tf.mul(z(a, b), tf.add(z(a, a), tf.sub(z(b, a), z(a, b))))));
    check(two, (a, b) => tf.abs(tf.add(z(a, b), z(b, b))));
    check(two, (a, b) => tf.real(tf.mul(tf.cast(a!, 'complex64'), z(a, b))));
  });
  test('concat, reshape, clone', () => {
    check(two, (a, b) => tf.imag(tf.concat([z(a, b), z(b, a)], 1)));
    check(two, (a, b) => tf.imag(tf.reshape(tf.mul(tf.clone(z(a, b)), z(a, a)), [5, 2])));
  });
  test('a tensor that is used twice gets the sum', () =>
    check(two, (a, b) => {
      const w = tf.fft(z(a, b));
      return tf.add(tf.real(w), tf.mul(tf.imag(w), 2));
    }));
  test('the size of 0 has gradient 0', () => {
    const gradient = tf.grad((a: tf.Tensor) => tf.sum(tf.abs(tf.complex(a, tf.zerosLike(a)))));
    expect([...gradient(tf.tensor([0, 2])).dataSync()]).toEqual([0, 1]);
  });
});
