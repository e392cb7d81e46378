/** What the fixtures do not reach, on every backend, against float64 on the host. */
import {
  encodeSparse,
  maskMeasurement,
  OnlineOrthogonalDictionary,
  rankOneMeasurement,
  structuredNorm,
} from '@orth/recovery';
import { expectTensorClose } from '@orth/testing';
import {
  grad,
  memory,
  type Tensor,
  type Tensor2D,
  tensor1d,
  tensor2d,
} from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';

const TOLERANCE = { rtol: 5e-5, atol: 5e-6 };

async function same(got: Tensor, want: readonly number[]) {
  expectTensorClose(await got.data(), want, TOLERANCE);
  got.dispose();
}

it('measurements of entries and by rank-one matrices', async () => {
  const before = memory().numTensors;
  const A = maskMeasurement([
    [0, 1, 1],
    [1, 0, 0],
  ]);
  const X = tensor2d([1, 2, 3, 4, 5, 6], [2, 3]);
  const v = tensor1d([10, 20, 30]);
  await same(A.apply(X), [2, 3, 4]);
  await same(A.adjoint(v), [0, 10, 20, 30, 0, 0]);
  const vectors = tensor2d([1, 2, 3, -1], [2, 2]);
  const B = rankOneMeasurement(vectors);
  const S = tensor2d([1, 2, 2, 5], [2, 2]);
  const w = tensor1d([1, 2]);
  await same(B.apply(S), [29, 2]);
  await same(B.adjoint(w), [19, -4, -4, 6]);
  for (const x of [X, v, vectors, S, w, A, B]) x.dispose?.();
  expect(memory().numTensors).toBe(before);
});

it('sparse codes', async () => {
  const D = tensor2d([1, 0, 0, 0, 1, 0, 0, 0, 1], [3, 3]);
  const Y = tensor2d([1, -5, -3, 2, 2, 0.5], [3, 2]);
  await same(encodeSparse(D, Y, { k: 1 }), [0, -5, -3, 0, 0, 0]);
  await same(encodeSparse(D, Y, { threshold: 2 }), [0, -5, -3, 2, 2, 0]);
  await same(encodeSparse(D, Y, { threshold: 2, mode: 'soft' }), [0, -3, -1, 0, 0, 0]);
  D.dispose();
  Y.dispose();
});

it('a dictionary refuses NaN and goes on as it was', async () => {
  const learner = new OnlineOrthogonalDictionary(3, { seed: 1 });
  await learner.updateAsync([[1], [2], [3]]);
  const before = await learner.state();
  const bad = tensor2d([1, Number.NaN, 2], [3, 1]);
  await expect(learner.updateAsync(bad)).rejects.toThrow(/must be finite, got NaN at index 1/);
  expect(await learner.state()).toEqual(before);
  bad.dispose();
  learner.dispose();
});

it('the structured norm at zeros', async () => {
  const C = tensor2d([0, 4, 0, 0, 0, 0, -9, 0, 0], [3, 3]);
  const labels = tensor1d([0, 1, 1], 'int32');
  await same(structuredNorm(C, labels), [2 * (2 + 3)]);
  const g = grad((c: Tensor) => structuredNorm(c as Tensor2D, labels))(C);
  await same(g, [0, 0.5, 0, 0, 0, 0, -1 / 3, 0, 0]);
  C.dispose();
  labels.dispose();
});
