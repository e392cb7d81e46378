import { checkInteger, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  customGrad,
  div,
  exp,
  lessEqual,
  log,
  matMul,
  mul,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
  where,
  zerosLike,
} from '@tensorflow/tfjs-core';

/** Options of {@link bjorck}. */
export interface BjorckOptions {
  /** Steps, integer >= 1. Default 12 */
  readonly steps?: number;
  /**
   * `'auto'` divides a matrix by a bound on its spectral norm if that bound is above √3, where the iteration would
   * diverge; `'none'` leaves it to diverge. Default `'auto'`
   */
  readonly scale?: 'auto' | 'none';
}

/** Squarings of the Gram matrix: the bound is `k^(1/128)` too large at most, 3.5 % for k = 64. */
const SQUARINGS = 6;

/** A bound above this is taken for divergence; a bit below √3, as the bound carries rounding. */
const LIMIT = 1.7;

/**
 * Polar factor by Björck's iteration `X ← X (3I − XᵀX) / 2`: singular values s become `s (3 − s²) / 2`, which converges to 1
 * for 0 < s < √3, quadratically near 1 and by a factor 3/2 a step near 0. Differentiable through the steps; scaling is taken
 * for constant. `polar` of `@orth/newton-schulz` gets there from anywhere in about as many products.
 *
 * @param X - shape `[m, n]`
 * @returns shape `[m, n]`
 * @throws TypeError or RangeError if `X` is no matrix or an option is wrong
 * @see Björck and Bowie 1971, "An iterative algorithm for computing the best estimate of an orthogonal matrix"
 */
export function bjorck(X: Tensor, options: BjorckOptions = {}): Tensor {
  checkTensor('bjorck', 'X', X, { rank: 2 });
  checkOptions('bjorck', options, ['steps', 'scale']);
  const { steps = 12, scale = 'auto' } = options;
  checkInteger('bjorck', 'steps', steps, { min: 1 });
  checkOneOf('bjorck', 'scale', scale, ['auto', 'none']);
  return tidy(() => {
    const tall = X.shape[0]! >= X.shape[1]!;
    let Y: Tensor = scale === 'auto' ? mul(X, safeScale(X)) : X;
    for (let step = 0; step < steps; step++) {
      const gram = matMul(Y, Y, tall, !tall);
      const cubic = tall ? matMul(Y, gram) : matMul(gram, Y);
      Y = sub(mul(Y, 1.5), mul(cubic, 0.5));
    }
    return Y;
  });
}

/** 1, or one by the bound on the spectral norm where that is too large; constant to differentiation. */
function safeScale(X: Tensor): Tensor {
  const op = customGrad((input) => ({
    value: tidy(() => {
      const bound = spectralBound(input as Tensor);
      return where(lessEqual(bound, LIMIT), 1, div(1, bound));
    }),
    gradFunc: () => zerosLike(X),
  }));
  return op(X);
}

/**
 * `(Σ σ^(2p))^(1 / 2p)` for `p = 2^SQUARINGS`, an upper bound on the greatest singular value: with `G₀ = XᵀX`, `G ← (G / ‖G‖)²`,
 * and the norms put back in the end.
 */
function spectralBound(X: Tensor): Tensor {
  const tall = X.shape[0]! >= X.shape[1]!;
  let G = matMul(X, X, tall, !tall);
  let logarithm: Tensor = mul(sum(G), 0);
  for (let i = 0; i < SQUARINGS; i++) {
    const size = add(sqrt(sum(square(G))), 1e-30);
    logarithm = add(logarithm, div(log(size), 2 ** i));
    const unit = div(G, size);
    G = matMul(unit, unit);
  }
  const last = add(sqrt(sum(square(G))), 1e-30);
  return exp(div(add(logarithm, div(log(last), 2 ** SQUARINGS)), 2));
}
