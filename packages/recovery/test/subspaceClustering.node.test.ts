import { seededRandom } from '@orth/backend';
import {
  adjustedRandIndex,
  affinity,
  clusteringAccuracy,
  keepLargest,
  kmeans,
  lrr,
  lsr,
  normalizedMutualInfo,
  pairwiseF,
  spectralClustering,
  spectralEmbedding,
  ssc,
  unionOfSubspaces,
} from '@orth/recovery';
import { describe, expect, it } from 'vitest';
import { invertPositive } from '../src/cholesky.js';
import { gram, multiply } from '../src/denseMatrix.js';
import { bestMatching } from '../src/hungarian.js';
import { symmetricEigen } from '../src/symmetricEigen.js';
import { topEigen } from '../src/topEigen.js';

const random = seededRandom(5);
const gaussian = (rows: number, columns: number) => ({
  shape: [rows, columns] as const,
  data: Float64Array.from({ length: rows * columns }, () => random.normal()),
});

/** Three subspaces of dimension 3 in R^20, exactly. */
const clean = unionOfSubspaces({ clusters: 3, dim: 3, ambient: 20, perCluster: 12, seed: 2 });

/** Largest entry between different clusters. */
const leak = (C: { data: Float64Array }, labels: Int32Array) => {
  const n = labels.length;
  return C.data.reduce(
    (most, c, e) =>
      labels[Math.floor(e / n)] === labels[e % n] ? most : Math.max(most, Math.abs(c)),
    0,
  );
};

describe('host algebra', () => {
  it('inverts positive definite matrices and refuses others', () => {
    const A = gram(gaussian(7, 9));
    const inverse = invertPositive('f', Float64Array.from(A.data), 7);
    const identity = multiply(A, { shape: [7, 7], data: inverse });
    identity.data.forEach((x, e) => {
      expect(x).toBeCloseTo(e % 8 === 0 ? 1 : 0, 9);
    });
    expect(() => invertPositive('f', Float64Array.from([1, 2, 2, 1]), 2)).toThrow(/not definite/);
  });

  it('finds leading eigenpairs, however often they occur', () => {
    const n = 60;
    const blocks = Float64Array.from({ length: n * n }, (_, e) =>
      Math.floor(Math.floor(e / n) / 12) === Math.floor((e % n) / 12) ? 1 / 12 : 0,
    );
    const noisy = gram(gaussian(n, 80)).data;
    for (const A of [blocks, noisy]) {
      const apply = (x: Float64Array, y: Float64Array) => {
        for (let i = 0; i < n; i++) {
          y[i] = 0;
          for (let j = 0; j < n; j++) y[i]! += A[i * n + j]! * x[j]!;
        }
      };
      const want = symmetricEigen(A, n);
      const got = topEigen(apply, n, 5, want.values[0]!);
      got.values.forEach((value, i) => {
        expect(Math.abs(value - want.values[i]!)).toBeLessThan(1e-9 * want.values[0]!);
        const image = new Float64Array(n);
        apply(got.vectors[i]!, image);
        image.forEach((x, e) => {
          expect(Math.abs(x - value * got.vectors[i]![e]!)).toBeLessThan(1e-7 * want.values[0]!);
        });
      });
    }
  });

  it('matches rows and columns as well as trying all', () => {
    const permutations = (items: number[]): number[][] =>
      items.length < 2
        ? [items]
        : items.flatMap((x, i) =>
            permutations(items.filter((_, j) => j !== i)).map((rest) => [x, ...rest]),
          );
    for (let trial = 0; trial < 20; trial++) {
      const gain = Array.from({ length: 5 }, () =>
        Array.from({ length: 5 }, () => random.integer(-9, 9)),
      );
      const total = (match: number[]) => match.reduce((sum, j, i) => sum + gain[i]![j]!, 0);
      const best = Math.max(...permutations([0, 1, 2, 3, 4]).map(total));
      expect(total(bestMatching(gain))).toBe(best);
    }
    expect(bestMatching([[1], [5], [2]])).toEqual([-1, 0, -1]);
    expect(bestMatching([[1, 5, 2]])).toEqual([1]);
  });
});

