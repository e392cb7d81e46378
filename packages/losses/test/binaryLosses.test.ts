import { expectTensorClose } from '@orth/testing';
import { grad, memory, type Tensor, tensor1d, tidy } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  exponentialLoss,
  focalLoss,
  hingeLoss,
  type LossOptions,
  logisticLoss,
} from '../src/index.js';
import { differences, gaussian, toTensor } from './reference.js';

const scores = gaussian(1, 12, 2);
const labels = Array.from({ length: 12 }, (_, i) => i % 2);
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

const cases = [
  ['logistic', logisticLoss, (m: number) => Math.log1p(Math.exp(-m))],
  ['hinge', hingeLoss, (m: number) => Math.max(0, 1 - m)],
  ['exponential', exponentialLoss, (m: number) => Math.exp(-m)],
  ['focal', focalLoss, (m: number) => sigmoid(-m) ** 2 * Math.log1p(Math.exp(-m))],
  [
    'focal, gamma 0.5',
    (f: Tensor, y: Tensor, o?: LossOptions) => focalLoss(f, y, { ...o, gamma: 0.5 }),
    (m: number) => sigmoid(-m) ** 0.5 * Math.log1p(Math.exp(-m)),
  ],
] as const;

describe.each(cases)('%s', (name, loss, reference) => {
  it('has the value and the gradient of the definition', () => {
    const before = memory().numTensors;
    tidy(() => {
      const f = toTensor(scores, [12]);
      const total = (x: number[]) =>
        x.reduce((sum, v, i) => sum + reference(labels[i]! ? v : -v), 0);
      for (const y of [tensor1d(labels, 'int32'), tensor1d(labels.map((l) => 2 * l - 1))]) {
        const want = Array.from(scores, (v, i) => reference(labels[i]! ? v : -v));
        expectTensorClose(loss(f, y, { reduction: 'none' }), want);
        expectTensorClose(loss(f, y), [want.reduce((a, b) => a + b) / 12]);
        const g = grad((x: Tensor) => loss(x, y, { reduction: 'sum' }))(f);
        expectTensorClose(g, differences(total, scores));
      }
    });
    expect(memory().numTensors).toBe(before);
  });

  it('is finite with a finite gradient at ±1e4, or says where it is not', () => {
    tidy(() => {
      const f = tensor1d([1e4, -1e4]);
      const y = tensor1d([1, 1]);
      const values = loss(f, y, { reduction: 'none' }).dataSync();
      const g = grad((x: Tensor) => loss(x, y, { reduction: 'sum' }))(f).dataSync();
      expect(values[0]).toBe(0);
      expect(Math.abs(g[0]!)).toBe(0);
      if (name === 'exponential') {
        expect([values[1], g[1]]).toEqual([Infinity, -Infinity]);
      } else {
        expect(Math.abs(values[1]! - 1e4)).toBeLessThan(1.1);
        expect(g[1]).toBeCloseTo(-1, 5);
      }
    });
  });

  it('refuses what is no binary problem', () => {
    tidy(() => {
      const f = tensor1d([1, 2]);
      expect(() => loss(f, tensor1d([0.5, 1]))).toThrow(/labels must be all in/);
      expect(() => loss(f, tensor1d([1]))).toThrow(/labels must have shape/);
      expect(() => loss(tensor1d([Number.NaN, 1]), f)).toThrow(/scores must be finite/);
      expect(() => loss([1, 2] as never, f)).toThrow(/scores must be a tensor/);
      expect(() => loss(f, tensor1d([0, 1]), { beta: 1 } as never)).toThrow(/unknown option/);
    });
  });
});

it('focalLoss refuses a negative gamma', () => {
  tidy(() => {
    const f = tensor1d([1]);
    expect(() => focalLoss(f, f, { gamma: -1 })).toThrow(/gamma must be/);
  });
});
