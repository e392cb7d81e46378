import { checkTensor } from '@orth/backend';
import {
  add,
  div,
  greater,
  matMul,
  sum,
  type Tensor,
  tidy,
  where,
  zerosLike,
} from '@tensorflow/tfjs-core';

/**
 * Where a plan sends each row's mass on average: `x_i ↦ Σ_j T_ij y_j / Σ_j T_ij`; the colour transfer map.
 *
 * Made of tensor operations: any backend, nothing read back, differentiable in both.
 *
 * @param plan - `[…, m, n]` float32, >= 0
 * @param y - points of the columns, `[…, n, d]` float32
 * @returns `[…, m, d]`; 0 for rows without mass
 * @throws TypeError or RangeError for other shapes
 * @see Ferradans, Papadakis, Peyré, Aujol 2014, "Regularized discrete optimal transport"
 */
export function barycentricMap(plan: Tensor, y: Tensor): Tensor {
  checkTensor('barycentricMap', 'plan', plan, { minRank: 2 });
  checkTensor('barycentricMap', 'y', y, {
    shape: [...plan.shape.slice(0, -2), plan.shape.at(-1)!, null],
  });
  return tidy(() => {
    const sums = sum(plan, -1, true);
    const safe = where(greater(sums, 0), sums, add(zerosLike(sums), 1));
    return div(matMul(plan, y), safe);
  });
}
