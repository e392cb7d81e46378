import type { ColumnEvaluator } from './columnEvaluator.js';
import type { CompactProblem } from './compactProblem.js';
import { PlanBuilder } from './planBuilder.js';
import type { PlanEntries } from './transportResult.js';

/** The plan at given potentials, in the original problem's indices. */
export function planOf(
  evaluator: ColumnEvaluator,
  { rowIndex, columnIndex }: CompactProblem,
  alpha: Float64Array,
  theta: Float64Array,
  solve: boolean,
): { plan: PlanEntries; tieMargin: number } {
  const builder = new PlanBuilder(rowIndex, columnIndex);
  const tieMargin = evaluator.visit(alpha, theta, solve, (j, rows, values, count) => {
    builder.addColumn(j, rows, values, count);
  });
  return { plan: builder.finish(), tieMargin };
}

/** ⟨α, a⟩ + ⟨β, b⟩ − (γ/2)‖T‖², with T the plan of these potentials. */
export function dualValue(
  { a, b }: CompactProblem,
  gamma: number,
  { values }: PlanEntries,
  alpha: Float64Array,
  beta: Float64Array,
): number {
  let value = 0;
  for (let i = 0; i < a.length; i++) value += alpha[i]! * a[i]!;
  for (let j = 0; j < b.length; j++) value += beta[j]! * b[j]!;
  for (let e = 0; e < values.length; e++) value -= 0.5 * gamma * values[e]! ** 2;
  return value;
}

/** Value, cost and marginals' errors of a plan in the original problem. */
export function measure({ original }: CompactProblem, gamma: number, plan: PlanEntries) {
  const { m, n, cost, a, b } = original;
  const rowSums = new Float64Array(m);
  const columnSums = new Float64Array(n);
  let transportCost = 0;
  let squares = 0;
  for (let e = 0; e < plan.values.length; e++) {
    const [i, j, t] = [plan.rows[e]!, plan.columns[e]!, plan.values[e]!];
    rowSums[i]! += t;
    columnSums[j]! += t;
    transportCost += t * cost[i * n + j]!;
    squares += t * t;
  }
  const distance = (x: Float64Array, y: Float64Array) =>
    x.reduce((total, value, i) => total + Math.abs(value - y[i]!), 0);
  return {
    transportCost,
    primal: transportCost + 0.5 * gamma * squares,
    rows: distance(rowSums, a),
    columns: distance(columnSums, b),
  };
}

export function nonzerosPerColumn(n: number, { columns }: PlanEntries): Int32Array {
  const counts = new Int32Array(n);
  for (const column of columns) counts[column]!++;
  return counts;
}
