import { checkTensor } from '@orth/backend';
import {
  add,
  div,
  greater,
  matMul,
  minimum,
  mul,
  relu,
  reshape,
  sub,
  sum,
  type Tensor,
  tidy,
  where,
  zerosLike,
} from '@tensorflow/tfjs-core';

/**
 * Nearest-by plan with exact marginals: rows and then columns are scaled down where they exceed their mass, and what is
 * missing is added as a product plan. The l1 distance to `plan` is at most twice its marginals' error.
 *
 * Made of tensor operations: any backend, nothing read back, differentiable. The result is dense where mass was missing.
 *
 * @param plan - `[m, n]` float32, >= 0
 * @param a - masses of the rows, `[m]`; same sum as `b`
 * @param b - masses of the columns, `[n]`
 * @returns `[m, n]`
 * @throws TypeError or RangeError for other shapes
 * @see Altschuler, Weed, Rigollet 2017, "Near-linear time approximation algorithms for optimal transport", algorithm 2
 */
export function roundPlan(plan: Tensor, a: Tensor, b: Tensor): Tensor {
  checkTensor('roundPlan', 'plan', plan, { rank: 2 });
  const [m, n] = plan.shape as [number, number];
  checkTensor('roundPlan', 'a', a, { shape: [m] });
  checkTensor('roundPlan', 'b', b, { shape: [n] });
  return tidy(() => {
    const scale = (x: Tensor, masses: Tensor, axis: 0 | 1) => {
      const sums = sum(x, 1 - axis, true);
      const wanted = reshape(masses, axis === 0 ? [m, 1] : [1, n]);
      const positive = greater(sums, 0);
      const factor = div(wanted, where(positive, sums, add(zerosLike(sums), 1)));
      return mul(x, where(positive, minimum(factor, 1), zerosLike(sums)));
    };
    const scaled = scale(scale(plan, a, 0), b, 1);
    const rows = reshape(relu(sub(a, sum(scaled, 1))), [m, 1]);
    const columns = reshape(relu(sub(b, sum(scaled, 0))), [1, n]);
    const missing = sum(rows);
    const share = where(greater(missing, 0), missing, add(zerosLike(missing), 1));
    return add(scaled, div(matMul(rows, columns), share));
  });
}
