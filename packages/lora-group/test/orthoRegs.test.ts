import { seededRandom } from '@orth/backend';
import {
  bjorck,
  blockReflector,
  cayley,
  haar,
  householder,
  matrixExp,
  type OrthogonalMap,
  type OrthoPenaltyKind,
  orthogonal,
  orthogonalityErrors,
  orthogonalVariable,
  orthoPenalty,
  orthoRegularizer,
  parsevalStep,
  parsevalUpdate,
  restoreOrthogonalVariable,
  riemannianStep,
  SpectralNorm,
  skewSymmetric,
  spectralNormalize,
  stiefelTangent,
} from '@orth/lora-group';
import { Muon } from '@orth/muon';
import { expectTensorClose } from '@orth/testing';
import {
  concat,
  grad,
  grads,
  matMul,
  memory,
  mul,
  reshape,
  type Scalar,
  slice,
  square,
  sub,
  sum,
  type Tensor,
  tensor2d,
  tidy,
  train,
  transpose,
  variable,
} from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { expect, test } from 'vitest';
import {
  combine,
  differences,
  exponential,
  flip,
  identity,
  inner,
  type Matrix,
  matrix,
  multiply,
  norm,
  solve,
} from './finiteDifferences.js';

const KINDS: readonly OrthoPenaltyKind[] = [
  'soft',
  'softNorm',
  'double',
  'mutualCoherence',
  'srip',
  'offDiagonalCosine',
];
const normals = (rows: number, columns: number, seed = 1, scale = 0.5) =>
  seededRandom(seed).normalTensor([rows, columns], 0, scale) as ReturnType<typeof tensor2d>;
const value = (x: Tensor) => x.dataSync()[0]!;
/** Of a tensor that is made for this only. */
const numberOf = (make: () => Tensor) => tidy(() => value(make()));

/** The penalties as their definitions have them, in float64. */
function reference(kind: OrthoPenaltyKind, K: Matrix, v0: Matrix): number {
  const columns = combine(multiply(flip(K), K), identity(K.columns), 1, -1);
  const rows = combine(multiply(K, flip(K)), identity(K.rows), 1, -1);
  const M = K.rows < K.columns ? rows : columns;
  switch (kind) {
    case 'soft':
      return norm(M) ** 2;
    case 'softNorm':
      return norm(M);
    case 'double':
      return norm(rows) ** 2 + norm(columns) ** 2;
    case 'mutualCoherence':
      return Math.max(...M.data.map(Math.abs));
    case 'srip': {
      const v1 = multiply(M, v0);
      return (norm(multiply(M, v1)) / norm(v1)) ** 2;
    }
    case 'offDiagonalCosine': {
      const gram = multiply(flip(K), K);
      const length = (i: number) => Math.sqrt(gram.data[i * K.columns + i]!);
      return gram.data.reduce((total, x, at) => {
        const [i, j] = [Math.floor(at / K.columns), at % K.columns];
        return i === j ? total : total + Math.abs(x) / (length(i) * length(j));
      }, 0);
    }
  }
}

test.each(KINDS)('%s and its gradient against float64', (kind) => {
  for (const [rows, columns] of [
    [5, 3],
    [3, 5],
    [4, 4],
  ] as const) {
    tidy(() => {
      const K = normals(rows, columns);
      const k = Math.min(rows, columns);
      const start = seededRandom(3).uniformTensor([k, 1]);
      const options = { kind, weight: 2, ...(kind === 'srip' && { start }) };
      const v0 = matrix(k, 1, start.dataSync());
      const f = (x: Float64Array) => 2 * reference(kind, matrix(rows, columns, x), v0);
      expect(value(orthoPenalty(K, options))).toBeCloseTo(f(Float64Array.from(K.dataSync())), 4);
      const gradient = grad((x: Tensor) => orthoPenalty(x, options))(K);
      expectTensorClose(gradient.dataSync(), differences(f, K.dataSync()), {
        rtol: 1e-4,
        atol: 1e-4,
      });
    });
  }
});

