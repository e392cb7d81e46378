/**
 * What training is made of, on every backend, against plain float64 JavaScript: the forward pass, and the gradients with
 * respect to all inputs against finite differences of the float64 reference. Shapes are tiny: a software GPU compiles
 * each new one in a tenth of a second.
 */
import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import * as tf from '@tensorflow/tfjs-core';
import { test } from 'vitest';
import * as reference from './references.js';

type Numbers = readonly number[];

interface Case {
  readonly name: string;
  /** Shapes of the inputs, which hold normal numbers. */
  readonly shapes: readonly number[][];
  readonly op: (...inputs: tf.Tensor[]) => tf.Tensor;
  /** The same in float64, row-major. */
  readonly reference: (...inputs: Numbers[]) => number[];
  /** Allowed |got − want| over the largest |want|. Default 1e-5: float32 sums of a few dozen terms. */
  readonly tolerance?: number;
}

const IDS = [3, 1, 3, 0, 2, 3];
const LABELS = [2, 0, 3, 1];
const ids = (values: number[]) => tf.tensor1d(values, 'int32');
const as4D = (x?: tf.Tensor) => x as tf.Tensor4D;

const products: Case[] = [
  [false, false],
  [true, false],
  [false, true],
  [true, true],
].map(([a, b]) => ({
  name: `batched matMul, transposeA ${a}, transposeB ${b}`,
  shapes: [
    [2, ...(a ? [4, 3] : [3, 4])],
    [2, ...(b ? [5, 4] : [4, 5])],
  ],
  op: (x, y) => tf.matMul(x!, y!, a, b),
  reference: (x, y) => reference.matMul(x!, y!, { batch: 2, m: 3, k: 4, n: 5, a: a!, b: b! }),
}));

