import { type DenseMatrix, gram, multiply, transposed } from './denseMatrix.js';
import { symmetricEigen } from './symmetricEigen.js';

/**
 * `U Vᵀ` over the singular values above `rankTolerance · σ_max`: the polar factor of a matrix without full rank, as a
 * partial isometry. On the host, float64; a zero matrix gives zeros.
 *
 * The right vectors are those of `GᵀG`; the left ones are `G v / ‖G v‖`, which keeps them orthogonal to 1e−11 for
 * singular values down to 1e−5 of the largest although the squares lose half of the digits.
 */
export function partialIsometry(G: DenseMatrix, rankTolerance: number): DenseMatrix {
  const n = G.shape[1];
  const Gt = transposed(G);
  const { values, vectors } = symmetricEigen(gram(Gt).data, n);
  const cut = rankTolerance * rankTolerance * values[0]!;
  const kept = vectors.filter((_, i) => values[i]! > cut && values[i]! > 0);
  if (kept.length === 0) return { shape: G.shape, data: new Float64Array(G.data.length) };
  const Vt: DenseMatrix = {
    shape: [kept.length, n],
    data: Float64Array.from(kept.flatMap((row) => Array.from(row))),
  };
  const images = multiply(Vt, Gt);
  const rows = G.shape[0];
  for (let i = 0; i < kept.length; i++) {
    const row = images.data.subarray(i * rows, (i + 1) * rows);
    const norm = Math.sqrt(row.reduce((total, x) => total + x * x, 0));
    for (let j = 0; j < rows; j++) row[j]! /= norm;
  }
  return multiply(images, Vt, true);
}

/** Largest singular value of a host matrix. */
export function spectralNorm(matrix: DenseMatrix): number {
  const [rows, columns] = matrix.shape;
  const small = rows <= columns ? matrix : transposed(matrix);
  const { values } = symmetricEigen(gram(small).data, small.shape[0]);
  return Math.sqrt(Math.max(values[0]!, 0));
}
