/** Ridge regression on given features, in float64, with the large product on the device where it can be trusted. */
import { matMul, type Tensor2D, tidy } from '@tensorflow/tfjs-core';
import { CholeskyDecomposition, Matrix } from 'ml-matrix';
import { type HostMatrix, productTransposed, toMlMatrix, transposed } from '../hostMatrix.js';
import { ridgeSolve, type SymmetricSolver, symmetricSolver } from './ridgeSolve.js';

/** Relative residual that refinement goes for, and the steps it may take. */
const RESIDUAL = 1e-10;
const MAX_REFINEMENTS = 12;

/** The smaller Gram matrix of features: F Fᵀ with few samples, Fᵀ F with few features. */
export interface Gram {
  /** Whether it is over samples. */
  readonly dual: boolean;
  /** The features with the small side first. */
  readonly rows: HostMatrix;
  /** The right side: Y, or Fᵀ Y. */
  readonly right: HostMatrix;
}

/** Sides of the smaller system. */
export function gramOf(features: HostMatrix, Y: HostMatrix): Gram {
  const [n, k] = features.shape;
  if (n <= k) return { dual: true, rows: features, right: Y };
  const rows = transposed(features);
  return { dual: false, rows, right: productTransposed(rows, transposed(Y)) };
}

/** Weights `[k, C]` from the solution of the smaller system. */
export function weightsOf({ dual, rows }: Gram, solution: HostMatrix): HostMatrix {
  return dual ? productTransposed(transposed(rows), transposed(solution)) : solution;
}

/** B − (P Pᵀ + δI) V. */
function residualOf({ rows, right }: Gram, V: HostMatrix, ridge: number): HostMatrix {
  const inner = productTransposed(transposed(rows), transposed(V));
  const product = productTransposed(rows, transposed(inner));
  const data = product.data.map((x, i) => right.data[i]! - x - ridge * V.data[i]!);
  return { shape: V.shape, data };
}

const size = (x: HostMatrix) => Math.sqrt(x.data.reduce((s, v) => s + v * v, 0));

/**
 * Factors of a float32 Gram matrix, and residuals in float64 until the float64 system is solved. Undefined where float32
 * is too coarse for the ridge, so that refinement does not converge.
 */
async function refined(
  gram: Gram,
  device: Tensor2D,
  ridge: number,
): Promise<HostMatrix | undefined> {
  const product = tidy(() => matMul(device, device, !gram.dual, gram.dual));
  const n = product.shape[0];
  const values = await product.data();
  product.dispose();
  const matrix = Matrix.from1DArray(n, n, values as unknown as number[]);
  for (let i = 0; i < n; i++) matrix.set(i, i, matrix.get(i, i) + ridge);
  const cholesky = new CholeskyDecomposition(matrix);
  if (!cholesky.isPositiveDefinite()) return undefined;
  const solve = (right: HostMatrix): Float64Array =>
    Float64Array.from(cholesky.solve(toMlMatrix(right)).to1DArray());
  let solution: HostMatrix = { shape: gram.right.shape, data: solve(gram.right) };
  const goal = RESIDUAL * size(gram.right);
  let before = Infinity;
  for (let step = 0; step < MAX_REFINEMENTS; step++) {
    const residual = residualOf(gram, solution, ridge);
    const now = size(residual);
    if (now <= goal) return solution;
    if (now > before / 2) return undefined;
    before = now;
    const more = solve(residual);
    solution = { shape: solution.shape, data: solution.data.map((x, i) => x + more[i]!) };
  }
  return undefined;
}

/** Weights `[k, C]` of ridge regression on features that are on the device and on the host. */
export async function solveRidge(
  device: Tensor2D,
  features: HostMatrix,
  Y: HostMatrix,
  ridge: number,
): Promise<HostMatrix> {
  const gram = gramOf(features, Y);
  const quick = ridge > 0 ? await refined(gram, device, ridge) : undefined;
  const solution = quick ?? ridgeSolve(productTransposed(gram.rows, gram.rows), gram.right, ridge);
  return weightsOf(gram, solution);
}

/** Weights for any number of ridges, after one decomposition. */
export function ridgePathSolver(
  features: HostMatrix,
  Y: HostMatrix,
): (ridge: number) => HostMatrix {
  const gram = gramOf(features, Y);
  const solver: SymmetricSolver = symmetricSolver(
    productTransposed(gram.rows, gram.rows),
    gram.right,
  );
  return (ridge) => weightsOf(gram, solver.solve(ridge));
}
