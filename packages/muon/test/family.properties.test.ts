import { seededRandom } from '@orth/backend';
import {
  AuON,
  auonDirection,
  coshRms,
  DctAdamW,
  dctAdamWUpdate,
  dequantizeRows,
  HybridAuON,
  Muon,
  NorMuon,
  normuonNormalize,
  type OrthOptimizer,
  planOrthogonalization,
  quantizeRows,
  Root,
  type StepOptions,
  softThresholdSplit,
  Trion,
  trionUpdate,
} from '@orth/muon';
import { dct, orthogonalize, singularValues } from '@orth/newton-schulz';
import { expectTensorClose, maxError } from '@orth/testing';
import {
  abs,
  add,
  concat,
  max,
  memory,
  mul,
  neg,
  norm,
  ones,
  profile,
  sign,
  split,
  sub,
  sum,
  type Tensor,
  tensor2d,
  tidy,
  type Variable,
  variable,
  zeros,
  zerosLike,
} from '@tensorflow/tfjs-core';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byBisection, byCounting, quantile } from '../src/quantile.js';

const seeds = fc.integer({ min: 0, max: 1e6 });
const sides = fc.integer({ min: 4, max: 12 });
const check = <T extends [unknown, ...unknown[]]>(property: fc.IPropertyWithHooks<T>) =>
  fc.assert(property, { numRuns: 20 });
const matrix = (seed: number, ...shape: number[]) => seededRandom(seed).normalTensor(shape);
const scalar = (x: Tensor) => x.dataSync()[0]!;
const length = (x: Tensor) => scalar(norm(x));
type Any = OrthOptimizer<StepOptions>;

function stepOnce(optimizer: Any, variables: readonly Variable[], gradients: readonly Tensor[]) {
  optimizer.applyGradients(variables.map(({ name }, i) => ({ name, tensor: gradients[i]! })));
}

describe('normuonNormalize', () => {
  test('keeps the norm, and v stays non-negative', () => {
    check(
      fc.property(seeds, sides, sides, fc.constantFrom('neuron', 'long'), (seed, m, n, axis) =>
        tidy(() => {
          const o = matrix(seed, m, n);
          const count = axis === 'long' ? Math.max(m, n) : n;
          const v = abs(matrix(seed + 1, count));
          const { update, secondMoment } = normuonNormalize(o, v, {
            axis: axis as 'neuron' | 'long',
          });
          expect(length(update) / length(o)).toBeCloseTo(1, 5);
          expect(secondMoment.shape).toEqual([count]);
          for (const value of secondMoment.dataSync()) expect(value).toBeGreaterThanOrEqual(0);
        }),
      ),
    );
  });

  test('beta2 = 0 makes all neurons equally long; equal neurons stay as they are', () => {
    tidy(() => {
      const o = matrix(1, 6, 9);
      const { update } = normuonNormalize(o, zeros([9]), { beta2: 0 });
      const lengths = norm(update, 'euclidean', 0).dataSync();
      for (const one of lengths) expect(one).toBeCloseTo(lengths[0]!, 5);
      const again = normuonNormalize(update, zeros([9]));
      expectTensorClose(again.update, update, { rtol: 1e-5 });
    });
  });

  test('paper: root mean square 0.2', () => {
    tidy(() => {
      const { update } = normuonNormalize(matrix(1, 6, 9), zeros([9]), { scaling: 'paper' });
      expect(length(update) / Math.sqrt(54)).toBeCloseTo(0.2, 5);
    });
  });

  test('zero updates stay zero and v decays', () => {
    tidy(() => {
      const v = ones([5]);
      const { update, secondMoment } = normuonNormalize(zeros([4, 5]), v);
      expect(scalar(max(abs(update)))).toBe(0);
      expectTensorClose(secondMoment, mul(v, 0.95));
    });
  });

  test('evens out rows over 40 steps', () => {
    const spread = (optimizer: Any, m: number, n: number) => {
      const random = seededRandom(3);
      const scales = tensor2d(
        Array.from({ length: m }, () => Math.exp(random.normal())),
        [m, 1],
      );
      const w = tidy(() => variable(zeros([m, n])));
      let before = w.clone();
      let rows: Float32Array = new Float32Array();
      for (let step = 0; step < 40; step++) {
        before.dispose();
        before = w.clone();
        tidy(() => stepOnce(optimizer, [w], [mul(random.normalTensor([m, n]), scales)]));
      }
      rows = tidy(() => norm(sub(w, before), 'euclidean', 1).dataSync() as Float32Array);
      const mean = rows.reduce((total, r) => total + r, 0) / m;
      const variance = rows.reduce((total, r) => total + (r - mean) ** 2, 0) / m;
      for (const x of [w, before, scales]) x.dispose();
      optimizer.dispose();
      return Math.sqrt(variance) / mean;
    };
    for (const [m, n] of [
      [256, 64],
      [128, 128],
      [64, 256],
    ] as const) {
      const layout = 'outIn' as const;
      const muon = spread(new Muon({ layout }), m, n);
      const norMuon = spread(new NorMuon({ layout }), m, n);
      expect(norMuon, `${m}x${n}`).toBeLessThan(0.5 * muon);
    }
  });
});

