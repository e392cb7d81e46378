/** Losses of prompts: gradients against differences in float64, bounds and invariances. */

import { seededRandom } from '@orth/backend';
import {
  diversityLoss,
  promptClassWeights,
  promptLogits,
  promptLosses,
  semanticLoss,
} from '@orth/lora-group';
import { expectTensorClose } from '@orth/testing';
import { grad, mul, reverse, type Tensor, tensor, tensor1d, tensor3d } from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';

interface Problem {
  readonly n: number;
  readonly classes: number;
  readonly size: number;
  readonly images: readonly Float64Array[];
  readonly labels: readonly number[];
  readonly target: readonly Float64Array[];
}

const rows = (count: number, size: number, seed: number) => {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () =>
    Float64Array.from({ length: size }, () => Math.fround(random.normal())),
  );
};
const dot = (x: Float64Array, y: Float64Array) => x.reduce((sum, a, i) => sum + a * y[i]!, 0);
const cosine = (x: Float64Array, y: Float64Array) => dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
const mean = (list: readonly number[]) => list.reduce((sum, x) => sum + x, 0) / list.length;

/** The loss by loops, as the definition has it: a mean of logits, prompt by prompt. */
function reference(
  t: Float64Array,
  { n, classes, size, images, labels, target }: Problem,
  { semanticWeight, diversityWeight, logitScale }: Record<string, number>,
): number {
  const feature = (i: number, c: number) =>
    t.subarray((i * classes + c) * size, (i * classes + c + 1) * size);
  const prompts = Array.from({ length: n }, (_, i) => i);
  const all = Array.from({ length: classes }, (_, c) => c);
  const ce = mean(
    images.map((x, b) => {
      const logits = all.map((c) =>
        mean(prompts.map((i) => logitScale! * cosine(x, feature(i, c)))),
      );
      const top = Math.max(...logits);
      const total = logits.reduce((sum, z) => sum + Math.exp(z - top), 0);
      return Math.log(total) + top - logits[labels[b]!]!;
    }),
  );
  const semantic =
    1 -
    mean(
      all.map((c) => {
        const average = Float64Array.from({ length: size }, (_, k) =>
          mean(prompts.map((i) => feature(i, c)[k]!)),
        );
        return cosine(average, target[c]!);
      }),
    );
  const diversity = mean(
    all.map((c) => {
      const pairs = prompts.flatMap((i) =>
        prompts.filter((j) => j > i).map((j) => cosine(feature(i, c), feature(j, c)) ** 2),
      );
      return pairs.length > 0 ? mean(pairs) : 0;
    }),
  );
  return ce + semanticWeight! * semantic + diversityWeight! * diversity;
}

const flat = (list: readonly Float64Array[]) => list.flatMap((row) => [...row]);

test.each([
  ['three prompts', 3, { semanticWeight: 8, diversityWeight: 1, logitScale: 10 }],
  ['one prompt', 1, { semanticWeight: 2, diversityWeight: 5, logitScale: 100 }],
  ['no guidance', 2, { semanticWeight: 0, diversityWeight: 0.5, logitScale: 5 }],
  ['cross-entropy alone', 2, { semanticWeight: 0, diversityWeight: 0, logitScale: 5 }],
] as const)('value and gradient: %s', (_, n, weights) => {
  const [classes, size] = [4, 5];
  const problem: Problem = {
    n,
    classes,
    size,
    images: rows(6, size, 1),
    labels: [3, 0, 1, 3, 2, 2],
    target: rows(classes, size, 2),
  };
  const t = Float64Array.from(flat(rows(n * classes, size, 3)));
  const textFeatures = tensor(Float32Array.from(t), [n, classes, size]);
  const imageFeatures = tensor(Float32Array.from(flat(problem.images)), [6, size]);
  const target = tensor(Float32Array.from(flat(problem.target)), [classes, size]);
  const total = (x: Tensor) =>
    promptLosses({ textFeatures: x, imageFeatures }, problem.labels, { ...weights, target }).total;
  const value = total(textFeatures);
  const expected = reference(t, problem, weights);
  expectTensorClose(value, [expected], { rtol: 2e-5, atol: 1e-5 });
  const gradient = grad(total)(textFeatures);
  const h = 1e-5;
  const differences = Array.from(t, (x, at) => {
    const side = (delta: number) => {
      const moved = t.slice();
      moved[at] = x + delta;
      return reference(moved, problem, weights);
    };
    return (side(h) - side(-h)) / (2 * h);
  });
  expectTensorClose(gradient, differences, { rtol: 1e-3, atol: 2e-4 });
  for (const x of [textFeatures, imageFeatures, target, value, gradient]) x.dispose();
});

