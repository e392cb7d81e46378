import { EigenvalueDecomposition } from 'ml-matrix';
import {
  type HostMatrix,
  type MatrixLike,
  type RowsLike,
  toHostMatrix,
  toMlMatrix,
} from '../hostMatrix.js';

/** What {@link eigenstructure} gives: {@link rfRisk} and its siblings take it as it is. */
export interface Eigenstructure {
  /** λ̂ = Λ/M, descending. */
  readonly eigenvalues: Float64Array;
  /** v̂ = UᵀY/√M; for several columns of Y the root of their summed squares. */
  readonly coeffs: Float64Array;
}

/** A square symmetric matrix on the host. */
export async function toKernel(caller: string, K: MatrixLike): Promise<HostMatrix> {
  const kernel = await toHostMatrix(caller, 'K', K);
  const [rows, columns] = kernel.shape;
  if (rows !== columns) {
    throw new RangeError(`${caller}: K must be square, got shape [${kernel.shape}]`);
  }
  let [gap, size] = [0, 0];
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < i; j++) {
      gap = Math.max(gap, Math.abs(kernel.data[i * rows + j]! - kernel.data[j * rows + i]!));
    }
    size = Math.max(size, Math.abs(kernel.data[i * rows + i]!));
  }
  if (gap > 1e-4 * size) {
    throw new RangeError(`${caller}: K must be symmetric, got entries that differ by ${gap}`);
  }
  return kernel;
}

/** Rows of targets, as many as the kernel has. */
export async function toTargets(caller: string, Y: RowsLike, rows: number): Promise<HostMatrix> {
  const targets = await toHostMatrix(caller, 'Y', Y);
  if (targets.shape[0] === rows) return targets;
  throw new RangeError(`${caller}: Y must have ${rows} rows, got shape [${targets.shape}]`);
}

/**
 * Spectrum and target coefficients of a task, from the kernel of M samples: K = U Λ Uᵀ, λ̂ = Λ/M, v̂ = UᵀY/√M.
 *
 * Decomposed on the host in float64: 0.2 s at M = 300, 1 s at 600, 5 s at 1000. Eigenvalues that rounding made negative
 * become 0. Coefficients of few samples hold a part of the labels' noise, σ²/M a mode: predictions from them are a few
 * per cent low.
 *
 * @param K - kernel of the samples, `[M, M]`, symmetric: a tensor, rows of numbers, or a {@link HostMatrix}
 * @param Y - targets, `[M]` or `[M, C]`
 * @throws TypeError or RangeError if `K` is not square, symmetric and finite, or `Y` does not fit
 * @see Simon et al. 2024, "More is Better in Modern Machine Learning", appendix on measuring eigencoefficients
 */
export async function eigenstructure(K: MatrixLike, Y: RowsLike): Promise<Eigenstructure> {
  const kernel = await toKernel('eigenstructure', K);
  const M = kernel.shape[0];
  const targets = await toTargets('eigenstructure', Y, M);
  const columns = targets.shape[1];
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(toMlMatrix(kernel), {
    assumeSymmetric: true,
  });
  const order = realEigenvalues
    .map((_, i) => i)
    .sort((i, j) => realEigenvalues[j]! - realEigenvalues[i]!);
  const coeffs = Float64Array.from(order, (mode) => {
    let power = 0;
    for (let c = 0; c < columns; c++) {
      let dot = 0;
      for (let i = 0; i < M; i++) {
        dot += eigenvectorMatrix.get(i, mode) * targets.data[i * columns + c]!;
      }
      power += dot * dot;
    }
    return Math.sqrt(power / M);
  });
  const eigenvalues = Float64Array.from(order, (mode) => Math.max(0, realEigenvalues[mode]! / M));
  return { eigenvalues, coeffs };
}