describe('blocks of a kernel', () => {
  const optimizers: Record<string, (options: object) => Any> = {
    Muon: (options) => new Muon(options),
    NorMuon: (options) => new NorMuon(options),
    'NorMuon, long axis': (options) => new NorMuon({ ...options, axis: 'long' }),
    Root: (options) => new Root({ ...options, adjustLearningRate: 'original' }),
    'Root, threshold kept': (options) => new Root({ ...options, thresholdEvery: 2 }),
    AuON: (options) => new AuON(options),
    HybridAuON: (options) => new HybridAuON(options),
    Trion: (options) => new Trion({ ...options, rank: 0.5 }),
    DctAdamW: (options) => new DctAdamW({ ...options, rank: 0.5 }),
    'DctAdamW, quantised': (options) => new DctAdamW({ ...options, rank: 0.5, errorBits: 8 }),
  };
  const named: Record<string, string> = {
    Muon: 'muon',
    NorMuon: 'norMuon',
    Root: 'root',
    AuON: 'auON',
    HybridAuON: 'hybridAuON',
    Trion: 'trion',
    DctAdamW: 'dctAdamW',
  };

  // Equal blocks, and blocks of two sizes in turn, along outputs and along inputs; two kernels share each unit.
  const splits = [
    { sizes: [4, 4, 4], options: { heads: 3 }, axis: 1 },
    { sizes: [4, 6, 4, 6], options: { split: [4, 6, 4, 6] }, axis: 1 },
    { sizes: [4, 5, 4], options: { split: [4, 5, 4], splitAxis: 'input' }, axis: 0 },
  ];

  describe.each(Object.entries(optimizers))('%s', (name, make) => {
    const optimizer = named[name.split(',')[0]!]!;

    test.each(splits)('are updated as if apart: $options', ({ sizes, options, axis }) => {
      const before = memory().numTensors;
      const total = sizes.reduce((a, b) => a + b, 0);
      const shape = axis === 1 ? [5, total] : [total, 5];
      const [first, second] = [1, 2].map((seed) => matrix(seed, ...shape)) as [Tensor, Tensor];
      const whole = [variable(first), variable(second)];
      const apart = [first, second].map((w) =>
        tidy(() => split(w, sizes, axis).map((part) => variable(part))),
      );
      const group = { match: /./, optimizer };
      const together = make({ groups: [{ ...group, ...options }] });
      const alone = make({ groups: [group] });
      for (let step = 0; step < 3; step++) {
        tidy(() => {
          const gradients = [first, second].map((_, i) => matrix(10 * step + i, ...shape));
          stepOnce(together, whole, gradients);
          stepOnce(
            alone,
            apart.flat(),
            gradients.flatMap((g) => split(g, sizes, axis)),
          );
        });
      }
      whole.forEach((w, i) => {
        tidy(() => expectTensorClose(w, concat(apart[i]!, axis), { rtol: 1e-4, atol: 1e-5 }));
      });
      expect(together.stateBytes()).toBe(alone.stateBytes());
      together.dispose();
      alone.dispose();
      for (const x of [first, second, ...whole, ...apart.flat()]) x.dispose();
      expect(memory().numTensors).toBe(before);
    });

    test('batch axes are separate matrices', () => {
      const w = matrix(1, 3, 5, 6);
      const whole = variable(w);
      const apart = tidy(() => split(w, 3, 0).map((part) => variable(part)));
      const group = { match: /./, optimizer };
      const together = make({ groups: [{ ...group, batchAxes: [0] }] });
      const alone = make({ groups: [{ ...group, batchAxes: [0] }] });
      for (let step = 0; step < 2; step++) {
        tidy(() => {
          const g = matrix(7 + step, 3, 5, 6);
          stepOnce(together, [whole], [g]);
          stepOnce(alone, apart, split(g, 3, 0));
        });
      }
      tidy(() => expectTensorClose(whole, concat(apart, 0), { rtol: 1e-4, atol: 1e-5 }));
      together.dispose();
      alone.dispose();
      for (const x of [w, whole, ...apart]) x.dispose();
    });
  });
});