test.each(KINDS)('%s is 0 with gradient 0 at orthonormal matrices', (kind) => {
  tidy(() => {
    const swap = tensor2d([
      [0, 1, 0],
      [0, 0, -1],
      [1, 0, 0],
    ]);
    const [x, gradient] = [
      orthoPenalty(swap, { kind, weight: 1 }),
      grad((K: Tensor) => orthoPenalty(K, { kind, weight: 1 }))(swap),
    ];
    expect(value(x)).toBe(0);
    expect(Math.max(...gradient.dataSync().map(Math.abs))).toBe(0);
    const rotated = haar(6, 6, 2);
    expect(value(orthoPenalty(rotated, { kind, weight: 1 }))).toBeLessThan(1e-5);
    if (kind === 'double') return;
    expect(value(orthoPenalty(haar(7, 3, 1), { kind, weight: 1 }))).toBeLessThan(1e-5);
  });
});

test('relations of penalties to singular values and to one another', () => {
  tidy(() => {
    const [U, V] = [haar(5, null, 1), haar(3, null, 2)];
    const sigma = [1.5, 0.7, 1.1];
    const K = matMul(mul(slice(U, [0, 0], [5, 3]), tensor2d([sigma])), V);
    const soft = value(orthoPenalty(K, { weight: 1 }));
    expect(soft).toBeCloseTo(
      sigma.reduce((total, s) => total + (s * s - 1) ** 2, 0),
      4,
    );
    const srip = (start: Tensor) => value(orthoPenalty(K, { kind: 'srip', weight: 1, start }));
    // The top eigenvector of M is the first right singular vector, row 0 of V.
    const top = transpose(slice(V, [0, 0], [1, 3]));
    expect(srip(top)).toBeCloseTo((1.5 ** 2 - 1) ** 2, 4);
    for (const seed of [1, 2, 3]) {
      const x = value(orthoPenalty(K, { kind: 'srip', weight: 1, seed }));
      expect(x).toBeLessThanOrEqual((1.5 ** 2 - 1) ** 2 + 1e-4);
    }
    for (const kind of ['soft', 'double', 'softNorm'] as const) {
      const turned = matMul(matMul(haar(5, null, 5), K), haar(3, null, 6));
      expect(value(orthoPenalty(turned, { kind }))).toBeCloseTo(
        value(orthoPenalty(K, { kind })),
        4,
      );
    }
    expect(value(orthoPenalty(K, { kind: 'double', weight: 1 }))).toBeGreaterThan(2);
    // Keras' OrthogonalRegularizer: mean over pairs.
    const mean = value(
      orthoPenalty(K, { kind: 'offDiagonalCosine', weight: 1, reduction: 'mean' }),
    );
    expect(6 * mean).toBeCloseTo(
      value(orthoPenalty(K, { kind: 'offDiagonalCosine', weight: 1 })),
      4,
    );
  });
});

test('several kernels, convolutions, weights by step, starts by step and seed', () => {
  tidy(() => {
    const [a, b] = [normals(4, 3), normals(6, 2, 2)];
    const both = value(orthoPenalty([a, b], { weight: 1 }));
    const apart = value(orthoPenalty(a, { weight: 1 })) + value(orthoPenalty(b, { weight: 1 }));
    expect(both).toBeCloseTo(apart, 4);
    const conv = reshape(b, [3, 1, 2, 2]);
    expect(value(orthoPenalty(conv))).toBeCloseTo(value(orthoPenalty(b)), 6);
    const weight = (step: number) => 0.1 / (1 + step);
    const at = (step: number) => value(orthoPenalty(a, { weight, step }));
    expect(at(1)).toBeCloseTo(at(0) / 2, 5);
    const srip = (step: number, seed = 0) => value(orthoPenalty(a, { kind: 'srip', step, seed }));
    expect(srip(1)).toBe(srip(1));
    expect(srip(1)).not.toBe(srip(2));
    expect(srip(1)).not.toBe(srip(1, 1));
  });
});

test('wrong arguments of penalties', () => {
  tidy(() => {
    const K = normals(3, 2);
    expect(() => orthoPenalty(K, { kind: 'hard' as 'soft' })).toThrow(/kind must be one of/);
    expect(() => orthoPenalty(K, { weight: -1 })).toThrow(/weight must be/);
    expect(() => orthoPenalty([])).toThrow(/kernels must not be empty/);
    expect(() => orthoPenalty(reshape(K, [6]))).toThrow(/kernels must have rank >= 2/);
    expect(() => orthoPenalty(K, { weigth: 1 } as object)).toThrow(/unknown option/);
    expect(() => orthoPenalty(K, { kind: 'srip', start: normals(3, 1) })).toThrow(
      /start must have/,
    );
  });
});

