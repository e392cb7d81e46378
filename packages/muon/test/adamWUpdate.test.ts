import { assertNoLeaks, seededRandom } from '@orth/backend';
import { adamWUpdate } from '@orth/muon';
import { expectTensorClose } from '@orth/testing';
import { tensor, zeros } from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { adamWReference } from './reference.js';

const random = seededRandom(3);
const draw = (n: number) => Array.from({ length: n }, () => random.normal());

test.each([
  {},
  { learningRate: 0.1, beta1: 0.8, beta2: 0.99, epsilon: 1e-3, weightDecay: 0.2 },
  { beta1: 0, beta2: 0 },
])('follows the formula in float64 over ten steps: %o', (options) => {
  let want = { weights: draw(6), m: Array<number>(6).fill(0), v: Array<number>(6).fill(0) };
  let weights = tensor(want.weights, [2, 3]);
  let [firstMoment, secondMoment] = [zeros([2, 3]), zeros([2, 3])];
  for (let step = 1; step <= 10; step++) {
    const gradient = draw(6);
    want = adamWReference(want.weights, gradient, want.m, want.v, step, options);
    const g = tensor(gradient, [2, 3]);
    const next = adamWUpdate(weights, g, { firstMoment, secondMoment }, { step, ...options });
    for (const x of [g, weights, firstMoment, secondMoment]) x.dispose();
    ({ weights, firstMoment, secondMoment } = next);
    expectTensorClose(weights, tensor(want.weights, [2, 3]), { rtol: 1e-5, atol: 1e-6 });
  }
  expectTensorClose(firstMoment, want.m, { rtol: 1e-5, atol: 1e-7 });
  expectTensorClose(secondMoment, want.v, { rtol: 1e-5, atol: 1e-7 });
});

test('cautious decay shrinks only weights that move towards 0', () => {
  const weights = tensor([1, -1, 1, -1]);
  const gradient = tensor([1, 1, -1, -1]);
  const none = { firstMoment: zeros([4]), secondMoment: zeros([4]) };
  const options = { step: 1, learningRate: 0.1, weightDecay: 0.5 };
  const next = adamWUpdate(weights, gradient, none, { ...options, weightDecayMode: 'cautious' });
  // The first update is ±lr; W·update >= 0 for the first and the last.
  expectTensorClose(next.weights, [0.85, -1.1, 1.1, -0.85], { rtol: 1e-6, atol: 0 });
});

test('makes three tensors and checks its arguments', async () => {
  const x = zeros([3]);
  const state = { firstMoment: x, secondMoment: x };
  await assertNoLeaks(() => {
    for (const y of Object.values(adamWUpdate(x, x, state, { step: 1 }))) y.dispose();
  });
  expect(() => adamWUpdate(x, zeros([4]), state, { step: 1 })).toThrow(/gradient must have shape/);
  expect(() => adamWUpdate(x, x, state, { step: 0 })).toThrow(RangeError);
  expect(() => adamWUpdate(x, x, state, { step: 1, beta2: 1 })).toThrow(RangeError);
  expect(() => adamWUpdate(x, x, state, { step: 1, eps: 1 } as never)).toThrow(/unknown option/);
});