describe('ROOT', () => {
  test('splits without loss; the base keeps signs and bounds', () => {
    check(
      fc.property(
        seeds,
        sides,
        sides,
        fc.double({ min: 0.05, max: 1, noNaN: true }),
        (seed, m, n, q) =>
          tidy(() => {
            const x = matrix(seed, m, n);
            const { base, outliers, threshold } = softThresholdSplit(x, { quantile: q });
            // One rounding, where the outlier is more than half of the entry.
            expectTensorClose(add(base, outliers), x, { rtol: 2 ** -23, atol: 0 });
            expect(scalar(max(abs(base)))).toBeLessThanOrEqual(scalar(threshold));
            expect(Math.min(...mul(base, x).dataSync())).toBeGreaterThanOrEqual(0);
          }),
      ),
    );
  });

  test('finds quantiles by counting as by sorting, with ties and far outliers', () => {
    check(
      fc.property(seeds, fc.integer({ min: 2, max: 40 }), (seed, size) =>
        tidy(() => {
          const random = seededRandom(seed);
          const values = Array.from({ length: 2 * size }, () => {
            const v = Math.abs(random.normal());
            return random.uniform() < 0.3 ? Math.round(v) : random.uniform() < 0.1 ? 1e6 * v : v;
          });
          const x = tensor2d(values, [2, size]);
          const sorted = [0, 1].map((row) =>
            Float32Array.from(values.slice(row * size, (row + 1) * size)).sort(),
          );
          const k = random.integer(1, size - 1);
          const [low, high] = byBisection(x, k).map((t) => t.dataSync());
          const counted = byCounting(x, k).map((t) => t.dataSync());
          expect(counted).toEqual([low, high]);
          const q = k / size;
          const got = quantile(x, q).dataSync();
          sorted.forEach((row, i) => {
            expect(low![i]).toBe(row[k - 1]);
            expect(high![i]).toBe(row[k]);
            const position = q * (size - 1);
            const at = Math.floor(position);
            const want = row[at]! + (position - at) * (row[at + 1]! - row[at]!);
            expect(Math.abs(got[i]! - want)).toBeLessThanOrEqual(1e-6 * want);
          });
        }),
      ),
    );
  });

  const direction = (make: () => Any, g: Tensor) =>
    tidy(() => {
      const w = variable(zerosLike(g));
      const optimizer = make();
      stepOnce(optimizer, [w], [g]);
      optimizer.dispose();
      const d = neg(w);
      w.dispose();
      return d;
    });
  const plain = { learningRate: 1, weightDecay: 0, adjustLearningRate: 'none' } as const;

  test('one entry of 1e6 changes the direction by a bounded amount, but makes Muon’s rank one', async () => {
    for (let seed = 0; seed < 10; seed++) {
      for (const [m, n] of [
        [16, 16],
        [16, 32],
        [32, 64],
      ] as const) {
        const g = matrix(seed, m, n);
        const spike = tensor2d([1e6, ...Array(m * n - 1).fill(0)], [m, n]);
        const bad = add(g, spike);
        const root = () => new Root(plain);
        const [clean, dirty] = [direction(root, g), direction(root, bad)];
        expect(length(sub(dirty, clean))).toBeLessThan(3);
        const muon = direction(() => new Muon(plain), bad);
        const values = await singularValues(muon);
        expect(values[1]! / values[0]!).toBeLessThan(0.01);
        for (const x of [g, spike, bad, clean, dirty, muon]) x.dispose();
      }
    }
  });

  test('quantile 1 gives Muon’s direction, and the scale of gradients does not matter', () => {
    tidy(() => {
      const g = matrix(4, 8, 12);
      const muon = direction(() => new Muon(plain), g);
      const off = direction(() => new Root({ ...plain, quantile: 1 }), g);
      expectTensorClose(off, muon, { rtol: 1e-3, atol: 1e-4 });
      const root = () => new Root(plain);
      const scaled = direction(root, mul(g, 1e-3));
      expectTensorClose(scaled, direction(root, g), { rtol: 1e-3, atol: 1e-4 });
    });
  });

  test('refuses bad options', () => {
    expect(() => new Root({ quantile: 0 })).toThrow('quantile must be a finite number > 0');
    expect(() => new Root({ quantile: 1.1 })).toThrow(RangeError);
    expect(() => new Root({ steps: 0 })).toThrow(RangeError);
    expect(() => new Root({ coefficients: { '8x8': [1, 2] as never } })).toThrow('3 numbers');
    expect(() => new Root({ coefficients: { big: [1, 2, 3] } })).toThrow('keys such as');
    expect(() => new Root({ coefficients: 'fit' as 'fitted' })).toThrow(RangeError);
    expect(() => new Root({ threshold: -1 })).toThrow(RangeError);
    const x = ones([2, 2]);
    expect(() => softThresholdSplit(x, { quantile: 0.5, threshold: 1 })).toThrow(TypeError);
    x.dispose();
  });
});

