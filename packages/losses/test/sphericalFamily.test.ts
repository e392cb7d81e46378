import { expectTensorClose } from '@orth/testing';
import {
  add,
  grad,
  memory,
  mul,
  type Scalar,
  sum,
  type Tensor,
  tensor1d,
  tensor2d,
  tidy,
  train,
  variable,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  asLayersLoss,
  type LossOptions,
  oneHotSquaredLoss,
  type SphericalLossName,
  sphericalSoftmax,
  sphericalSoftmaxLoss,
  taylorSoftmax,
  taylorSoftmaxLoss,
  zLoss,
} from '../src/index.js';
import { differences, gaussian, rowsOf, toTensor } from './reference.js';
import { spherical64, sphericalGradient64 } from './sphericalReference.js';

const B = 4;
const n = 7;
const data = gaussian(1, B * n, 2);
const labels = [2, 0, 6, 3];

const LOSSES = [
  ['zLoss', zLoss, {}],
  ['zLoss', zLoss, { a: 0.3, b: 5 }],
  ['taylorSoftmax', taylorSoftmaxLoss, {}],
  ['sphericalSoftmax', sphericalSoftmaxLoss, { epsilon: 0.1 }],
  ['squaredError', oneHotSquaredLoss, {}],
] as [
  SphericalLossName,
  (o: Tensor, y: Tensor, options?: LossOptions) => Tensor,
  Record<string, number>,
][];

describe.each(LOSSES)('%s %#', (name, loss, own) => {
  it('has the value and the gradient of the definition, checked by differences', () => {
    const before = memory().numTensors;
    tidy(() => {
      const o = toTensor(data, [B, n]);
      const y = tensor1d(labels, 'int32');
      const want = rowsOf(data, n).map((row, i) => spherical64(name, row, labels[i]!, own));
      expectTensorClose(loss(o, y, { ...own, reduction: 'none' }), want);
      const slope = grad((x: Tensor) => loss(x, y, { ...own, reduction: 'sum' }))(o);
      const total = (x: number[]) =>
        rowsOf(x, n).reduce((t, row, i) => t + spherical64(name, row, labels[i]!, own), 0);
      const numeric = differences(total, data);
      expectTensorClose(slope, numeric, { rtol: 1e-4, atol: 1e-5 });
      const formula = rowsOf(data, n).flatMap((row, i) =>
        sphericalGradient64(name, row, labels[i]!, own),
      );
      expectTensorClose(slope, formula);
    });
    expect(memory().numTensors).toBe(before);
  });

  it('takes distributions: the mean over targets, also of the gradient', () => {
    tidy(() => {
      const rows = rowsOf(data, n);
      const soft = rows.map((_, i) => {
        const q = new Array<number>(n).fill(0);
        q[labels[i]!] = 0.75;
        q[(labels[i]! + 2) % n] = 0.25;
        return q;
      });
      const o = toTensor(data, [B, n]);
      const y = tensor2d(soft);
      const at = (row: readonly number[], i: number) =>
        soft[i]!.reduce((t, q, c) => t + q * spherical64(name, row, c, own), 0);
      expectTensorClose(loss(o, y, { ...own, reduction: 'none' }), rows.map(at), {
        rtol: 1e-5,
        atol: 1e-5,
      });
      const slope = grad((x: Tensor) => loss(x, y, { ...own, reduction: 'sum' }))(o);
      const total = (x: number[]) => rowsOf(x, n).reduce((t, row, i) => t + at(row, i), 0);
      expectTensorClose(slope, differences(total, data), { rtol: 1e-4, atol: 1e-5 });
    });
  });

  it('weights, reduces, and keeps batch dimensions', () => {
    tidy(() => {
      const o = toTensor(data, [2, 2, n]);
      const y = tensor2d(labels, [2, 2], 'int32');
      const each = rowsOf(data, n).map((row, i) => spherical64(name, row, labels[i]!, own));
      const none = loss(o, y, { ...own, reduction: 'none' });
      expect(none.shape).toEqual([2, 2]);
      const w = tensor2d([1, 0, 2, 3], [2, 2]);
      const weighted = each[0]! + 2 * each[2]! + 3 * each[3]!;
      expectTensorClose(loss(o, y, { ...own, weights: w }), [weighted / 6], { rtol: 1e-5 });
      expectTensorClose(loss(o, y, own), [each.reduce((a, b) => a + b) / B], { rtol: 1e-5 });
    });
  });

  it('is finite, with its gradient, for logits that are equal, zero, or huge', () => {
    tidy(() => {
      const y = tensor1d([0, 1, 2], 'int32');
      const huge = name === 'squaredError' ? 1e18 : 1e30;
      const o = tensor2d([
        [5, 5, 5],
        [0, 0, 0],
        [huge, -huge, huge / 2],
      ]);
      const run = (x: Tensor) => loss(x, y, { ...own, reduction: 'sum' });
      for (const x of [run(o), grad(run)(o)]) {
        expect([...x.dataSync()].every(Number.isFinite)).toBe(true);
      }
    });
  });

  it('trains through an optimizer, and in the form that tf.layers calls', () => {
    const start = toTensor(data, [B, n]);
    const o = variable(start);
    const y = tensor1d(labels, 'int32');
    const optimizer = train.adam(0.05);
    const value = () => tidy(() => loss(o, y, own).dataSync()[0]!);
    const first = value();
    for (let i = 0; i < 20; i++) optimizer.minimize(() => loss(o, y, own) as Scalar);
    expect(value()).toBeLessThan(first);
    tidy(() => {
      const one = tensor2d(labels.map((c) => Array.from({ length: n }, (_, k) => Number(k === c))));
      expectTensorClose(
        asLayersLoss(loss, own as LossOptions)(one, o),
        loss(o, y, { ...own, reduction: 'none' }),
      );
    });
    optimizer.dispose();
    for (const x of [start, o, y]) x.dispose();
  });

  it('refuses labels out of range, NaN, wrong shapes and unknown options', () => {
    tidy(() => {
      const o = toTensor(data, [B, n]);
      const y = tensor1d(labels, 'int32');
      expect(() => loss(o, tensor1d([0, 1, 2, n], 'int32'), own)).toThrow(
        /labels must be integers/,
      );
      expect(() => loss(mul(o, Number.NaN), y, own)).toThrow(/logits must/);
      expect(() => loss(o, tensor1d([0, 1], 'int32'), own)).toThrow(/labels must have shape/);
      expect(() => loss(tensor2d([[1]]), tensor1d([0], 'int32'), own)).toThrow(/2 classes/);
      expect(() => loss(tensor2d([], [0, n]), tensor1d([], 'int32'), own)).toThrow(/empty/);
      expect(() => loss(o, y, { temperature: 1 } as LossOptions)).toThrow(/unknown option/);
      expect(() => loss(o, y, null as never)).toThrow(/options must be an object/);
      expect(() => sphericalSoftmax(o, { eps: 1 } as object)).toThrow(/unknown option "eps"/);
    });
  });
});

