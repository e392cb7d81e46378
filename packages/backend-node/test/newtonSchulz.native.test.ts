import { fusedKernel } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';

type Matrix = Float64Array[];
type Row = readonly number[];

const multiply = (A: Matrix, B: Matrix): Matrix =>
  A.map((row) => B[0]!.map((_, j) => row.reduce((sum, a, k) => sum + a * B[k]![j]!, 0)));
const transposed = (A: Matrix): Matrix =>
  Array.from(A[0]!, (_, j) => Float64Array.from(A, (row) => row[j]!));
const map = (A: Matrix, f: (x: number, i: number, j: number) => number): Matrix =>
  A.map((row, i) => row.map((x, j) => f(x, i, j)));
const norm = (A: Matrix) => Math.hypot(...A.map((row) => Math.hypot(...row)));
const gramOf = (X: Matrix) => multiply(X, transposed(X));

/** The definition for one wide matrix: `X ← a X + (b A + c A²) X`. */
function iterate(X: Matrix, rows: readonly Row[]): Matrix {
  return rows.reduce((x, [a = 0, b = 0, c = 0]) => {
    const A = gramOf(x);
    const AA = multiply(A, A);
    const BX = multiply(
      map(A, (v, i, j) => b * v + c * AA[i]![j]!),
      x,
    );
    return map(x, (v, i, j) => a * v + BX[i]![j]!);
  }, X);
}

/** Starts as the operation's definition states them, for a wide matrix. */
const STARTS: Record<string, (G: Matrix) => Matrix> = {
  frobenius: (G) => map(G, (v) => v / norm(G)),
  schatten4: (G) => map(G, (v) => v / Math.sqrt(norm(gramOf(G)))),
  aol: (G) => {
    const sums = gramOf(G).map((row) => row.reduce((sum, v) => sum + Math.abs(v), 0));
    return map(G, (v, i) => v / Math.sqrt(sums[i]!));
  },
  spectral: (G) => {
    let power = gramOf(G);
    for (let k = 0; k < 6; k++) power = multiply(power, power);
    return map(G, (v) => v / Math.sqrt(norm(power) ** (1 / 64)));
  },
  none: (G) => G,
};

const MUON = [3.4445, -4.775, 2.0315];
const CUBIC = [1.5, -0.5];

const inputOf = (count: number, m: number, n: number, scale = 1) =>
  tf.mul(tf.randomNormal([count, m, n], 0, 0.15, 'float32', 7), scale);

function wideMatrices(x: tf.Tensor): Matrix[] {
  const data = x.arraySync() as number[][][];
  return data.map((matrix) => {
    const rows = matrix.map((row) => Float64Array.from(row));
    return rows.length > rows[0]!.length ? transposed(rows) : rows;
  });
}

function expectMatrices(got: tf.Tensor, want: Matrix[], atol = 5e-5): void {
  const [, m, n] = got.shape as [number, number, number];
  const flat = want.flatMap((X) => (m > n ? transposed(X) : X).flatMap((row) => [...row]));
  expectTensorClose(got.dataSync(), flat, { rtol: 1e-4, atol });
}

const shapes: [number, number, number][] = [
  [1, 6, 6],
  [3, 5, 12],
  [2, 12, 5],
  [1, 1, 7],
];

