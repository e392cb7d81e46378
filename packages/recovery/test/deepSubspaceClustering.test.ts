import { measureLeaks, NonFiniteError, seededRandom } from '@orth/backend';
import {
  ConvAutoencoder,
  clusteringAccuracy,
  type DeepSubspaceOptions,
  deepSubspaceClustering,
  distancePreservingLoss,
  lrr,
  selfExpressionLoss,
  structuredNorm,
  toTensor2D,
  unionOfSubspaces,
} from '@orth/recovery';
import { expectTensorClose, maxError } from '@orth/testing';
import {
  grad,
  memory,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
  tensor1d,
  tensor2d,
  tensor4d,
  zeros,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';

const random = seededRandom(8);
const SMALL = { channels: [1, 2], kernels: [3] };

/** Three planes in 4×4 images. */
function images() {
  const { points, labels } = unionOfSubspaces({
    clusters: 3,
    dim: 2,
    ambient: 16,
    perCluster: 14,
    noise: 0.02,
    seed: 4,
  });
  return { x: tensor4d(Float32Array.from(points.data), [42, 4, 4, 1]), labels };
}

const options = (more: Partial<DeepSubspaceOptions> = {}): DeepSubspaceOptions => ({
  clusters: 3,
  subspaceDim: 3,
  learningRate: 3e-3,
  pretrainEpochs: 40,
  selfExpressionEpochs: 60,
  structuredEpochs: 20,
  ...SMALL,
  ...more,
});

describe('losses', () => {
  it('self-expression is 0 for the identity and for F F⁺', async () => {
    const { points } = unionOfSubspaces({ clusters: 2, dim: 2, ambient: 9, perCluster: 6 });
    const F = toTensor2D(points);
    const C = toTensor2D(await lrr(points, { tau: 0, normalize: false }));
    const identity = tensor2d(
      Array.from({ length: 144 }, (_, e) => (e % 13 === 0 ? 1 : 0)),
      [12, 12],
    );
    for (const exact of [C, identity]) {
      const loss = selfExpressionLoss(exact, [F]);
      expect((await loss.data())[0]).toBeLessThan(1e-9);
      loss.dispose();
    }
    for (const x of [F, C, identity]) x.dispose();
  });

  it('the structured norm is what crosses clusters', async () => {
    const values = Float64Array.from({ length: 25 }, () => random.normal());
    const labels = [0, 1, 0, 2, 1];
    const W = (c: Float64Array, i: number, j: number) =>
      Math.sqrt(Math.abs(c[5 * i + j]!) + Math.abs(c[5 * j + i]!) + 1e-12);
    const f = (c: Float64Array) => {
      let total = 0;
      for (let i = 0; i < 5; i++) {
        for (let j = 0; j < 5; j++) if (labels[i] !== labels[j]) total += W(c, i, j);
      }
      return total;
    };
    const C = tensor2d(Float32Array.from(values), [5, 5]);
    const y = tensor1d(labels, 'int32');
    const g = grad((c: Tensor) => structuredNorm(c as Tensor2D, y))(C);
    const loss = structuredNorm(C, y);
    expectTensorClose(loss, [f(values)], { rtol: 1e-5 });
    const want = values.map((_, e) => {
      const shifted = (h: number) => f(values.map((v, i) => (i === e ? v + h : v)));
      return (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
    });
    expectTensorClose(g, want, { rtol: 1e-4, atol: 1e-5 });
    // Zeros, where the root is infinitely steep.
    const empty = zeros([5, 5]);
    const flat = grad((c: Tensor) => structuredNorm(c as Tensor2D, y))(empty);
    expect(Array.from(flat.dataSync()).every((v) => v === 0)).toBe(true);
    for (const x of [C, y, g, loss, empty, flat]) x.dispose();
  });

  it('refuse shapes that do not fit', () => {
    const C = zeros([3, 3]) as Tensor2D;
    const wrong = zeros([4, 2]);
    expect(() => selfExpressionLoss(C, [])).toThrow(/at least one tensor/);
    expect(() => selfExpressionLoss(C, [wrong])).toThrow(/features\[0\] must have 3 rows/);
    expect(() => selfExpressionLoss(wrong as Tensor2D, [wrong])).toThrow(/C must have shape/);
    const labels = tensor1d([0, 1], 'int32');
    expect(() => structuredNorm(C, labels)).toThrow(/labels must have shape \[3\]/);
    expect(() => structuredNorm(C, labels as Tensor1D, { epsilon: 0 })).toThrow(/shape|epsilon/);
    expect(() => distancePreservingLoss([wrong, C])).toThrow(/features\[1\] must have 4 rows/);
    for (const x of [C, wrong, labels]) x.dispose();
  });
});

describe('ConvAutoencoder', () => {
  it('halves and doubles, saves and takes weights, is the same for a seed', () => {
    const before = memory().numTensors;
    const make = (seed: number) =>
      new ConvAutoencoder({ channels: [1, 4, 3], kernels: [5, 3], seed });
    const [a, b, c] = [make(1), make(1), make(2)];
    const x = random.uniformTensor([2, 8, 12, 1]) as Tensor4D;
    const run = (net: ConvAutoencoder) => {
      const layers = net.encode(x);
      return [...layers, net.decode(layers.at(-1)!)];
    };
    const [fromA, fromB, fromC] = [run(a), run(b), run(c)];
    expect(fromA.map(({ shape }) => shape)).toEqual([
      [2, 4, 6, 4],
      [2, 2, 3, 3],
      [2, 8, 12, 1],
    ]);
    expect(maxError(fromA[2]!, fromB[2]!)).toBe(0);
    expect(maxError(fromA[1]!, fromC[1]!)).toBeGreaterThan(0);
    const weights = a.getWeights();
    c.setWeights(weights);
    const again = run(c);
    expect(maxError(again[2]!, fromA[2]!)).toBe(0);
    expect(() => c.setWeights(weights.slice(1))).toThrow(/8 tensors, got 7/);
    expect(() => c.setWeights([...weights].reverse())).toThrow(/weights\[0\] must have shape/);
    for (const net of [a, b, c]) {
      net.dispose();
      net.dispose();
    }
    for (const t of [x, ...weights, ...fromA, ...fromB, ...fromC, ...again]) t.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it('refuses sides that cannot be halved, and bad architectures', () => {
    const net = new ConvAutoencoder({ channels: [1, 2, 2, 2], kernels: [3, 3, 3] });
    const x = zeros([1, 28, 28, 1]) as Tensor4D;
    expect(() => net.encode(x)).toThrow(/sides divisible by 8 for 3 layers, got 28×28/);
    expect(() => new ConvAutoencoder({ channels: [1], kernels: [3] })).toThrow(/one entry more/);
    expect(() => new ConvAutoencoder({ channels: [1, 0], kernels: [3] })).toThrow(/channels\[1\]/);
    expect(() => new ConvAutoencoder({ channels: 3, kernels: [3] } as never)).toThrow(/an array/);
    net.dispose();
    x.dispose();
  });
});

describe('deepSubspaceClustering', () => {
  it('finds subspaces without labels, the same way twice, and says how stages ended', async () => {
    const { x, labels } = images();
    const { tensors } = await measureLeaks(async () => {
      const first = await deepSubspaceClustering(x, options());
      expect(clusteringAccuracy(labels, first.labels)).toBeGreaterThan(0.95);
      expect(first.stages.map(({ stage }) => stage)).toEqual([
        'pretrain',
        'selfExpression',
        'structured',
      ]);
      expect(first.history.length).toBe(first.stages.reduce((sum, { epochs }) => sum + epochs, 0));
      const losses = first.history.filter(({ stage }) => stage === 'selfExpression');
      expect(losses.at(-1)!.loss).toBeLessThan(losses[0]!.loss / 2);
      expect(first.C.data.every((c, e) => e % 43 !== 0 || c === 0)).toBe(true);
      const second = await deepSubspaceClustering(x, options());
      expect(second.labels).toEqual(first.labels);
      expect(second.C.data).toEqual(first.C.data);
    });
    expect(tensors).toBe(0);
    x.dispose();
  });

  it('takes every option: starts, a free diagonal, stopping rules, being told to stop', async () => {
    const { x } = images();
    const ends = async (more: Partial<DeepSubspaceOptions>) =>
      (await deepSubspaceClustering(x, options(more))).stages.map(({ end }) => end);
    const short = { pretrainEpochs: 2, selfExpressionEpochs: 3, structuredEpochs: 2 };
    expect(await ends({ ...short, pretrain: 'distance' })).toEqual(['epochs', 'epochs', 'epochs']);
    expect(await ends({ ...short, pretrain: 'none', structuredEpochs: 0 })).toEqual([
      'skipped',
      'epochs',
      'skipped',
    ]);
    expect(await ends({ ...short, relTol: 10, patience: 2, selfExpressionEpochs: 9 })).toContain(
      'settled',
    );
    const controller = new AbortController();
    const stopped = await deepSubspaceClustering(
      x,
      options({
        signal: controller.signal,
        onEpoch: ({ stage, epoch }) => {
          if (stage === 'selfExpression' && epoch === 4) controller.abort();
        },
      }),
    );
    expect(stopped.stages.map(({ end }) => end)).toEqual(['epochs', 'aborted', 'aborted']);
    expect(stopped.labels.length).toBe(42);
    const free = await deepSubspaceClustering(x, options({ ...short, zeroDiagonal: false }));
    expect(free.C.data[0]).not.toBe(0);
    x.dispose();
  });

  it('refuses wrong arguments and leaves nothing behind', async () => {
    const { x } = images();
    const nan = tensor4d([Number.NaN, 1, 1, 1, 1, 1, 1, 1], [2, 2, 2, 1]);
    const huge = tensor4d(new Float32Array(32).fill(1e30), [2, 4, 4, 1]);
    const before = memory().numTensors;
    const refuse = (more: object, why: RegExp) =>
      expect(deepSubspaceClustering(x, options(more))).rejects.toThrow(why);
    await refuse({ clusters: 1 }, /clusters must be an integer >= 2 and <= 42/);
    await refuse({ clusters: 43 }, /clusters must be/);
    await refuse({ subspaceDim: 0 }, /subspaceDim must be/);
    await refuse({ channels: [3, 2] }, /x must have shape \[\*,\*,\*,3\]/);
    await refuse({ channels: [1, 2, 2, 2], kernels: [3, 3, 3] }, /divisible by 8/);
    await refuse({ pretrain: 'labels' }, /pretrain must be one of/);
    await refuse({ relTol: 0 }, /relTol must be/);
    await refuse({ epochs: 3 }, /unknown option "epochs"/);
    await expect(
      deepSubspaceClustering(nan, options({ clusters: 2, subspaceDim: 1 })),
    ).rejects.toThrow(/finite/);
    await expect(
      deepSubspaceClustering(huge, options({ clusters: 2, subspaceDim: 1 })),
    ).rejects.toThrow(NonFiniteError);
    expect(memory().numTensors).toBe(before);
    for (const t of [x, nan, huge]) t.dispose();
  });
});
