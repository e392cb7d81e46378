import { checkInteger, checkNumber, checkOptions, seededRandom } from '@orth/backend';
import type { DenseMatrix } from './denseMatrix.js';
import { orthonormalColumns } from './orthonormal.js';

/** Options of {@link unionOfSubspaces}. */
export interface UnionOfSubspacesOptions {
  /** Subspaces, integer >= 1. */
  readonly clusters: number;
  /** Dimension of each, 1 … ambient. */
  readonly dim: number;
  /** Dimension of the space. */
  readonly ambient: number;
  /** Points of each subspace, integer >= 1. */
  readonly perCluster: number;
  /** Standard deviation of Gaussian noise on each coordinate of the unit points, >= 0. Default 0 */
  readonly noise?: number;
  /** Integer. Default 0 */
  readonly seed?: number;
}

/**
 * Points on random subspaces: unit vectors in random directions of each, then noise.
 *
 * @returns points as rows, shape `[clusters · perCluster, ambient]`, cluster by cluster, and their labels
 * @throws TypeError or RangeError for a bad option
 */
export function unionOfSubspaces(options: UnionOfSubspacesOptions): {
  readonly points: DenseMatrix;
  readonly labels: Int32Array;
} {
  const caller = 'unionOfSubspaces';
  checkOptions(caller, options, ['clusters', 'dim', 'ambient', 'perCluster', 'noise', 'seed']);
  const { clusters, dim, ambient, perCluster, noise = 0, seed = 0 } = options;
  checkInteger(caller, 'clusters', clusters, { min: 1 });
  checkInteger(caller, 'ambient', ambient, { min: 1 });
  checkInteger(caller, 'dim', dim, { min: 1, max: ambient });
  checkInteger(caller, 'perCluster', perCluster, { min: 1 });
  checkNumber(caller, 'noise', noise, { min: 0 });
  checkInteger(caller, 'seed', seed);
  const random = seededRandom(seed);
  const n = clusters * perCluster;
  const data = new Float64Array(n * ambient);
  for (let c = 0; c < clusters; c++) {
    const basis = orthonormalColumns(random, ambient, dim).data;
    for (let p = 0; p < perCluster; p++) {
      const row = data.subarray((c * perCluster + p) * ambient, (c * perCluster + p + 1) * ambient);
      const weights = Float64Array.from({ length: dim }, () => random.normal());
      const norm = Math.hypot(...weights);
      for (let e = 0; e < ambient; e++) {
        for (let k = 0; k < dim; k++) row[e]! += (basis[e * dim + k]! * weights[k]!) / norm;
        if (noise > 0) row[e]! += random.normal(0, noise);
      }
    }
  }
  const labels = Int32Array.from({ length: n }, (_, i) => Math.floor(i / perCluster));
  return { points: { shape: [n, ambient], data }, labels };
}
