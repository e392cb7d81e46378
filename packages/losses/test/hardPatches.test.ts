import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import {
  add,
  fill,
  grad,
  grads,
  memory,
  mul,
  neg,
  sum,
  type Tensor,
  tensor1d,
  tensor2d,
  tidy,
  train,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  absoluteLossObjective,
  easyToHardSchedule,
  type GenerateMaskOptions,
  generateMask,
  movingAverageSchedule,
  pairRankingAccuracy,
  randomMask,
  relativeLossObjective,
  updateMovingAverage,
} from '../src/index.js';
import { pairCosts, pairSlopes, pairsInOrder } from '../src/patchPairs.js';
import { differences, gaussian, relative64, rowsOf, toTensor } from './reference.js';
import { scoped } from './scoped.js';

const [N, M] = [3, 7];
const e = gaussian(1, N * M, 2);
// Halves, so that some targets are equal.
const l = gaussian(2, N * M, 1).map((x) => Math.round(2 * x) / 2);
const predictions = () => toTensor(e, [N, M]);
const targets = () => toTensor(l, [N, M]);

describe('relativeLossObjective', () => {
  it.each([1e-6, 0.1])(
    'has the value and the gradient of the definition, epsilon %s',
    (epsilon) => {
      scoped(() => {
        const weights = [2, 0, 0.5];
        for (const w of [undefined, weights]) {
          const reference = (x: ArrayLike<number>) =>
            relative64(rowsOf(x, M), rowsOf(l, M), epsilon, w);
          const o = { epsilon, ...(w && { weights: tensor1d(w) }) };
          const f = (x: Tensor) => relativeLossObjective(x, targets(), o);
          expectTensorClose(f(predictions()), [reference(e)]);
          expectTensorClose(grad(f)(predictions()), differences(reference, e));
        }
      });
    },
  );

  it('is log 2 for equal predictions, and 0 for far ones in the right order', () => {
    scoped(() => {
      expectTensorClose(relativeLossObjective(zeros([N, M]), targets()), [Math.log(2)], {
        atol: 1e-5,
      });
      const right = relativeLossObjective(mul(targets(), 1e4), targets());
      expectTensorClose(right, [0], { atol: 2e-6 });
      const wrong = relativeLossObjective(mul(targets(), -1e4), targets());
      expectTensorClose(wrong, [-Math.log(1e-6)], { rtol: 1e-5 });
      const g = grad((x: Tensor) => relativeLossObjective(x, targets()))(mul(targets(), -1e4));
      for (const v of g.dataSync()) expect(Number.isFinite(v)).toBe(true);
    });
  });

  it('does not see constants of an image, nor increasing maps of targets', () => {
    scoped(() => {
      const want = relativeLossObjective(predictions(), targets()).dataSync();
      const shifted = add(predictions(), tensor2d([[4], [-2], [0.5]]));
      expectTensorClose(relativeLossObjective(shifted, targets()), want);
      const mapped = toTensor(
        l.map((x) => Math.exp(x)),
        [N, M],
      );
      expectTensorClose(relativeLossObjective(predictions(), mapped), want, { rtol: 0, atol: 0 });
      const g = grad((x: Tensor) => relativeLossObjective(x, targets()))(predictions());
      expectTensorClose(sum(g, 1), new Float32Array(N));
    });
  });

  it('follows a permutation of patches', () => {
    scoped(() => {
      const order = [3, 1, 6, 0, 2, 5, 4];
      const moved = (x: Float32Array) =>
        toTensor(
          rowsOf(x, M).flatMap((row) => order.map((k) => row[k]!)),
          [N, M],
        );
      expectTensorClose(
        relativeLossObjective(moved(e), moved(l)),
        relativeLossObjective(predictions(), targets()),
      );
      expectTensorClose(
        absoluteLossObjective(moved(e), moved(l)),
        absoluteLossObjective(predictions(), targets()),
      );
    });
  });

  it('is 0 with gradient 0 where there is no pair', () => {
    scoped(() => {
      for (const [x, y] of [
        [predictions(), fill([N, M], 2)],
        [toTensor([1, 2], [2, 1]), toTensor([3, 4], [2, 1])],
      ] as const) {
        const f = (z: Tensor) => relativeLossObjective(z, y);
        expectTensorClose(f(x), [0], { rtol: 0, atol: 0 });
        expectTensorClose(grad(f)(x), new Float32Array(x.size), { rtol: 0, atol: 0 });
      }
    });
  });

  it('gives targets no gradient', () => {
    scoped(() => {
      const f = (x: Tensor, y: Tensor) =>
        add(relativeLossObjective(x, y), absoluteLossObjective(x, y));
      const [ofPredictions, ofTargets] = grads((x, y) => add(f(x!, y!), mul(sum(y!), 0)))([
        predictions(),
        targets(),
      ]);
      expect(ofPredictions!.dataSync().some((v) => v !== 0)).toBe(true);
      expectTensorClose(ofTargets!, new Float32Array(N * M), { rtol: 0, atol: 0 });
    });
  });

  it.each([1, 2])('gives the same where %s images are taken at a time', (images) => {
    scoped(() => {
      const weights = tensor1d([2, 1, 0.5]);
      const inputs = { predictions: predictions(), targets: targets(), weights };
      const some = { ...inputs, pairsAtOnce: images * M ** 2 };
      const [all, parts] = [inputs, some].map((o) => ({
        ...pairCosts(o, 1e-6),
        ...pairSlopes(o, 1e-6),
        ...pairsInOrder(o),
      })) as unknown as [Record<string, Tensor>, Record<string, Tensor>];
      for (const name of ['cost', 'pairs', 'slopes', 'right']) {
        expectTensorClose(parts[name]!, all[name]!);
      }
    });
  });

  it('learns an order by optimizer.minimize', () => {
    const x = variable(predictions());
    const y = targets();
    const optimizer = train.adam(0.3);
    const accuracy = () => tidy(() => pairRankingAccuracy(x, y).dataSync()[0]!);
    expect(accuracy()).toBeLessThan(0.7);
    const step = () => optimizer.minimize(() => relativeLossObjective(x, y) as never);
    step();
    const before = memory().numTensors;
    for (let i = 0; i < 60; i++) step();
    expect(memory().numTensors).toBe(before);
    expect(accuracy()).toBe(1);
    for (const v of [x, y, optimizer]) v.dispose();
  });
});