describe('representations', () => {
  it('LSR solves its normal equations, in both ways of inverting', async () => {
    for (const points of [gaussian(6, 10), gaussian(10, 6)]) {
      const [n] = points.shape;
      const lambda = 0.3;
      const C = await lsr(points, { lambda, normalize: false });
      const G = gram(points);
      const GC = multiply(G, C);
      GC.data.forEach((x, e) => {
        expect(x + lambda * C.data[e]!).toBeCloseTo(G.data[e]!, 9);
      });
      // Zero diagonal: every column is the ridge solution without its own point.
      const zero = await lsr(points, { lambda, normalize: false, zeroDiagonal: true });
      for (let j = 0; j < n; j++) {
        expect(zero.data[j * n + j]).toBe(0);
        for (let i = 0; i < n; i++) {
          if (i === j) continue;
          let total = lambda * zero.data[i * n + j]! - G.data[i * n + j]!;
          for (let k = 0; k < n; k++) total += G.data[i * n + k]! * zero.data[k * n + j]!;
          expect(Math.abs(total)).toBeLessThan(1e-8);
        }
      }
    }
  });

  it('independent subspaces without noise: LSR and LRR are block diagonal, clusters exact', async () => {
    const { points, labels } = clean;
    const found = [
      await lsr(points, { lambda: 1e-7 }),
      await lrr(points, { tau: 0 }),
      await lrr(points, { tau: 1e-6 }),
      (await ssc(points)).C,
    ];
    for (const C of found) {
      const W = await affinity(C, { keep: 6 });
      expect(clusteringAccuracy(labels, await spectralClustering(W, 3))).toBe(1);
    }
    for (const C of found.slice(0, 3)) expect(leak(C, labels)).toBeLessThan(1e-5);
    const { values } = await spectralEmbedding(await affinity(found[1]!), 4);
    expect(values[2]).toBeCloseTo(2, 8);
    expect(values[3]).toBeLessThan(1.99);
  });

  it('LRR is the shape interaction matrix of both orientations', async () => {
    for (const points of [gaussian(5, 8), gaussian(8, 5)]) {
      const C = await lrr(points, { tau: 0, normalize: false });
      const CX = multiply(C, { shape: [points.shape[0], points.shape[1]], data: points.data });
      CX.data.forEach((x, e) => {
        expect(x).toBeCloseTo(points.data[e]!, 9);
      });
    }
    const none = await lrr(
      [
        [1, 0],
        [0, 1],
      ],
      { tau: 5 },
    );
    expect([...none.data]).toEqual([0, 0, 0, 0]);
  });

  it('SSC meets the conditions of optimality, and says when it did not settle', async () => {
    const points = gaussian(15, 8);
    const { C, lambda, converged } = await ssc(points, {
      alpha: 8,
      normalize: false,
      tolerance: 1e-10,
    });
    expect(converged).toBe(true);
    const G = gram(points).data;
    for (let i = 0; i < 15; i++) {
      expect(C.data[i * 15 + i]).toBe(0);
      for (let j = 0; j < 15; j++) {
        if (i === j) continue;
        let rest = G[i * 15 + j]!;
        for (let k = 0; k < 15; k++) rest -= C.data[i * 15 + k]! * G[k * 15 + j]!;
        const c = C.data[i * 15 + j]!;
        if (c === 0) expect(Math.abs(rest)).toBeLessThanOrEqual(lambda[i]! + 1e-7);
        else expect(rest).toBeCloseTo(lambda[i]! * Math.sign(c), 6);
      }
    }
    expect((await ssc(points, { maxIterations: 1 })).converged).toBe(false);
  });

  it('refuse wrong arguments', async () => {
    const zero = [
      [0, 0],
      [1, 1],
    ];
    await expect(lsr(zero)).rejects.toThrow(
      /lsr: X must have no zero row when normalised, got one at 0/,
    );
    await expect(lsr(zero, { normalize: false })).resolves.toBeDefined();
    await expect(lsr([[1]], { lambda: 0 })).rejects.toThrow(/lambda must be/);
    await expect(ssc([[1], [Number.NaN]])).rejects.toThrow(/X must be finite, got NaN at index 1/);
    await expect(ssc([[1]], { alpha: 1 })).rejects.toThrow(/alpha must be/);
    await expect(lrr([[1]], { tau: -1 })).rejects.toThrow(/tau must be/);
    await expect(lrr([[1, 2], [3]] as never)).rejects.toThrow(/rows of one length/);
    await expect(lsr({ shape: [2, 2], data: [1] })).rejects.toThrow(/fits its data/);
    await expect(lsr('x' as never)).rejects.toThrow(/X must be a 2-D tensor/);
    expect(() => unionOfSubspaces({ clusters: 2, dim: 5, ambient: 4, perCluster: 3 })).toThrow(
      /dim/,
    );
  });
});

describe('affinity', () => {
  it('keeps the largest of each column, with ties, and is symmetric', async () => {
    const C = [
      [0, -3, 1],
      [2, 0, 1],
      [4, 1, 0],
    ];
    expect([...(await keepLargest(C, { keep: 1 })).data]).toEqual([0, -3, 1, 0, 0, 1, 4, 0, 0]);
    expect([...(await keepLargest(C, { keep: 1, of: 'row' })).data]).toEqual([
      0, -3, 0, 2, 0, 0, 4, 0, 0,
    ]);
    const all = await affinity(C);
    expect([...all.data]).toEqual([0, 2.5, 2.5, 2.5, 0, 1, 2.5, 1, 0]);
    expect([...(await affinity(C, { keep: 3 })).data]).toEqual([...all.data]);
    expect([...(await affinity(C, { keep: 1 })).data]).toEqual([0, 2.5, 2.5, 2.5, 0, 0, 2.5, 0, 0]);
    await expect(affinity(C, { keep: 0 })).rejects.toThrow(/keep must be an integer >= 1 and <= 3/);
    await expect(affinity([[1, 2]])).rejects.toThrow(/C must be square/);
    await expect(keepLargest(C, { keep: 4 })).rejects.toThrow(/keep must be/);
  });
});