describe('AuON', () => {
  test('r lies within its bounds and the direction is parallel to the momentum', () => {
    const gammas = fc.double({ min: 0.5, max: 6, noNaN: true });
    check(
      fc.property(seeds, sides, sides, gammas, (seed, m, n, gamma) =>
        tidy(() => {
          const u = matrix(seed, m, n);
          const N = m * n;
          const r = scalar(coshRms(u, gamma));
          expect(r).toBeGreaterThanOrEqual(Math.cosh(gamma / Math.sqrt(N)) * (1 - 1e-5));
          expect(r).toBeLessThanOrEqual(Math.sqrt(1 + Math.sinh(gamma) ** 2 / N) * (1 + 1e-5));
          const d = auonDirection(u);
          expect(scalar(sum(mul(d, u))) / (length(d) * length(u))).toBeCloseTo(1, 6);
          expect(length(d)).toBeLessThanOrEqual(1);
          expect(length(d)).toBeGreaterThanOrEqual(
            (1 / Math.sqrt(1 + Math.sinh(1) ** 2 / N)) * (1 - 1e-5),
          );
          expectTensorClose(auonDirection(mul(u, 64)), d, { rtol: 1e-5 });
          const repository = auonDirection(u, { variant: 'repository' });
          const scaled = auonDirection(mul(u, 64), { variant: 'repository' });
          expectTensorClose(scaled, mul(repository, 64), { rtol: 1e-4 });
        }),
      ),
    );
  });

  test('uses no matrix product without hybrid steps, also on vectors', async () => {
    const w = variable(matrix(1, 8, 8));
    const g = matrix(2, 8, 8);
    const optimizer = new AuON();
    const { kernelNames } = await profile(() => stepOnce(optimizer, [w], [g]));
    expect(kernelNames.filter((name) => /matmul/i.test(name))).toEqual([]);
    expect(kernelNames.length).toBeGreaterThan(5);
    optimizer.dispose();
    const u = matrix(3, 7);
    const d = auonDirection(u);
    expect(d.shape).toEqual([7]);
    for (const x of [w, g, u, d]) x.dispose();
  });

  test('gives zeros for zeros and survives a large gamma', () => {
    tidy(() => {
      const zero = zeros([3, 4]);
      expect(scalar(max(abs(auonDirection(zero))))).toBe(0);
      expect(scalar(max(abs(auonDirection(zero, { hybridSteps: 1 }))))).toBe(0);
      const spike = tensor2d([1, 0, 0, 0], [2, 2]);
      expect(Number.isFinite(scalar(coshRms(spike, 200)))).toBe(true);
    });
  });

  test('refuses bad options', () => {
    expect(() => new AuON({ gamma: 0 })).toThrow('AuON: gamma must be a finite number > 0, got 0');
    expect(() => new AuON({ hybridSteps: 1 } as object)).toThrow('unknown option');
    expect(() => new HybridAuON({ hybridSteps: 0 })).toThrow(RangeError);
    expect(() => new AuON({ learningRate: -1 })).toThrow(RangeError);
    expect(() => new AuON({ momentum: 1.5 })).toThrow(RangeError);
  });
});

