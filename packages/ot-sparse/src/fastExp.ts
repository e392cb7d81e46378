/** exp of numbers that are not positive, without a call: the log-sum-exp of millions of pairs is little else. */

const STEPS = 1024;
const SCALE = STEPS / Math.LN2;
const STEP = Math.LN2 / STEPS;
/** Below this results are taken for 0: 3e−20. */
export const EXP_FLOOR = -45;

const fractions = Float64Array.from({ length: STEPS }, (_, j) => 2 ** (j / STEPS));
const LOWEST = 70;
const powers = Float64Array.from({ length: LOWEST + 1 }, (_, k) => 2 ** (k - LOWEST));

/**
 * exp(x) for EXP_FLOOR <= x <= 0, relative error below 4e−16: 2^k from a table, 2^(j/1024) from another, and a cubic for
 * the rest, which is below 3.4e−4 (next term of the series: 5e−16).
 */
export function fastExp(x: number): number {
  const steps = (x * SCALE - 0.5) | 0;
  const rest = x - steps * STEP;
  const whole = powers[(steps >> 10) + LOWEST]! * fractions[steps & (STEPS - 1)]!;
  return whole * (1 + rest * (1 + rest * (0.5 + rest * (1 / 6))));
}
