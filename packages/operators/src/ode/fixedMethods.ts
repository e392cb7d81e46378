/** Explicit methods without an error estimate: Euler's, and the classical Runge–Kutta method of order 4. */
import { add, mul, type Tensor } from '@tensorflow/tfjs-core';
import { weightedSum } from './combination.js';
import type { Dynamics, Step } from './step.js';

/** Cubic Hermite interpolation between two states and their derivatives: order 3, enough for either method. */
function hermite(u: Tensor, first: Tensor, end: Tensor, last: Tensor, step: number, theta: number) {
  const [square, cube] = [theta ** 2, theta ** 3];
  const ends = add(mul(u, 2 * cube - 3 * square + 1), mul(end, 3 * square - 2 * cube));
  const slopes = [step * (cube - 2 * square + theta), step * (cube - square)];
  return add(ends, weightedSum(slopes, [first, last]));
}

function fixedStep(u: Tensor, first: Tensor, end: Tensor, step: number): Step {
  return {
    u: end,
    at(theta, last) {
      if (theta === 0) return u;
      return theta === 1 ? end : hermite(u, first, end, last!, step, theta);
    },
  };
}

/** u + h f(t, u). */
export function eulerStep(
  dynamics: Dynamics,
  t: number,
  u: Tensor,
  step: number,
  first: Tensor = dynamics(t, u),
): Step {
  return fixedStep(u, first, add(u, mul(first, step)), step);
}

/** The classical method of order 4. */
export function rk4Step(
  dynamics: Dynamics,
  t: number,
  u: Tensor,
  step: number,
  first: Tensor = dynamics(t, u),
): Step {
  const half = step / 2;
  const second = dynamics(t + half, add(u, mul(first, half)));
  const third = dynamics(t + half, add(u, mul(second, half)));
  const fourth = dynamics(t + step, add(u, mul(third, step)));
  const weights = [1, 2, 2, 1].map((b) => (step * b) / 6);
  return fixedStep(u, first, add(u, weightedSum(weights, [first, second, third, fourth])), step);
}
