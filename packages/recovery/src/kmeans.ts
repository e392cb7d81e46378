import { checkInteger, checkOptions, type Random, seededRandom } from '@orth/backend';
import { type DenseMatrix, type MatrixInput, readMatrix } from './denseMatrix.js';

/** Options of {@link kmeans}. */
export interface KmeansOptions {
  /** Integer. Default 0 */
  readonly seed?: number;
  /** Starts, of which the best result counts, integer >= 1. Default 20 */
  readonly restarts?: number;
  /** Most iterations of a start, integer >= 1. Default 1000 */
  readonly maxIterations?: number;
}

/** What {@link kmeans} finds. */
export interface KmeansResult {
  /** Cluster of each point, 0 … k − 1. */
  readonly labels: Int32Array;
  /** Shape `[k, d]`. */
  readonly centers: DenseMatrix;
  /** Sum of squared distances to the centres. */
  readonly inertia: number;
  /** Whether the best start settled. */
  readonly converged: boolean;
}

/**
 * k-means: Lloyd's iteration from k-means++ starts. On the host, float64. A cluster that loses all its points takes the
 * point that is furthest from its centre.
 *
 * @param X - points as rows, shape `[n, d]`
 * @param k - clusters, 1 … n
 * @throws TypeError or RangeError, by rejecting, for a bad matrix, k or option
 * @see Arthur and Vassilvitskii 2007, "k-means++"
 */
export async function kmeans(
  X: MatrixInput,
  k: number,
  options: KmeansOptions = {},
): Promise<KmeansResult> {
  checkOptions('kmeans', options, ['seed', 'restarts', 'maxIterations']);
  const points = await readMatrix('kmeans', 'X', X);
  checkInteger('kmeans', 'k', k, { min: 1, max: points.shape[0] });
  return kmeansOf('kmeans', points, k, options);
}

/** {@link kmeans} of points on the host. */
export function kmeansOf(
  caller: string,
  points: DenseMatrix,
  k: number,
  options: KmeansOptions,
): KmeansResult {
  const { seed = 0, restarts = 20, maxIterations = 1000 } = options;
  checkInteger(caller, 'seed', seed);
  checkInteger(caller, 'restarts', restarts, { min: 1 });
  checkInteger(caller, 'maxIterations', maxIterations, { min: 1 });
  const random = seededRandom(seed);
  let best: KmeansResult | undefined;
  for (let restart = 0; restart < restarts; restart++) {
    const found = lloyd(points, seeds(points, k, random), maxIterations);
    if (!best || found.inertia < best.inertia) best = found;
  }
  return best!;
}

function distance({ data }: DenseMatrix, i: number, centers: Float64Array, c: number, d: number) {
  let total = 0;
  for (let e = 0; e < d; e++) total += (data[i * d + e]! - centers[c * d + e]!) ** 2;
  return total;
}

/** k-means++: each centre is a point drawn in proportion to its squared distance from those before. */
function seeds(points: DenseMatrix, k: number, random: Random): Float64Array {
  const [n, d] = points.shape;
  const centers = new Float64Array(k * d);
  const nearest = new Float64Array(n).fill(Number.POSITIVE_INFINITY);
  let chosen = random.integer(0, n - 1);
  for (let c = 0; c < k; c++) {
    centers.set(points.data.subarray(chosen * d, (chosen + 1) * d), c * d);
    let total = 0;
    for (let i = 0; i < n; i++) {
      nearest[i] = Math.min(nearest[i]!, distance(points, i, centers, c, d));
      total += nearest[i]!;
    }
    const target = random.uniform() * total;
    let passed = 0;
    chosen = nearest.findIndex((w) => {
      passed += w;
      return w > 0 && passed > target;
    });
    if (chosen < 0) chosen = random.integer(0, n - 1);
  }
  return centers;
}

function lloyd(points: DenseMatrix, centers: Float64Array, maxIterations: number): KmeansResult {
  const [n, d] = points.shape;
  const k = centers.length / d;
  const labels = new Int32Array(n).fill(-1);
  const distances = new Float64Array(n);
  let converged = false;
  for (let iteration = 0; iteration < maxIterations && !converged; iteration++) {
    converged = true;
    for (let i = 0; i < n; i++) {
      let [nearest, least] = [0, Number.POSITIVE_INFINITY];
      for (let c = 0; c < k; c++) {
        const far = distance(points, i, centers, c, d);
        if (far < least) [nearest, least] = [c, far];
      }
      distances[i] = least;
      if (labels[i] !== nearest) converged = false;
      labels[i] = nearest;
    }
    const counts = new Int32Array(k);
    for (const label of labels) counts[label]!++;
    for (let c = 0; c < k; c++) {
      if (counts[c]! > 0) continue;
      let furthest = -1;
      for (let i = 0; i < n; i++) {
        if (counts[labels[i]!]! < 2) continue;
        if (furthest < 0 || distances[i]! > distances[furthest]!) furthest = i;
      }
      counts[labels[furthest]!]!--;
      labels[furthest] = c;
      distances[furthest] = 0;
      counts[c] = 1;
      // Coinciding points would be moved to and fro for ever.
      converged &&= iteration > 0;
    }
    if (converged) break;
    centers.fill(0);
    for (let i = 0; i < n; i++) {
      for (let e = 0; e < d; e++) centers[labels[i]! * d + e]! += points.data[i * d + e]!;
    }
    for (let c = 0; c < k; c++) {
      for (let e = 0; e < d; e++) centers[c * d + e]! /= counts[c]!;
    }
  }
  let inertia = 0;
  for (let i = 0; i < n; i++) inertia += distance(points, i, centers, labels[i]!, d);
  return { labels, centers: { shape: [k, d], data: centers }, inertia, converged };
}
