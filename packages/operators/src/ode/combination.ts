/** Sums of stages, and the norms that the estimates of a step are. */
import {
  abs,
  add,
  div,
  maximum,
  mean,
  mul,
  type Scalar,
  sqrt,
  square,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';

/** Allowed error of each entry: `atol + rtol · |value|`. */
export interface Tolerances {
  readonly rtol: number;
  readonly atol: number;
}

/** Keeps the derivative of a root finite where its argument is 0. */
const TINY = 1e-20;

/** Σ weights[i] · stages[i], terms of weight 0 left out; at least one weight must not be 0. */
export function weightedSum(weights: readonly number[], stages: readonly Tensor[]): Tensor {
  let total: Tensor | undefined;
  for (const [i, weight] of weights.entries()) {
    if (weight === 0) continue;
    const term = mul(stages[i]!, weight);
    total = total ? add(total, term) : term;
  }
  return total!;
}

/** Root of the mean square over all entries of `error`, each divided by what it may be. */
export function scaledError(
  error: Tensor,
  from: Tensor,
  to: Tensor,
  { rtol, atol }: Tolerances,
): Scalar {
  return tidy(() => {
    const allowed = add(atol, mul(rtol, maximum(abs(from), abs(to))));
    return sqrt(add(mean(square(div(error, allowed))), TINY)) as Scalar;
  });
}

/**
 * How much faster the derivative changes than the state, ‖Δk‖ / ‖Δg‖: an estimate of the Jacobian's greatest eigenvalue
 * (L. F. Shampine 1977; E. Hairer and G. Wanner). 0 where neither changes.
 */
export function stiffnessEstimate(derivatives: Tensor, states: Tensor): Scalar {
  return tidy(() => {
    const change = add(mean(square(states)), 1e-30);
    return sqrt(add(div(mean(square(derivatives)), change), TINY)) as Scalar;
  });
}
