/**
 * What training is made of, on every backend, against tfjs's plain JavaScript: one forward pass and the gradients with
 * respect to all inputs. float32 sums differ by their order only, so one tolerance serves for an op and its gradients.
 */
import { seededRandom, useBackend } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import {
  add,
  complex,
  conv2d,
  depthwiseConv2d,
  dispose,
  einsum,
  fft,
  gather,
  getBackend,
  grads,
  imag,
  log,
  logSoftmax,
  matMul,
  maxPool,
  mean,
  mul,
  real,
  relu,
  rsqrt,
  sigmoid,
  square,
  sub,
  sum,
  type Tensor,
  tensor1d,
  transpose,
} from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';

interface Case {
  readonly name: string;
  /** Shapes of the inputs, which hold normal numbers. */
  readonly shapes: readonly number[][];
  readonly op: (...inputs: Tensor[]) => Tensor;
  /** Allowed |got − want| relative to 1 + |want|. */
  readonly tolerance: number;
}

const EMBEDDED = [3, 1, 3, 0, 2, 3];

const cases: Case[] = [
  {
    name: 'matrix product, bias and relu',
    shapes: [[5, 7], [7, 3], [3]],
    op: (x, w, b) => relu(add(matMul(x!, w!), b!)),
    tolerance: 1e-5,
  },
  {
    name: 'batched matrix product with transposes',
    shapes: [
      [2, 4, 6],
      [2, 5, 6],
    ],
    op: (x, y) => matMul(x!, y!, false, true),
    tolerance: 1e-5,
  },
  {
    name: 'transpose and elementwise arithmetic with broadcasting',
    shapes: [
      [3, 4],
      [1, 3],
    ],
    op: (x, y) => mul(sigmoid(transpose(x!)), sub(y!, 0.5)),
    tolerance: 1e-5,
  },
  {
    name: 'embedding: rows that are used more than once',
    shapes: [[4, 5]],
    op: (table) => square(gather(table!, tensor1d(EMBEDDED, 'int32'))),
    tolerance: 1e-5,
  },
  {
    name: 'convolution',
    shapes: [
      [2, 6, 5, 3],
      [3, 2, 3, 4],
    ],
    op: (x, w) => conv2d(x as never, w as never, [2, 1], 'same'),
    tolerance: 1e-4,
  },
  {
    name: 'depthwise convolution',
    shapes: [
      [2, 6, 6, 3],
      [3, 3, 3, 2],
    ],
    op: (x, w) => depthwiseConv2d(x as never, w as never, 1, 'valid'),
    tolerance: 1e-4,
  },
  {
    name: 'max pooling',
    shapes: [[1, 6, 6, 2]],
    op: (x) => maxPool(x as never, 2, 2, 'valid'),
    tolerance: 1e-5,
  },
  {
    name: 'cross-entropy',
    shapes: [[4, 6]],
    op: (logits) => logSoftmax(logits!),
    tolerance: 1e-5,
  },
  {
    name: 'root mean square normalisation',
    shapes: [[3, 8], [8]],
    op: (x, g) => mul(mul(x!, rsqrt(add(mean(square(x!), -1, true), 1e-3))), g!),
    tolerance: 1e-4,
  },
  {
    name: 'logarithm of a sum of squares',
    shapes: [[2, 3, 4]],
    op: (x) => log(add(sum(square(x!), 1), 1)),
    tolerance: 1e-5,
  },
  {
    name: 'einsum',
    shapes: [
      [2, 3, 4],
      [2, 4, 5],
    ],
    op: (x, y) => einsum('bij,bjk->bik', x!, y!),
    tolerance: 1e-5,
  },
];

/** Values of the op and of its gradients, as numbers on the host. */
async function run({ shapes, op }: Case): Promise<number[][]> {
  const random = seededRandom(1);
  const inputs = shapes.map((shape) => random.normalTensor([...shape]));
  const output = op(...inputs);
  // A weight for each entry, so that an entry in the wrong place changes the gradient.
  const weights = random.normalTensor(output.shape);
  const gradients = grads((...xs: Tensor[]) => sum(mul(op(...xs), weights)))(inputs);
  const values = await Promise.all([output, ...gradients].map(async (x) => [...(await x.data())]));
  dispose([...inputs, output, weights, ...gradients]);
  return values;
}

const home = getBackend();

/** On the project's backend, and on cpu. */
async function both<T>(work: () => Promise<T>): Promise<[T, T]> {
  const got = await work();
  await useBackend('cpu');
  const want = await work();
  await useBackend(home);
  return [got, want];
}

test.each(cases)('$name', async (entry) => {
  const [got, want] = await both(() => run(entry));
  const { tolerance } = entry;
  expect(got).toHaveLength(1 + entry.shapes.length);
  for (const [i, values] of got.entries()) {
    expectTensorClose(values, want[i]!, { rtol: tolerance, atol: tolerance });
  }
});

test('Fourier transform', async () => {
  const [got, want] = await both(async () => {
    const random = seededRandom(2);
    const x = complex(random.normalTensor([3, 8]), random.normalTensor([3, 8]));
    const y = fft(x);
    return [...(await real(y).data()), ...(await imag(y).data())];
  });
  // tfjs's WebGPU kernel takes the sines in the shader, where WGSL promises 2⁻¹¹ each, and adds eight products.
  const atol = home === 'webgpu' ? 8 * 2 ** -11 : 1e-5;
  expectTensorClose(got, want, { rtol: 1e-5, atol });
});
