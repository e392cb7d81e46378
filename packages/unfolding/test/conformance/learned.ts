/** Unrolled steps and proximal networks against float64 on the host. */
import { expectTensorClose } from '@orth/testing';
import {
  grad,
  memory,
  mul,
  type Scalar,
  square,
  sum,
  type Tensor,
  tidy,
  variableGrads,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { LPN, softThreshold, UnfoldedSparseRecovery } from '../../src/index.js';
import { differences, gaussian, toTensor, unrolled64 } from '../reference.js';

const TOLERANCE = { rtol: 1e-3, atol: 1e-4 };

/** Compares what a case gives, and demands that nothing is left. */
async function same(make: () => Tensor, want: ArrayLike<number>) {
  const got = tidy(make);
  expectTensorClose(await got.data(), want, TOLERANCE);
  got.dispose();
}

describe('unrolled steps', () => {
  it.each(['ista', 'iht'] as const)('%s: value and gradient in the step sizes', async (kind) => {
    const before = memory().numTensors;
    const [m, n] = [4, 6];
    const a = gaussian(1, m * n, 0.5);
    const y = gaussian(2, m);
    const steps = [0.4, 0.3];
    const A = toTensor(a, [m, n]);
    const Y = toTensor(y, [1, m]);
    const net = new UnfoldedSparseRecovery(A, { kind, lambda: 0.1, layers: 2, init: steps });
    const run = (s: ArrayLike<number>) => unrolled64(kind, a, y, n, 0.1, s);
    await same(() => net.apply(Y), run(steps));
    const loss = (s: ArrayLike<number>) => run(s).reduce((t, v) => t + v * v, 0);
    const gradient = () => {
      const { grads } = variableGrads(() => sum(square(net.apply(Y))) as Scalar, [net.stepSizes]);
      return Object.values(grads)[0]!;
    };
    await same(gradient, differences(loss, steps, 1e-6));
    net.dispose();
    A.dispose();
    Y.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it('soft thresholds', async () => {
    const z = toTensor([-2, 0, 0.5, 3], [4]);
    await same(() => softThreshold(z, 1), [-1, 0, 0, 2]);
    z.dispose();
  });
});

describe('proximal networks', () => {
  it('convolutions: apply is the gradient of scalar, and its own derivatives are right', async () => {
    const before = memory().numTensors;
    const model = new LPN({
      architecture: 'conv',
      size: [4, 4],
      hidden: 2,
      strides: [1, 2],
      dense: 3,
      beta: 5,
      seed: 3,
    });
    const x = toTensor(gaussian(4, 16), [1, 4, 4, 1]);
    const w = toTensor(gaussian(5, 16), [1, 4, 4, 1]);
    const f = tidy(() => model.apply(x));
    await same(() => grad((v: Tensor) => sum(model.scalar(v)))(x), await f.data());
    f.dispose();
    // Along the weight U1, by a central difference.
    const U = model.weights.U1!;
    const direction = gaussian(6, U.size);
    const initial = await U.data();
    const value = async (h: number) => {
      const moved = toTensor(
        initial.map((u, i) => u + h * direction[i]!),
        [...U.shape],
      );
      U.assign(moved);
      moved.dispose();
      const loss = tidy(() => sum(mul(model.apply(x), w)));
      const [v] = await loss.data();
      loss.dispose();
      return v!;
    };
    const slope = ((await value(0.01)) - (await value(-0.01))) / 0.02;
    await value(0);
    const along = tidy(() => {
      const { grads } = variableGrads(() => sum(mul(model.apply(x), w)) as Scalar, [U]);
      return sum(mul(grads[U.name]!, toTensor(direction, [...U.shape])));
    });
    const [got] = await along.data();
    along.dispose();
    expect(Math.abs(got! - slope)).toBeLessThan(1e-2 * Math.max(Math.abs(slope), 1));
    model.dispose();
    x.dispose();
    w.dispose();
    expect(memory().numTensors).toBe(before);
  });
});
