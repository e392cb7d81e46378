import { checkNumber, checkOptions } from '@orth/backend';
import { type DenseMatrix, gram, type MatrixInput, multiply, transposed } from './denseMatrix.js';
import { readPoints } from './points.js';
import { symmetricEigen } from './symmetricEigen.js';

/** Options of {@link lrr}. */
export interface LrrOptions {
  /** Noise level, >= 0: singular values up to √τ count as noise; with 0 all but rounding count. Default 0.1 */
  readonly tau?: number;
  /** Scale points to unit length first. Default true */
  readonly normalize?: boolean;
}

/**
 * Low-rank representation in closed form: `C = U max(1 − τ/Σ², 0) Uᵀ` for `X = U Σ Vᵀ`; with τ = 0 the shape interaction
 * matrix `U Uᵀ`. On the host, float64.
 *
 * @param X - points as rows, shape `[n, d]`
 * @returns a promise of C, shape `[n, n]`, symmetric
 * @throws TypeError or RangeError, by rejecting, for a bad matrix or option
 * @see Favaro, Vidal and Ravichandran 2011, "A closed form solution to robust subspace estimation and clustering"
 */
export async function lrr(X: MatrixInput, options: LrrOptions = {}): Promise<DenseMatrix> {
  checkOptions('lrr', options, ['tau', 'normalize']);
  const { tau = 0.1, normalize = true } = options;
  checkNumber('lrr', 'tau', tau, { min: 0 });
  const points = await readPoints('lrr', X, normalize);
  const [n, d] = points.shape;
  const wide = n <= d;
  const small = wide ? points : transposed(points);
  const size = Math.min(n, d);
  const { values, vectors } = symmetricEigen(gram(small).data, size);
  const floor = 1e-12 * values[0]!;
  const kept = vectors.filter((_, k) => values[k]! > Math.max(tau, floor));
  if (kept.length === 0) return { shape: [n, n], data: new Float64Array(n * n) };
  // Left vectors as rows, times the root of their weight; those of XᵀX are carried over by X.
  const stacked: DenseMatrix = {
    shape: [kept.length, size],
    data: Float64Array.from(kept.flatMap((v) => Array.from(v))),
  };
  const left = wide ? stacked : multiply(stacked, small);
  for (let k = 0; k < kept.length; k++) {
    const weight = Math.sqrt((1 - tau / values[k]!) / (wide ? 1 : values[k]!));
    for (let i = 0; i < n; i++) left.data[k * n + i]! *= weight;
  }
  return gram(transposed(left));
}
