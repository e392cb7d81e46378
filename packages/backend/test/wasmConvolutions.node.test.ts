/** Convolutions, pooling and dilation on wasm, with their gradients, against cpu. */
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { agrees, data, property, useBoth } from './againstCpu.js';

useBoth();

describe('convolutions', () => {
  const side = fc.integer({ min: 4, max: 9 });
  const tap = fc.integer({ min: 1, max: 4 });
  const channels = fc.integer({ min: 1, max: 5 });
  const stride = fc.integer({ min: 1, max: 3 });
  const padding = fc.constantFrom<tf.Tensor2D | 'same' | 'valid' | 'number' | 'explicit'>(
    'same',
    'valid',
    'number',
    'explicit',
  );
  const padOf = (kind: unknown, rank4 = true) =>
    kind === 'number'
      ? 1
      : kind === 'explicit' && rank4
        ? ([
            [0, 0],
            [1, 0],
            [2, 1],
            [0, 0],
          ] as [[number, number], [number, number], [number, number], [number, number]])
        : (kind as 'same');

  test('conv2d', () =>
    property(
      fc.tuple(side, side, tap, tap, channels, channels, stride, padding),
      ([h, w, kh, kw, c, o, s, pad]) =>
        agrees([data(2, h, w, c), data(kh, kw, c, o)], (x, f) =>
          tf.conv2d(x as tf.Tensor4D, f as tf.Tensor4D, s, padOf(pad)),
        ),
    ));

  test('filter and input gradients in NCHW and with a rounding mode', () =>
    property(
      fc.tuple(
        side,
        side,
        tap,
        tap,
        channels,
        stride,
        fc.constantFrom('NCHW', 'NHWC'),
        fc.boolean(),
      ),
      async ([h, w, kh, kw, c, s, format, rounded]) => {
        const [outHeight, outWidth] = [h, w].map((n, i) =>
          rounded ? Math.floor((n + 2 - kh) / s) + 1 : Math.ceil((n - [kh, kw][i]! + 1) / s),
        ) as [number, number];
        if (outHeight < 1 || outWidth < 1) return;
        const isFirst = format === 'NCHW';
        const xShape = isFirst ? [2, c, h, w] : [2, h, w, c];
        const dyShape = isFirst ? [2, 3, outHeight, outWidth] : [2, outHeight, outWidth, 3];
        const attrs = {
          strides: s,
          pad: rounded ? 1 : 'valid',
          dataFormat: format,
          ...(rounded && { dimRoundingMode: 'floor' }),
        };
        const filterShape = [kh, kw, c, 3];
        const run = (name: string, inputs: tf.NamedTensorMap, more: object) =>
          tf.engine().runKernel(name, inputs, { ...attrs, ...more } as never) as tf.Tensor;
        await agrees(
          [data(...xShape), data(...dyShape)],
          (x, dy) => run('Conv2DBackpropFilter', { x, dy }, { filterShape }),
          false,
        );
        await agrees(
          [data(...dyShape), data(...filterShape)],
          (dy, filter) => run('Conv2DBackpropInput', { dy, filter }, { inputShape: xShape }),
          false,
        );
      },
    ));

  test(
    'patches larger than the scratch area',
    () =>
      agrees([data(2, 96, 96, 3), data(3, 3, 3, 4)], (x, f) =>
        tf.conv2d(x as tf.Tensor4D, f as tf.Tensor4D, 1, 'same'),
      ),
    60_000,
  );

  test('depthwise and separable, with dilations in the kernels', async () => {
    const multiplier = fc.integer({ min: 1, max: 3 });
    await property(
      fc.tuple(side, side, tap, tap, channels, multiplier, stride, padding),
      ([h, w, kh, kw, c, m, s, pad]) =>
        agrees([data(2, h, w, c), data(kh, kw, c, m)], (x, f) =>
          tf.depthwiseConv2d(x as tf.Tensor4D, f as tf.Tensor4D, s, padOf(pad)),
        ),
    );
    await property(fc.tuple(side, channels, multiplier), ([h, c, m]) =>
      agrees([data(1, h, h, c), data(3, 2, c, m), data(1, 1, c * m, 2)], (x, depth, point) =>
        tf.separableConv2d(x as tf.Tensor4D, depth as tf.Tensor4D, point as tf.Tensor4D, 1, 'same'),
      ),
    );
  });

  test('dilated depthwise kernels are the adjoints of the forward pass', async () => {
    // cpu's kernels ignore dilations. The map is linear in x and in f, so <dy, y> = <dx, x> = <df, f>.
    await tf.setBackend('wasm');
    const attrs = { strides: [1, 1], dilations: [2, 3], pad: 'same' };
    const [x, f, dy] = [data(2, 8, 7, 3), data(2, 3, 3, 2), data(2, 8, 7, 6)].map(
      (d) => tf.tensor<tf.Rank>(d.values, d.shape) as tf.Tensor4D,
    ) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
    const run = (name: string, inputs: tf.NamedTensorMap, more: object) =>
      tf.engine().runKernel(name, inputs, { ...attrs, ...more } as never) as tf.Tensor;
    const dot = (a: tf.Tensor, b: tf.Tensor) => tf.sum(tf.mul(a, b)).dataSync()[0]!;
    const want = dot(dy, tf.depthwiseConv2d(x, f, 1, 'same', 'NHWC', [2, 3]));
    const prefix = 'DepthwiseConv2dNativeBackprop';
    const dx = run(`${prefix}Input`, { dy, filter: f }, { inputShape: [2, 8, 7, 3] });
    const df = run(`${prefix}Filter`, { x, dy }, { filterShape: [2, 3, 3, 2] });
    expect(Math.abs(dot(dx, x) - want)).toBeLessThan(1e-4 * Math.abs(want) + 1e-4);
    expect(Math.abs(dot(df, f) - want)).toBeLessThan(1e-4 * Math.abs(want) + 1e-4);
  });

  test('conv3d and its transpose', () =>
    property(
      fc.tuple(
        fc.integer({ min: 3, max: 5 }),
        fc.integer({ min: 1, max: 3 }),
        stride,
        fc.boolean(),
      ),
      ([n, k, s, same]) =>
        agrees([data(1, n, n + 1, n, 2), data(k, 2, k, 2, 3)], (x, f) =>
          tf.conv3d(x as tf.Tensor5D, f as tf.Tensor5D, s, same ? 'same' : 'valid'),
        ),
      20,
    ));
});

describe('pooling and dilation with negative windows', () => {
  test('max pooling in 2 and 3 dimensions', () =>
    property(
      fc.tuple(
        fc.integer({ min: 4, max: 7 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 3 }),
        fc.constantFrom('same', 'valid'),
      ),
      async ([n, window, s, pad]) => {
        await agrees([data(2, n, n + 1, 3)], (x) =>
          tf.maxPool(x as tf.Tensor4D, window, s, pad as 'same'),
        );
        await agrees([data(1, n, n, 4, 2)], (x) =>
          tf.maxPool3d(x as tf.Tensor5D, window, s, pad as 'same'),
        );
      },
      20,
    ));
  test('dilation2d', () =>
    property(
      fc.tuple(fc.integer({ min: 3, max: 6 }), fc.integer({ min: 1, max: 3 }), fc.boolean()),
      ([n, k, same]) =>
        agrees([data(1, n, n, 2), data(k, 2, 2)], (x, f) =>
          tf.dilation2d(x as tf.Tensor4D, f as tf.Tensor3D, 1, same ? 'same' : 'valid'),
        ),
      20,
    ));
});