describe('the other measures', () => {
  it('absolute: squared error to standardised losses, gradient against differences', () => {
    scoped(() => {
      const reference = (x: ArrayLike<number>) => {
        const rows = rowsOf(l, M).map((row) => {
          const mean = row.reduce((a, b) => a + b) / M;
          const variance = row.reduce((t, v) => t + (v - mean) ** 2, 0) / (M - 1);
          return row.map((v) => (v - mean) / Math.sqrt(variance + 1e-6));
        });
        const want = rows.flat();
        return Array.from(x).reduce((t, v, i) => t + (v - want[i]!) ** 2, 0) / (N * M);
      };
      const f = (x: Tensor) => absoluteLossObjective(x, targets());
      expectTensorClose(f(predictions()), [reference(e)]);
      expectTensorClose(grad(f)(predictions()), differences(reference, e));
      expect(() => absoluteLossObjective(zeros([2, 1]), zeros([2, 1]))).toThrow(/2 patches/);
    });
  });

  it('ranking accuracy: share of pairs in order', () => {
    scoped(() => {
      const y = tensor2d([[1, 2, 3, 3]]);
      // Pairs (1,2), (1,3), (1,3), (2,3), (2,3): the predictions turn the last around and tie one.
      expectTensorClose(pairRankingAccuracy(tensor2d([[0, 1, 1, 0.5]]), y), [3 / 5]);
      expectTensorClose(pairRankingAccuracy(neg(y), y), [0]);
      expectTensorClose(pairRankingAccuracy(y, fill([1, 4], 1)), [0]);
    });
  });
});

