/** What a small regret of a comp-sum loss says about the rate of errors. Plain numbers, float64. */
import { checkInteger, checkNumber, checkOptions } from '@orth/backend';

/** Which loss, on how many classes. */
export interface HConsistencyOptions {
  /** Member of the comp-sum family, >= 0. Default 1 */
  readonly tau?: number;
  /** Number of classes, integer >= 2. Default 2 */
  readonly classes?: number;
}

function resolve(caller: string, options: HConsistencyOptions): { tau: number; n: number } {
  checkOptions(caller, options, ['tau', 'classes']);
  const { tau = 1, classes = 2 } = options;
  checkNumber(caller, 'tau', tau, { min: 0 });
  checkInteger(caller, 'classes', classes, { min: 2 });
  return { tau, n: classes };
}

const xLogX = (x: number) => (x === 0 ? 0 : x * Math.log(x));

/** `T_τ(β)`; the branches meet at τ = 1. */
function transform(beta: number, tau: number, n: number): number {
  if (tau === 1) return (xLogX(1 + beta) + xLogX(1 - beta)) / 2;
  if (tau >= 2) return beta / ((tau - 1) * n ** (tau - 1));
  const power = 1 / (2 - tau);
  const M = ((1 + beta) ** power + (1 - beta) ** power) / 2;
  return tau < 1
    ? (2 ** (1 - tau) / (1 - tau)) * (1 - M ** (2 - tau))
    : (M ** (2 - tau) - 1) / ((tau - 1) * n ** (tau - 1));
}

/**
 * Least regret of the comp-sum loss at which the zero-one regret can be β: `T_τ(β)`, increasing and convex, 0 at 0.
 *
 * @param beta - zero-one regret, in [0, 1]
 * @throws TypeError for an unknown option; RangeError for a number out of range
 * @see Mao, Mohri, Zhong 2023, arXiv 2304.07288, theorem on H-consistency bounds; the dependence on n for τ > 1 is from
 *   memory of the paper
 */
export function hConsistencyTransform(beta: number, options: HConsistencyOptions = {}): number {
  const caller = 'hConsistencyTransform';
  const { tau, n } = resolve(caller, options);
  checkNumber(caller, 'beta', beta, { min: 0, max: 1 });
  return transform(beta, tau, n);
}

/**
 * Greatest zero-one regret that a regret of the comp-sum loss allows: the inverse of {@link hConsistencyTransform}, 1 from
 * `T_τ(1)` on. By bisection, to the last bits.
 *
 * @param regret - of the comp-sum loss, >= 0
 * @throws TypeError for an unknown option; RangeError for a number out of range
 * @example
 * hConsistencyInverse(0.05, { tau: 1, classes: 10 }); // at most 0.31 more errors than the best
 */
export function hConsistencyInverse(regret: number, options: HConsistencyOptions = {}): number {
  const caller = 'hConsistencyInverse';
  const { tau, n } = resolve(caller, options);
  checkNumber(caller, 'regret', regret, { min: 0 });
  let [low, high] = [0, 1];
  if (transform(high, tau, n) <= regret) return high;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (transform(middle, tau, n) <= regret) low = middle;
    else high = middle;
  }
  return low;
}

/**
 * Closed form that is never below {@link hConsistencyInverse}: `√(2^τ (2 − τ) t)` for τ < 1, `√(2 n^(τ−1) t)` for
 * 1 <= τ < 2, `(τ − 1) n^(τ−1) t` from 2 on.
 *
 * @param regret - `t`, of the comp-sum loss, >= 0
 * @throws TypeError for an unknown option; RangeError for a number out of range
 */
export function hConsistencyBound(regret: number, options: HConsistencyOptions = {}): number {
  const caller = 'hConsistencyBound';
  const { tau, n } = resolve(caller, options);
  checkNumber(caller, 'regret', regret, { min: 0 });
  if (tau < 1) return Math.sqrt(2 ** tau * (2 - tau) * regret);
  if (tau < 2) return Math.sqrt(2 * n ** (tau - 1) * regret);
  return (tau - 1) * n ** (tau - 1) * regret;
}
