import { checkFinite, checkInteger, checkNumber, checkOptions, checkTensor } from '@orth/backend';
import { div, sign, type Tensor1D, type Tensor2D, tidy } from '@tensorflow/tfjs-core';
import { type DenseMatrix, gram, multiply, toTensor2D, transposed } from './denseMatrix.js';
import { checkMeasurement, type LinearMeasurement } from './linearMeasurement.js';
import { symmetrized } from './robustLoss.js';
import { symmetricEigen } from './symmetricEigen.js';

/** Options of {@link spectralInit} and {@link spectralInitRectangular}. */
export interface SpectralInitOptions {
  /** Columns of the factors. */
  readonly rank: number;
  /** Size of the start, > 0. Default 1e−3 */
  readonly alpha?: number;
}

function check(
  caller: string,
  A: LinearMeasurement,
  y: Tensor1D,
  options: SpectralInitOptions,
  symmetric: boolean,
): Required<SpectralInitOptions> {
  checkMeasurement(caller, A, symmetric);
  checkTensor(caller, 'y', y, { shape: [A.m] });
  checkOptions(caller, options, ['rank', 'alpha']);
  const { rank, alpha = 1e-3 } = options;
  checkInteger(caller, 'rank', rank, { min: 1, max: Math.min(A.rows, A.columns) });
  checkNumber(caller, 'alpha', alpha, { above: 0 });
  return { rank, alpha };
}

/** `C = (1/m) Σ sign(y_i) A_i` on the host, symmetrised if asked. */
async function signMatrix(
  caller: string,
  A: LinearMeasurement,
  y: Tensor1D,
  symmetric: boolean,
): Promise<DenseMatrix> {
  const values = await y.data();
  checkFinite(caller, 'y', values);
  if (values.every((value) => value === 0)) {
    throw new RangeError(`${caller}: y must not be all zeros`);
  }
  const C = tidy(() => {
    const Z = div(A.adjoint(sign(y)), A.m);
    return symmetric ? symmetrized(Z) : Z;
  });
  const data = Float64Array.from(await C.data());
  C.dispose();
  checkFinite(caller, 'A.adjoint(sign(y))', data);
  return { shape: [A.rows, A.columns], data };
}

const frobenius = ({ data }: DenseMatrix) => Math.sqrt(data.reduce((total, x) => total + x * x, 0));

/** Columns `scale_k · vectors_k`. */
function columnsOf(vectors: readonly Float64Array[], scales: readonly number[]): Tensor2D {
  const rows = vectors[0]!.length;
  const data = new Float64Array(rows * vectors.length);
  vectors.forEach((vector, k) => {
    for (let i = 0; i < rows; i++) data[i * vectors.length + k] = vector[i]! * scales[k]!;
  });
  return toTensor2D({ shape: [rows, vectors.length], data });
}

/**
 * A small start that leans to the signal: `U₀ = α V √(max(w, 0) / ‖C‖_F)` with the leading eigenpairs of
 * `C = (1/m) Σ sign(y_i)(A_i + A_iᵀ)/2`, which outliers reach through their signs only.
 *
 * @param A - measurement of square matrices
 * @param y - measurements, shape `[m]`, not all 0
 * @returns a promise of `U₀`, shape `[d, rank]`; the caller disposes it. Signs of columns are arbitrary
 * @throws TypeError or RangeError, by rejecting, for a bad shape or option, or y that is 0 or not finite
 * @see Ma and Fattahi 2022, arXiv 2202.08788
 */
export async function spectralInit(
  A: LinearMeasurement,
  y: Tensor1D,
  options: SpectralInitOptions,
): Promise<Tensor2D> {
  const { rank, alpha } = check('spectralInit', A, y, options, true);
  const C = await signMatrix('spectralInit', A, y, true);
  const norm = frobenius(C);
  const { values, vectors } = symmetricEigen(C.data, A.rows);
  const scales = Array.from(values.slice(0, rank), (w) => alpha * Math.sqrt(Math.max(w, 0) / norm));
  if (!(scales[0]! > 0)) {
    throw new RangeError('spectralInit: y must point to a matrix with a positive eigenvalue');
  }
  return columnsOf(vectors.slice(0, rank), scales);
}

/** Leading singular triples of a host matrix: `left` and `right` hold vectors. */
export function leadingSingular(C: DenseMatrix, rank: number) {
  const wide = C.shape[0] <= C.shape[1];
  const small = wide ? C : transposed(C);
  const { vectors } = symmetricEigen(gram(small).data, small.shape[0]);
  const near = vectors.slice(0, rank);
  const Vt = multiply(
    { shape: [near.length, small.shape[0]], data: Float64Array.from(near.flatMap((v) => [...v])) },
    small,
  );
  const long = small.shape[1];
  const values = new Float64Array(near.length);
  const far = near.map((_, k) => {
    const row = Vt.data.slice(k * long, (k + 1) * long);
    const norm = Math.sqrt(row.reduce((total, x) => total + x * x, 0));
    values[k] = norm;
    return norm > 0 ? row.map((x) => x / norm) : row;
  });
  return wide ? { values, left: near, right: far } : { values, left: far, right: near };
}

/**
 * {@link spectralInit} for `X = L Rᵀ`: `L₀ = α U √(σ / ‖C‖_F)`, `R₀ = α V √(σ / ‖C‖_F)` with the leading singular
 * triples of `C = (1/m) Σ sign(y_i) A_i`.
 *
 * @returns a promise of `{ L, R }`, shapes `[rows, rank]` and `[columns, rank]`; the caller disposes them
 * @throws as {@link spectralInit}
 */
export async function spectralInitRectangular(
  A: LinearMeasurement,
  y: Tensor1D,
  options: SpectralInitOptions,
): Promise<{ L: Tensor2D; R: Tensor2D }> {
  const caller = 'spectralInitRectangular';
  const { rank, alpha } = check(caller, A, y, options, false);
  const C = await signMatrix(caller, A, y, false);
  const norm = frobenius(C);
  if (norm === 0) throw new RangeError(`${caller}: y must point to a matrix that is not 0`);
  const { values, left, right } = leadingSingular(C, rank);
  const scales = Array.from(values, (s) => alpha * Math.sqrt(s / norm));
  return { L: columnsOf(left, scales), R: columnsOf(right, scales) };
}
