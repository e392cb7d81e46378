/** Train and test risk as functions of the fixed point. */
import type { Modes } from './modes.js';
import type { FixedPoint, Setting } from './solve.js';
import { biasSum } from './sums.js';

/** Risks of a problem. */
export interface Risk {
  /** Expected squared error on unseen data, noise included. */
  readonly testRisk: number;
  /** Expected squared error on the training data. */
  readonly trainRisk: number;
}

/**
 * The risks at a fixed point. With a = n − z, b = k − z, p = z − q the formulas of the paper become sums of positive
 * terms (derived here):
 *
 *     E_test = n(b + p)/(ab + (a + b)p) · [ Σ (1 − L)(1 − ρL) v² + σ² ],   ρ = b/(b + p)
 *     E_train = (a/n)² E_test
 *
 * Infinity where the test risk diverges: at the interpolation threshold without a ridge.
 */
export function riskAt(modes: Modes, { n, k }: Setting, point: FixedPoint, noise: number): Risk {
  const { gamma, p, a, b } = point;
  const wide = k === Infinity;
  const share = wide ? 0 : b + p > 0 ? p / (b + p) : 1;
  const bias = biasSum(modes, gamma, share) + noise;
  // Nothing is wrong and nothing is noisy: 0, however much the factor amplifies.
  if (bias === 0) return { testRisk: 0, trainRisk: 0 };
  let factor: number;
  if (wide) factor = n / (a + p);
  else if (b + p > 0) factor = (n * (b + p)) / (a * b + (a + b) * p);
  else factor = n / a;
  const testRisk = factor * bias;
  return { testRisk, trainRisk: a === 0 ? 0 : (a / n) ** 2 * testRisk };
}