describe('zLoss', () => {
  it('does not change with shift and scale; its gradient is orthogonal to both', () => {
    tidy(() => {
      const y = tensor1d(labels, 'int32');
      const o = toTensor(data, [B, n]);
      const moved = add(mul(o, 3), 7);
      expectTensorClose(
        zLoss(moved, y, { reduction: 'none' }),
        zLoss(o, y, { reduction: 'none' }),
        { rtol: 1e-5 },
      );
      const g = grad((x: Tensor) => zLoss(x, y, { reduction: 'sum' }))(o);
      expectTensorClose(sum(g, 1), [0, 0, 0, 0]);
      expectTensorClose(sum(mul(g, o), 1), [0, 0, 0, 0]);
    });
  });

  it('keeps the digits of logits that are close together', () => {
    tidy(() => {
      const close = Float32Array.from(gaussian(3, n), (x) => 5 + 1e-3 * x);
      const o = toTensor(close, [1, n]);
      const g = grad((x: Tensor) => zLoss(x, tensor1d([1], 'int32'), { reduction: 'sum' }))(o);
      const want = sphericalGradient64('zLoss', Array.from(close), 1);
      const scale = Math.max(...want.map(Math.abs));
      expectTensorClose(g, want, { rtol: 0, atol: 1e-5 * scale });
    });
  });

  it('of equal logits is softplus(a b) / a, with gradient 0', () => {
    tidy(() => {
      const o = tensor2d([[1e4, 1e4, 1e4]]);
      const y = tensor1d([1], 'int32');
      const options = { a: 0.5, b: 2 };
      expectTensorClose(zLoss(o, y, options), [Math.log1p(Math.E) / 0.5]);
      expectTensorClose(grad((x: Tensor) => zLoss(x, y, options))(o), [0, 0, 0]);
    });
  });

  it('refuses a <= 0 and b that is not finite', () => {
    tidy(() => {
      const o = tensor2d([[1, 2]]);
      const y = tensor1d([1], 'int32');
      expect(() => zLoss(o, y, { a: 0 })).toThrow('zLoss: a must be a finite number > 0, got 0');
      expect(() => zLoss(o, y, { b: Infinity })).toThrow(/b must be a finite number/);
      expect(() => sphericalSoftmaxLoss(o, y, { epsilon: 0 })).toThrow(/epsilon must be/);
    });
  });
});

describe('probabilities', () => {
  it('sum to 1, and the losses are their negative logarithm', () => {
    tidy(() => {
      const o = toTensor(data, [B, n]);
      for (const [p, name] of [
        [taylorSoftmax(o), 'taylorSoftmax'],
        [sphericalSoftmax(o), 'sphericalSoftmax'],
      ] as const) {
        expectTensorClose(sum(p, 1), [1, 1, 1, 1]);
        const want = rowsOf(data, n).flatMap((row) =>
          row.map((_, c) => Math.exp(-spherical64(name, row, c))),
        );
        expectTensorClose(p, want, { rtol: 1e-5, atol: 1e-7 });
      }
    });
  });
});
