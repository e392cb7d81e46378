import { checkInteger, checkNumber, checkOptions, checkTensor } from '@orth/backend';
import { customGrad, reshape, type Tensor, tidy, zeros } from '@tensorflow/tfjs-core';
import { evaluate } from './coefficients.js';
import { derivative, iterate } from './iterate.js';
import { type NormalizeOptions, normalize } from './normalize.js';
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
 * The number of steps follows from the options alone, so nothing is read back from the device. Differentiable; the
 * gradient takes about 25 steps.
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
  const forward = convergentRows(lower, tolerance, maxSteps);
  const backward = taylorRows(lower, tolerance);
  // All these rows have the polar factor as their limit, but the fitted ones are steep between the points where they
  // meet 1, and a derivative carried through them loses three digits.
  const converge = customGrad((X, gram, save) => {
    (save as (tensors: Tensor[]) => void)([X as Tensor]);
    const value = iterate([X as Tensor, gram as Tensor], {
      coefficients: forward,
      form: 'standard',
      restarts: [],
    });
    const gradFunc = (dy: Tensor, [saved]: Tensor[]) => [
      tidy(() => derivative(saved!, dy, backward)),
      zeros((gram as Tensor).shape),
    ];
    return { value, gradFunc };
  });
  const [m, n] = x.shape.slice(-2) as [number, number];
  return tidy(() => {
    const { X, gram } = tidy(() => ({ ...normalize(reshape(x, [-1, m, n]), START) }));
    return reshape(converge(X, gram!), x.shape);
  });
}

const START: NormalizeOptions = {
  normalization: 'schatten4',
  safety: 1 + SAFETY,
  epsilon: 1e-7,
  epsilonMode: 'relative',
};

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
  const left = maxSteps - rows.length;
  return [...rows, ...taylorRows(Math.min(l, 2 - u), tolerance).slice(0, left)];
}

/**
 * As many Taylor steps as bring `[lower, 2 − lower]` near 1, or as near as float64 gets: the error grows with the distance
 * from 1 on both sides.
 */
function taylorRows(lower: number, tolerance: number): CoefficientRow[] {
  const rows: CoefficientRow[] = [];
  for (let [l, last] = [lower, 0]; 1 - l > tolerance && l > last; ) {
    rows.push(TAYLOR);
    [l, last] = [evaluate(TAYLOR, l), l];
  }
  return rows;
}
