import { useBackend } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';

type Shape4 = [number, number, number, number];

const small = fc.record({
  images: fc.integer({ min: 1, max: 5 }),
  height: fc.integer({ min: 5, max: 14 }),
  width: fc.integer({ min: 5, max: 14 }),
  channels: fc.integer({ min: 1, max: 9 }),
  outChannels: fc.integer({ min: 1, max: 17 }),
  filter: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
  stride: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
  pad: fc.constantFrom<'same' | 'valid' | number>('same', 'valid', 0, 1),
  dilation: fc.constantFrom(1, 1, 2),
});

beforeAll(async () => {
  await useBackend('cpu');
  await useBackend('node');
});

/** Runs on tfjs's plain JavaScript kernels, the reference. */
function onCpu(name: string, inputs: Record<string, tf.Tensor>, attrs: object): Float32Array {
  const data = Object.entries(inputs).map(([key, x]) => [key, x.dataSync(), x.shape] as const);
  const cpu = tf.findBackend('cpu') as unknown as {
    makeTensorInfo(shape: number[], dtype: string, values: unknown): tf.TensorInfo;
    data: { get(id: object): { values: Float32Array } };
  };
  const infos = Object.fromEntries(
    data.map(([key, values, shape]) => [key, cpu.makeTensorInfo(shape, 'float32', values)]),
  );
  const kernel = tf.getKernel(name, 'cpu').kernelFunc;
  const out = kernel({ inputs: infos, backend: cpu as never, attrs: attrs as never });
  return cpu.data.get((out as tf.TensorInfo).dataId).values;
}

/** Made so that every call is beyond the size that is left to wasm, and gathers in several chunks now and then. */
const LARGE = [
  { images: 9, size: 20, channels: 8, outChannels: 12, filter: 3, stride: 1, pad: 'same' },
  { images: 9, size: 21, channels: 8, outChannels: 12, filter: 3, stride: 2, pad: 'same' },
  { images: 3, size: 24, channels: 56, outChannels: 4, filter: 5, stride: 1, pad: 'valid' },
  { images: 4, size: 24, channels: 40, outChannels: 16, filter: 4, stride: 3, pad: 1 },
  { images: 2, size: 40, channels: 48, outChannels: 4, filter: 3, stride: 1, pad: 'same' },
  { images: 2, size: 41, channels: 80, outChannels: 3, filter: 4, stride: 2, pad: 'same' },
  { images: 2, size: 16, channels: 32, outChannels: 48, filter: 1, stride: 1, pad: 'same' },
  { images: 2, size: 16, channels: 32, outChannels: 48, filter: 1, stride: 2, pad: 'same' },
] as const;

function compareAll(
  xShape: Shape4,
  filterShape: Shape4,
  strides: [number, number],
  pad: 'same' | 'valid' | number,
  dilation: number,
): void {
  tf.tidy(() => {
    const x = tf.randomNormal(xShape, 0, 1, 'float32', 1) as tf.Tensor4D;
    const filter = tf.randomNormal(filterShape, 0, 1, 'float32', 2) as tf.Tensor4D;
    const attrs = { strides, pad, dataFormat: 'NHWC', dilations: [dilation, dilation] };
    const tolerance = { rtol: 1e-4, atol: 1e-3 };
    const run = (name: string, inputs: Record<string, tf.Tensor>, more: object) =>
      tf.engine().runKernel(name, inputs, { ...attrs, ...more }) as tf.Tensor;
    const compare = (name: string, inputs: Record<string, tf.Tensor>, more: object = {}) => {
      const got = run(name, inputs, more);
      expectTensorClose(got.dataSync(), onCpu(name, inputs, { ...attrs, ...more }), tolerance);
      return got;
    };
    const y = compare('Conv2D', { x, filter });
    if (y.size === 0 || dilation > 1) return;
    const dy = tf.randomNormal(y.shape as Shape4, 0, 1, 'float32', 3);
    compare('Conv2DBackpropFilter', { x, dy }, { filterShape });
    compare('Conv2DBackpropInput', { dy, filter }, { inputShape: xShape });
  });
}

describe('conv2d and its gradients equal those of plain JavaScript', () => {
  test('for any geometry', () => {
    fc.assert(
      fc.property(small, (g) => {
        // tfjs allows strides or dilations, not both.
        const strides: [number, number] = g.dilation > 1 ? [1, 1] : g.stride;
        const reach = (n: number) => (n - 1) * g.dilation + 1;
        // The reference, tfjs's cpu kernel, forgets the dilation when padding is a number.
        fc.pre(g.dilation === 1 || typeof g.pad !== 'number');
        fc.pre(reach(g.filter[0]) <= g.height && reach(g.filter[1]) <= g.width);
        compareAll(
          [g.images, g.height, g.width, g.channels],
          [...g.filter, g.channels, g.outChannels],
          strides,
          g.pad,
          g.dilation,
        );
      }),
      { numRuns: 100 },
    );
  });

  test.each(LARGE)('for many images: %o', (g) => {
    compareAll(
      [g.images, g.size, g.size, g.channels],
      [g.filter, g.filter, g.channels, g.outChannels],
      [g.stride, g.stride],
      g.pad,
      1,
    );
  });
});

describe('fused.conv2d', () => {
  test.each(['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu', 'prelu'] as const)(
    'bias and %s equal the composed ops',
    (activation) => {
      tf.tidy(() => {
        for (const size of [1, 3]) {
          const x = tf.randomNormal([3, 16, 16, 8], 0, 1, 'float32', 1) as tf.Tensor4D;
          const filter = tf.randomNormal([size, size, 8, 12], 0, 1, 'float32', 2) as tf.Tensor4D;
          const bias = tf.randomNormal([12], 0, 1, 'float32', 3);
          const slope = tf.randomUniform([12], 0.1, 0.9, 'float32', 4);
          const got = tf.fused.conv2d({
            x,
            filter,
            strides: 1,
            pad: 'same',
            bias,
            activation,
            preluActivationWeights: activation === 'prelu' ? slope : undefined,
            leakyreluAlpha: 0.3,
          });
          const sum = tf.add(tf.conv2d(x, filter, 1, 'same'), bias);
          const want = {
            linear: () => sum,
            relu: () => tf.relu(sum),
            relu6: () => tf.relu6(sum),
            elu: () => tf.elu(sum),
            sigmoid: () => tf.sigmoid(sum),
            leakyrelu: () => tf.leakyRelu(sum, 0.3),
            prelu: () => tf.prelu(sum, slope),
          }[activation]();
          expectTensorClose(got, want, { rtol: 1e-4, atol: 1e-4 });
        }
      });
    },
  );
});

test('a convolution leaves nothing behind', () => {
  const x = tf.randomNormal([4, 16, 16, 8]) as tf.Tensor4D;
  const filter = tf.randomNormal([3, 3, 8, 16]) as tf.Tensor4D;
  const backend = tf.backend() as unknown as { numDataIds(): number };
  const before = [tf.memory().numTensors, backend.numDataIds()];
  const [dx, dw] = tf.grads((a: tf.Tensor, b: tf.Tensor) =>
    tf.conv2d(a as tf.Tensor4D, b as tf.Tensor4D, 1, 'same'),
  )([x, filter]);
  tf.dispose([dx!, dw!]);
  expect([tf.memory().numTensors, backend.numDataIds()]).toEqual(before);
});
