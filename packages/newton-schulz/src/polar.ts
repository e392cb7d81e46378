import { checkInteger, checkNumber, checkOptions, checkTensor } from '@orth/backend';
import { reshape, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { evaluate } from './coefficients.js';
import { orthogonalizeBatch } from './orthogonalize.js';
import { polarExpressStep, shrinkInput } from './polarExpress.js';
import type { CoefficientRow } from './schedules.js';

/** Options of {@link polar}. */
export interface PolarOptions {
  /** How near to 1 singular values are brought, > 0; rounding leaves about 1e−6. Default 1e−5 */
  readonly tolerance?: number;
  /**
   * Least singular value, relative to the Schatten-4 norm, for which that holds, in (0, 1); smaller ones end between 0
   * and 1. Default 1e−6, about float32's rounding
   */
  readonly lower?: number;
  /** Bound on the number of steps, integer >= 1. Default 30 */
  readonly maxSteps?: number;
}

const SAFETY = 0.01;
const CUSHION = 0.02;
/** From here on the Taylor step gains as much as a fitted one, and needs no interval. */
const NEAR = 0.75;
const TAYLOR: CoefficientRow = [15 / 8, -10 / 8, 3 / 8];

/**
 * Polar factor by an iteration run to convergence: Polar Express until all singular values are near 1, then Taylor
 * steps, whose error falls to its cube. With the defaults 14 steps.
 *
 * The number of steps follows from the options alone, so nothing is read back from the device. Differentiable.
 *
 * @param x - matrix or batch of matrices, shape `[…, m, n]`, float32; not modified
 * @returns shape `[…, m, n]`, float32
 * @throws TypeError for an unknown option or another dtype; RangeError for a value out of range, or if `x` has rank < 2
 *   or is empty
 * @example
 * const q = polar(tf.randomNormal([64, 64]));
 * @see Amsel et al. 2025, arXiv 2505.16932; Björck and Bowie 1971 for the Taylor step
 */
export function polar(x: Tensor, options: PolarOptions = {}): Tensor {
  checkTensor('polar', 'x', x, { minRank: 2 });
  checkOptions('polar', options, ['tolerance', 'lower', 'maxSteps']);
  const { tolerance = 1e-5, lower = 1e-6, maxSteps = 30 } = options;
  checkNumber('polar', 'tolerance', tolerance, { above: 0 });
  checkNumber('polar', 'lower', lower, { above: 0, below: 1 });
  checkInteger('polar', 'maxSteps', maxSteps, { min: 1 });
  const [m, n] = x.shape.slice(-2) as [number, number];
  return tidy(() => {
    const batch = reshape(x, [x.size / (m * n), m, n]);
    const q = orthogonalizeBatch([batch], {
      coefficients: convergentRows(lower, tolerance, maxSteps),
      normalization: 'schatten4',
      safety: 1 + SAFETY,
      epsilon: 1e-7,
      epsilonMode: 'relative',
      form: 'standard',
      restarts: [],
    });
    return reshape(q, x.shape);
  });
}

/** Rows that bring `[lower, 1]` into `[1 − tolerance, 1 + tolerance]`, at most `maxSteps`. */
function convergentRows(lower: number, tolerance: number, maxSteps: number): CoefficientRow[] {
  const rows: CoefficientRow[] = [];
  let l = lower;
  let u = 1;
  while (l < NEAR && rows.length < maxSteps) {
    const row = shrinkInput(polarExpressStep(l, u, CUSHION), 1 + SAFETY);
    rows.push(row);
    l = evaluate(row, l);
    u = 2 - l;
  }
  while (Math.max(1 - l, u - 1) > tolerance && rows.length < maxSteps) {
    rows.push(TAYLOR);
    l = evaluate(TAYLOR, l);
    u = evaluate(TAYLOR, u);
  }
  return rows;
}
