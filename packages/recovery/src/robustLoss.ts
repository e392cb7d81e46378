import { checkTensor } from '@orth/backend';
import {
  abs,
  add,
  div,
  matMul,
  mean,
  mul,
  type Scalar,
  sign,
  sub,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { checkMeasurement, type LinearMeasurement } from './linearMeasurement.js';

/** What {@link robustLoss} gives; the caller disposes all three. */
export interface RobustLoss {
  /** `(1/m) Σ |⟨A_i, X⟩ − y_i|`, a scalar. */
  readonly value: Scalar;
  /** `⟨A_i, X⟩ − y_i`, shape `[m]`. */
  readonly residual: Tensor1D;
  /**
   * `(1/m) Σ sign(residual_i) A_i`, symmetrised if X = UUᵀ; residuals of exactly 0 contribute nothing. The subgradient
   * with respect to U is `2 Q U`; with respect to L and R it is `Q R` and `Qᵀ L`.
   */
  readonly Q: Tensor2D;
}

/** Factors of X: `U` for `U Uᵀ`, or `L`, `R` for `L Rᵀ`. */
export type Factors = [Tensor2D] | [Tensor2D, Tensor2D];

/** `U Uᵀ` or `L Rᵀ`. */
export const productOf = ([L, R]: Factors): Tensor2D => matMul(L, R ?? L, false, true) as Tensor2D;

/** {@link robustLoss} of factors that have been checked. */
export function lossOf(A: LinearMeasurement, y: Tensor1D, factors: Factors): RobustLoss {
  return tidy(() => {
    const residual = sub(A.apply(productOf(factors)), y) as Tensor1D;
    // Not by automatic differentiation: tfjs's abs has gradient −1 at 0.
    const Z = div(A.adjoint(sign(residual)), A.m) as Tensor2D;
    const Q = factors.length === 1 ? symmetrized(Z) : Z;
    return { value: mean(abs(residual)) as Scalar, residual, Q };
  });
}

/** `(Z + Zᵀ) / 2`. */
export const symmetrized = (Z: Tensor): Tensor2D =>
  tidy(() => mul(add(Z, transpose(Z)), 0.5)) as Tensor2D;

/**
 * The ℓ1 loss of factors and its subgradient matrix.
 *
 * @param A - measurement of `[d, d]` matrices, or of `[rows, columns]` where `R` is given
 * @param y - measurements, shape `[m]`
 * @param factors - `U`, shape `[d, r]`, or `[L, R]`, shapes `[rows, r]` and `[columns, r]`
 * @throws TypeError or RangeError for shapes that do not fit
 * @see Ma and Fattahi 2022, arXiv 2202.08788
 */
export function robustLoss(
  A: LinearMeasurement,
  y: Tensor1D,
  factors: Tensor2D | readonly [Tensor2D, Tensor2D],
): RobustLoss {
  const both: Factors = Array.isArray(factors)
    ? (factors as unknown as Factors)
    : [factors as Tensor2D];
  checkMeasurement('robustLoss', A, both.length === 1);
  checkTensor('robustLoss', 'y', y, { shape: [A.m] });
  const [L, R] = both;
  checkTensor('robustLoss', R ? 'L' : 'U', L, { shape: [A.rows, null] });
  if (R) checkTensor('robustLoss', 'R', R, { shape: [A.columns, L.shape[1]] });
  return lossOf(A, y, both);
}