const orthonormality = (Q: Tensor) => {
  const [m, n] = Q.shape as [number, number];
  const A = matrix(m, n, Q.dataSync());
  const gram = m >= n ? multiply(flip(A), A) : multiply(A, flip(A));
  return norm(combine(gram, identity(gram.rows), 1, -1));
};

test.each(['matrixExp', 'cayley', 'householder', 'blockReflector', 'bjorck', 'polar'] as const)(
  '%s gives orthonormal matrices',
  (map) => {
    for (const [m, n, seed] of [
      [1, 1, 1],
      [5, 5, 2],
      [9, 4, 3],
      [4, 9, 4],
      [64, 64, 5],
      [48, 17, 6],
    ] as const) {
      if (m < n && map === 'blockReflector') continue;
      tidy(() => {
        const params = normals(m, n, seed, 5 / Math.sqrt(m * n));
        // A random square matrix has a singular value near 0, which 12 steps do not lift to 1.
        const input = map === 'bjorck' && m === n ? matMul(params, params, false, true) : params;
        const steps = map === 'bjorck' ? 60 : 12;
        const Q = orthogonal(input, { map, steps });
        expect(Q.shape).toEqual(map === 'blockReflector' ? [m, m] : [m, n]);
        expect(orthonormality(Q)).toBeLessThan(1e-5 * Math.sqrt(Math.max(m, n)));
      });
    }
  },
);

test.each(['matrixExp', 'cayley', 'householder', 'blockReflector', 'bjorck', 'polar'] as const)(
  "%s' gradient against float64",
  (map: OrthogonalMap) => {
    for (const [m, n] of [
      [4, 4],
      [5, 3],
    ] as const) {
      // Minus the identity of a square block reflector has no gradient but 0.
      tidy(() => {
        const params = normals(m, n, 7, 0.6);
        const rows = map === 'blockReflector' ? m : m;
        const width = map === 'blockReflector' ? m : n;
        const C = normals(rows, width, 8, 1);
        const f = (x: Float64Array) =>
          inner(matrix(rows, width, C.dataSync()), mapped(map, matrix(m, n, x)));
        const Q = orthogonal(params, { map, steps: 40 });
        expectTensorClose(Q.dataSync(), mapped(map, matrix(m, n, params.dataSync())).data, {
          rtol: 1e-4,
          atol: 2e-5,
        });
        const gradient = grad((x: Tensor) => sum(mul(C, orthogonal(x, { map, steps: 40 }))))(
          params,
        );
        expectTensorClose(gradient.dataSync(), differences(f, params.dataSync()), {
          rtol: 1e-3,
          atol: 1e-3,
        });
      });
    }
  },
);

/** The maps in float64, by other means than ours: solves, reflections one by one, iterations to convergence. */
function mapped(map: OrthogonalMap, A: Matrix): Matrix {
  const { rows: m, columns: n } = A;
  const at = (i: number, j: number) => A.data[i * n + j]!;
  const skew = () => {
    const P = new Float64Array(m * m);
    for (let i = 0; i < m; i++) {
      for (let j = i + 1; j < m; j++) {
        if (i >= n) continue;
        const x = j < n ? at(i, j) : at(j, i);
        P[i * m + j] = x;
        P[j * m + i] = -x;
      }
    }
    return matrix(m, m, P);
  };
  const first = (Q: Matrix) =>
    matrix(
      m,
      n,
      Array.from({ length: m * n }, (_, i) => Q.data[Math.floor(i / n) * m + (i % n)]!),
    );
  switch (map) {
    case 'matrixExp':
      return first(exponential(skew()));
    case 'cayley': {
      const P = skew();
      const I = identity(m);
      return first(solve(combine(I, P, 1, -0.5), combine(I, P, 1, 0.5)));
    }
    case 'householder': {
      let Q = identity(m);
      for (let k = 0; k < n; k++) {
        const v = matrix(
          m,
          1,
          Array.from({ length: m }, (_, i) => (i < k ? 0 : i === k ? 1 : at(i, k))),
        );
        const tau = 2 / inner(v, v);
        Q = combine(Q, multiply(multiply(Q, v), flip(v)), 1, -tau);
      }
      return first(Q);
    }
    case 'blockReflector':
      return combine(identity(m), multiply(A, solve(multiply(flip(A), A), flip(A))), 1, -2);
    default: {
      let X: Matrix = { ...A, data: A.data.map((x) => x / norm(A)) };
      for (let i = 0; i < 80; i++) X = combine(X, multiply(X, multiply(flip(X), X)), 1.5, -0.5);
      return X;
    }
  }
}

