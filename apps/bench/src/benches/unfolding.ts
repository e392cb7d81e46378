/** Unfolded and iterative solvers beside what one has without them. */
import type { Bench } from '../harness/bench.js';
import { conjugateGradientCases } from '../problems/conjugateGradient.js';
import { lassoCases, unrolledFigures } from '../problems/lasso.js';

export const bench: Bench = {
  name: 'unfolding',
  description:
    'conjugate gradients on 256² grids against SciPy; the Lasso against scikit-learn; unrolled inference against torch',
  cases: (context) => [...conjugateGradientCases(context), ...lassoCases(context)],
  figures: unrolledFigures,
};