const cases: Case[] = [
  ...products,
  {
    name: 'dense layer with bias and relu',
    shapes: [[4, 3], [3, 5], [5]],
    op: (x, w, b) => tf.relu(tf.add(tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D), b!)),
    reference: (x, w, b) =>
      reference
        .matMul(x!, w!, { batch: 1, m: 4, k: 3, n: 5, a: false, b: false })
        .map((v, i) => Math.max(0, v + b![i % 5]!)),
  },
  {
    name: 'embedding with repeated rows',
    shapes: [[4, 5]],
    op: (table) => tf.gather(table!, ids(IDS)),
    reference: (table) => IDS.flatMap((id) => table!.slice(5 * id, 5 * id + 5)),
  },
  {
    name: 'softmax cross-entropy',
    shapes: [[4, 5]],
    op: (x) => tf.losses.softmaxCrossEntropy(tf.oneHot(ids(LABELS), 5), x!),
    reference: (x) => {
      const losses = LABELS.map((label, row) => {
        const logits = x!.slice(5 * row, 5 * row + 5);
        return Math.log(logits.reduce((sum, v) => sum + Math.exp(v), 0)) - logits[label]!;
      });
      return [losses.reduce((sum, v) => sum + v, 0) / 4];
    },
  },
  {
    name: 'layer normalisation',
    shapes: [[3, 6], [6], [6]],
    op: (x, gain, bias) => {
      const centred = tf.sub(x!, tf.mean(x!, -1, true));
      const variance = tf.mean(tf.square(centred), -1, true);
      const normal = tf.mul(centred, tf.rsqrt(tf.add(variance, 1e-3)));
      return tf.add(tf.mul(normal, gain!), bias!);
    },
    reference: (x, gain, bias) => reference.layerNorm(x!, gain!, bias!, 1e-3),
    tolerance: 3e-5,
  },
  {
    name: 'causal attention',
    shapes: [
      [4, 3],
      [4, 3],
      [4, 3],
    ],
    op: (q, k, v) => {
      const mask = tf.tensor2d([0, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0], [4, 4]);
      const scores = tf.matMul(q as tf.Tensor2D, k as tf.Tensor2D, false, true);
      return tf.matMul(tf.softmax(tf.sub(scores, tf.mul(mask, 1e9))), v as tf.Tensor2D);
    },
    reference: (q, k, v) => reference.causalAttention(q!, k!, v!, 4, 3),
    tolerance: 3e-5,
  },
  {
    name: "convolution, 'same', strides 2 and 1",
    shapes: [
      [1, 5, 4, 2],
      [3, 2, 2, 3],
    ],
    op: (x, w) => tf.conv2d(as4D(x), as4D(w), [2, 1], 'same'),
    reference: (x, w) =>
      reference.convolution(x!, w!, {
        size: [5, 4],
        channels: 2,
        filter: [3, 2],
        filters: 3,
        stride: [2, 1],
        pad: [1, 0],
        out: [3, 4],
        depthwise: false,
      }),
  },
  {
    name: "depthwise convolution, 'valid', two filters a channel",
    shapes: [
      [1, 4, 5, 2],
      [2, 3, 2, 2],
    ],
    op: (x, w) => tf.depthwiseConv2d(as4D(x), as4D(w), 1, 'valid'),
    reference: (x, w) =>
      reference.convolution(x!, w!, {
        size: [4, 5],
        channels: 2,
        filter: [2, 3],
        filters: 2,
        stride: [1, 1],
        pad: [0, 0],
        out: [3, 3],
        depthwise: true,
      }),
  },
  {
    name: 'max pooling, of negative windows too',
    shapes: [[1, 4, 4, 2]],
    op: (x) => tf.maxPool(tf.sub(as4D(x), 1) as tf.Tensor4D, 2, 2, 'valid'),
    reference: (x) => reference.pool(x!, 4, 2, (window) => Math.max(...window) - 1),
  },
  {
    name: 'average pooling',
    shapes: [[1, 4, 4, 2]],
    op: (x) => tf.avgPool(as4D(x), 2, 2, 'valid'),
    reference: (x) =>
      reference.pool(x!, 4, 2, (window) => window.reduce((sum, v) => sum + v, 0) / 4),
  },
  {
    name: 'einsum of attention scores',
    shapes: [
      [1, 2, 2, 3],
      [1, 4, 2, 3],
    ],
    op: (q, k) => tf.einsum('bqhd,bkhd->bhqk', q!, k!),
    reference: (q, k) => {
      const at = (x: Numbers, i: number, h: number, d: number) => x[(i * 2 + h) * 3 + d]!;
      return [0, 1].flatMap((h) =>
        [0, 1].flatMap((i) =>
          [0, 1, 2, 3].map((j) =>
            [0, 1, 2].reduce((sum, d) => sum + at(q!, i, h, d) * at(k!, j, h, d), 0),
          ),
        ),
      );
    },
  },
  {
    name: 'Fourier transform of real numbers, filtered, and back',
    shapes: [[2, 6], [4]],
    op: (x, filter) => {
      const spectrum = tf.spectral.rfft(x!);
      const row = tf.reshape(filter!, [1, 4]);
      return tf.spectral.irfft(
        tf.complex(tf.mul(tf.real(spectrum), row), tf.mul(tf.imag(spectrum), row)),
      );
    },
    reference: (x, filter) => reference.filtered(x!, filter!, 6),
  },
  {
    name: 'cumulative sum along the first axis',
    shapes: [[4, 3]],
    op: (x) => tf.cumsum(x!, 0),
    reference: (x) => {
      const sums = [...x!];
      for (let i = 3; i < sums.length; i++) sums[i]! += sums[i - 3]!;
      return sums;
    },
  },
  {
    name: 'elementwise functions',
    shapes: [[3, 4], [4]],
    op: (x, y) =>
      tf.add(
        tf.mul(tf.tanh(x!), tf.sigmoid(y!)),
        tf.div(tf.exp(tf.mul(x!, -0.5)), tf.sqrt(tf.add(tf.square(y!), 1))),
      ),
    reference: (x, y) =>
      x!.map((v, i) => {
        const w = y![i % 4]!;
        return Math.tanh(v) / (1 + Math.exp(-w)) + Math.exp(-0.5 * v) / Math.sqrt(w * w + 1);
      }),
  },
  {
    name: 'maximum of operands that broadcast, and a choice',
    shapes: [
      [3, 4],
      [3, 1],
    ],
    op: (x, y) => tf.where(tf.greater(x!, y!), tf.mul(x!, 2), tf.maximum(tf.mul(x!, 3), y!)),
    reference: (x, y) =>
      x!.map((v, i) => {
        const w = y![Math.floor(i / 4)]!;
        return v > w ? 2 * v : Math.max(3 * v, w);
      }),
  },
  {
    name: 'reductions along different axes',
    shapes: [[3, 4]],
    op: (x) => tf.concat([tf.sum(x!, 0), tf.max(x!, 1), tf.mean(x!, 0)], 0),
    reference: (x) => {
      const column = (j: number) => [0, 1, 2].map((i) => x![4 * i + j]!);
      const sums = [0, 1, 2, 3].map((j) => column(j).reduce((sum, v) => sum + v, 0));
      const most = [0, 1, 2].map((i) => Math.max(...x!.slice(4 * i, 4 * i + 4)));
      return [...sums, ...most, ...sums.map((v) => v / 3)];
    },
  },
  {
    name: 'moving elements: split, transpose, slice, pad, tile',
    shapes: [[2, 6]],
    op: (x) => {
      const [a, b] = tf.split(x!, [2, 4], 1) as [tf.Tensor, tf.Tensor];
      const cut = tf.slice(tf.transpose(b), [1, 0], [2, 2]);
      return tf.pad(tf.concat([tf.tile(a, [1, 2]), tf.transpose(cut)], 1), [
        [0, 1],
        [0, 0],
      ]);
    },
    reference: (x) => {
      const row = (i: number) => x!.slice(6 * i, 6 * i + 6);
      const line = ([a, b, , d, e]: number[]) => [a!, b!, a!, b!, d!, e!];
      return [...line(row(0)), ...line(row(1)), 0, 0, 0, 0, 0, 0];
    },
  },
];