test('diversity: 0 for one prompt or orthogonal ones, 1 with no gradient where all coincide', () => {
  const value = (x: Tensor) => diversityLoss(x).dataSync()[0]!;
  const one = seededRandom(1).normalTensor([1, 3, 4]);
  expect(value(one)).toBe(0);
  expect([...grad(diversityLoss)(one).dataSync()].every((x) => x === 0)).toBe(true);
  const orthogonal = tensor3d([[[2, 0, 0]], [[0, -3, 0]], [[0, 0, 0.1]]]);
  expect(value(orthogonal)).toBe(0);
  const same = tensor3d([[[0.6, 0.8]], [[0.6, 0.8]], [[0.6, 0.8]]]);
  expect(value(same)).toBeCloseTo(1, 6);
  expect(Math.max(...[...grad(diversityLoss)(same).dataSync()].map(Math.abs))).toBeLessThan(1e-6);
});

test('invariances: order of prompts; lengths for logits but not for the pull to the target', () => {
  fc.assert(
    fc.property(
      fc.record({
        seed: fc.integer({ min: 0, max: 1000 }),
        n: fc.integer({ min: 1, max: 4 }),
        classes: fc.integer({ min: 1, max: 4 }),
        scale: fc.double({ min: 0.1, max: 10, noNaN: true }),
      }),
      ({ seed, n, classes, scale }) => {
        const random = seededRandom(seed);
        const t = random.normalTensor([n, classes, 6]);
        const x = random.normalTensor([3, 6]);
        const target = random.normalTensor([classes, 6]);
        const logits = promptLogits(t, x);
        const close = { rtol: 1e-4, atol: 1e-4 };
        expectTensorClose(promptLogits(reverse(t, 0), x), logits, close);
        expectTensorClose(promptLogits(mul(t, scale), mul(x, 3)), logits, close);
        const semantic = semanticLoss(t, target).dataSync()[0]!;
        expect(semantic).toBeGreaterThanOrEqual(-1e-6);
        expect(semantic).toBeLessThanOrEqual(2 + 1e-6);
        const diversity = diversityLoss(t).dataSync()[0]!;
        expect(diversity).toBeGreaterThanOrEqual(0);
        expect(diversity).toBeLessThanOrEqual(1 + 1e-6);
        expectTensorClose(semanticLoss(reverse(t, 0), target), [semantic], close);
      },
    ),
    { numRuns: 15, seed: 1 },
  );
  const t = seededRandom(1).normalTensor([2, 1, 6]);
  const longer = mul(t, tensor3d([[[5]], [[1]]]));
  const target = seededRandom(2).normalTensor([1, 6]);
  const [a, b] = [semanticLoss(t, target), semanticLoss(longer, target)].map(
    (x) => x.dataSync()[0]!,
  );
  expect(Math.abs(a! - b!)).toBeGreaterThan(0.01);
});

test('a classifier of one row for each class makes the mean of all logits', () => {
  const t = seededRandom(1).normalTensor([3, 4, 5]);
  expect(promptClassWeights(t).shape).toEqual([4, 5]);
});

test('a single class: nothing to tell apart, the other losses as ever', () => {
  const textFeatures = seededRandom(1).normalTensor([2, 1, 4]);
  const imageFeatures = seededRandom(2).normalTensor([3, 4]);
  const target = seededRandom(3).normalTensor([1, 4]);
  const losses = promptLosses({ textFeatures, imageFeatures }, [0, 0, 0], { target });
  expect(losses.ce.dataSync()[0]).toBeCloseTo(0, 5);
  expect(losses.total.dataSync()[0]).toBeGreaterThan(0.1);
});

test('bad input is refused', () => {
  const textFeatures = seededRandom(1).normalTensor([2, 3, 4]);
  const imageFeatures = seededRandom(2).normalTensor([2, 4]);
  const target = seededRandom(3).normalTensor([3, 4]);
  const features = { textFeatures, imageFeatures };
  expect(() => promptLosses(features, [0, 3], { target })).toThrow('labels');
  expect(() => promptLosses(features, [0], { target })).toThrow('labels must be 2');
  expect(() => promptLosses(features, tensor1d([0, 1]), { target })).toThrow('int32');
  expect(() => promptLosses(features, [0, 1])).toThrow('target must be given');
  expect(() => promptLosses(features, [0, 1], { target: imageFeatures })).toThrow(
    'a row for each class',
  );
  expect(() => promptLosses(features, [0, 1], { target, logitScale: 0 })).toThrow('logitScale');
  expect(() => promptLosses(features, [0, 1], { target, semanticWeight: -1 })).toThrow(
    'semanticWeight',
  );
  expect(() => promptLosses(features, [0, 1], { weight: 1 } as object)).toThrow('unknown option');
  expect(() => promptLogits(textFeatures, seededRandom(2).normalTensor([2, 5]))).toThrow(
    'imageFeatures',
  );
});