test('exponential and Cayley transform: batches, rotations, alike for small matrices', () => {
  tidy(() => {
    const v = seededRandom(1).normalTensor([2, 6]);
    const P = skewSymmetric(v);
    expect(P.shape).toEqual([2, 4, 4]);
    const [E, Q] = [matrixExp(P), cayley(P)];
    for (const i of [0, 1]) {
      const alone = (x: Tensor) => reshape(slice(x, [i, 0, 0], [1, 4, 4]), [4, 4]);
      expectTensorClose(matrixExp(alone(P)), alone(E), { rtol: 1e-5, atol: 1e-6 });
      expectTensorClose(cayley(alone(P)), alone(Q), { rtol: 1e-5, atol: 1e-6 });
      const want = exponential(matrix(4, 4, alone(P).dataSync()));
      expectTensorClose(alone(E).dataSync(), want.data, { rtol: 1e-5, atol: 1e-5 });
    }
    const small = mul(P, 0.1 / value(sum(square(P))) ** 0.5);
    const apart = value(sum(square(sub(matrixExp(small), cayley(small))))) ** 0.5;
    expect(apart).toBeLessThan(0.1 ** 3 / 12);
    // A nilpotent matrix is no rotation, and its series ends.
    const N = tensor2d([
      [0, 2],
      [0, 0],
    ]);
    expectTensorClose(
      matrixExp(N),
      tensor2d([
        [1, 2],
        [0, 1],
      ]),
      { rtol: 1e-6, atol: 1e-6 },
    );
    expect(matrixExp(tensor2d([[0]])).dataSync()[0]).toBe(1);
    expect(() => matrixExp(tensor2d([[1, 2]]))).toThrow(/square/);
    expect(() => skewSymmetric(seededRandom(1).normalTensor([4]))).toThrow(/n \(n - 1\) \/ 2/);
    const large = haar(128, null, 1);
    const skew = mul(sub(large, transpose(large)), 3);
    expect(orthonormality(matrixExp(skew))).toBeLessThan(1e-5 * Math.sqrt(128));
  });
});

test('reflections and iterations: determinants, fixed points, refusals', () => {
  tidy(() => {
    const h = normals(2, 2);
    const [a, b, c, d] = householder(h).dataSync();
    expect(a! * d! - b! * c!).toBeCloseTo(1, 5);
    expect(() => householder(normals(2, 3))).toThrow(/no more columns/);
    expect(() => blockReflector(normals(2, 3))).toThrow(/no more columns/);
    const R = blockReflector(normals(4, 2));
    expectTensorClose(R, transpose(R) as Tensor, { atol: 1e-5 });
    expectTensorClose(matMul(R, R), tensor2d([...identity(4).data], [4, 4]), { atol: 1e-5 });
    const [V] = [normals(4, 1)];
    const twice = blockReflector(concat([V, V], 1));
    expectTensorClose(twice, blockReflector(V), { atol: 1e-4 });
    const far = mul(haar(4, null, 1), 3);
    expectTensorClose(bjorck(far, { steps: 20 }), haar(4, null, 1), { atol: 1e-5 });
    expect(bjorck(far, { steps: 12, scale: 'none' }).dataSync().every(Number.isFinite)).toBe(false);
    const Q = haar(5, 3, 1);
    expectTensorClose(parsevalUpdate(Q, 0.4), Q, { atol: 1e-6 });
    const near = mul(Q, 1.01);
    const error = (x: Tensor) => value(orthoPenalty(x, { kind: 'softNorm', weight: 1 }));
    expect(error(parsevalUpdate(near, 0.1)) / error(near)).toBeCloseTo(1 - 0.2, 1);
    for (const beta of [0, 0.6, -0.1]) {
      expect(() => parsevalUpdate(Q, beta)).toThrow(/beta must be/);
    }
    expect(() => orthogonal(Q, { map: 'qr' as 'polar' })).toThrow(/map must be one of/);
  });
});

test('a step of Parseval on variables leaves nothing behind', async () => {
  const start = memory().numTensors;
  const W = tidy(() => variable(mul(haar(6, 4, 1), 1.05)));
  const before = await orthogonalityErrors(W);
  parsevalStep([W], 0.5);
  const after = await orthogonalityErrors(W);
  expect(before.spectral).toBeCloseTo(1.05 ** 2 - 1, 5);
  expect(before.fro).toBeCloseTo(2 * (1.05 ** 2 - 1), 5);
  expect(before.maxCoherence).toBeLessThan(1e-5);
  expect(after.fro).toBeLessThan(before.fro / 10);
  tidy(() => {
    expect(() => parsevalStep(haar(2) as never)).toThrow(/variables must be variables/);
  });
  W.dispose();
  expect(memory().numTensors).toBe(start);
});

