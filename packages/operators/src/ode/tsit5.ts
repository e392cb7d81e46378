import { add, mul, sub, type Tensor } from '@tensorflow/tfjs-core';
import { scaledError, stiffnessEstimate, type Tolerances, weightedSum } from './combination.js';
import type { Dynamics, Step } from './step.js';
import { TSIT5_A, TSIT5_C, TSIT5_DENSE, TSIT5_ERROR } from './tableaus.js';

/** A step of Tsit5 with all that it computed on the way. */
export interface Tsit5Step extends Step {
  /** The derivatives at the seven stages; the last belongs to the end of the step. */
  readonly stages: readonly Tensor[];
  /** State of the sixth stage, which belongs to the end of the step too. */
  readonly sixth: Tensor;
  /** h Σ b̃ᵢ kᵢ: what the step may be wrong by, entry by entry. */
  readonly error: Tensor;
}

/** g₇ − g₆ from the stages: subtracting the two states would cancel most of float32's digits. */
const LAST_LESS_SIXTH = TSIT5_A[6]!.map((a, j) => a - (TSIT5_A[5]![j] ?? 0));

const total = (weights: readonly number[]) => weights.reduce((sum, w) => sum + w, 0);

/**
 * One step of Tsitouras' method of order 5(4), with its error estimate, its stiffness estimate ‖k₇ − k₆‖ / ‖g₇ − g₆‖ and
 * dense output of order 4. Differentiable; `step` is a constant in the gradient. Makes tensors without tidying: call it in
 * `tf.tidy` or under a gradient.
 *
 * @param dynamics - f(t, u), of the shape of u
 * @param t - time at the start
 * @param u - state at the start, any shape
 * @param step - signed length of the step
 * @param tolerances - `rtol` and `atol`, by which the error estimate is scaled
 * @param first - f(t, u), where it is known: saves an evaluation
 * @see A. Pal et al., *Opening the Blackbox*, ICML 2021, for the estimates as regularisers
 */
export function tsit5Step(
  dynamics: Dynamics,
  t: number,
  u: Tensor,
  step: number,
  tolerances: Tolerances,
  first: Tensor = dynamics(t, u),
): Tsit5Step {
  const stages = [first];
  const states = [u];
  // Weights are as great as 12 with either sign. Taken as Σw k₁ + Σ w (k − k₁), the digits that cancel are fewer.
  const changes: Tensor[] = [];
  const increment = (weights: readonly number[], sum: number, of = changes): Tensor => {
    const rest = weights.slice(1, of.length + 1);
    const start = sum === 0 ? undefined : mul(first, step * sum);
    if (rest.every((w) => w === 0)) return start ?? mul(first, 0);
    const change = weightedSum(
      rest.map((w) => step * w),
      of,
    );
    return start ? add(start, change) : change;
  };
  for (let i = 1; i < 7; i++) {
    states.push(add(u, increment(TSIT5_A[i]!, TSIT5_C[i]!)));
    stages.push(dynamics(t + TSIT5_C[i]! * step, states[i]!));
    changes.push(sub(stages[i]!, first));
  }
  const [end, last] = [states[6]!, stages[6]!];
  const error = increment(TSIT5_ERROR, 0);
  return {
    u: end,
    last,
    stages,
    sixth: states[5]!,
    error,
    errorEstimate: scaledError(error, u, end, tolerances),
    stiffness: stiffnessEstimate(sub(last, stages[5]!), increment(LAST_LESS_SIXTH, 0)),
    at(theta) {
      if (theta === 0) return u;
      if (theta === 1) return end;
      const weights = TSIT5_DENSE.map((row) => row.reduceRight((sum, r) => theta * (sum + r), 0));
      // Not those of above, which the caller may have tidied away.
      const again = stages.slice(1).map((k) => sub(k, first));
      return add(u, increment(weights, total(weights), again));
    },
  };
}
