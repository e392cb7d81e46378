/** The same small list on every backend, against float64 on the host. */
import { expectTensorClose } from '@orth/testing';
import {
  add,
  grad,
  memory,
  mul,
  scalar,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tensor1d,
  tensor2d,
  tensor4d,
  variable,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  compSumLoss,
  EnsLoss,
  fitSurrogate,
  generateMask,
  gradientAscent,
  marginDeltaNorm,
  mwLoss,
  patchify,
  patchReconstructionLoss,
  pgd,
  relativeLossObjective,
  SphericalOutputLayer,
  surrogateSharpness,
  unpatchify,
  zLoss,
} from '../src/index.js';
import {
  compSum64,
  differences,
  gaussian,
  marginDelta64,
  relative64,
  rowsOf,
  toTensor,
} from './reference.js';
import { DenseLayer64, sphericalGradient64 } from './sphericalReference.js';

/** Agreement demanded of every backend: float32 rounding, and exponentials that some devices approximate. */
const TOLERANCE = { rtol: 5e-5, atol: 5e-6 };

/** Runs a case, compares what it gives, and demands that nothing is left. */
async function same(make: () => Tensor, want: ArrayLike<number>, tolerance = TOLERANCE) {
  const got = make();
  expectTensorClose(await got.data(), want, tolerance);
  got.dispose();
}

async function withoutLeaks(run: (inputs: <T extends Tensor>(x: T) => T) => Promise<void>) {
  const before = memory().numTensors;
  const made: Tensor[] = [];
  await run((x) => {
    made.push(x);
    return x;
  });
  for (const x of made) x.dispose();
  expect(memory().numTensors).toBe(before);
}

describe('comp-sum', () => {
  const data = gaussian(1, 15, 2);
  const labels = [4, 0, 2];

  it.each([0.5, 1, 1.0001, 1.7])('value and gradient at tau = %s', (tau) =>
    withoutLeaks(async (hold) => {
      const s = hold(toTensor(data, [3, 5]));
      const y = hold(tensor1d(labels, 'int32'));
      const total = (x: ArrayLike<number>) =>
        rowsOf(x, 5).reduce((all, row, i) => all + compSum64(row, labels[i]!, tau), 0);
      const f = (x: Tensor) => compSumLoss(x, y, { tau, reduction: 'sum' });
      await same(() => f(s), [total(data)]);
      await same(() => grad(f)(s), differences(total, data));
    }),
  );

  it('−Infinity, ±1e4 and soft labels', () =>
    withoutLeaks(async (hold) => {
      const s = hold(tensor2d([1, -Infinity, 0, 1e4, -1e4, 9.9e3], [2, 3]));
      const y = hold(tensor1d([2, 1], 'int32'));
      const q = hold(tensor2d([0.25, 0, 0.75, 0.5, 0.5, 0], [2, 3]));
      const own = [compSum64([1, 0], 1, 1), 2e4];
      const soft = [0.25 * compSum64([1, 0], 0, 1) + 0.75 * own[0]!, 1e4];
      const none = { reduction: 'none' } as const;
      await same(() => compSumLoss(s, y, none), own);
      await same(() => compSumLoss(s, q, none), soft);
      await same(() => compSumLoss(s, y, { tau: 2 }), [(1 - Math.exp(-own[0]!) + 1) / 2]);
      const p = Math.exp(-own[0]!);
      await same(
        () => grad((x: Tensor) => compSumLoss(x, y, { reduction: 'sum' }))(s),
        [1 - p, 0, p - 1, 1, -1, 0],
      );
      await same(
        () => grad((x: Tensor) => compSumLoss(x, q, { reduction: 'sum' }))(s),
        [0.75 - p, 0, p - 0.75, 0.5, -0.5, 0],
      );
    }));

  it('change of margins and the search for the worst', () =>
    withoutLeaks(async (hold) => {
      const x = hold(
        toTensor(
          gaussian(2, 8, 0.1).map((v) => 0.5 + v),
          [2, 4],
        ),
      );
      const before = gaussian(3, 8);
      const s = hold(toTensor(before, [2, 4]));
      const y = hold(tensor1d([3, 1], 'int32'));
      const moved = (z: ArrayLike<number>) =>
        rowsOf(z, 4).map((row, i) => marginDelta64(row, rowsOf(before, 4)[i]!, [3, 1][i]!));
      const after = gaussian(4, 8);
      const t = hold(toTensor(after, [2, 4]));
      await same(() => marginDeltaNorm(t, s, y), moved(after));
      const f = (z: Tensor) => sum(marginDeltaNorm(z, s, y));
      await same(
        () => grad(f)(t),
        differences((z) => moved(z).reduce((a, b) => a + b), after),
      );
      // A linear objective has its maximum in a corner.
      const slopes = [1, -1, 2, -3, 4, 1, -1, -1];
      const w = hold(tensor2d(slopes, [2, 4]));
      const corner = Array.from(await x.data(), (v, i) => v + 0.1 * Math.sign(slopes[i]!));
      await same(() => pgd((z) => sum(mul(z, w)), x, { radius: 0.1, steps: 9, seed: 1 }), corner);
    }));
});

