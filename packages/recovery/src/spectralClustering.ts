import { checkInteger, checkOptions } from '@orth/backend';
import { type DenseMatrix, type MatrixInput, readMatrix } from './denseMatrix.js';
import { type KmeansOptions, kmeansOf } from './kmeans.js';
import { type Eigen, symmetricEigen } from './symmetricEigen.js';
import { type Operator, topEigen } from './topEigen.js';

/** What {@link spectralEmbedding} finds. */
export interface SpectralEmbedding {
  /** Largest eigenvalues of `I + D^−½ W D^−½`, descending; as many are 2 as there are connected parts. */
  readonly values: Float64Array;
  /** Their eigenvectors as columns, rows scaled to unit length; shape `[n, k]`. */
  readonly embedding: DenseMatrix;
}

/** Up to this size all eigenpairs are computed. */
const DENSE = 150;
const EPSILON = 2 ** -52;

async function readAffinity(caller: string, W: MatrixInput): Promise<DenseMatrix> {
  const matrix = await readMatrix(caller, 'W', W);
  const { shape, data } = matrix;
  const n = shape[0];
  if (n !== shape[1]) throw new RangeError(`${caller}: W must be square, got shape [${shape}]`);
  const most = data.reduce((a, b) => Math.max(a, b), 0);
  data.forEach((w, e) => {
    const [i, j] = [Math.floor(e / n), e % n];
    if (w < 0) throw new RangeError(`${caller}: W must be >= 0, got ${w} at [${i},${j}]`);
    if (Math.abs(w - data[j * n + i]!) > 1e-6 * most) {
      throw new RangeError(`${caller}: W must be symmetric, got ${w} at [${i},${j}]`);
    }
  });
  return matrix;
}

function eigenpairs({ shape: [n], data }: DenseMatrix, k: number): Eigen {
  const scale = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let degree = EPSILON;
    for (let j = 0; j < n; j++) degree += data[i * n + j]!;
    scale[i] = 1 / Math.sqrt(degree);
  }
  if (n <= DENSE || 2 * k > n) {
    const S = data.map((w, e) => {
      const [i, j] = [Math.floor(e / n), e % n];
      return (i === j ? 1 : 0) + w * scale[i]! * scale[j]!;
    });
    const { values, vectors } = symmetricEigen(S, n);
    return { values: values.slice(0, k), vectors: vectors.slice(0, k) };
  }
  // Retained coefficients leave few entries in a row.
  const rows = Array.from({ length: n }, (_, i) => {
    const columns = Int32Array.from(
      Array.from({ length: n }, (__, j) => j).filter((j) => data[i * n + j] !== 0),
    );
    return { columns, weights: Float64Array.from(columns, (j) => data[i * n + j]! * scale[j]!) };
  });
  const apply: Operator = (x, y) => {
    for (let i = 0; i < n; i++) {
      const { columns, weights } = rows[i]!;
      let total = 0;
      for (let e = 0; e < columns.length; e++) total += weights[e]! * x[columns[e]!]!;
      y[i] = x[i]! + scale[i]! * total;
    }
  };
  return topEigen(apply, n, k, 2);
}

function embed(W: DenseMatrix, k: number): SpectralEmbedding {
  const n = W.shape[0];
  const { values, vectors } = eigenpairs(W, k);
  const data = new Float64Array(n * k);
  for (let i = 0; i < n; i++) {
    const norm = Math.hypot(...vectors.map((v) => v[i]!));
    // A point without neighbours may have no part in any of them.
    for (let c = 0; norm > 0 && c < k; c++) data[i * k + c] = vectors[c]![i]! / norm;
  }
  return { values, embedding: { shape: [n, k], data } };
}

/**
 * Points in the space of the leading eigenvectors of `I + D^−½ W D^−½`. On the host, float64.
 *
 * @param W - affinity, shape `[n, n]`, symmetric, >= 0
 * @param k - how many, 1 … n
 * @throws TypeError or RangeError, by rejecting, for a bad matrix or k
 * @see Ng, Jordan and Weiss 2001
 */
export async function spectralEmbedding(W: MatrixInput, k: number): Promise<SpectralEmbedding> {
  const matrix = await readAffinity('spectralEmbedding', W);
  checkInteger('spectralEmbedding', 'k', k, { min: 1, max: matrix.shape[0] });
  return embed(matrix, k);
}

/**
 * Clusters of an affinity: k-means on its {@link spectralEmbedding}.
 *
 * @param W - affinity, shape `[n, n]`, symmetric, >= 0
 * @param k - clusters, 2 … n
 * @returns a promise of the cluster of each point, 0 … k − 1; the same for the same seed
 * @throws TypeError or RangeError, by rejecting, for a bad matrix, k or option
 * @example
 * const labels = await spectralClustering(await affinity(C, { keep: 9 }), 3);
 */
export async function spectralClustering(
  W: MatrixInput,
  k: number,
  options: KmeansOptions = {},
): Promise<Int32Array> {
  const caller = 'spectralClustering';
  checkOptions(caller, options, ['seed', 'restarts', 'maxIterations']);
  const matrix = await readAffinity(caller, W);
  checkInteger(caller, 'k', k, { min: 2, max: matrix.shape[0] });
  return kmeansOf(caller, embed(matrix, k).embedding, k, options).labels;
}
