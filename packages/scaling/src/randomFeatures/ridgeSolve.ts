/** (K + δI)⁻¹ Y in float64. */
import { CholeskyDecomposition, EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { type HostMatrix, productTransposed, toMlMatrix, transposed } from '../hostMatrix.js';

const toHost = (x: Matrix): HostMatrix => ({
  shape: [x.rows, x.columns],
  data: Float64Array.from(x.to1DArray()),
});

/** Eigenvalues below this part of the largest are rounding, and are left out of a ridgeless solve. */
const RANK_TOLERANCE = 1e-12;

/** A symmetric matrix decomposed: solves for any number of ridges at O(n²) each. */
export interface SymmetricSolver {
  /** Eigenvalues, ascending. */
  readonly eigenvalues: readonly number[];
  /** (K + δI)⁻¹ Y; with δ = 0 the pseudo-inverse. */
  solve(ridge: number): HostMatrix;
}

/** Decomposes K once for many ridges. */
export function symmetricSolver(K: HostMatrix, Y: HostMatrix): SymmetricSolver {
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(toMlMatrix(K), {
    assumeSymmetric: true,
  });
  const U = toHost(eigenvectorMatrix);
  const n = K.shape[0];
  const columns = Y.shape[1];
  const rotated = productTransposed(transposed(U), transposed(Y));
  const largest = Math.max(...realEigenvalues.map(Math.abs));
  return {
    eigenvalues: realEigenvalues,
    solve(ridge) {
      const scaled = new Float64Array(n * columns);
      for (let i = 0; i < n; i++) {
        const d = realEigenvalues[i]! + ridge;
        const inverse = Math.abs(d) > RANK_TOLERANCE * largest ? 1 / d : 0;
        for (let j = 0; j < columns; j++) {
          scaled[i * columns + j] = rotated.data[i * columns + j]! * inverse;
        }
      }
      return productTransposed(U, transposed({ shape: [n, columns], data: scaled }));
    },
  };
}

/** Solves once: Cholesky's factors where K + δI is positive definite, else by the eigenvalues, rounding left out. */
export function ridgeSolve(K: HostMatrix, Y: HostMatrix, ridge: number): HostMatrix {
  const matrix = toMlMatrix(K);
  for (let i = 0; i < K.shape[0]; i++) matrix.set(i, i, matrix.get(i, i) + ridge);
  const cholesky = new CholeskyDecomposition(matrix);
  if (cholesky.isPositiveDefinite() && (ridge > 0 || wellConditioned(cholesky))) {
    return toHost(cholesky.solve(toMlMatrix(Y)));
  }
  return symmetricSolver(K, Y).solve(ridge);
}

/** Without a ridge a nearly singular matrix has factors whose diagonal spans all of float64. */
function wellConditioned(cholesky: CholeskyDecomposition): boolean {
  const diagonal = Matrix.checkMatrix(cholesky.lowerTriangularMatrix).diagonal();
  return Math.min(...diagonal) ** 2 > RANK_TOLERANCE * Math.max(...diagonal) ** 2;
}
