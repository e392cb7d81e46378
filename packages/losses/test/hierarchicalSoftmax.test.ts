import { expectTensorClose } from '@orth/testing';
import {
  exp,
  grads,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  tensor1d,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { hierarchicalLogProbabilities, hierarchicalSoftmaxLoss } from '../src/index.js';
import { differences, gaussian, toTensor } from './reference.js';
import { scoped } from './scoped.js';

const [m, d] = [3, 2];

/** Weights of g groups of n slots, flat. */
const parts = (g: number, n: number) => ({
  sizes: [m * d, d * g, g, g * d * n, g * n],
  shapes: [[m, d], [d, g], [g], [g, d, n], [g, n]],
});

const loss = ([h, W1, b1, W2, b2]: Tensor[], labels: Tensor) =>
  hierarchicalSoftmaxLoss(h as Tensor2D, labels, {
    groupWeights: W1 as Tensor2D,
    groupBiases: b1 as Tensor1D,
    slotWeights: W2 as Tensor3D,
    slotBiases: b2 as Tensor2D,
  });

/** The mean of −log p(c) in float64. */
function reference(x: ArrayLike<number>[], labels: number[], g: number, n: number): number {
  const [h, W1, b1, W2, b2] = x as [number[], number[], number[], number[], number[]];
  const logSoftmaxAt = (scores: number[], at: number) =>
    scores[at]! - Math.log(scores.reduce((total, s) => total + Math.exp(s), 0));
  let total = 0;
  for (const [i, c] of labels.entries()) {
    const [group, slot] = [Math.floor(c / n), c % n];
    const dot = (weight: (j: number) => number) =>
      Array.from({ length: d }, (_, j) => h[i * d + j]! * weight(j)).reduce((a, b) => a + b);
    const groups = Array.from({ length: g }, (_, k) => dot((j) => W1[j * g + k]!) + b1[k]!);
    const slots = Array.from(
      { length: n },
      (_, k) => dot((j) => W2[(group * d + j) * n + k]!) + b2[group * n + k]!,
    );
    total -= logSoftmaxAt(groups, group) + logSoftmaxAt(slots, slot);
  }
  return total / labels.length;
}

describe('hierarchicalSoftmaxLoss', () => {
  it.each([
    [3, 2],
    [1, 4],
    [4, 1],
    [1, 1],
  ])('value and gradients, %i groups of %i slots', (g, n) => {
    scoped(() => {
      const { sizes, shapes } = parts(g, n);
      const data = sizes.map((size, i) => gaussian(20 + i, size));
      const labels = [0, g * n - 1, Math.floor((g * n) / 2)];
      const y = tensor1d(labels, 'int32');
      const tensors = data.map((x, i) => toTensor(x, shapes[i]!));
      expectTensorClose(loss(tensors, y), [reference(data, labels, g, n)]);
      const slopes = grads((...x: Tensor[]) => loss(x, y))(tensors);
      for (const [i, slope] of slopes.entries()) {
        const at = (x: ArrayLike<number>) =>
          reference(
            data.map((other, j) => (j === i ? x : other)),
            labels,
            g,
            n,
          );
        expectTensorClose(slope, differences(at, data[i]!));
      }
      const [h, W1, b1, W2, b2] = tensors;
      const table = hierarchicalLogProbabilities(h as Tensor2D, {
        groupWeights: W1 as Tensor2D,
        groupBiases: b1 as Tensor1D,
        slotWeights: W2 as Tensor3D,
        slotBiases: b2 as Tensor2D,
      });
      expect(table.shape).toEqual([m, g * n]);
      expectTensorClose(sum(exp(table), -1), [1, 1, 1]);
    });
  });
});