describe('spectral clustering', () => {
  it('permuting points permutes labels, and one seed gives one result', async () => {
    const { points, labels } = unionOfSubspaces({
      clusters: 4,
      dim: 3,
      ambient: 24,
      perCluster: 50,
      noise: 0.05,
      seed: 3,
    });
    const n = labels.length;
    const C = await lsr(points);
    const W = await affinity(C, { keep: 8 });
    const found = await spectralClustering(W, 4, { seed: 1 });
    expect(await spectralClustering(W, 4, { seed: 1 })).toEqual(found);
    expect(clusteringAccuracy(labels, found)).toBeGreaterThan(0.97);
    const order = random.shuffle(Array.from({ length: n }, (_, i) => i));
    const moved = { shape: [n, n], data: new Float64Array(n * n) };
    order.forEach((i, r) => {
      order.forEach((j, c) => {
        moved.data[r * n + c] = W.data[i * n + j]!;
      });
    });
    const again = await spectralClustering(moved, 4);
    expect(
      clusteringAccuracy(
        order.map((i) => found[i]!),
        again,
      ),
    ).toBeGreaterThan(0.99);
  });

  it('puts up with points that have no neighbours', async () => {
    const W = [
      [0, 1, 0],
      [1, 0, 0],
      [0, 0, 0],
    ];
    const labels = await spectralClustering(W, 2);
    expect(labels[0]).toBe(labels[1]);
    expect(labels[2]).not.toBe(labels[0]);
  });

  it('refuses what is no affinity', async () => {
    await expect(spectralClustering([[0, 1]], 2)).rejects.toThrow(/W must be square/);
    await expect(
      spectralClustering(
        [
          [0, -1],
          [-1, 0],
        ],
        2,
      ),
    ).rejects.toThrow(/W must be >= 0/);
    await expect(
      spectralClustering(
        [
          [0, 1],
          [2, 0],
        ],
        2,
      ),
    ).rejects.toThrow(/W must be symmetric/);
    await expect(
      spectralClustering(
        [
          [0, 1],
          [1, 0],
        ],
        1,
      ),
    ).rejects.toThrow(/k must be an integer >= 2/);
    await expect(
      spectralClustering(
        [
          [0, 1],
          [1, 0],
        ],
        3,
      ),
    ).rejects.toThrow(/k must be/);
  });
});

describe('kmeans', () => {
  it('separates what is separate', async () => {
    const centres = [
      [0, 0],
      [10, 0],
      [0, 10],
    ];
    const data = Array.from({ length: 60 }, (_, i) =>
      centres[i % 3]!.map((c) => c + random.normal(0, 0.5)),
    );
    const { labels, inertia, converged, centers } = await kmeans(data, 3);
    expect(
      clusteringAccuracy(
        data.map((_, i) => i % 3),
        labels,
      ),
    ).toBe(1);
    expect(converged).toBe(true);
    expect(inertia).toBeLessThan(60);
    expect(centers.shape).toEqual([3, 2]);
  });

  it('gives every cluster a point, even when points coincide', async () => {
    const { labels } = await kmeans([[1], [1], [1], [1]], 3);
    expect(new Set(labels).size).toBe(3);
    expect((await kmeans([[1], [5], [9]], 3)).inertia).toBe(0);
    expect((await kmeans([[1], [3]], 1)).inertia).toBe(2);
    await expect(kmeans([[1]], 2)).rejects.toThrow(/k must be/);
    await expect(kmeans([[1]], 1, { restarts: 0 })).rejects.toThrow(/restarts/);
  });
});

describe('metrics', () => {
  const truth = [0, 0, 0, 1, 1, 1, 2, 2, 2, 2];
  const all = [clusteringAccuracy, normalizedMutualInfo, adjustedRandIndex, pairwiseF];

  it('are 1 for the same partition under any names', () => {
    const renamed = truth.map((label) => [7, -3, 4][label]!);
    for (const metric of all) expect(metric(truth, renamed)).toBeCloseTo(1, 12);
  });

  it('agree with scikit-learn 1.2', () => {
    const predicted = [0, 0, 1, 1, 1, 2, 2, 2, 2, 3];
    expect(clusteringAccuracy(truth, predicted)).toBeCloseTo(0.7, 12);
    expect(normalizedMutualInfo(truth, predicted)).toBeCloseTo(0.568241032922968, 9);
    expect(adjustedRandIndex(truth, predicted)).toBeCloseTo(0.28, 9);
  });

  it('one cluster: NMI 0, ARI 0; both one: 1', () => {
    const one = truth.map(() => 3);
    expect(normalizedMutualInfo(truth, one)).toBe(0);
    expect(adjustedRandIndex(truth, one)).toBe(0);
    expect(clusteringAccuracy(truth, one)).toBe(0.4);
    for (const metric of all) expect(metric(one, one)).toBe(1);
    for (const metric of all) expect(metric([1], [2])).toBe(1);
    for (const metric of all) expect(() => metric([1, 2], [1])).toThrow(/as many/);
    for (const metric of all) expect(() => metric([0.5], [1])).toThrow(/integers/);
  });
});
