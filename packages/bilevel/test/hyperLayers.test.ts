/** Layers: what holds of the best-response branch, of linearised passes, of dropout and augmentations. */
import { type Random, seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import {
  add,
  mean,
  memory,
  mul,
  ones,
  sub,
  sum,
  type Tensor,
  tensor1d,
  tidy,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  brightness,
  cutout,
  type HyperContext,
  type HyperLayer,
  hyperActivation,
  hyperAvgPool,
  hyperConv2d,
  hyperDense,
  hyperDropout,
  hyperFlatten,
  hyperMaxPool,
  hyperSequential,
  inputNoise,
} from '../src/index.js';

const contextOf = (
  random: Random,
  h: Tensor | null,
  rest: Partial<HyperContext> & { values?: Record<string, Tensor> } = {},
): HyperContext => ({
  h,
  linearized: false,
  training: true,
  random,
  value: (name) => rest.values![name]!,
  ...rest,
});

function scoped(check: (random: Random) => void): void {
  const before = memory().numTensors;
  tidy(() => check(seededRandom(30)));
  expect(memory().numTensors).toBe(before);
}

const layersOf = (
  random: Random,
): [string, HyperLayer & { weights: { toScalars: never } }, number[]][] =>
  [
    ['dense', hyperDense({ inputs: 5, units: 4, hyperparameters: 3, random }), [6, 5]],
    [
      'conv',
      hyperConv2d({ inputs: 2, filters: 3, kernelSize: 3, hyperparameters: 3, random }),
      [6, 4, 4, 2],
    ],
  ] as never;

describe('hyper-layers', () => {
  it('are linear in h, plain for null, and do not depend on h where T is 0', () =>
    scoped((random) => {
      for (const [, layer, shape] of layersOf(random)) {
        const x = random.normalTensor(shape);
        const [h1, h2] = [random.normalTensor([6, 3]), random.normalTensor([6, 3])];
        const at = (h: Tensor | null) => layer.apply({ value: x }, contextOf(random, h)).value;
        const plain = at(null);
        expectTensorClose(at(zerosLike(h1)), plain);
        const both = sub(at(add(h1, mul(2, h2))), plain);
        expectTensorClose(both, add(sub(at(h1), plain), mul(2, sub(at(h2), plain))), {
          atol: 1e-5,
        });
        const { toScalars } = layer.weights as unknown as {
          toScalars: { assign(t: Tensor): void } & Tensor;
        };
        toScalars.assign(zerosLike(toScalars));
        expectTensorClose(at(h1), plain);
        layer.dispose();
        layer.dispose();
      }
    }));

  it('squared norms are those of the weights of each example', () =>
    scoped((random) => {
      const layer = hyperDense({ inputs: 5, units: 4, hyperparameters: 3, random });
      const { kernel, responseKernel, toScalars } = layer.weights;
      const h = random.normalTensor([2, 3]);
      toScalars.assign(random.normalTensor([3, 8]) as never);
      const [W, R, T, H] = [kernel, responseKernel, toScalars, h].map((t) => t.dataSync());
      const want = [0, 1].map((b) => {
        let total = 0;
        for (let o = 0; o < 4; o++) {
          const s = [0, 1, 2].reduce((t, i) => t + H![b * 3 + i]! * T![i * 8 + o]!, 0);
          for (let i = 0; i < 5; i++) total += (W![i * 4 + o]! + s * R![i * 4 + o]!) ** 2;
        }
        return total;
      });
      expectTensorClose(layer.squaredNorm(h), want, { rtol: 1e-4 });
      layer.dispose();
    }));

  it('begin as in STN or in Δ-STN', () =>
    scoped((random) => {
      const own = { inputs: 50, units: 40, hyperparameters: 2, random };
      const [stn, delta] = [hyperDense(own), hyperDense({ ...own, initialization: 'delta' })];
      const bound = 1 / Math.sqrt(50);
      for (const { weights } of [stn, delta]) {
        const W = weights.kernel.dataSync();
        expect(Math.max(...W)).toBeLessThan(bound);
        expect(Math.min(...W)).toBeGreaterThan(-bound);
        expect(Math.max(...W)).toBeGreaterThan(0.9 * bound);
      }
      expect(stn.weights.scale!.dataSync()[0]).toBe(1);
      expect(delta.weights.scale).toBeUndefined();
      expect(sum(mul(delta.weights.toScalars, 1)).dataSync()[0]).toBe(0);
      expect(stn.general).toHaveLength(3);
      expect(delta.general).toHaveLength(2);
      stn.dispose();
      delta.dispose();
    }));

  it('the linearised pass is exact at 0 and off by O(‖δ‖²)', () =>
    scoped((random) => {
      const own = { hyperparameters: 2, random, initialization: 'delta' as const };
      const dense = (inputs: number, units: number) => hyperDense({ ...own, inputs, units });
      const conv = hyperConv2d({ ...own, inputs: 1, filters: 2, kernelSize: 3 });
      const model = hyperSequential([
        conv,
        hyperActivation('tanh'),
        hyperMaxPool(2),
        hyperAvgPool(1),
        hyperFlatten(),
        dense(8, 5),
        hyperActivation('sigmoid'),
        dense(5, 5),
        hyperActivation('relu'),
        dense(5, 3),
        hyperActivation('linear'),
      ]);
      for (const v of model.response) {
        v.assign(random.normalTensor(v.shape, 0, 0.5) as never);
      }
      const x = random.normalTensor([3, 4, 4, 1]);
      const delta = random.normalTensor([3, 2]);
      const exact = (h: Tensor | null) => model.apply({ value: x }, contextOf(random, h)).value;
      const errorAt = (r: number) => {
        const h = mul(delta, r);
        const { value, tangent } = model.apply(
          { value: x },
          contextOf(random, h, { linearized: true }),
        );
        expectTensorClose(value, exact(null));
        const error = sub(exact(h), add(value, tangent!)).dataSync();
        return Math.hypot(...error);
      };
      expect(errorAt(0)).toBeLessThan(1e-6);
      const [far, near] = [errorAt(0.1), errorAt(0.05)];
      expect(near).toBeGreaterThan(0);
      expect(far / near).toBeGreaterThan(3);
      expect(far / near).toBeLessThan(5.5);
      model.dispose();
    }));
});

describe('dropout', () => {
  it('has the rate of each example, keeps the mean, and drops whole channels', () =>
    scoped((random) => {
      const p = tensor1d([0, 0.5, 0.8]);
      const layer = hyperDropout('p');
      const drop = (x: Tensor, training = true) =>
        layer.apply({ value: x }, contextOf(random, null, { training, values: { p } })).value;
      const x = ones([3, 4000]);
      const y = drop(x).arraySync() as number[][];
      expect(y[0]!.every((value) => value === 1)).toBe(true);
      for (const [i, rate] of [0, 0.5, 0.8].entries()) {
        const kept = y[i]!.filter((value) => value !== 0);
        expect(kept.length / 4000).toBeCloseTo(1 - rate, 1);
        expect(kept[0]!).toBeCloseTo(1 / (1 - rate), 4);
      }
      expectTensorClose(drop(x, false), x);
      const images = drop(ones([3, 3, 3, 50]));
      const channels = mean(images, [1, 2]).dataSync();
      for (const value of channels) {
        expect([0, 1, 2, 5].some((kept) => Math.abs(kept - value) < 1e-4)).toBe(true);
      }
    }));
});

describe('augmentations', () => {
  it('cutout cuts as many holes of the side as each example has', () =>
    scoped((random) => {
      const values = { holes: tensor1d([0, 1, 3, 1]), length: tensor1d([4, 4, 4, 0]) };
      const cut = cutout({ holes: 'holes', length: 'length', maxHoles: 4 });
      const x = ones([4, 16, 16, 2]);
      const gone = Array.from({ length: 20 }, () =>
        sub(256, sum(mul(cut(x, contextOf(random, null, { values })), 0.5), [1, 2, 3])).dataSync(),
      );
      const means = [0, 1, 2, 3].map((b) => gone.reduce((t, g) => t + g[b]!, 0) / 20);
      expect(means[0]).toBe(0);
      expect(means[3]).toBe(0);
      expect(means[1]!).toBeGreaterThan(8);
      expect(means[1]!).toBeLessThanOrEqual(16);
      expect(means[2]!).toBeGreaterThan(2 * means[1]!);
      expect(() => cutout({ holes: 'a', length: 'b', maxHoles: 0 })).toThrow(/maxHoles/);
    }));

  it('noise and brightness have the strength of each example', () =>
    scoped((random) => {
      const values = { a: tensor1d([0, 0.5]) };
      const context = contextOf(random, null, { values });
      const x = ones([2, 3000]);
      const noisy = sub(inputNoise('a')(x, context), x).arraySync() as number[][];
      expect(noisy[0]!.every((value) => value === 0)).toBe(true);
      expect(Math.sqrt(noisy[1]!.reduce((t, v) => t + v * v, 0) / 3000)).toBeCloseTo(0.5, 1);
      const bright = brightness('a')(x, context).arraySync() as number[][];
      expect(bright[0]!.every((value) => value === 1)).toBe(true);
      expect(new Set(bright[1]).size).toBe(1);
      expect(Math.abs(bright[1]![0]! - 1)).toBeLessThan(0.5);
    }));
});

it('bad input', () =>
  scoped((random) => {
    const good = { inputs: 2, units: 2, hyperparameters: 1, random };
    expect(() => hyperDense({ ...good, units: 0 })).toThrow(/units must be an integer >= 1/);
    expect(() => hyperDense({ ...good, hyperparameters: 0 })).toThrow(/hyperparameters must/);
    expect(() => hyperDense({ ...good, random: 3 as never })).toThrow(/random must be a Random/);
    expect(() => hyperDense({ ...good, bias: true } as never)).toThrow(/unknown option "bias"/);
    const conv = { inputs: 1, filters: 1, kernelSize: 3, hyperparameters: 1, random };
    expect(() => hyperConv2d({ ...conv, padding: 'full' as never })).toThrow(/padding must/);
    expect(() => hyperActivation('gelu' as never)).toThrow(/name must be one of/);
    expect(() => hyperSequential([])).toThrow(/at least one layer/);
    const odd = ones([1, 3, 4, 1]);
    const pool = () => hyperMaxPool(2).apply({ value: odd }, contextOf(random, null));
    expect(pool).toThrow(/multiples of 2, got shape \[1,3,4,1\]/);
    const layer = hyperDense(good);
    const x = ones([3, 4]);
    expect(() => layer.apply({ value: x }, contextOf(random, null))).toThrow(/x must have shape/);
    layer.dispose();
  }));
