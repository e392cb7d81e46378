import { type Random, seededRandom } from '@orth/backend';
import { dot, orthonormalizeRows } from './orthonormal.js';
import { type Eigen, symmetricEigen } from './symmetricEigen.js';

/** `y ← S x` for a symmetric S. */
export type Operator = (x: Float64Array, y: Float64Array) => void;

const TOLERANCE = 1e-9;
const MAX_RESTARTS = 200;
const EXTRA = 4;
/** Blocks of a Krylov space before it is cut back to its best block. */
const BLOCKS = 10;

/**
 * Largest eigenvalues of a symmetric operator and their vectors, by block Krylov spaces with restarts: a block, since
 * affinities of well separated clusters have their largest eigenvalue as often as there are clusters. On the host,
 * float64.
 *
 * @param n - size of the operator
 * @param k - how many
 * @param norm - a bound on the operator's norm, to which the tolerance is relative
 */
export function topEigen(apply: Operator, n: number, k: number, norm: number): Eigen {
  const width = Math.min(n, k + EXTRA);
  const most = Math.min(n, width * BLOCKS);
  const random = seededRandom(0);
  let block = randomBlock(random, n, width);
  let best: Eigen = { values: new Float64Array(k), vectors: block.slice(0, k) };
  for (let restart = 0; restart < MAX_RESTARTS; restart++) {
    const basis = block;
    const images: Float64Array[] = [];
    for (let done = 0; ; ) {
      for (; images.length < basis.length; ) {
        const image = new Float64Array(n);
        apply(basis[images.length]!, image);
        images.push(image);
      }
      if (basis.length >= most) break;
      const fresh = images.slice(done, images.length).map((image) => Float64Array.from(image));
      done = images.length;
      basis.push(...fresh.slice(0, most - basis.length));
      basis.length = orthonormalizeRows(basis, done);
      // The space is closed under S: what it holds is exact.
      if (basis.length === done) break;
    }
    const m = basis.length;
    const T = new Float64Array(m * m);
    for (let i = 0; i < m; i++) {
      for (let j = 0; j <= i; j++) {
        const value = (dot(basis[i]!, images[j]!) + dot(basis[j]!, images[i]!)) / 2;
        T[i * m + j] = value;
        T[j * m + i] = value;
      }
    }
    const { values, vectors } = symmetricEigen(T, m);
    const combine = (rows: readonly Float64Array[], weights: Float64Array) => {
      const out = new Float64Array(n);
      for (let r = 0; r < m; r++) {
        const weight = weights[r]!;
        const row = rows[r]!;
        for (let i = 0; i < n; i++) out[i]! += weight * row[i]!;
      }
      return out;
    };
    const ritz = vectors.slice(0, width).map((weights) => combine(basis, weights));
    best = { values: values.slice(0, k), vectors: ritz.slice(0, k) };
    const settled = best.vectors.every((vector, i) => {
      const image = combine(images, vectors[i]!);
      for (let e = 0; e < n; e++) image[e]! -= best.values[i]! * vector[e]!;
      return Math.sqrt(dot(image, image)) <= TOLERANCE * norm;
    });
    if (settled && m >= k) break;
    block = ritz;
    while (block.length < width) block.push(...randomBlock(random, n, 1));
    block.length = orthonormalizeRows(block);
  }
  return best;
}

function randomBlock(random: Random, n: number, width: number): Float64Array[] {
  const rows = Array.from({ length: width }, () =>
    Float64Array.from({ length: n }, () => random.normal()),
  );
  rows.length = orthonormalizeRows(rows);
  return rows;
}
