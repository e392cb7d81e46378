/** Unfolded and iterative solvers beside what one has without them. */
import type { Bench } from '../harness/bench.js';
import { conjugateGradientCases } from '../problems/conjugateGradient.js';

export const bench: Bench = {
  name: 'unfolding',
  description: 'conjugate gradients on 256² grids against SciPy',
  cases: (context) => [...conjugateGradientCases(context)],
};