test('steps on the Stiefel manifold: tangent, retractions agree to first order, descent', () => {
  tidy(() => {
    for (const [m, n] of [
      [5, 3],
      [3, 5],
      [4, 4],
    ] as const) {
      const [W, G] = [haar(m, n, 1), normals(m, n, 2, 1)];
      const T = stiefelTangent(W, G);
      const product = m >= n ? matMul(W, T, true) : matMul(T, W, false, true);
      expectTensorClose(product, mul(transpose(product), -1) as Tensor, { atol: 1e-5 });
      const steps = (['polar', 'qr'] as const).map((retraction) =>
        riemannianStep(W, G, { learningRate: 1e-2, retraction }),
      );
      for (const next of steps) expect(orthonormality(next)).toBeLessThan(1e-5);
      expectTensorClose(steps[0]!, steps[1]!, { atol: 5e-3 });
      const straight = sub(W, mul(T, 1e-2));
      expectTensorClose(steps[0]!, straight, { atol: 2e-3 });
      expect(value(sum(mul(G, sub(steps[0]!, W))))).toBeLessThan(0);
    }
  });
});

test.each([
  ['matrixExp', [4, 4]],
  ['matrixExp', [3, 6]],
  ['cayley', [6, 3]],
  ['householder', [6, 3]],
  ['householder', [3, 6]],
  ['householder', [4, 4]],
  ['polar', [6, 3]],
  ['bjorck', [3, 6]],
] as const)('a variable by %s of shape %s: starts, training, saving', async (map, shape) => {
  const before = memory().numTensors;
  const [m, n] = shape;
  const k = Math.min(m, n);
  const one = orthogonalVariable([...shape], { map, init: 'identity' });
  tidy(() => {
    const eye = tensor2d(
      Array.from({ length: m }, (_, i) => Array.from({ length: n }, (_, j) => (i === j ? 1 : 0))),
    );
    expectTensorClose(one.value(), eye, { atol: 1e-5 });
  });
  const W = orthogonalVariable([...shape], { map, seed: 3 });
  const start = tidy(() => W.value().dataSync().slice());
  // Rows or columns are drawn, whichever are fewer; of a square start, columns.
  tidy(() => {
    const drawn = haar(m, n, 3);
    expectTensorClose(W.value(), m === n ? transpose(drawn) : drawn, { atol: 1e-5 });
  });
  const given = orthogonalVariable([...shape], { map, init: start });
  tidy(() => {
    expectTensorClose(given.value(), W.value(), { atol: 1e-5 });
  });
  const target = haar(m, n, 9);
  const loss = () => tidy(() => sum(square(sub(W.value(), target))) as Scalar);
  const optimizer = train.adam(0.05);
  const first = numberOf(loss);
  for (let i = 0; i < 40; i++) optimizer.minimize(loss, false, [W.params]);
  expect(numberOf(loss)).toBeLessThan(0.6 * first);
  tidy(() => {
    expect(orthonormality(W.value())).toBeLessThan(1e-4 * Math.sqrt(k));
  });
  const saved = JSON.parse(JSON.stringify(await W.toJSON()));
  const again = restoreOrthogonalVariable(saved);
  tidy(() => {
    expect([...again.value().dataSync()]).toEqual([...W.value().dataSync()]);
  });
  for (const bad of [
    {},
    { ...saved, params: [1] },
    { ...saved, map: 'none' },
    { ...saved, start: [1] },
  ]) {
    expect(() => restoreOrthogonalVariable(bad as never)).toThrow(/state must have/);
  }
  for (const x of [one, W, given, again, target, optimizer]) x.dispose();
  expect(memory().numTensors).toBe(before);
});

test('wrong starts of variables', () => {
  const before = memory().numTensors;
  expect(() => orthogonalVariable([2, 2], { init: [1, 1, 1, 1] })).toThrow(/orthonormal columns/);
  expect(() => orthogonalVariable([2, 2], { init: [1] })).toThrow(/4 numbers, got 1 numbers/);
  expect(() => orthogonalVariable([2] as never)).toThrow(/shape must be/);
  expect(() => orthogonalVariable([2, 2], { map: 'blockReflector' })).toThrow(/map must be one of/);
  expect(memory().numTensors).toBe(before);
});

