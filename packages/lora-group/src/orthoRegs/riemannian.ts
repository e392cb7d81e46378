import { checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import { polar } from '@orth/newton-schulz';
import {
  add,
  eye,
  linalg,
  matMul,
  mul,
  sign,
  sub,
  sum,
  type Tensor,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';

/**
 * The part of a gradient along which a matrix stays orthonormal: `G − W sym(Wᵀ G)`, `sym(A) = (A + Aᵀ) / 2`; of a wide matrix,
 * with orthonormal rows, `G − sym(G Wᵀ) W`.
 *
 * @param W - shape `[m, n]`, orthonormal
 * @param gradient - same shape
 * @returns same shape
 * @throws TypeError or RangeError if the shapes do not fit
 * @see Absil, Mahony, Sepulchre 2008, "Optimization Algorithms on Matrix Manifolds", example 3.6.2
 */
export function stiefelTangent(W: Tensor, gradient: Tensor): Tensor {
  checkTensor('stiefelTangent', 'W', W, { rank: 2 });
  checkTensor('stiefelTangent', 'gradient', gradient, { shape: W.shape });
  return tidy(() => {
    const tall = W.shape[0]! >= W.shape[1]!;
    const product = tall ? matMul(W, gradient, true) : matMul(gradient, W, false, true);
    const symmetric = mul(add(product, transpose(product)), 0.5);
    return sub(gradient, tall ? matMul(W, symmetric) : matMul(symmetric, W));
  });
}

/** Options of {@link riemannianStep}. */
export interface RiemannianStepOptions {
  /** Length of the step, >= 0. Default 1e-2 */
  readonly learningRate?: number;
  /**
   * How to come back to orthonormal matrices: `'polar'`, the nearest one; `'qr'`, Gram–Schmidt by tfjs's `linalg.qr`, slow for
   * more than some tens of columns. Default `'polar'`
   */
  readonly retraction?: 'polar' | 'qr';
}

/**
 * A step of gradient descent among matrices with orthonormal columns (rows, if fewer): along {@link stiefelTangent}, then back
 * by a retraction.
 *
 * @param W - shape `[m, n]`, orthonormal
 * @param gradient - of the loss with respect to W, same shape; or an optimizer's direction
 * @returns the next W
 * @throws TypeError or RangeError if the shapes do not fit or an option is wrong
 * @example
 * W.assign(riemannianStep(W, gradient, { learningRate: 0.1 }));
 */
export function riemannianStep(
  W: Tensor,
  gradient: Tensor,
  options: RiemannianStepOptions = {},
): Tensor {
  checkTensor('riemannianStep', 'W', W, { rank: 2 });
  checkTensor('riemannianStep', 'gradient', gradient, { shape: W.shape });
  checkOptions('riemannianStep', options, ['learningRate', 'retraction']);
  const { learningRate = 1e-2, retraction = 'polar' } = options;
  checkNumber('riemannianStep', 'learningRate', learningRate, { min: 0 });
  checkOneOf('riemannianStep', 'retraction', retraction, ['polar', 'qr']);
  return tidy(() => {
    const next = sub(W, mul(stiefelTangent(W, gradient), learningRate));
    if (retraction === 'polar') return polar(next);
    const wide = W.shape[0]! < W.shape[1]!;
    const [Q, R] = linalg.qr(wide ? transpose(next) : next) as [Tensor, Tensor];
    // The factorisation continuous at W: a positive diagonal of R.
    const signs = sign(sum(mul(R, eye(R.shape[0]!)), 1));
    const unique = mul(Q, signs);
    return wide ? transpose(unique) : unique;
  });
}
