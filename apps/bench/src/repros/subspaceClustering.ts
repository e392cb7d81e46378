/**
 * Deep subspace clustering without labels or tuning (Sindicic and Kopriva 2025), beside linear self-expression with
 * every λ of a grid, SSC and k-means: synthetic subspaces and digits.
 */
import type { Random } from '@orth/backend';
import {
  affinity,
  clusteringAccuracy,
  type DeepSubspaceOptions,
  deepSubspaceClustering,
  kmeans,
  lrr,
  lsr,
  spectralClustering,
  ssc,
  unionOfSubspaces,
} from '@orth/recovery';
import { tensor4d } from '@tensorflow/tfjs-core';
import { median } from 'simple-statistics';
import type { Claim, Repro, ReproContext } from '../harness/repro.js';
import { SIDE, smallDigits } from '../problems/digitDomains.js';

const LAMBDAS = [0.01, 0.1, 1, 10];
const PADDED = 16;

interface Problem {
  readonly points: { readonly shape: readonly [number, number]; readonly data: ArrayLike<number> };
  readonly labels: ArrayLike<number>;
  readonly side: number;
  readonly options: DeepSubspaceOptions;
}

interface Accuracies {
  readonly deep: number;
  readonly lsr: readonly number[];
  readonly ssc: number;
  readonly lrr: number;
  readonly kmeans: number;
}

async function accuracies(
  { points, labels, side, options }: Problem,
  seed: number,
): Promise<Accuracies> {
  const { clusters, subspaceDim: keep } = options;
  const score = (found: ArrayLike<number>) => clusteringAccuracy(labels, found);
  const clustered = async (C: Parameters<typeof affinity>[0]) =>
    score(await spectralClustering(await affinity(C, { keep: keep! }), clusters, { seed }));
  const grid: number[] = [];
  for (const lambda of LAMBDAS) grid.push(await clustered(await lsr(points, { lambda })));
  const x = tensor4d(Float32Array.from(points.data), [points.shape[0], side, side, 1]);
  const deep = await deepSubspaceClustering(x, { ...options, seed });
  x.dispose();
  return {
    deep: score(deep.labels),
    lsr: grid,
    ssc: await clustered((await ssc(points)).C),
    lrr: await clustered(await lrr(points)),
    kmeans: score((await kmeans(points, clusters, { seed })).labels),
  };
}

function synthetic(seed: number): Problem {
  const { points, labels } = unionOfSubspaces({
    clusters: 5,
    dim: 4,
    ambient: 64,
    perCluster: 40,
    noise: 0.05,
    seed,
  });
  const options = { clusters: 5, subspaceDim: 4, channels: [1, 8], kernels: [3] };
  return { points, labels, side: 8, options };
}

/** As many digits of each class, 14×14, a frame of one dark pixel. */
function digitsOf(perClass: number, random: Random): Problem {
  const images = smallDigits();
  const taken = new Int32Array(10);
  const chosen = random
    .shuffle(Array.from({ length: images.count }, (_, i) => i))
    .filter((i) => taken[images.digits[i]!]!++ < perClass);
  const size = PADDED * PADDED;
  const data = new Float32Array(chosen.length * size);
  chosen.forEach((i, row) => {
    for (let e = 0; e < SIDE * SIDE; e++) {
      const [y, x] = [Math.floor(e / SIDE) + 1, (e % SIDE) + 1];
      data[row * size + y * PADDED + x] = images.pixels[i * SIDE * SIDE + e]!;
    }
  });
  return {
    points: { shape: [chosen.length, size], data },
    labels: chosen.map((i) => images.digits[i]!),
    side: PADDED,
    options: { clusters: 10, subspaceDim: 12, channels: [1, 10, 5], kernels: [5, 3] },
  };
}

export const repro: Repro = {
  system: 'subspace-clustering',
  description: 'deep subspace clustering without labels beside LSR, SSC, LRR and k-means: ACC',
  async *claims({ quick, seeds, random, onProgress }: ReproContext) {
    type Row = Accuracies & { readonly seed: number };
    const claim = (
      text: string,
      setting: string,
      rows: readonly Row[],
      baseline: string,
      of: (row: Row) => number,
      atLeast: number,
    ): Claim => ({
      claim: text,
      setting,
      baseline,
      ours: 'ACC, deep',
      results: rows.map((row) => ({ seed: row.seed, baseline: of(row), ours: row.deep })),
      effect: 'difference',
      expectation: { of: 'mean', atLeast },
    });
    const best = ({ lsr: grid }: Row) => Math.max(...grid);
    const middle = ({ lsr: grid }: Row) => median([...grid]);
    const run = async (what: string, make: (seed: number) => Problem): Promise<Row[]> => {
      const rows: Row[] = [];
      for (const seed of seeds) {
        onProgress(`${what}, seed ${seed}`);
        rows.push({ seed, ...(await accuracies(make(seed), seed)) });
      }
      return rows;
    };

    const subspaces = await run('synthetic', synthetic);
    const first =
      '5 subspaces of dimension 4 in R^64, 40 points each, noise 0.05; as 8×8 images, channels 1-8, reconstruction first';
    yield claim('synthetic: ACC of 0.98 or more', first, subspaces, 'bound', () => 0.98, 0);
    yield claim(
      'synthetic: no worse than LSR with the best λ of 0.01, 0.1, 1, 10, by more than 0.01',
      first,
      subspaces,
      'ACC, best LSR',
      best,
      -0.01,
    );
    yield claim(
      'synthetic: better than k-means by 0.4 or more',
      first,
      subspaces,
      'ACC, k-means',
      (row) => row.kmeans,
      0.4,
    );
    const perClass = quick ? 10 : 30;
    const second = `${perClass} MNIST digits of each class, 14×14 in 16×16, channels 1-10-5, d = 12, 300 + 180 + 120 epochs at most`;
    const found = await run('digits', (seed) => digitsOf(perClass, random(seed)));
    yield claim(
      'digits: at least the median of LSR with λ = 0.01, 0.1, 1, 10',
      second,
      found,
      'ACC, median LSR',
      middle,
      0,
    );
    yield claim('digits: at least LSR with the best λ', second, found, 'ACC, best LSR', best, 0);
    yield claim('digits: at least SSC', second, found, 'ACC, SSC', (row) => row.ssc, 0);
    yield claim('digits: at least LRR', second, found, 'ACC, LRR', (row) => row.lrr, 0);
    yield claim(
      'digits: better than k-means by 0.08 or more',
      second,
      found,
      'ACC, k-means',
      (row) => row.kmeans,
      0.08,
    );
  },
};
