import {
  abs,
  add,
  customGrad,
  div,
  eye,
  matMul,
  max,
  minimum,
  mul,
  prod,
  reshape,
  split,
  sqrt,
  square,
  step,
  sub,
  sum,
  type Tensor,
  tensor3d,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { checkSquare } from './cayley.js';

/** Taylor terms of a matrix of norm <= 1/2: what is left out, `2⁻⁹ / 9!`, is a tenth of float32's rounding. */
const TERMS = 8;

/** Squarings: norms up to `2¹¹`, where float32 would have lost three digits anyway. */
const SQUARINGS = 12;

/**
 * The matrix exponential, by scaling, Taylor series and squaring. For skew-symmetric matrices a rotation. How often to
 * square is decided on the device, by factors 0 and 1, so that nothing is read back: 20 products for every matrix, the
 * triple for its gradient. Good to float32 rounding times the norm of P, up to norms of 2000.
 *
 * @param P - shape `[…, n, n]`
 * @returns shape `[…, n, n]`
 * @throws TypeError or RangeError if `P` is not square
 * @example
 * const Q = matrixExp(skewSymmetric(v));
 * @see Higham 2005, "The Scaling and Squaring Method for the Matrix Exponential Revisited"; its gradient is the
 *   exponential's derivative at Pᵀ (Al-Mohy and Higham 2009)
 */
export function matrixExp(P: Tensor): Tensor {
  const n = checkSquare('matrixExp', 'P', P);
  const op = customGrad((input, save) => {
    (save as (tensors: Tensor[]) => void)([input as Tensor]);
    return {
      value: tidy(() => exponential(input as Tensor)[0]!),
      gradFunc: (dy: Tensor, saved: Tensor[]) =>
        tidy(() => exponential(transpose(saved[0]!, [0, 2, 1]), dy)[1]!),
    };
  });
  return tidy(() => reshape(op(reshape(P, [-1, n, n])), P.shape));
}

/** `exp(P)`, and with a direction E also its derivative along E. */
function exponential(P: Tensor, E?: Tensor): Tensor[] {
  // Both bound the spectral norm; the second, ‖PᵀP‖_F^½, hardly exceeds it.
  const gram = matMul(P, P, true);
  const norm = minimum(
    max(sum(abs(P), 1, true), 2, true),
    sqrt(sqrt(sum(square(gram), [1, 2], true))),
  );
  // 1 while the norm is above 1/2, 1, 2, …: as many halvings and squarings.
  const thresholds = Array.from({ length: SQUARINGS }, (_, i) => 2 ** (i - 1));
  const open = step(sub(norm, tensor3d(thresholds, [1, 1, SQUARINGS])));
  const scale = prod(sub(1, mul(open, 0.5)), 2, true);
  const gates = split(open, SQUARINGS, 2);
  const A = mul(P, scale);
  const dA = E && mul(E, scale);
  const identity = eye(P.shape[1]!);
  let X: Tensor = add(identity, div(A, TERMS));
  let dX = dA && div(dA, TERMS);
  for (let k = TERMS - 1; k >= 1; k--) {
    if (dX) dX = div(add(matMul(A, dX), matMul(dA!, X)), k);
    X = add(identity, div(matMul(A, X), k));
  }
  for (const gate of gates) {
    if (dX) dX = add(dX, mul(gate, sub(add(matMul(X, dX), matMul(dX, X)), dX)));
    X = add(X, mul(gate, sub(matMul(X, X), X)));
  }
  return dX ? [X, dX] : [X];
}
