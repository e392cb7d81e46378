import { assertNoLeaks, seededRandom } from '@orth/backend';
import { qkClip, scaleHeads } from '@orth/muon';
import { expectTensorClose } from '@orth/testing';
import { transpose, zeros } from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';

const random = seededRandom(4);
const [wq, wk] = [random.normalTensor([5, 6]), random.normalTensor([5, 6])];

test('heads at or below the threshold stay as they are, to the last bit', () => {
  const { query, key, gamma } = qkClip(wq, wk, [100, -3, 0], { heads: 3 });
  expect([...gamma.dataSync()]).toEqual([1, 1, 1]);
  expect(query.dataSync()).toEqual(wq.dataSync());
  expect(key.dataSync()).toEqual(wk.dataSync());
});

test('a head above it is scaled so that its logits come down to it', () => {
  const { query, key, gamma } = qkClip(wq, wk, [8, 2], { heads: 2, threshold: 2 });
  expectTensorClose(gamma, [0.25, 1]);
  const factors = [0.5, 0.5, 0.5, 1, 1, 1];
  const scaled = (w: ArrayLike<number>) => Array.from(w, (value, i) => value * factors[i % 6]!);
  expectTensorClose(query, scaled(wq.dataSync()));
  expectTensorClose(key, scaled(wk.dataSync()));
});

test('the other layout is the transpose', () => {
  const options = { heads: 2, threshold: 1 };
  const want = qkClip(wq, wk, [3, 5], options);
  const got = qkClip(transpose(wq), transpose(wk), [3, 5], { ...options, layout: 'outIn' });
  expectTensorClose(transpose(got.query), want.query);
  expectTensorClose(transpose(got.key), want.key);
  const factors = zeros([3]);
  expectTensorClose(scaleHeads(wq, factors), zeros([5, 6]));
});

test('makes three tensors and checks its arguments', async () => {
  await assertNoLeaks(() => {
    for (const x of Object.values(qkClip(wq, wk, [1, 2], { heads: 2 }))) x.dispose();
  });
  expect(() => qkClip(wq, wk, [1, 2, 3, 4], { heads: 4 })).toThrow(
    /heads must divide the output size of wq/,
  );
  expect(() => qkClip(wq, wk, [1], { heads: 2 })).toThrow(/maxLogits must have 2 numbers/);
  expect(() => qkClip(wq, wk, [1, Number.NaN], { heads: 2 })).toThrow(RangeError);
  expect(() => qkClip(wq, wk, [1, 2], { heads: 2, threshold: 0 })).toThrow(RangeError);
  expect(() => qkClip(wq, wk, [1, 2], { heads: 2, tau: 1 } as never)).toThrow(/unknown option/);
  expect(() => qkClip(zeros([6]), wk, [1, 2], { heads: 2 })).toThrow(/rank 2/);
});