/** Central differences in float64: right to about 1e-9. */
function differences(f: (...inputs: Numbers[]) => number, inputs: Numbers[]): number[][] {
  const step = 1e-5;
  return inputs.map((values, which) =>
    values.map((value, at) => {
      const shifted = (by: number) =>
        f(
          ...inputs.map((x, i) => (i === which ? x.map((v, j) => (j === at ? value + by : v)) : x)),
        );
      return (shifted(step) - shifted(-step)) / (2 * step);
    }),
  );
}

function compare(what: string, got: ArrayLike<number>, want: Numbers, tolerance: number): void {
  const atol = tolerance * Math.max(1, ...want.map(Math.abs));
  try {
    expectTensorClose(got, want, { rtol: 0, atol });
  } catch (error) {
    throw new Error(`${what}: ${(error as Error).message}`);
  }
}

test.each(cases)('$name', async ({ shapes, op, reference: wanted, tolerance = 1e-5 }) => {
  const random = seededRandom(1);
  const values = shapes.map((shape) =>
    // As float32 sees them, so that both sides start from the same numbers.
    Array.from({ length: shape.reduce((n, m) => n * m, 1) }, () => Math.fround(random.normal())),
  );
  const output = wanted(...values);
  // A weight for each entry, so that an entry in the wrong place changes the gradient.
  const weights = output.map((_, i) => Math.cos(i));
  const weighted = (...inputs: Numbers[]) =>
    wanted(...inputs).reduce((sum, v, i) => sum + v * weights[i]!, 0);

  const inputs = values.map((x, i) => tf.tensor(x, shapes[i]!));
  const y = op(...inputs);
  compare('output', await y.data(), output, tolerance);
  const loss = (...xs: tf.Tensor[]) => {
    const z = op(...xs);
    return tf.sum(tf.mul(z, tf.tensor(weights, z.shape)));
  };
  const gradients = tf.grads(loss)(inputs);
  for (const [i, want] of differences(weighted, values).entries()) {
    compare(`gradient of input ${i}`, await gradients[i]!.data(), want, tolerance);
  }
  tf.dispose([...inputs, y, ...gradients]);
});
