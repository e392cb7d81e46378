import { CheckpointError } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import {
  concat,
  grad,
  matMul,
  mul,
  reshape,
  sub,
  sum,
  type Tensor,
  tensor1d,
  tensor2d,
  tidy,
  train,
  variable,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { EnsLoss, type EnsLossOptions, inverseBoxCox } from '../src/index.js';
import { gaussian, toTensor } from './reference.js';
import { scoped } from './scoped.js';

const B = 40;
const margins = gaussian(1, B, 2);
const signs = Array.from({ length: B }, (_, i) => (i % 3 ? 1 : -1));
const scores = margins.map((m, i) => m * signs[i]!);

describe('derivatives', () => {
  it.each([0, 0.7, -0.7, 1e-4])(
    'at lambda = %s are those of a convex, calibrated loss',
    (lambda) => {
      scoped(() => {
        const loss = new EnsLoss({ lambda, seed: 3 });
        const d = loss.derivatives(toTensor(margins, [B])).dataSync();
        const order = Array.from(margins.keys()).sort((i, j) => margins[i]! - margins[j]!);
        order.forEach((i, at) => {
          expect(d[i]!).toBeLessThanOrEqual(-9.9e-7);
          expect(d[i]!).toBeGreaterThanOrEqual(-1 - 1.1e-6);
          if (margins[i]! > 1) expect(-d[i]!).toBeLessThanOrEqual(1 / margins[i]! + 1.1e-6);
          else if (at > 0) expect(d[i]!).toBeGreaterThanOrEqual(d[order[at - 1]!]!);
        });
      });
    },
  );

  it('follow a permutation of the batch', () => {
    scoped(() => {
      const z = gaussian(4, B);
      const permutation = Array.from(margins.keys()).sort((i, j) => ((i * 7) % B) - ((j * 7) % B));
      const loss = new EnsLoss();
      const d = loss.derivatives(toTensor(margins, [B]), { z }).dataSync();
      const moved = loss.derivatives(tensor1d(permutation.map((i) => margins[i]!)), { z });
      expectTensorClose(
        moved,
        permutation.map((i) => d[i]!),
        { rtol: 0, atol: 0 },
      );
    });
  });

  it('are at the floor half of the time, and negative for equal margins', () => {
    scoped(() => {
      const zeros = new Float32Array(5000);
      const d = new EnsLoss({ seed: 5 }).derivatives(tensor1d(zeros)).dataSync();
      expect(d.every((x) => x < 0)).toBe(true);
      const share = d.filter((x) => x < -0.9999995).length / 5000;
      expect(Math.abs(share - 0.5)).toBeLessThan(0.03);
    });
  });

  it('take another floor, tail and epsilon', () => {
    scoped(() => {
      const m = tensor1d([4, 0]);
      const z = [1, 0];
      const at = (o: EnsLossOptions) => new EnsLoss({ epsilon: 0, ...o }).derivatives(m, { z });
      expectTensorClose(at({}), [-0.25, -1]);
      expectTensorClose(at({ tailPower: 0 }), [-1, -1]);
      expectTensorClose(at({ tailPower: 2 }), [-1 / 16, -1]);
      expectTensorClose(at({ floor: -2 }), [-0.25, -2]);
      expectTensorClose(at({ floor: -9, epsilon: 0.5 }), [-0.75, -Math.E - 0.5]);
    });
  });
});

describe('call', () => {
  it('has gradient d y / B, for both conventions of labels and any shape', () => {
    scoped(() => {
      const z = gaussian(6, B);
      const loss = new EnsLoss();
      const d = loss.derivatives(toTensor(margins, [B]), { z }).dataSync();
      const want = signs.map((sign, i) => (d[i]! * sign) / B);
      const value = margins.reduce((total, m, i) => total + (d[i]! * m) / B, 0);
      for (const [shape, y] of [
        [[B], tensor1d(signs, 'int32')],
        [[B, 1], reshape(tensor1d(signs), [B, 1])],
        [[B], tensor1d(signs.map((s) => (s + 1) / 2))],
        [[B], tensor1d(signs.map((s) => s > 0) as never, 'bool')],
      ] as const) {
        const f = toTensor(scores, [...shape]);
        expectTensorClose(reshape(loss.call(f, y, { z }), [1]), [value]);
        const g = grad((x: Tensor) => loss.call(x, y, { z }))(f);
        expect(g.shape).toEqual(shape);
        expectTensorClose(g.dataSync(), want);
      }
    });
  });

  it('reduces', () => {
    scoped(() => {
      const z = gaussian(7, B);
      const [f, y] = [toTensor(scores, [B]), tensor1d(signs)];
      const at = (reduction: 'none' | 'mean' | 'sum') =>
        new EnsLoss({ reduction }).call(f, y, { z }).dataSync();
      const total = [...at('none')].reduce((a, b) => a + b);
      expect(at('none').length).toBe(B);
      expectTensorClose(at('sum'), [total]);
      expectTensorClose(at('mean'), [total / B]);
    });
  });

  it('separates separable points, and the same seed gives the same run', () => {
    const points = gaussian(8, 120).map((x, i) => (i % 2 ? x : x + Math.sign(x) * 0.3));
    const rows = Array.from({ length: 60 }, (_, i) => [points[2 * i]!, points[2 * i + 1]!]);
    const y = tensor1d(rows.map(([a]) => (a! > 0 ? 1 : 0)));
    const x = tensor2d(rows);
    const run = (seed: number) => {
      const loss = new EnsLoss({ seed, period: 5 });
      const w = variable(tensor2d([[0.1], [-0.8]]));
      const optimizer = train.sgd(0.5);
      const f = () => reshape(matMul(x, w as never), [60]);
      for (let epoch = 0; epoch < 60; epoch++) {
        loss.onEpochBegin(epoch);
        optimizer.minimize(() => loss.call(f(), y) as never);
      }
      const right = tidy(() => [...mul(f(), sub(mul(y, 2), 1)).dataSync()].every((m) => m > 0));
      const weights = [...w.dataSync()];
      w.dispose();
      optimizer.dispose();
      return { right, weights };
    };
    const first = run(1);
    expect(first.right).toBe(true);
    expect(run(1)).toEqual(first);
    expect(run(2).weights).not.toEqual(first.weights);
    x.dispose();
    y.dispose();
  });

  it('of one example', () => {
    scoped(() => {
      const loss = new EnsLoss().call(tensor1d([-2]), tensor1d([1]), { z: [1] });
      expectTensorClose(loss, [2.000002]);
    });
  });
});

describe('multiclass', () => {
  it('of two classes is call on the difference', () => {
    scoped(() => {
      const z = gaussian(9, B);
      const loss = new EnsLoss({ lambda: 0.3 });
      const zero = toTensor(new Float32Array(B), [B, 1]);
      const y = tensor1d(
        signs.map((s) => (s > 0 ? 1 : 0)),
        'int32',
      );
      const f = toTensor(scores, [B, 1]);
      const wide = (x: Tensor) => loss.multiclass(concat([zero, x], 1), y, { z });
      const binary = (x: Tensor) => loss.call(reshape(x, [B]), y, { z });
      expectTensorClose(wide(f), binary(f));
      expectTensorClose(grad(wide)(f), grad(binary)(f));
    });
  });

  it('has the gradient of the pairwise sum, which is 0 over each row', () => {
    scoped(() => {
      const [N, n] = [5, 4];
      const labels = [0, 3, 1, 2, 2];
      const s = gaussian(10, N * n, 2);
      const z = gaussian(11, N * (n - 1));
      const loss = new EnsLoss({ lambda: -0.4 });
      const pairs = labels.flatMap((y, i) =>
        Array.from({ length: n }, (_, k) => ({ i, y, k })).filter(({ k }) => k !== y),
      );
      const m = pairs.map(({ i, y, k }) => s[i * n + y]! - s[i * n + k]!);
      const d = loss.derivatives(tensor1d(m), { z }).dataSync();
      const want = new Array(N * n).fill(0);
      let value = 0;
      pairs.forEach(({ i, y, k }, at) => {
        want[i * n + y] += d[at]! / pairs.length;
        want[i * n + k] -= d[at]! / pairs.length;
        value += (d[at]! * m[at]!) / pairs.length;
      });
      const f = (x: Tensor) => loss.multiclass(x, tensor1d(labels, 'int32'), { z });
      const logits = toTensor(s, [N, n]);
      expectTensorClose(f(logits), [value]);
      const g = grad(f)(logits);
      expectTensorClose(g, want);
      expectTensorClose(sum(g, 1), new Float32Array(N));
    });
  });
});

describe('state', () => {
  it('continues where it was saved', () => {
    scoped(() => {
      const m = toTensor(margins, [B]);
      const loss = new EnsLoss({ seed: 4, period: 1, tailPower: 2 });
      loss.onEpochBegin(0);
      loss.derivatives(m);
      const saved = JSON.parse(JSON.stringify(loss.toJSON()));
      const copy = EnsLoss.fromJSON(saved);
      expect(copy.lambda).toBe(loss.lambda);
      for (const one of [loss, copy]) one.onEpochBegin(1);
      expectTensorClose(copy.derivatives(m), loss.derivatives(m), { rtol: 0, atol: 0 });
      for (const broken of [
        null,
        {},
        { ...saved, random: [0, 0, 0, 0] },
        { ...saved, lambda: 'x' },
        { ...saved, options: { tau: 1 } },
        { ...saved, more: 1 },
      ]) {
        expect(() => EnsLoss.fromJSON(broken)).toThrow(CheckpointError);
      }
    });
  });

  it('draws lambda at multiples of the period alone', () => {
    const loss = new EnsLoss({ lambda: 0.25, period: 3 });
    const seen = [0, 1, 2, 3].map((epoch) => {
      loss.onEpochBegin(epoch);
      return loss.lambda;
    });
    expect(Math.abs(seen[0]!)).toBeLessThan(1);
    expect(seen[0]).not.toBe(0.25);
    expect(seen[1]).toBe(seen[0]);
    expect(seen[2]).toBe(seen[0]);
    expect(seen[3]).not.toBe(seen[0]);
    const fixed = new EnsLoss({ lambda: 0.25 });
    fixed.onEpochBegin(0);
    expect(fixed.lambda).toBe(0.25);
  });
});

describe('inverseBoxCox', () => {
  it('is exp at 0, continuous there, and has the ends that the definition gives', () => {
    for (const z of [-3, -0.5, 0, 1, 2.5]) {
      expect(inverseBoxCox(z, 0)).toBe(Math.exp(z));
      expect(inverseBoxCox(z, 1e-4) / Math.exp(z) - 1).toBeCloseTo(0, 2);
      expect(inverseBoxCox(z, -1e-9) / Math.exp(z) - 1).toBeCloseTo(0, 7);
    }
    expect(inverseBoxCox(1.5, 0.5)).toBeCloseTo(1.75 ** 2, 12);
    expect(inverseBoxCox(-2, 0.5)).toBe(0);
    expect(inverseBoxCox(2, -0.5)).toBe(Infinity);
    expect(inverseBoxCox(1, -0.5)).toBeCloseTo(4, 12);
  });
});

describe('EnsLoss refuses', () => {
  const f = () => tensor1d([1, -1, 2]);
  const y = () => tensor1d([1, 0, 1]);
  it.each([
    ['other labels', () => new EnsLoss().call(f(), tensor1d([1, 0, 2])), /labels must be all in/],
    ['mixed labels', () => new EnsLoss().call(f(), tensor1d([1, 0, -1])), /labels must be all in/],
    ['another shape', () => new EnsLoss().call(f(), tensor1d([1])), /labels must have shape \[3\]/],
    ['NaN', () => new EnsLoss().call(mul(f(), Number.NaN), y()), /scores must be finite/],
    ['an empty batch', () => new EnsLoss().call(tensor1d([]), tensor1d([])), /must not be empty/],
    [
      'z of another length',
      () => new EnsLoss().call(f(), y(), { z: [1] }),
      /z must hold 3 numbers/,
    ],
    [
      'a period that is no integer',
      () => new EnsLoss({ period: 1.5 }),
      /period must be an integer/,
    ],
    ['a large lambda', () => new EnsLoss({ lambda: 2e3 }), /lambda must be/],
    ['a floor of 0', () => new EnsLoss({ floor: 0 }), /floor must be/],
    ['an unknown option', () => new EnsLoss({ tail: true } as never), /unknown option "tail"/],
    ['a bad epoch', () => new EnsLoss().onEpochBegin(-1), /epoch must be/],
    [
      'classes out of range',
      () => new EnsLoss().multiclass(tensor2d([[1, 2]]), tensor1d([2], 'int32')),
      /labels must be integers in \[0, 2\)/,
    ],
    [
      'infinite logits',
      () => new EnsLoss().multiclass(tensor2d([[1, -Infinity]]), tensor1d([0], 'int32')),
      /logits must be finite/,
    ],
  ] as const)('%s', (_, run, message) => {
    scoped(() => expect(run).toThrow(message));
  });
});
