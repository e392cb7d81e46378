import { seededRandom } from '@orth/backend';
import {
  circularConv1d,
  circularConv2d,
  convMatrix,
  convResiduals,
  convSingularValues,
  haar,
  lorth,
  lorthRegularizer,
  residualNorms,
  spectralBounds,
} from '@orth/lora-group';
import { expectTensorClose } from '@orth/testing';
import {
  concat,
  conv2d,
  getBackend,
  getKernel,
  grad,
  grads,
  type KernelConfig,
  matMul,
  memory,
  mul,
  registerKernel,
  reshape,
  type Scalar,
  slice,
  square,
  sum,
  type Tensor,
  type Tensor4D,
  tidy,
  train,
  unregisterKernel,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { expect, test } from 'vitest';
import {
  combine,
  differences,
  flip,
  identity,
  matrix,
  multiply,
  norm,
} from './finiteDifferences.js';

const kernelOf = (shape: number[], seed = 1) => {
  const fanIn = shape.slice(0, -1).reduce((a, b) => a * b, 1);
  return seededRandom(seed).normalTensor(shape, 0, Math.sqrt(1 / fanIn));
};
const number = (x: Tensor) => tidy(() => x.dataSync()[0]!);

/** A layer's matrix, entry by entry from the definition, circular. */
function layerMatrix(
  kernel: ArrayLike<number>,
  shape: readonly number[],
  stride: number,
  N: number,
) {
  const [kh, kw, C, M] = shape as [number, number, number, number];
  const side = stride * N;
  const width = kw === 1 ? 1 : side;
  const columns = kw === 1 ? 1 : N;
  const data = new Float64Array(N * columns * M * side * width * C);
  const inputs = side * width * C;
  const wrap = (i: number, n: number) => ((i % n) + n) % n;
  for (let y = 0; y < N; y++) {
    for (let x = 0; x < columns; x++) {
      for (let i = 0; i < kh; i++) {
        for (let j = 0; j < kw; j++) {
          const row = wrap(stride * y + i - Math.floor((kh - 1) / 2), side);
          const column = kw === 1 ? 0 : wrap(stride * x + j - Math.floor((kw - 1) / 2), side);
          for (let c = 0; c < C; c++) {
            for (let m = 0; m < M; m++) {
              data[((y * columns + x) * M + m) * inputs + (row * width + column) * C + c]! +=
                kernel[((i * kw + j) * C + c) * M + m]!;
            }
          }
        }
      }
    }
  }
  return matrix(N * columns * M, inputs, data);
}

/** `lorth` by its meaning: the residual of the layer's matrix on the smallest image for which that holds. */
function reference(kernel: ArrayLike<number>, shape: readonly number[], stride: number): number {
  const k = Math.max(shape[0]!, shape[1]!);
  const N = Math.ceil((2 * k - 1) / stride);
  const K = layerMatrix(kernel, shape, stride, N);
  const gram = K.rows <= K.columns ? multiply(K, flip(K)) : multiply(flip(K), K);
  const positions = shape[1] === 1 ? N : N * N;
  return norm(combine(gram, identity(gram.rows), 1, -1)) ** 2 / positions;
}

test.each([
  [[3, 3, 2, 3], 1],
  [[3, 3, 3, 2], 1],
  [[3, 3, 2, 9], 2],
  [[3, 3, 2, 3], 2],
  [[5, 5, 1, 2], 2],
  [[1, 1, 3, 2], 1],
  [[3, 3, 1, 1], 4],
  [[5, 1, 2, 3], 1],
  [[5, 1, 2, 2], 2],
] as const)(
  'lorth of %s at stride %s against the layer matrix, with its gradient',
  (shape, stride) => {
    tidy(() => {
      const kernel = kernelOf([...shape]);
      const strides = shape[1] === 1 ? [stride, 1] : stride;
      const options = { stride: strides };
      const want = reference(kernel.dataSync(), shape, stride);
      expect(number(lorth(kernel, options))).toBeCloseTo(want, 4);
      const gradient = grad((K: Tensor) => lorth(K, options))(kernel);
      const f = (K: Float64Array) => reference(K, shape, stride);
      // Differences are dear: along three directions.
      const values = Float64Array.from(kernel.dataSync());
      for (const seed of [1, 2, 3]) {
        const random = seededRandom(seed);
        const direction = values.map(() => random.normal());
        const [slope] = differences((t) => f(values.map((x, i) => x + t[0]! * direction[i]!)), [0]);
        const along = Array.from(gradient.dataSync()).reduce(
          (total, g, i) => total + g * direction[i]!,
          0,
        );
        expect(along).toBeCloseTo(slope!, 3);
      }
      if (shape[1] === 1) {
        const flat = reshape(kernel, [shape[0], shape[2], shape[3]]);
        expect(number(lorth(flat, { stride }))).toBeCloseTo(want, 4);
      }
    });
  },
);

test('invariant under mixing of channels; 0 with gradient 0 for an orthogonal centre', () => {
  tidy(() => {
    const kernel = kernelOf([3, 3, 4, 3]);
    const value = number(lorth(kernel));
    const mixed = reshape(matMul(reshape(kernel, [36, 3]), haar(3, null, 1)), [3, 3, 4, 3]);
    expect(number(lorth(mixed))).toBeCloseTo(value, 4);
    const U = haar(4, null, 2);
    const taps = Array.from({ length: 9 }, (_, i) =>
      matMul(U, reshape(slice(reshape(kernel, [9, 4, 3]), [i, 0, 0], [1, 4, 3]), [4, 3])),
    );
    expect(number(lorth(reshape(concat(taps, 0), [3, 3, 4, 3])))).toBeCloseTo(value, 4);
    const centre = reshape(concat([zeros([16, 3]), haar(4, 3, 3), zeros([16, 3])]), [3, 3, 4, 3]);
    expect(number(lorth(centre))).toBeLessThan(1e-10);
    const gradient = grad((K: Tensor) => lorth(K))(centre);
    expect(Math.max(...gradient.dataSync().map(Math.abs))).toBeLessThan(1e-5);
  });
});

test('wrong arguments, and layers that cannot be orthogonal', () => {
  tidy(() => {
    expect(() => lorth(zeros([3, 2]))).toThrow(/kernel must have shape/);
    expect(() => lorth(zeros([2, 2, 1, 1]))).toThrow(/odd numbers of taps/);
    expect(number(lorth(zeros([2, 2, 1, 1]), { allowEven: true }))).toBe(1);
    expect(() => lorth(zeros([3, 3, 1, 1]), { stride: 0 })).toThrow(/stride must be/);
    expect(() => lorth(zeros([3, 3, 1, 1]), { strides: 1 } as object)).toThrow(/unknown option/);
    const impossible = zeros([3, 3, 1, 17]);
    const reasons: string[] = [];
    lorth(impossible, { stride: 4, onImpossible: (reason) => reasons.push(reason) });
    expect(reasons).toHaveLength(1);
    expect(() => lorth(impossible, { stride: 4, onImpossible: 'throw' })).toThrow(/never sees/);
    const regularizer = lorthRegularizer({ stride: 4, onImpossible: (x) => reasons.push(x) });
    for (let i = 0; i < 3; i++) regularizer.apply(impossible);
    expect(reasons).toHaveLength(2);
    expect(() => lorthRegularizer({ lambda: -1 })).toThrow(/lambda must be/);
  });
});

test.each([
  [[3, 3, 2, 3], 1, 5],
  [[3, 3, 2, 5], 2, 4],
  [[3, 3, 2, 3], 1, 2],
  [[5, 5, 1, 2], 3, 2],
  [[1, 3, 2, 2], 1, 4],
] as const)(
  'matrix, singular values and residuals of %s at stride %s on %s outputs',
  async (shape, stride, N) => {
    const kernel = kernelOf([...shape]);
    const size = stride * N;
    const values = await convSingularValues(kernel, { size, stride });
    const K = tidy(() => convMatrix(kernel, { size, stride }));
    if (shape[0] === shape[1]) {
      const want = layerMatrix(kernel.dataSync(), shape, stride, N);
      expectTensorClose(K.dataSync(), want.data, { atol: 1e-6 });
    }
    const small = Math.min(...K.shape);
    expect(values.length).toBe(small);
    const A = matrix(K.shape[0], K.shape[1], K.dataSync());
    const gram = A.rows <= A.columns ? multiply(A, flip(A)) : multiply(flip(A), A);
    const M = combine(gram, identity(small), 1, -1);
    const { fro, spectral } = residualNorms(values);
    expect(fro).toBeCloseTo(norm(M), 4);
    let v = matrix(
      small,
      1,
      Array.from({ length: small }, (_, i) => Math.sin(i + 1)),
    );
    for (let i = 0; i < 400; i++) {
      v = multiply(M, v);
      v = { ...v, data: v.data.map((x) => x / norm(v)) };
    }
    expect(spectral).toBeCloseTo(norm(multiply(M, v)), 3);
    const bounds = await spectralBounds(kernel, { stride });
    expect(spectral).toBeLessThanOrEqual(bounds.error + 1e-6);
    expect(values[0]!).toBeLessThanOrEqual(bounds.greatest + 1e-6);
    expect(values.at(-1)!).toBeGreaterThanOrEqual(bounds.least - 1e-6);
    if (size >= 2 * Math.max(shape[0], shape[1]) - 1) {
      const found = await convResiduals(kernel, { size, stride });
      expect(found.fro ** 2).toBeCloseTo(N * N * found.lorth, 3);
      expect(found.sigmaMax).toBe(values[0]);
      expect(found.bound).toBeCloseTo(bounds.error, 5);
    } else {
      await expect(convResiduals(kernel, { size, stride })).rejects.toThrow(/2k - 1/);
    }
    K.dispose();
    kernel.dispose();
  },
);

test.each(['valid', 'same', 'zero'] as const)(
  'the matrix and singular values of padding %s',
  async (padding) => {
    const before = memory().numTensors;
    for (const [shape, stride, size] of [
      [[3, 3, 2, 2], 1, 5],
      [[3, 3, 1, 3], 2, 5],
    ] as const) {
      const kernel = kernelOf([...shape]);
      const options = { size, stride, padding };
      const K = convMatrix(kernel, options);
      const x = kernelOf([1, size, size, shape[2]], 2);
      const want = tidy(() =>
        conv2d(x as Tensor4D, kernel as Tensor4D, stride, padding === 'valid' ? 'valid' : 'same'),
      );
      tidy(() => {
        expectTensorClose(reshape(matMul(K, reshape(x, [-1, 1])), want.shape), want, {
          atol: 1e-5,
        });
      });
      const { fro, sigmaMax, lorth: value } = await convResiduals(kernel, options);
      const A = matrix(K.shape[0], K.shape[1], K.dataSync());
      const gram = A.rows <= A.columns ? multiply(A, flip(A)) : multiply(flip(A), A);
      expect(fro).toBeCloseTo(norm(combine(gram, identity(gram.rows), 1, -1)), 4);
      expect(sigmaMax).toBeGreaterThan(0);
      if (padding === 'valid' && A.rows <= A.columns) {
        const outputs = A.rows / shape[3];
        expect(fro ** 2).toBeLessThanOrEqual(outputs * value + 1e-4);
      }
      for (const each of [kernel, K, x, want]) each.dispose();
    }
    expect(memory().numTensors).toBe(before);
  },
);

test('sizes that do not fit', async () => {
  const kernel = kernelOf([3, 3, 1, 1]);
  await expect(convSingularValues(kernel, { size: 5, stride: 2 })).rejects.toThrow(
    /multiple of the stride/,
  );
  expect(() => convMatrix(kernel, { size: 2, padding: 'valid' })).toThrow(/at least the kernel/);
  expect(() => convMatrix(kernel, { size: [5] })).toThrow(/size must be a number or 2 numbers/);
  expect(() => convMatrix(kernel, { size: 5, padding: 'full' as 'same' })).toThrow(
    /padding must be/,
  );
  const large = kernelOf([3, 3, 2, 2]);
  await expect(convSingularValues(large, { size: 30, padding: 'same' })).rejects.toThrow(
    /side <= 1024/,
  );
  kernel.dispose();
  large.dispose();
});

test('a kernel wraps around an image smaller than itself', () => {
  tidy(() => {
    const kernel = kernelOf([5, 5, 1, 1]);
    const x = kernelOf([1, 2, 2, 1], 2);
    const K = layerMatrix(kernel.dataSync(), [5, 5, 1, 1], 1, 2);
    const want = multiply(K, matrix(4, 1, x.dataSync()));
    expectTensorClose(circularConv2d(x, kernel).dataSync(), want.data, { atol: 1e-5 });
    const line = circularConv1d(reshape(x, [1, 4, 1]), kernelOf([3, 1, 2]), 2);
    expect(line.shape).toEqual([1, 2, 2]);
    expect(() => circularConv2d(x, kernel, 3)).toThrow(/multiples of the stride/);
    expect(() => circularConv1d(reshape(x, [1, 4, 1]), kernelOf([3, 1, 2]), 3)).toThrow(/multiple/);
  });
});

test('circular convolution learns without a kernel for its filter gradient', () => {
  const run = () =>
    tidy(() => {
      const [x, kernel] = [kernelOf([2, 6, 6, 2], 3), kernelOf([3, 3, 2, 3])];
      const f = (a: Tensor, b: Tensor) => sum(square(circularConv2d(a, b, 2)));
      return grads(f)([x, kernel]).map((g) => [...g.dataSync()]);
    });
  const usual = run();
  const found = getKernel('Conv2DBackpropFilter', getBackend()) as KernelConfig | undefined;
  if (found) unregisterKernel('Conv2DBackpropFilter', getBackend());
  try {
    const ours = run();
    expect(getKernel('Conv2DBackpropFilter', getBackend())).toBeUndefined();
    ours.forEach((gradient, i) => {
      expectTensorClose(gradient, usual[i]!, { rtol: 1e-4, atol: 1e-5 });
    });
  } finally {
    if (found) registerKernel(found);
  }
});

test.each([
  [6, 3, 3, 1],
  [9, 2, 3, 2],
] as const)('Adam on lorth alone makes M %s, C %s, k %s, S %s orthogonal', async (M, C, k, S) => {
  const before = memory().numTensors;
  const start = seededRandom(1).normalTensor([k, k, C, M], 0, Math.sqrt(2 / (k * k * (C + M))));
  const kernel = variable(start);
  const optimizer = train.adam(0.01);
  for (let i = 0; i < 300; i++) {
    optimizer.minimize(() => lorth(kernel, { stride: S }), false, [kernel]);
  }
  const {
    sigmaMin,
    sigmaMax,
    lorth: value,
  } = await convResiduals(kernel, { size: 6 * S, stride: S });
  expect(value).toBeLessThan(1e-3);
  expect(sigmaMin).toBeGreaterThan(0.95);
  expect(sigmaMax).toBeLessThan(1.05);
  for (const x of [start, kernel, optimizer]) x.dispose();
  expect(memory().numTensors).toBe(before);
});

test('as a regularizer of tf.layers, saved and loaded', async () => {
  const { conv1d, conv2d: conv, flatten } = layers.layers;
  for (const [layer, inputShape, stride] of [
    [conv, [4, 4, 1], 2],
    [conv1d, [4, 2], 1],
  ] as const) {
    const kernelRegularizer = lorthRegularizer({ lambda: 0.5, stride }) as never;
    const model = layers.sequential({
      layers: [
        (layer as typeof conv)({
          filters: 2,
          kernelSize: 3,
          strides: stride,
          inputShape: [...inputShape],
          useBias: false,
          kernelRegularizer,
        }),
        flatten(),
      ],
    });
    const loaded = await layers.models.modelFromJSON(JSON.parse(model.toJSON() as string));
    loaded.setWeights(model.getWeights());
    const x = kernelOf([2, ...inputShape]);
    const y = tidy(() => model.predict(x) as Tensor);
    const want = tidy(() => number(mul(lorth(model.getWeights()[0]!, { stride }), 0.5)));
    for (const each of [model, loaded]) {
      each.compile({ optimizer: train.sgd(1e-3), loss: 'meanSquaredError' });
      const { history } = await each.fit(x, y, { epochs: 1, verbose: 0 });
      expect(history.loss![0]).toBeCloseTo(want, 4);
    }
    for (const each of [x, y, model, loaded]) each.dispose();
  }
});

test('no tensor is left behind', () => {
  const kernel = kernelOf([3, 3, 2, 2]);
  const before = memory().numTensors;
  const step = () => {
    const penalty = lorth(kernel) as Scalar;
    const gradient = tidy(() => grad((K: Tensor) => lorth(K))(kernel));
    penalty.dispose();
    gradient.dispose();
  };
  for (let i = 0; i < 3; i++) step();
  expect(memory().numTensors).toBe(before);
  kernel.dispose();
});
