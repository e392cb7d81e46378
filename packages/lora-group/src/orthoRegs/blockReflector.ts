import { checkTensor } from '@orth/backend';
import { polar } from '@orth/newton-schulz';
import { eye, matMul, mul, sub, type Tensor, tidy } from '@tensorflow/tfjs-core';

/**
 * `I − 2 V (VᵀV)⁻¹ Vᵀ`: symmetric, orthogonal, the mirror image at the complement of V's columns. Computed as `I − 2 U Uᵀ` with
 * the polar factor U of V, so that a V without full rank gives the reflection in the columns that it does span. Between the two,
 * where a singular value is within 1e-6 of the largest, the result is not orthogonal: see {@link orthogonalityErrors}.
 * Differentiable.
 *
 * @param V - shape `[m, n]`, n <= m
 * @returns shape `[m, m]`, with n eigenvalues −1; `−I` for a square V
 * @throws TypeError or RangeError if `V` is no matrix, or has more columns than rows
 * @see Lai et al. 2025, "BRONet", block reflector orthogonal layers
 */
export function blockReflector(V: Tensor): Tensor {
  checkTensor('blockReflector', 'V', V, { rank: 2 });
  const [m, n] = V.shape as [number, number];
  if (m < n) {
    throw new RangeError(
      `blockReflector: V must have no more columns than rows, got shape [${m},${n}]`,
    );
  }
  return tidy(() => {
    const U = polar(V);
    return sub(eye(m), mul(matMul(U, U, false, true), 2));
  });
}