describe('EnsLoss', () => {
  const z = [0.5, -1, 0.1, 2];
  // exp(z), cut at 1, sorted.
  const drawn = [-1, -1, -1, -Math.exp(-1)];

  it('binary', () =>
    withoutLeaks(async (hold) => {
      const f = hold(tensor1d([0.5, 3, -2, 2]));
      const y = hold(tensor1d([1, 1, 0, 0], 'int32'));
      const loss = new EnsLoss();
      // Margins 0.5, 3, 2, −2.
      const d = [drawn[1]!, drawn[3]! / 3, drawn[2]! / 2, drawn[0]!].map((v) => v - 1e-6);
      await same(
        () => grad((x: Tensor) => loss.call(x, y, { z }))(f),
        [d[0]! / 4, d[1]! / 4, -d[2]! / 4, -d[3]! / 4],
      );
    }));

  it('multiclass', () =>
    withoutLeaks(async (hold) => {
      const s = hold(tensor2d([0.2, 0.7, -0.1, 2, 0, 1], [2, 3]));
      const y = hold(tensor1d([1, 1], 'int32'));
      const loss = new EnsLoss();
      // Margins 0.5 and 0.8, −2 and −1.
      const [a, b, c, d] = [2, 3, 0, 1].map((i) => (drawn[i]! - 1e-6) / 4) as [
        number,
        number,
        number,
        number,
      ];
      await same(() => loss.multiclass(s, y, { z }), [a * 0.5 + b * 0.8 - c * 2 - d]);
      await same(
        () => grad((x: Tensor) => loss.multiclass(x, y, { z }))(s),
        [-a, a + b, -b, -c, c + d, -d],
      );
    }));
});

describe('hard patches', () => {
  it('relative objective', () =>
    withoutLeaks(async (hold) => {
      const e = gaussian(5, 10, 2);
      const l = [3, 1, 1, 0, 2, 0.5, 0.25, 0.75, 0.1, 0.1];
      const predictions = hold(toTensor(e, [2, 5]));
      const targets = hold(toTensor(l, [2, 5]));
      const reference = (x: ArrayLike<number>) => relative64(rowsOf(x, 5), rowsOf(l, 5));
      const f = (x: Tensor) => relativeLossObjective(x, targets);
      await same(() => f(predictions), [reference(e)]);
      await same(() => grad(f)(predictions), differences(reference, e));
    }));

  it('masks', () =>
    withoutLeaks(async (hold) => {
      const e = hold(tensor2d([5, 1, 4, 2, 3, 0, -1, -2], [2, 4]));
      const noise = hold(tensor2d([0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6], [2, 4]));
      await same(() => generateMask(e, { alpha: 0.5, noise }), [1, 1, 0, 1, 1, 1, 0, 1]);
      await same(() => generateMask(e, { alpha: 1, maskRatio: 0.5 }), [1, 0, 1, 0, 1, 1, 0, 0]);
    }));

  it('patches and their reconstruction', () =>
    withoutLeaks(async (hold) => {
      const pixels = Array.from({ length: 16 }, (_, i) => i);
      const images = hold(tensor4d(pixels, [1, 4, 4, 1]));
      const patches = hold(patchify(images, 2));
      expectTensorClose(
        await patches.data(),
        [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15],
      );
      await same(() => unpatchify(patches, 2), pixels);
      const mask = hold(tensor2d([[0, 1, 0, 1]], [1, 4], 'int32'));
      const guess = hold(toTensor([2, 3, 6, 8, 10, 11, 12, 15], [1, 2, 4]));
      const { mean, perPatch } = patchReconstructionLoss(guess, images, mask, { patchSize: 2 });
      hold(mean);
      hold(perPatch);
      expectTensorClose(await perPatch.data(), [0.25, 1]);
      expectTensorClose(await mean.data(), [0.625]);
    }));
});