describe('newton-schulz/orthogonalize', () => {
  const kernel = fusedKernel<object>('newton-schulz/orthogonalize', 'node')!;
  const defaults = {
    coefficients: [MUON, MUON, MUON],
    form: 'standard',
    restarts: [],
    normalization: 'frobenius',
    safety: 1,
    epsilon: 1e-7,
    epsilonMode: 'relative',
  };

  test.each(Object.keys(STARTS))(
    '%s, every form, tall and wide, equals float64',
    (normalization) => {
      for (const shape of shapes) {
        for (const form of ['standard', 'gram', 'auto']) {
          tf.tidy(() => {
            const x = inputOf(...shape);
            const want = wideMatrices(x).map((G) =>
              iterate(STARTS[normalization]!(G), defaults.coefficients),
            );
            expectMatrices(kernel([x], { ...defaults, normalization, form }), want);
          });
        }
      }
    },
  );

  test('restarts and cubic steps change nothing but rounding', () => {
    tf.tidy(() => {
      const x = inputOf(2, 5, 9);
      const coefficients = [MUON, CUBIC, MUON, CUBIC];
      const want = wideMatrices(x).map((G) => iterate(STARTS.frobenius!(G), coefficients));
      for (const form of ['standard', 'gram']) {
        for (const restarts of [[], [1], [2], [1, 3]]) {
          expectMatrices(kernel([x], { ...defaults, coefficients, form, restarts }), want);
        }
      }
    });
  });

  test('inputs as small and as large as float32 takes, and zeros', () => {
    tf.tidy(() => {
      const x = inputOf(1, 4, 6);
      const want = wideMatrices(x).map((G) => iterate(STARTS.frobenius!(G), [MUON]));
      for (const scale of [1e-30, 1e30]) {
        for (const form of ['standard', 'gram']) {
          const attributes = { ...defaults, coefficients: [MUON], form };
          expectMatrices(kernel([inputOf(1, 4, 6, scale)], attributes), want);
        }
      }
      const zeros = kernel([tf.zeros([1, 3, 4])], defaults);
      expect([...zeros.dataSync()]).toEqual(new Array(12).fill(0));
    });
  });

  test('safety and the three meanings of epsilon', () => {
    tf.tidy(() => {
      const x = inputOf(1, 4, 6, 1e-3);
      const [G] = wideMatrices(x) as [Matrix];
      const f = norm(G);
      const largest = Math.max(...G.flatMap((row) => [...row].map(Math.abs)));
      const cases = [
        ['relative', 1.02 * f + 0.5 * largest],
        ['add', 1.02 * f + 0.5],
        ['clamp', Math.max(1.02 * f, 0.5)],
      ] as const;
      for (const [epsilonMode, divisor] of cases) {
        const attributes = { ...defaults, coefficients: [[1, 0]], safety: 1.02, epsilon: 0.5 };
        const got = kernel([x], { ...attributes, epsilonMode });
        expectMatrices(got, [map(G, (v) => v / divisor)], 1e-7);
      }
    });
  });
});

describe('large matrices, in blocks of the symmetric ones', () => {
  const kernel = fusedKernel<object>('newton-schulz/iterate', 'node')!;

  /** The definition in tfjs ops, on the short side. */
  function composed(X: tf.Tensor2D, rows: readonly Row[]): tf.Tensor2D {
    const wide = X.shape[0] <= X.shape[1] ? X : tf.transpose(X);
    const result = rows.reduce((x, [a = 0, b = 0, c = 0]) => {
      const A = tf.matMul(x, x, false, true);
      const B = tf.add(tf.mul(A, b), tf.mul(tf.matMul(A, A), c));
      return tf.add(tf.mul(x, a), tf.matMul(B as tf.Tensor2D, x));
    }, wide);
    return X.shape[0] <= X.shape[1] ? result : tf.transpose(result);
  }

  test.each([
    [515, 515],
    [520, 700],
    [900, 770],
    [1030, 1040],
  ])('%i × %i', (m, n) => {
    tf.tidy(() => {
      const G = tf.randomNormal(
        [m, n],
        0,
        1 / (Math.sqrt(m) + Math.sqrt(n)),
        'float32',
        3,
      ) as tf.Tensor2D;
      const rows = [MUON, CUBIC, MUON];
      const want = composed(G, rows);
      for (const form of ['standard', 'gram']) {
        for (const restarts of [[], [2]]) {
          const attributes = { coefficients: rows, form, restarts };
          const got = kernel([tf.reshape(G, [1, m, n])], attributes);
          expectTensorClose(got.dataSync(), want.dataSync(), { rtol: 1e-4, atol: 2e-6 });
        }
      }
      const k = Math.min(m, n);
      const grams = tf.matMul(G, G, m > n, m <= n);
      const given = [tf.reshape(G, [1, m, n]), tf.reshape(grams, [1, k, k])];
      const got = kernel(given, { coefficients: rows, form: 'gram', restarts: [] });
      expectTensorClose(got.dataSync(), want.dataSync(), { rtol: 1e-4, atol: 2e-6 });
    });
  });
});

describe('newton-schulz/iterate', () => {
  const kernel = fusedKernel<object>('newton-schulz/iterate', 'node')!;

  test('takes a Gram matrix that is there already', () => {
    for (const shape of shapes) {
      tf.tidy(() => {
        const x = inputOf(...shape);
        const wide = wideMatrices(x);
        const want = wide.map((G) => iterate(G, [MUON, MUON]));
        const grams = tf.tensor(wide.map((G) => gramOf(G).map((row) => [...row])));
        for (const form of ['standard', 'gram', 'auto']) {
          const attributes = { coefficients: [MUON, MUON], form, restarts: [] };
          expectMatrices(kernel([x, grams], attributes), want);
          expectMatrices(kernel([x], attributes), want);
        }
      });
    }
  });
});
