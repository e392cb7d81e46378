import type { ColumnEvaluator } from './columnEvaluator.js';
import type { CompactProblem } from './compactProblem.js';
import { PlanBuilder } from './planBuilder.js';
import type { PlanEntries } from './transportResult.js';

/** Part of the steps that is forgotten: they lead from the start to where plans alternate. */
const BURN_IN = 0.1;

/**
 * Step-weighted mean of the plans along a subgradient ascent of the semi-dual, `α ← α + η t^(−1/2) (a − T1)`.
 *
 * Where columns have ties at the k-th place no single plan of the potentials has the right row sums. Their mean
 * converges to the optimum of the convex relaxation: marginals become right, while a few columns exceed k. Derived here;
 * ergodic convergence: Larsson, Patriksson, Strömberg 1999.
 *
 * @param alpha - optimal potentials, not modified
 */
export function averagePlan(
  evaluator: ColumnEvaluator,
  problem: CompactProblem,
  alpha: Float64Array,
  steps: number,
  firstStep: number,
): PlanEntries {
  const { m, n, a, rowIndex, columnIndex } = problem;
  const x = alpha.slice();
  const theta = new Float64Array(n).fill(Number.NaN);
  const rowSums = new Float64Array(m);
  const columnSums = new Float64Array(n);
  const means = Array.from({ length: n }, () => new Map<number, number>());
  let weights = 0;
  for (let t = 1; t <= steps; t++) {
    const step = firstStep / Math.sqrt(t);
    const counts = t > BURN_IN * steps;
    evaluator.evaluate(x, theta, true, rowSums, columnSums, (j, rows, values, count) => {
      const mean = means[j]!;
      for (let e = 0; counts && e < count; e++) {
        mean.set(rows[e]!, (mean.get(rows[e]!) ?? 0) + step * values[e]!);
      }
    });
    if (counts) weights += step;
    for (let i = 0; i < m; i++) x[i]! += step * (a[i]! - rowSums[i]!);
  }
  const builder = new PlanBuilder(rowIndex, columnIndex);
  means.forEach((mean, j) => {
    const rows = [...mean.keys()];
    builder.addColumn(
      j,
      rows,
      rows.map((row) => mean.get(row)! / weights),
      rows.length,
    );
  });
  return builder.finish();
}
