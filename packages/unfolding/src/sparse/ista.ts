/** ISTA, FISTA and IHT. */
import { checkOptions } from '@orth/backend';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { LinearOperator } from './linearOperator.js';
import {
  proximalGradient,
  SOLVER_OPTIONS,
  type SparseResult,
  type SparseSolverOptions,
} from './proximalGradient.js';

/**
 * Minimises `½‖y − A x‖² + λ‖x‖₁` by the iterative shrinkage-thresholding algorithm,
 * `x ← soft(x + a Aᴴ(y − A x), λ a)`, for a batch of right-hand sides.
 *
 * @param A - matrix `[M, N]`, float32 or complex64, or a pair of functions
 * @param y - `[B, M]`, or as the functions have it; float32 or complex64
 * @throws TypeError or RangeError for a wrong argument, shapes that do not match, a negative step size, numbers that are
 *   not finite; failing to converge is reported in the result
 * @example
 * const { x, converged } = await ista(A, y, { lambda: 0.1, steps: 1000, tolerance: 1e-4 });
 * @see Daubechies, Defrise, De Mol 2004
 */
export async function ista(
  A: LinearOperator,
  y: Tensor,
  options: SparseSolverOptions,
): Promise<SparseResult> {
  checkOptions('ista', options, SOLVER_OPTIONS);
  return proximalGradient('ista', 'ista', false, A, y, options);
}

/**
 * Minimises `½‖y − A x‖² + λ‖x‖₁` by ISTA with Nesterov's momentum. With `a = 1/L` the objective is within
 * `2 L ‖x₀ − x*‖² / (k + 1)²` of the minimum after k steps.
 *
 * @param A - matrix `[M, N]`, float32 or complex64, or a pair of functions
 * @param y - `[B, M]`, or as the functions have it; float32 or complex64
 * @throws as {@link ista}
 * @see Beck and Teboulle 2009, "A fast iterative shrinkage-thresholding algorithm"
 */
export async function fista(
  A: LinearOperator,
  y: Tensor,
  options: SparseSolverOptions,
): Promise<SparseResult> {
  checkOptions('fista', options, SOLVER_OPTIONS);
  return proximalGradient('fista', 'ista', true, A, y, options);
}

/**
 * Lowers `½‖y − A x‖² + λ‖x‖₀` by iterative hard thresholding, `x ← hard(x + a Aᴴ(y − A x), √(2 λ a))`. The problem is
 * not convex: the result is a fixed point, which depends on the start.
 *
 * @param A - matrix `[M, N]`, float32 or complex64, or a pair of functions
 * @param y - `[B, M]`, or as the functions have it; float32 or complex64
 * @throws as {@link ista}
 * @see Blumensath and Davies 2008, "Iterative thresholding for sparse approximations"
 */
export async function iht(
  A: LinearOperator,
  y: Tensor,
  options: SparseSolverOptions,
): Promise<SparseResult> {
  checkOptions('iht', options, SOLVER_OPTIONS);
  return proximalGradient('iht', 'iht', false, A, y, options);
}