describe('large output layers', () => {
  it('spherical losses at close and at huge logits', () =>
    withoutLeaks(async (hold) => {
      const close = Float32Array.from(gaussian(6, 10), (x) => 5 + 1e-3 * x);
      const o = hold(toTensor(close, [2, 5]));
      const y = hold(tensor1d([1, 4], 'int32'));
      const want = rowsOf(close, 5).flatMap((row, i) =>
        sphericalGradient64('zLoss', row, [1, 4][i]!),
      );
      const size = Math.max(...want.map(Math.abs));
      const slope = (x: Tensor) => grad((v: Tensor) => zLoss(v, y, { reduction: 'sum' }))(x);
      await same(() => slope(o), want, { rtol: 0, atol: 1e-5 * size });
      const huge = hold(toTensor([1e30, -1e30, 1, 0, 2, 3, 3, 3, 3, 3], [2, 5]));
      const g = hold(slope(huge));
      expect([...(await g.data())].every(Number.isFinite)).toBe(true);
    }));

  it('a layer trained and asked without a synchronous read', () =>
    withoutLeaks(async (hold) => {
      const W0 = gaussian(7, 60, 0.3);
      const layer = new SphericalOutputLayer({ classes: 20, inputSize: 3, initialWeights: W0 });
      const dense = new DenseLayer64(20, 3, W0, 'zLoss');
      const data = gaussian(8, 6);
      const h = hold(toTensor(data, [2, 3]));
      const y = hold(tensor1d([4, 19], 'int32'));
      const step = await layer.trainStepAsync(h, y, { learningRate: 0.5 });
      const want = dense.step(rowsOf(data, 3), [[4], [19]], [0.5, 0.5], 0.5);
      await same(() => step.hiddenGradient, want.gradients.flat());
      await same(() => layer.weights(), dense.W);
      const logits = dense.logits(rowsOf(data, 3)[0]!);
      const { indices, logits: best } = await layer.topK(h, 2);
      expect((await hold(indices).data())[0]).toBe(logits.indexOf(Math.max(...logits)));
      hold(best);
    }));
});

describe('ranking', () => {
  it('pairs in blocks, negatives left out', () =>
    withoutLeaks(async (hold) => {
      const q = hold(toTensor(gaussian(9, 12), [4, 3]) as Tensor2D);
      const p = hold(toTensor(gaussian(10, 12), [4, 3]) as Tensor2D);
      const documentIds = hold(tensor1d([1, 2, 1, 3], 'int32'));
      const S = await scoresOf(q, p);
      const negatives = S.flatMap((row, i) =>
        row.filter((_, j) => i !== j && !(i % 2 === 0 && j % 2 === 0)),
      );
      const softplus = (x: number) => Math.log1p(Math.exp(x));
      const total = S.reduce(
        (t, row, i) => t + negatives.reduce((u, x) => u + softplus((x - row[i]!) / 0.5), 0),
        0,
      );
      const options = { temperature: 0.5, documentIds, maxPairs: 30, method: 'blocks' } as const;
      await same(() => mwLoss(q, p, options), [total / 4 / negatives.length]);
      const slope = () => grad((x: Tensor) => mwLoss(x as Tensor2D, p, options))(q);
      const whole = hold(
        grad((x: Tensor) => mwLoss(x as Tensor2D, p, { ...options, maxPairs: 1000 }))(q),
      );
      await same(slope, await whole.data());
    }));
});

describe('surrogates', () => {
  it('may have more variables than a device binds buffers', () =>
    withoutLeaks(async (hold) => {
      const weights = Array.from({ length: 12 }, (_, i) => hold(variable(hold(scalar(i)))));
      const x = () => weights.reduce<Tensor>((total, w) => add(total, w), scalar(0));
      const norm = await surrogateSharpness(weights, () => mul(3, x()), { rho: 1 });
      expect(norm).toBeCloseTo(3 * Math.sqrt(12), 5);
    }));

  it('fit under the constraint and are searched', () =>
    withoutLeaks(async (hold) => {
      const data = gaussian(11, 12);
      const x = hold(toTensor(data, [6, 2]) as Tensor2D);
      const y = hold(toTensor(gaussian(12, 6), [6]) as Tensor1D);
      const surrogate = await fitSurrogate(x, y, { hidden: [4], epochs: 1, ignite: {} });
      expect(surrogate.lambda).toBeGreaterThan(0);
      const found = hold(gradientAscent(surrogate.predict, x, { steps: 2 }));
      const better = hold(surrogate.predict(found));
      const before = hold(surrogate.predict(x));
      const [a, b] = [await better.data(), await before.data()];
      expect(a.every((v, i) => v > b[i]!)).toBe(true);
      surrogate.dispose();
    }));
});

/** Cosines in float64. */
async function scoresOf(q: Tensor2D, p: Tensor2D): Promise<number[][]> {
  const [a, b] = [rowsOf(await q.data(), 3), rowsOf(await p.data(), 3)];
  return a.map((u) =>
    b.map((v) => u.reduce((t, x, j) => t + x * v[j]!, 0) / Math.hypot(...u) / Math.hypot(...v)),
  );
}
