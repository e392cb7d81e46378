import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import { grad, memory, mul, sum, type Tensor1D, type Tensor2D } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { RandomFeatureRegressor, reluKernel, reluKernelHost } from '../src/index.js';

const random = seededRandom(1);
const make = (shape: number[]) => random.normalTensor(shape);

it('relu kernel: the host kernel, and its gradient by differences', async () => {
  const X = make([4, 3]) as Tensor2D;
  const G = make([4, 4]) as Tensor2D;
  const data = Float64Array.from(await X.data());
  const weights = await G.data();
  const value = (x: Float64Array) =>
    reluKernelHost({ shape: [4, 3], data: x }).data.reduce((s, k, i) => s + k * weights[i]!, 0);
  const want = data.map((_, i) => {
    const moved = (h: number) => value(data.map((x, j) => (i === j ? x + h : x)));
    return (moved(1e-5) - moved(-1e-5)) / 2e-5;
  });
  const K = reluKernel(X);
  expectTensorClose(await K.data(), reluKernelHost({ shape: [4, 3], data }).data);
  const got = grad((x) => sum(mul(reluKernel(x as Tensor2D), G)))(X);
  expectTensorClose(await got.data(), want, { rtol: 2e-4, atol: 2e-5 });
  for (const x of [X, G, K, got]) x.dispose();
});

it('fits from both sides, saves, restores, walks ridges, leaves nothing', async () => {
  const X = make([20, 3]) as Tensor2D;
  const y = make([20]) as Tensor1D;
  const before = memory().numTensors;
  for (const k of [8, 60, Infinity]) {
    for (const features of ['relu', 'fourier'] as const) {
      const model = new RandomFeatureRegressor({ k, features, ridge: 0.01, seed: 3 });
      expect(() => model.predict(X)).toThrow(/must be fitted first/);
      await model.fit(X, y);
      const out = model.predict(X);
      expect(out.shape).toEqual([20]);
      const { mse } = await model.score(X, y);
      const [path] = await model.ridgePath({ X, y }, { X, y }, [0.01]);
      expect(path!.trainError).toBeCloseTo(mse, 4);
      const state = JSON.parse(JSON.stringify(await model.save()));
      const again = RandomFeatureRegressor.restore(state);
      const same = again.predict(X);
      expectTensorClose(await same.data(), await out.data(), { rtol: 0, atol: 0 });
      expect(() => RandomFeatureRegressor.restore({ ...state, version: 2 })).toThrow(/version/);
      for (const x of [out, same, model, again]) x.dispose();
    }
  }
  expect(memory().numTensors).toBe(before);
  const exact = await new RandomFeatureRegressor({ k: 60, seed: 3 }).fit(X, y);
  expect((await exact.score(X, y)).r2).toBeGreaterThan(0.999);
  exact.dispose();
  expect(() => new RandomFeatureRegressor({ k: 0 })).toThrow(/k must be/);
  await expect(exact.fit(X, make([19]) as Tensor1D)).rejects.toThrow(/y must have shape/);
  for (const x of [X, y]) x.dispose();
});
