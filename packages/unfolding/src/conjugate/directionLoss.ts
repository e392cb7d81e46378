import { checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  customGrad,
  div,
  divNoNan,
  mean,
  mul,
  norm,
  reshape,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tidy,
} from '@tensorflow/tfjs-core';
import { CsrMatrix } from './csrMatrix.js';
import { DeviceMatrix, type TensorOperator } from './deviceMatrix.js';

/** Options of {@link directionLoss}. */
export interface DirectionLossOptions {
  /** Mean over the batch, sum, or each. Default `'mean'` */
  readonly reduction?: 'mean' | 'sum' | 'none';
}

/** A as {@link directionLoss} takes it: on the host (copied to the backend at each call), there already, or a function. */
export type LossOperator = CsrMatrix | DeviceMatrix | TensorOperator;

const rowSum = (x: Tensor): Tensor => sum(x, 1, true);

/** Products on tensors, and what to do afterwards. */
function operatorOf(caller: string, A: unknown): { apply: TensorOperator; release(): void } {
  if (A instanceof CsrMatrix) {
    const device = new DeviceMatrix(A);
    return { apply: (x) => device.multiply(x), release: () => device.dispose() };
  }
  if (A instanceof DeviceMatrix) return { apply: (x) => A.multiply(x), release() {} };
  if (typeof A !== 'function') {
    throw new TypeError(
      `${caller}: A must be a CsrMatrix, a DeviceMatrix or a function, got ${typeof A}`,
    );
  }
  const apply = (x: Tensor2D): Tensor => {
    const y = (A as TensorOperator)(x);
    checkTensor(caller, 'A(x)', y, { shape: x.shape });
    return y;
  };
  return { apply, release() {} };
}

/**
 * What a direction leaves of a right-hand side after the best step along it:
 * `‖b − α A q‖²` with `α = qᵀb / qᵀAq`. No solution is needed; the length of q means nothing; 0 exactly for q ∝ A⁻¹b,
 * ‖b‖² for a q that is 0.
 *
 * Differentiable in `q`, with the gradient in closed form: one more product with A.
 *
 * @param A - symmetric positive definite
 * @param q - directions `[batch, n]`, float32
 * @param b - right-hand sides `[batch, n]`, float32
 * @returns scalar, or `[batch]` for `reduction: 'none'`
 * @throws TypeError or RangeError for other shapes or dtypes, an A that is not symmetric, or an unknown option
 * @see Kaneda et al. 2023, section 4.1
 */
export function directionLoss(
  A: LossOperator,
  q: Tensor2D,
  b: Tensor2D,
  options: DirectionLossOptions = {},
): Tensor {
  const caller = 'directionLoss';
  checkTensor(caller, 'q', q, { rank: 2 });
  checkTensor(caller, 'b', b, { shape: q.shape });
  checkOptions(caller, options, ['reduction']);
  const { reduction = 'mean' } = options;
  checkOneOf(caller, 'reduction', reduction, ['mean', 'sum', 'none']);
  const { apply, release } = operatorOf(caller, A);

  const each = customGrad((x, save) => {
    // Of length 1, so that products of entries neither overflow nor vanish.
    const length = norm(x as Tensor, 2, 1, true);
    const u = divNoNan(x as Tensor, length) as Tensor2D;
    const Au = apply(u);
    const a = rowSum(mul(u, Au));
    const alpha = divNoNan(rowSum(mul(u, b)), a);
    const w = sub(b, mul(alpha, Au)) as Tensor2D;
    // −2 (wᵀAu / a) (b − 2α Au) − 2α A w
    const along = divNoNan(rowSum(mul(w, Au)), a);
    const slope = mul(
      -2,
      sub(mul(along, sub(b, mul(mul(2, alpha), Au))), mul(-1, mul(alpha, apply(w)))),
    );
    (save as (tensors: Tensor[]) => void)([divNoNan(slope, length)]);
    return {
      value: sum(mul(w, w), 1),
      gradFunc: (dy: Tensor, [saved]: Tensor[]) => mul(saved!, reshape(dy, [-1, 1])),
    };
  });
  try {
    return tidy(() => {
      const losses = each(q);
      if (reduction === 'none') return losses;
      return reduction === 'sum' ? sum(losses) : mean(losses);
    });
  } finally {
    release();
  }
}

/**
 * The best step along each direction: `α = qᵀb / qᵀAq`.
 *
 * @param A - symmetric positive definite
 * @param q - `[batch, n]`, float32
 * @param b - `[batch, n]`, float32
 * @returns `[batch]`
 * @throws as {@link directionLoss}
 */
export function stepLength(A: LossOperator, q: Tensor2D, b: Tensor2D): Tensor {
  const caller = 'stepLength';
  checkTensor(caller, 'q', q, { rank: 2 });
  checkTensor(caller, 'b', b, { shape: q.shape });
  const { apply, release } = operatorOf(caller, A);
  try {
    return tidy(() => div(sum(mul(q, b), 1), sum(mul(q, apply(q)), 1)));
  } finally {
    release();
  }
}
