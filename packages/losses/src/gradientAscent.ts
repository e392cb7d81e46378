import { checkBoolean, checkInteger, checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  clone,
  grad,
  maximum,
  minimum,
  mul,
  scalar,
  sum,
  type Tensor,
  type Tensor2D,
  tidy,
} from '@tensorflow/tfjs-core';

/** Options of {@link gradientAscent}. */
export interface GradientAscentOptions {
  /** Steps, integer >= 1. Default 200 */
  readonly steps?: number;
  /** Step size, > 0. Default 0.01 */
  readonly learningRate?: number;
  /** Whether the step size is multiplied by √d. Default true, as the authors' */
  readonly scaleByDimension?: boolean;
  /** Designs are kept within these: numbers, or tensors that broadcast to `[n, d]`. Default: none */
  readonly bounds?: { readonly min?: number | Tensor; readonly max?: number | Tensor };
  /** Called after each step, counted from 1, with the designs, which it must not keep. */
  readonly onStep?: (step: number, designs: Tensor2D) => void;
}

/**
 * Searches for designs with high predictions: `x ← x + η √d ∇_x h(x)` from each of n starting points.
 *
 * @param predict - maps designs `[n, d]` to predictions, one a design, `[n]` or `[n, 1]`
 * @param start - `[n, d]`, float32; not modified
 * @returns `[n, d]`; the caller disposes it
 * @throws TypeError for an unknown option or another dtype; RangeError for another rank or a value out of range
 * @see Dao et al. 2024, arXiv 2503.04242; Trabucco et al. 2022, Design-Bench, arXiv 2202.08450
 */
export function gradientAscent(
  predict: (designs: Tensor2D) => Tensor,
  start: Tensor2D,
  options: GradientAscentOptions = {},
): Tensor2D {
  const caller = 'gradientAscent';
  checkTensor(caller, 'start', start, { rank: 2 });
  const known = ['steps', 'learningRate', 'scaleByDimension', 'bounds', 'onStep'];
  checkOptions(caller, options, known);
  const { steps = 200, learningRate = 0.01, scaleByDimension = true, bounds = {} } = options;
  checkInteger(caller, 'steps', steps, { min: 1 });
  checkNumber(caller, 'learningRate', learningRate, { above: 0 });
  checkBoolean(caller, 'scaleByDimension', scaleByDimension);
  checkOptions(caller, bounds, ['min', 'max']);
  const rate = learningRate * (scaleByDimension ? Math.sqrt(start.shape[1]) : 1);
  const { min = -Infinity, max = Infinity } = bounds;
  // Each design's prediction depends on it alone, so the sum's gradient is all of theirs.
  const slope = grad((x: Tensor) => sum(predict(x as Tensor2D)));
  let designs = clone(start);
  try {
    for (let step = 1; step <= steps; step++) {
      const next = tidy(() => {
        const moved = add(designs, mul(slope(designs), scalar(rate)));
        return minimum(maximum(moved, min), max) as Tensor2D;
      });
      designs.dispose();
      designs = next;
      options.onStep?.(step, designs);
    }
    return designs;
  } catch (error) {
    designs.dispose();
    throw error;
  }
}