describe('masks', () => {
  const L = 20;
  const hard = () => toTensor(gaussian(3, 5 * L), [5, L]);

  it.each([0, 0.1, 0.33, 0.5, 0.99, 1])(
    'at alpha = %s have as many ones as the ratio says, the hardest among them',
    (alpha) => {
      scoped(() => {
        for (const maskRatio of [0.1, 0.5, 0.6, 0.75, 0.9]) {
          const count = L - Math.floor(L * (1 - maskRatio));
          const mask = generateMask(hard(), { alpha, maskRatio, seed: 1 });
          expect(mask.dtype).toBe('int32');
          const losses = rowsOf(hard().dataSync(), L);
          rowsOf(mask.dataSync(), L).forEach((row, i) => {
            expect(row.reduce((a, b) => a + b)).toBe(count);
            expect(row.every((v) => v === 0 || v === 1)).toBe(true);
            const order = losses[i]!.map((_, k) => k).sort(
              (a, b) => losses[i]![b]! - losses[i]![a]!,
            );
            for (const k of order.slice(0, Math.floor(count * alpha))) expect(row[k]).toBe(1);
          });
        }
      });
    },
  );

  it('alpha = 1 is deterministic, alpha = 0 ignores predictions, a seed repeats', () => {
    scoped(() => {
      const at = (x: Tensor, o: GenerateMaskOptions) => [...generateMask(x, o).dataSync()];
      expect(at(hard(), { alpha: 1, seed: 1 })).toEqual(at(hard(), { alpha: 1, seed: 2 }));
      expect(at(hard(), { alpha: 0, seed: 1 })).toEqual(at(neg(hard()), { alpha: 0, seed: 1 }));
      expect(at(hard(), { alpha: 0, seed: 1 })).toEqual([
        ...randomMask([5, L], { seed: 1 }).dataSync(),
      ]);
      expect(at(hard(), { alpha: 0.5, seed: 1 })).not.toEqual(at(hard(), { alpha: 0.5, seed: 2 }));
      const random = seededRandom(1);
      const first = at(hard(), { alpha: 0.5, random });
      expect(first).toEqual(at(hard(), { alpha: 0.5, seed: 1 }));
      expect(at(hard(), { alpha: 0.5, random })).not.toEqual(first);
    });
  });

  it('the patches that are not forced are uniform', () => {
    scoped(() => {
      const draws = 2000;
      const losses = Array.from({ length: draws }, () => [9, 8, 0, 1, 2, 3, 4, 5, 6, 7]).flat();
      // 5 of 10 are masked, 2 of them forced: 3 of the other 8.
      const mask = generateMask(toTensor(losses, [draws, 10]), {
        alpha: 0.4,
        maskRatio: 0.5,
        seed: 7,
      });
      const counts = [...sum(mask, 0).dataSync()];
      expect(counts.slice(0, 2)).toEqual([draws, draws]);
      const expected = (draws * 3) / 8;
      const variance = draws * (3 / 8) * (5 / 8);
      const chi = counts.slice(2).reduce((t, c) => t + (c - expected) ** 2 / variance, 0) * (7 / 8);
      // 7 degrees of freedom: 0.999 quantile.
      expect(chi).toBeLessThan(24.3);
    });
  });

  it.each([
    [{ alpha: 1.1 }, /alpha must be a finite number >= 0 and <= 1/],
    [{ alpha: 0, maskRatio: 1 }, /maskRatio must be/],
    [{ alpha: 0, maskRatio: 0 }, /maskRatio must be/],
    [{ alpha: 0, maskRatio: 0.99 }, /maskRatio must leave patches masked and visible/],
    [{ alpha: 0, seed: 1, random: seededRandom(1) }, /seed must not be given together/],
    [{ alpha: 0, ratio: 1 }, /unknown option "ratio"/],
    [{}, /alpha must be/],
  ] as [GenerateMaskOptions, RegExp][])('refuse %o', (options, message) => {
    scoped(() => {
      expect(() => generateMask(hard(), options)).toThrow(message);
    });
  });

  it('refuse NaN, other ranks and other noise', () => {
    scoped(() => {
      expect(() => generateMask(mul(hard(), Number.NaN), { alpha: 0 })).toThrow(/must be finite/);
      expect(() => generateMask(zeros([4]), { alpha: 0 })).toThrow(/must have rank 2/);
      expect(() => generateMask(hard(), { alpha: 0, noise: zeros([2, 2]) })).toThrow(/noise must/);
      expect(() => randomMask([0, 4])).toThrow(/shape must be an integer >= 1/);
    });
  });
});

describe('schedules and the teacher', () => {
  it('easy to hard', () => {
    const alpha = easyToHardSchedule({ epochs: 200 });
    expect([0, 99, 199, 500].map(alpha)).toEqual([0.0025, 0.25, 0.5, 0.5]);
    const back = easyToHardSchedule({ epochs: 4, start: 1, end: 0 });
    expect([0, 3].map(back)).toEqual([0.75, 0]);
    expect(() => easyToHardSchedule({ epochs: 0 })).toThrow(/epochs must be/);
    expect(() => alpha(-1)).toThrow(/epoch must be/);
  });

  it('moving average', () => {
    const decay = movingAverageSchedule();
    expect(decay(0)).toBe(0.999);
    expect(decay(50)).toBeCloseTo(0.99945, 12);
    expect([decay(100), decay(1000)]).toEqual([0.9999, 0.9999]);
    const teacher = [variable(tensor1d([1, 2])), variable(tensor1d([0]))];
    const student = [tensor1d([3, 0]), tensor1d([1])];
    const before = memory().numTensors;
    updateMovingAverage(teacher, student, 0.75);
    expect(memory().numTensors).toBe(before);
    expectTensorClose(teacher[0]!, [1.5, 1.5]);
    expectTensorClose(teacher[1]!, [0.25]);
    expect(() => updateMovingAverage(teacher, [student[0]!, student[0]!], 0.5)).toThrow(/student/);
    expect(() => updateMovingAverage(teacher, [student[0]!], 0.5)).toThrow(/as many variables/);
    expect(() => updateMovingAverage(teacher, student, 1.5)).toThrow(/decay must be/);
    expectTensorClose(teacher[0]!, [1.5, 1.5]);
    for (const v of [...teacher, ...student]) v.dispose();
  });
});
