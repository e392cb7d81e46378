import {
  customGrad,
  div,
  eye,
  lessEqual,
  matMul,
  maximum,
  mul,
  type Scalar,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
  where,
} from '@tensorflow/tfjs-core';

/** Which side's Gram matrix is compared with the identity. */
export type GramSide = 'auto' | 'rows' | 'columns';

/** What {@link normOfDeviation} may still be by rounding alone, per row of the Gram matrix: float32's unit. */
const ROUNDING = 2 ** -23;

/** Whether rows are the side meant: `'auto'` is the smaller one, columns where they are as many. */
export function usesRows([rows, columns]: readonly number[], side: GramSide): boolean {
  return side === 'rows' || (side === 'auto' && rows! < columns!);
}

/** `W Wᵀ − I` or `Wᵀ W − I`; differentiable. */
export function gramDeviation(W: Tensor, side: GramSide): Tensor {
  const rows = usesRows(W.shape, side);
  const gram = matMul(W, W, !rows, rows);
  return sub(gram, eye(gram.shape[0]!));
}

/**
 * `f = ‖M‖_F` of `M = W Wᵀ − I` or `Wᵀ W − I`. Where f is no more than the rounding of M, where tfjs would give NaN, its
 * gradient is 0; else it is `2 M W / f` (from `d f² / dW = 4 M W`), `2 W M / f` for columns. Differentiable once.
 */
export function normOfDeviation(W: Tensor, side: GramSide): Scalar {
  const rows = usesRows(W.shape, side);
  const op = customGrad((input, save) => {
    const x = input as Tensor;
    const [f, M] = tidy(() => {
      const deviation = gramDeviation(x, side);
      return [sqrt(sum(square(deviation))), deviation] as const;
    });
    (save as (tensors: Tensor[]) => void)([x, M, f]);
    return {
      value: f,
      gradFunc: (dy: Tensor, saved: Tensor[]) =>
        tidy(() => {
          const [weight, deviation, norm] = saved as [Tensor, Tensor, Tensor];
          const product = rows ? matMul(deviation, weight) : matMul(weight, deviation);
          return mul(product, inverseNorm(norm, deviation.shape[0]!, mul(dy, 2)));
        }),
    };
  });
  return op(W) as Scalar;
}

/** `numerator / f`, or 0 where f is rounding. */
function inverseNorm(f: Tensor, size: number, numerator: Tensor): Tensor {
  const least = ROUNDING * size;
  return where(lessEqual(f, least), 0, div(numerator, maximum(f, least)));
}
