import { checkTensor } from '@orth/backend';
import { polar } from '@orth/newton-schulz';
import { matMul, type Tensor, type Tensor2D, tidy } from '@tensorflow/tfjs-core';

/**
 * The strictly orthogonal map that fits best: `argmin ‖hNew B − hOld‖_F` over orthogonal B, the polar factor of `hNewᵀ hOld`. Of
 * unequal widths a B with orthonormal rows or columns, which keeps lengths only if it has orthonormal rows. It is determined
 * if that product has full rank: at least as many samples as features.
 *
 * @param hNew - embeddings to map, shape `[N, n]`
 * @param hOld - embeddings of the same items to map onto, shape `[N, d]`
 * @returns shape `[n, d]`
 * @throws TypeError or RangeError if the shapes do not fit
 * @example
 * const B = procrustes(hNew, hOld);
 * const aligned = matMul(hNew, B);
 * @see Schönemann 1966, "A generalized solution of the orthogonal Procrustes problem"
 */
export function procrustes(hNew: Tensor, hOld: Tensor): Tensor2D {
  checkTensor('procrustes', 'hNew', hNew, { rank: 2 });
  checkTensor('procrustes', 'hOld', hOld, { shape: [hNew.shape[0]!, null] });
  return tidy(() => polar(matMul(hNew, hOld, true)) as Tensor2D);
}
