import { assertNoLeaks, seededRandom } from '@orth/backend';
import { Muon, muonUpdate } from '@orth/muon';
import { expectTensorClose } from '@orth/testing';
import {
  stack,
  type Tensor,
  tensor2d,
  transpose,
  unstack,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { muonReference, toMatrix } from './reference.js';

const random = seededRandom(11);
const draw = (rows: number, columns: number) => random.normalTensor([rows, columns]);

describe('a step', () => {
  test.each([
    [4, 9, {}],
    [10, 4, { weightDecay: 0.1, learningRate: 0.3 }],
    [5, 5, { nesterov: false, momentum: 0.8 }],
  ] as const)(
    'of %i × %i follows the formula in float64, each of five steps: %o',
    (m, n, options) => {
      const { momentum: mu = 0.95, ...rest } = options as { momentum?: number };
      const start = draw(m, n);
      let want = {
        weights: toMatrix(start.dataSync(), m, n),
        momentum: toMatrix(new Float32Array(m * n), m, n),
      };
      let [weights, momentum]: Tensor[] = [start.clone(), zeros([m, n])];
      const kernel = variable(start);
      const optimizer = new Muon({ ...options, groups: [{ match: /./, optimizer: 'muon' }] });
      for (let step = 0; step < 5; step++) {
        const gradient = draw(m, n);
        want = muonReference(want.weights, toMatrix(gradient.dataSync(), m, n), want.momentum, {
          ...rest,
          mu,
        });
        ({ weights, momentum } = muonUpdate(weights!, gradient, momentum!, options));
        optimizer.applyGradients([{ name: kernel.name, tensor: gradient }]);
        expectTensorClose(weights, tensor2d(want.weights), { rtol: 1e-3, atol: 1e-4 });
        expectTensorClose(kernel, tensor2d(want.weights), { rtol: 1e-3, atol: 1e-4 });
        expectTensorClose(momentum, tensor2d(want.momentum), { rtol: 1e-5, atol: 1e-6 });
      }
      optimizer.dispose();
      kernel.dispose();
    },
  );
});

test('a batch is as good as one at a time', () => {
  const [weights, gradients, momenta] = [0, 1, 2].map(() => [
    draw(4, 6),
    draw(4, 6),
    draw(4, 6),
  ]) as [Tensor[], Tensor[], Tensor[]];
  const together = muonUpdate(stack(weights), stack(gradients), stack(momenta));
  unstack(together.weights).forEach((got, i) => {
    const alone = muonUpdate(weights[i]!, gradients[i]!, momenta[i]!);
    expectTensorClose(got, alone.weights, { rtol: 1e-5, atol: 1e-6 });
  });
});

test('layouts differ by a transposition', () => {
  const [w, g, m] = [draw(4, 6), draw(4, 6), draw(4, 6)];
  const inOut = muonUpdate(w, g, m, { layout: 'inOut' });
  const outIn = muonUpdate(transpose(w), transpose(g), transpose(m), { layout: 'outIn' });
  expectTensorClose(transpose(outIn.weights), inOut.weights, { rtol: 1e-5, atol: 1e-6 });
});

test('makes three tensors and checks its arguments', async () => {
  const x = draw(4, 4);
  await assertNoLeaks(() => {
    for (const y of Object.values(muonUpdate(x, x, x))) y.dispose();
  });
  expect(() => muonUpdate(zeros([4]), zeros([4]), zeros([4]))).toThrow(/rank >= 2/);
  expect(() => muonUpdate(x, draw(4, 5), x)).toThrow(/gradient must have shape/);
  expect(() => muonUpdate(x, x, x, { momentum: 1 })).toThrow(RangeError);
  expect(() => muonUpdate(x, x, x, { adjustLearningRate: 'double' as never })).toThrow(RangeError);
  expect(() => muonUpdate(x, x, x, { steps: 5 } as never)).toThrow(/unknown option "steps"/);
});
