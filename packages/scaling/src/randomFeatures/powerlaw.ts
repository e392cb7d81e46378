/** Tasks whose eigenvalues and coefficients are power laws, in closed form. */
import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import type { RegressionTask } from './modes.js';

/** Options of {@link powerlawSpectrum}. */
export interface PowerlawSpectrumOptions {
  /** How many modes, integer >= 1. */
  readonly modes: number;
  /** λ_i = i^−alpha, > 1. */
  readonly alpha: number;
  /** v_i² = i^−beta, > 1. */
  readonly beta: number;
  /** Whether the modes beyond the listed ones are included as a tail; recommended for beta < 1.5. Default false */
  readonly tail?: boolean;
}

/**
 * A power-law task: λ_i = i^−alpha, v_i = i^(−beta/2), i = 1 … modes.
 * @returns what {@link rfRisk} and its siblings take
 * @throws TypeError or RangeError for a missing or wrong option
 */
export function powerlawSpectrum(
  options: PowerlawSpectrumOptions,
): RegressionTask & { readonly eigenvalues: Float64Array; readonly coeffs: Float64Array } {
  const caller = 'powerlawSpectrum';
  checkOptions(caller, options, ['modes', 'alpha', 'beta', 'tail']);
  const { modes, alpha, beta, tail = false } = options;
  checkInteger(caller, 'modes', modes, { min: 1 });
  checkNumber(caller, 'alpha', alpha, { above: 1 });
  checkNumber(caller, 'beta', beta, { above: 1 });
  const eigenvalues = new Float64Array(modes);
  const coeffs = new Float64Array(modes);
  for (let i = 0; i < modes; i++) {
    const log = Math.log(i + 1);
    eigenvalues[i] = Math.exp(-alpha * log);
    coeffs[i] = Math.exp((-beta / 2) * log);
  }
  return { eigenvalues, coeffs, ...(tail && { tail: { alpha, beta, from: modes } }) };
}

/** Options of {@link powerlawFittingRatio}. */
export interface PowerlawFittingRatioOptions {
  /** Exponent of the eigenvalues, > 1. */
  readonly alpha: number;
  /** Exponent of the squared coefficients, in (1, 2·alpha + 1). */
  readonly beta: number;
  /** Noise variance over the noise-free ridgeless test risk, >= 0. Default 0 */
  readonly relativeNoise?: number;
}

/** What {@link powerlawFittingRatio} gives. */
export interface PowerlawFittingRatio {
  /** E_train / E_test at the optimal ridge, in [0, 1). */
  readonly fittingRatio: number;
  /** Whether fitting the training data exactly is best: overfitting is obligatory. */
  readonly obligatoryOverfitting: boolean;
  /**
   * E_test at a fitting ratio in [0, 1), over the least: what fitting less or more costs.
   * @throws RangeError for a ratio outside [0, 1)
   */
  relativeTestRisk(fittingRatio: number): number;
}

/**
 * How much of the test error the best ridge leaves on the training data, for a power-law task with many samples and
 * infinitely many features: the root in [0, 1) of
 *
 *     α − β − (α − 1) β √R + α (α − 1) (1 − √R)^β σ_rel² = 0,
 *
 * and 0 where the left side is not positive at R = 0, that is for σ_rel² <= (β − α)/(α(α − 1)).
 *
 * @throws TypeError or RangeError for a missing or wrong option
 * @see Simon et al. 2024, "More is Better in Modern Machine Learning", theorem 2; the curve is derived here from
 *   E_test ∝ (s^(1−β) + α σ_rel²)/(1 − (1 − 1/α) s), s = 1 − √R
 */
export function powerlawFittingRatio(options: PowerlawFittingRatioOptions): PowerlawFittingRatio {
  const caller = 'powerlawFittingRatio';
  checkOptions(caller, options, ['alpha', 'beta', 'relativeNoise']);
  const { alpha, beta, relativeNoise = 0 } = options;
  checkNumber(caller, 'alpha', alpha, { above: 1 });
  checkNumber(caller, 'beta', beta, { above: 1, below: 2 * alpha + 1 });
  checkNumber(caller, 'relativeNoise', relativeNoise, { min: 0 });
  const side = (root: number) =>
    alpha -
    beta -
    (alpha - 1) * beta * root +
    alpha * (alpha - 1) * (1 - root) ** beta * relativeNoise;
  // The left side falls strictly in √R: bisection to the last bit.
  let [low, high] = [0, 1];
  const obligatoryOverfitting = side(0) <= 0;
  if (obligatoryOverfitting) high = 0;
  for (let i = 0; i < 100 && high > low; i++) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) break;
    if (side(middle) > 0) low = middle;
    else high = middle;
  }
  const risk = (root: number) => {
    const s = 1 - root;
    return (s ** (1 - beta) + alpha * relativeNoise) / (1 - (1 - 1 / alpha) * s);
  };
  const least = risk(low);
  return {
    fittingRatio: low * low,
    obligatoryOverfitting,
    relativeTestRisk(fittingRatio) {
      checkNumber(`${caller}.relativeTestRisk`, 'fittingRatio', fittingRatio, { min: 0, below: 1 });
      return risk(Math.sqrt(fittingRatio)) / least;
    },
  };
}