describe('low rank', () => {
  test('Trion at full rank takes the direction of the momentum’s polar factor, and M ← μ M', () => {
    check(
      fc.property(seeds, sides, sides, (seed, m, n) =>
        tidy(() => {
          const [w, g, M] = [1, 2, 3].map((k) => matrix(seed + k, m, n)) as [
            Tensor,
            Tensor,
            Tensor,
          ];
          const step = trionUpdate(w, g, M, { rank: 'full' });
          const sumOf = add(M, g);
          expectTensorClose(step.momentum, mul(sumOf, 0.95), { rtol: 1e-4, atol: 1e-5 });
          expectTensorClose(step.direction, orthogonalize(sumOf), { rtol: 1e-3, atol: 1e-3 });
        }),
      ),
    );
  });

  test('DCT-AdamW at full rank is AdamW in cosine coordinates', () => {
    tidy(() => {
      const [w, g] = [matrix(1, 9, 6), matrix(2, 9, 6)];
      const state = {
        indices: zeros([6], 'int32'),
        firstMoment: zeros([9, 6]),
        secondMoment: zeros([9, 6]),
        error: zeros([9, 6]),
      };
      const next = dctAdamWUpdate(w, g, state, { step: 1, rank: 'full', learningRate: 0.1 });
      expect(maxError(next.error!, zeros([9, 6]))).toBeLessThan(1e-5);
      // The first step of Adam is the sign of the gradient.
      const want = dct(sign(dct(g)), { type: 3 });
      expectTensorClose(sub(w, next.weights), mul(want, 0.1), { rtol: 1e-3, atol: 1e-4 });
    });
  });

  test('error feedback loses nothing: what was applied and what is left sum to the gradients', () => {
    tidy(() => {
      const shape = [7, 10];
      let state = {
        indices: zeros([3], 'int32') as Tensor,
        firstMoment: zeros([3, 10]) as Tensor,
        secondMoment: zeros([3, 10]) as Tensor,
        error: zeros(shape) as Tensor,
      };
      let given: Tensor = zeros(shape);
      let applied: Tensor = zeros(shape);
      for (let step = 1; step <= 6; step++) {
        const g = matrix(step, ...shape);
        given = add(given, g);
        const next = dctAdamWUpdate(zeros(shape), g, state, { step, rank: 3, updateGap: 2 });
        // What the step projected: A − E.
        applied = add(applied, sub(add(g, state.error), next.error!));
        state = { ...next, error: next.error! };
      }
      expectTensorClose(add(applied, state.error), given, { rtol: 1e-5, atol: 1e-5 });
      expect(Math.min(...state.secondMoment.dataSync())).toBeGreaterThanOrEqual(0);
    });
  });

  test('moments follow their vectors when the choice changes, and stay when it does not', () => {
    tidy(() => {
      const options = { rank: 2, beta1: 0.5, beta2: 0.5, errorFeedback: false };
      // Rows of the identity basis: the gradient's columns are its coordinates.
      const basis = (size: number) =>
        Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
      const at = (...columns: number[]) =>
        tensor2d(
          Array.from({ length: 4 }, () => [0, 1, 2].map((c) => columns[c]!)),
          [4, 3],
        );
      const state = {
        indices: zeros([2], 'int32'),
        firstMoment: zeros([4, 2]),
        secondMoment: zeros([4, 2]),
      };
      const first = dctAdamWUpdate(zeros([4, 3]), at(4, 2, 1), state, {
        ...options,
        basis,
        step: 1,
      });
      expect([...first.indices.dataSync()]).toEqual([0, 1]);
      const second = dctAdamWUpdate(zeros([4, 3]), at(0, 2, 4), first, {
        ...options,
        basis,
        step: 2,
      });
      expect([...second.indices.dataSync()]).toEqual([2, 1]);
      // Column of vector 2: fresh, 0.5·4; of vector 1: 0.5·(0.5·2) + 0.5·2.
      expect([...second.firstMoment.dataSync()].slice(0, 2)).toEqual([2, 1.5]);
    });
  });

  test('states are as small as promised', async () => {
    const [R, C, r] = [48, 16, 4];
    const bytes = async (optimizer: Any) => {
      const w = variable(matrix(1, R, C));
      const g = matrix(2, R, C);
      stepOnce(optimizer, [w], [g]);
      const total = optimizer.stateBytes();
      const weights = await optimizer.getWeights();
      const held = weights
        .filter(({ name }) => name !== 'iter' && !name.endsWith('/updates'))
        .reduce((sumOf, { tensor }) => sumOf + tensor.size, 0);
      expect(4 * held).toBe(total);
      optimizer.dispose();
      w.dispose();
      g.dispose();
      return total / 4;
    };
    expect(await bytes(new Muon())).toBe(R * C);
    expect(await bytes(new NorMuon())).toBe(R * C + C);
    expect(await bytes(new Root())).toBe(R * C);
    expect(await bytes(new AuON())).toBe(R * C);
    expect(await bytes(new Trion({ rank: r }))).toBe(R * C + r);
    expect(await bytes(new DctAdamW({ rank: r, errorFeedback: false }))).toBe(2 * r * R + r);
    expect(await bytes(new DctAdamW({ rank: r }))).toBe(2 * r * R + r + R * C);
    const low = 2 * r * R + r + 2 * R;
    expect(await bytes(new DctAdamW({ rank: r, errorBits: 8 }))).toBe(low + (R * C) / 3);
    expect(await bytes(new DctAdamW({ rank: r, errorBits: 4 }))).toBe(low + (R * C) / 6);
  });

  test('quantised rows are off by half a unit at most, flat rows not at all', () => {
    check(
      fc.property(seeds, sides, sides, fc.constantFrom(4, 8), (seed, m, n, bits) =>
        tidy(() => {
          const x = concat([matrix(seed, m, n), mul(ones([1, n]), -3.25)], 0);
          const parts = quantizeRows(x, bits as 4 | 8);
          const back = dequantizeRows(parts, x.shape, bits as 4 | 8);
          const error = abs(sub(back, x)).dataSync();
          const range = parts.range.dataSync();
          for (let i = 0; i <= m; i++) {
            const unit = (range[2 * i + 1]! - range[2 * i]!) / (2 ** bits - 1);
            for (let j = 0; j < n; j++) {
              expect(error[i * n + j]).toBeLessThanOrEqual(0.5 * unit * (1 + 1e-4) + 1e-7);
            }
          }
          expect(Math.max(...error.slice(m * n))).toBe(0);
        }),
      ),
    );
  });

  test('refuses bad options', () => {
    const fits = (optimizer: Any) =>
      tidy(() => {
        const w = variable(ones([8, 6]));
        try {
          stepOnce(optimizer, [w], [ones([8, 6])]);
        } finally {
          w.dispose();
          optimizer.dispose();
        }
      });
    expect(() => new Trion({ rank: 0 })).toThrow(RangeError);
    expect(() => new Trion({ rank: 2.5 })).toThrow('Trion: rank must be an integer');
    expect(() => fits(new Trion({ rank: 7 }))).toThrow('rank must be <= the shorter side of 8 × 6');
    expect(() => fits(new DctAdamW({ rank: 7 }))).toThrow(RangeError);
    expect(() => fits(new Trion({ rank: 2, basis: () => new Float32Array(36) }))).toThrow(
      'must be an orthogonal 6 × 6 matrix',
    );
    expect(() => fits(new Trion({ rank: 2, basis: () => [1] }))).toThrow('got 1 numbers');
    expect(() => new Trion({ basis: () => [1], transform: 'fft' })).toThrow(RangeError);
    expect(() => new DctAdamW({ updateGap: 0 })).toThrow(RangeError);
    expect(() => new DctAdamW({ errorBits: 3 as 4 })).toThrow(RangeError);
    expect(() => new Trion({ nesterov: true } as object)).toThrow('unknown option');
    const optimizer = new DctAdamW({ maxShape: 8, rank: 2 });
    const [plan] = optimizer.describeGroups([{ name: 'w', shape: [8, 6] }]);
    expect(plan).toMatchObject({ optimizer: 'adamW', reason: 'a side of 8, maxShape is 8' });
  });
});

describe('planOrthogonalization', () => {
  test('longest first stays within 4/3 of the best plan', () => {
    const shape = fc.tuple(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 64 }));
    check(
      fc.property(fc.array(shape, { minLength: 1, maxLength: 7 }), (shapes) => {
        const { load } = planOrthogonalization(shapes, 2, 'longestFirst');
        const costs = shapes.map((one) => planOrthogonalization([one], 1).load[0]!);
        let best = Number.POSITIVE_INFINITY;
        for (let choice = 0; choice < 2 ** shapes.length; choice++) {
          const loads = [0, 0];
          costs.forEach((cost, i) => {
            loads[(choice >> i) & 1]! += cost;
          });
          best = Math.min(best, Math.max(...loads));
        }
        expect(Math.max(...load)).toBeLessThanOrEqual((4 / 3) * best);
      }),
    );
  });

  test('refuses bad arguments', () => {
    expect(() => planOrthogonalization([[1, 2]], 0)).toThrow(
      'planOrthogonalization: workers must be an integer >= 1, got 0',
    );
    expect(() => planOrthogonalization([[0, 2]], 1)).toThrow(RangeError);
    expect(() => planOrthogonalization([], 1, 'lpt' as 'roundRobin')).toThrow(RangeError);
  });
});
