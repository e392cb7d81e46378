import { ColumnEvaluator } from './columnEvaluator.js';
import type { CompactProblem } from './compactProblem.js';
import type { SmoothFunction } from './lbfgs.js';

/** −(dual or semi-dual) as a function of one vector, α or (α, β). */
export class DualObjective {
  /** ‖T1 − a‖₁ + ‖Tᵀ1 − b‖₁ of the last evaluation. */
  marginalError = Infinity;
  readonly theta: Float64Array;
  private readonly rowSums: Float64Array;
  private readonly columnSums: Float64Array;
  private readonly evaluator: ColumnEvaluator;

  constructor(
    private readonly problem: CompactProblem,
    gamma: number,
    k: number,
    private readonly dual: boolean,
  ) {
    this.evaluator = new ColumnEvaluator(problem, gamma, k);
    this.theta = new Float64Array(problem.n).fill(Number.NaN);
    this.rowSums = new Float64Array(problem.m);
    this.columnSums = new Float64Array(problem.n);
  }

  evaluate: SmoothFunction = (x, gradient) => {
    const { dual, theta, rowSums, columnSums } = this;
    const { m, n, a, b } = this.problem;
    if (dual) for (let j = 0; j < n; j++) theta[j] = -x[m + j]!;
    const alpha = dual ? x.subarray(0, m) : x;
    const squares = this.evaluator.evaluate(alpha, theta, !dual, rowSums, columnSums);
    let value = -squares;
    let error = 0;
    let shift = 0;
    for (let i = 0; i < m; i++) {
      value += x[i]! * a[i]!;
      const g = rowSums[i]! - a[i]!;
      gradient[i] = g;
      error += Math.abs(g);
      shift += g;
    }
    for (let j = 0; j < n; j++) {
      value -= theta[j]! * b[j]!;
      if (!dual) continue;
      const g = columnSums[j]! - b[j]!;
      gradient[m + j] = g;
      error += Math.abs(g);
      shift -= g;
    }
    // The objective does not change along a constant shift; what rounding leaves of the gradient there would run away.
    const mean = shift / x.length;
    for (let i = 0; i < m; i++) gradient[i]! -= mean;
    if (dual) for (let j = 0; j < n; j++) gradient[m + j]! += mean;
    this.marginalError = error;
    return -value;
  };
}