test('spectral normalisation: value, gradient with vectors held, state', async () => {
  const before = memory().numTensors;
  const W = normals(5, 3);
  const normalize = new SpectralNorm([5, 3], { iterations: 3, seed: 1 });
  for (let i = 0; i < 30; i++) normalize.apply(W).dispose();
  const state = JSON.parse(JSON.stringify(await normalize.toJSON()));
  tidy(() => {
    const K = matrix(5, 3, W.dataSync());
    const gram = multiply(flip(K), K);
    let v = matrix(3, 1, [1, 1, 1]);
    for (let i = 0; i < 300; i++) {
      v = multiply(gram, v);
      v = { ...v, data: v.data.map((x) => x / norm(v)) };
    }
    const sigma = norm(multiply(K, v));
    expectTensorClose(
      normalize.apply(W).dataSync(),
      K.data.map((x) => x / sigma),
      { atol: 1e-5 },
    );
    const C = normals(5, 3, 4, 1);
    const u = tensor2d(state.u, [5, 1]);
    expect(value(spectralNormalize(W, u).sigma)).toBeCloseTo(sigma, 4);
    const gradient = grad((x: Tensor) => sum(mul(C, normalize.apply(x, false))))(W);
    const f = (x: Float64Array) => {
      const A = matrix(5, 3, x);
      const left = multiply(K, v);
      const s = inner(left, multiply(A, v)) / norm(left);
      return inner(matrix(5, 3, C.dataSync()), A) / s;
    };
    expectTensorClose(gradient.dataSync(), differences(f, W.dataSync()), {
      rtol: 1e-3,
      atol: 1e-3,
    });
  });
  const again = SpectralNorm.fromJSON(state);
  tidy(() => {
    expectTensorClose(again.apply(W), normalize.apply(W), { atol: 1e-6 });
  });
  expect(() => SpectralNorm.fromJSON({ iterations: 1, u: [] })).toThrow(/state must be/);
  for (const x of [W, normalize, again]) x.dispose();
  expect(memory().numTensors).toBe(before);
});

test('a regularizer of a tf.layers model: counted in its loss, saved and loaded with it', async () => {
  const regularizer = orthoRegularizer({ kind: 'soft', weight: 0.5 });
  const model = layers.sequential({
    layers: [
      layers.layers.dense({
        units: 3,
        inputShape: [4],
        useBias: false,
        kernelRegularizer: regularizer as never,
      }),
    ],
  });
  const loaded = await layers.models.modelFromJSON(JSON.parse(model.toJSON() as string));
  loaded.setWeights(model.getWeights());
  const x = normals(2, 4);
  const y = tidy(() => model.predict(x) as Tensor);
  const want = numberOf(() => orthoPenalty(model.getWeights()[0]!, { weight: 0.5 }));
  for (const each of [model, loaded]) {
    each.compile({ optimizer: train.sgd(1e-3), loss: 'meanSquaredError' });
    const history = await each.fit(x, y, { epochs: 1, verbose: 0 });
    expect(history.history.loss![0]).toBeCloseTo(want, 4);
  }
  for (const each of [x, y, model, loaded]) each.dispose();
});

test('penalties and Muon on the same matrices', () => {
  const before = memory().numTensors;
  const W = tidy(() => variable(normals(8, 4, 1, 0.3)));
  const optimizer = new Muon({ learningRate: 0.05, weightDecay: 0 });
  const loss = () => tidy(() => orthoPenalty(W, { kind: 'softNorm', weight: 1 }));
  const first = numberOf(loss);
  for (let i = 0; i < 20; i++) optimizer.minimize(loss, false, [W]);
  expect(numberOf(loss)).toBeLessThan(first / 3);
  optimizer.dispose();
  W.dispose();
  expect(memory().numTensors).toBe(before);
});

test('gradients to several arguments through one map', () => {
  tidy(() => {
    const [a, b] = grads((x: Tensor, y: Tensor) =>
      sum(matMul(orthogonal(x, { map: 'cayley' }), orthogonal(y, { map: 'matrixExp' }))),
    )([normals(3, 3), normals(3, 3, 2)]);
    expect(a!.dataSync().some((x) => x !== 0)).toBe(true);
    expect(b!.dataSync().some((x) => x !== 0)).toBe(true);
  });
});
