import { checkBoolean, checkNumber, checkOptions } from '@orth/backend';
import { invertPositive } from './cholesky.js';
import { type DenseMatrix, gram, type MatrixInput, multiply, transposed } from './denseMatrix.js';
import { readPoints } from './points.js';

/** Options of {@link lsr}. */
export interface LsrOptions {
  /** Weight of ‖C‖², > 0. Default 0.1 */
  readonly lambda?: number;
  /** Forbid points to represent themselves. Default false */
  readonly zeroDiagonal?: boolean;
  /** Scale points to unit length first. Default true */
  readonly normalize?: boolean;
}

/**
 * Least squares regression: every point as a combination of all, `min ‖X − C X‖² + λ‖C‖²`, in closed form.
 *
 * Plain: `C = (G + λI)⁻¹ G` with `G = X Xᵀ`, symmetric. With a zero diagonal `C_ij = −M_ij / M_jj`, `M = (G + λI)⁻¹`: there
 * point **j** is combined, `x_j ≈ Σ_i C_ij x_i`. On the host, float64; inverts a matrix of the smaller of n and d.
 *
 * @param X - points as rows, shape `[n, d]`
 * @returns a promise of C, shape `[n, n]`
 * @throws TypeError or RangeError, by rejecting, for a bad matrix or option
 * @see Lu et al. 2012, "Robust and efficient subspace segmentation via least squares regression"
 */
export async function lsr(X: MatrixInput, options: LsrOptions = {}): Promise<DenseMatrix> {
  checkOptions('lsr', options, ['lambda', 'zeroDiagonal', 'normalize']);
  const { lambda = 0.1, zeroDiagonal = false, normalize = true } = options;
  checkNumber('lsr', 'lambda', lambda, { above: 0 });
  checkBoolean('lsr', 'zeroDiagonal', zeroDiagonal);
  const points = await readPoints('lsr', X, normalize);
  const [n, d] = points.shape;
  const damped = ({ data, shape: [size] }: DenseMatrix) => {
    for (let i = 0; i < size; i++) data[i * size + i]! += lambda;
    return invertPositive('lsr', data, size);
  };
  if (!zeroDiagonal && d < n) {
    // (G + λI)⁻¹ G = X (XᵀX + λI)⁻¹ Xᵀ
    const inverse: DenseMatrix = { shape: [d, d], data: damped(gram(transposed(points))) };
    return multiply(multiply(points, inverse), transposed(points));
  }
  // λM = I − X (XᵀX + λI)⁻¹ Xᵀ where that is smaller; the scale λ cancels in M_ij / M_jj.
  let M: Float64Array;
  if (d < n) {
    const inverse: DenseMatrix = { shape: [d, d], data: damped(gram(transposed(points))) };
    M = multiply(multiply(points, inverse), transposed(points)).data.map((c) => -c);
    for (let i = 0; i < n; i++) M[i * n + i]! += 1;
  } else {
    M = damped(gram(points)).map((m) => lambda * m);
  }
  const data = M.map((m, e) => {
    const [i, j] = [Math.floor(e / n), e % n];
    if (!zeroDiagonal) return (i === j ? 1 : 0) - m;
    return i === j ? 0 : -m / M[j * n + j]!;
  });
  return { shape: [n, n], data };
}
