import { checkNumber, checkOptions } from '@orth/backend';
import {
  checkLine,
  type LineInput,
  type PointProblem,
  readPoints,
  readPointsAsync,
} from './pointArguments.js';
import { PointResult, type PointSolution } from './pointResult.js';
import type { Weights } from './transportArguments.js';
import type { PlanEntries } from './transportResult.js';

/** Options of {@link wasserstein1d}. */
export interface Wasserstein1dOptions extends Weights {
  /** Cost |x − y|^p, p >= 1. Default 1 */
  readonly p?: number;
}

/** One pair of distributions on the line. */
export interface LineSolution extends PointSolution {
  /** Non-zeros of the plan: at most m + n − 1. */
  readonly entries: PlanEntries;
}

/** Result of {@link wasserstein1d}. */
export type Wasserstein1dResult = PointResult<LineSolution>;

/**
 * Transport on a line: the sum of T_ij |x_i − y_j|^p over the monotone plan, which is optimal for every p >= 1. That is
 * W_p to the power p.
 *
 * Closed form: both sides are sorted and their masses merged, O((m + n) log(m + n)) on the host in float64. Differentiable in
 * x, y, a and b.
 *
 * @param x - positions `[…, m]`, in any order
 * @param y - positions `[…, n]`
 * @returns value `[…]`, plan and gradients; the caller disposes it
 * @throws TypeError or RangeError for another kind or shape, numbers that are not finite, negative or unequal masses, p < 1;
 *   Error where the backend cannot be read synchronously: use {@link wasserstein1dAsync} there
 * @see Peyré and Cuturi 2019, "Computational optimal transport", section 2.6
 * @example
 * wasserstein1d([0, 1], [3, 1]).values[0]; // 1.5
 */
export function wasserstein1d(
  x: LineInput,
  y: LineInput,
  options: Wasserstein1dOptions = {},
): Wasserstein1dResult {
  const p = checkPower('wasserstein1d', options);
  const request = checkLine('wasserstein1d', x, y, options);
  const solutions = readPoints(request).map((problem) => solveLine(problem, p));
  return new PointResult(request, solutions, true);
}

/** {@link wasserstein1d} for backends that cannot be read synchronously; `attach` gives a differentiable value. */
export async function wasserstein1dAsync(
  x: LineInput,
  y: LineInput,
  options: Wasserstein1dOptions = {},
): Promise<Wasserstein1dResult> {
  const p = checkPower('wasserstein1dAsync', options);
  const request = checkLine('wasserstein1dAsync', x, y, options);
  const problems = await readPointsAsync(request);
  return new PointResult(
    request,
    problems.map((problem) => solveLine(problem, p)),
    false,
  );
}

function checkPower(caller: string, options: Wasserstein1dOptions): number {
  checkOptions(caller, options, ['a', 'b', 'p']);
  const { p = 1 } = options;
  checkNumber(caller, 'p', p, { min: 1 });
  return p;
}

const sortedIndices = (values: Float64Array, weights: Float64Array): Int32Array =>
  Int32Array.from(values.keys())
    .filter((i) => weights[i]! > 0)
    .sort((i, j) => values[i]! - values[j]!);

function solveLine({ x, y, a, b, m, n }: PointProblem, p: number): LineSolution {
  const entries = monotonePlan(sortedIndices(x, a), sortedIndices(y, b), a, b);
  const cost = (i: number, j: number) => Math.abs(x[i]! - y[j]!) ** p;
  let value = 0;
  entries.values.forEach((mass, e) => {
    value += mass * cost(entries.rows[e]!, entries.columns[e]!);
  });
  return {
    value,
    entries,
    iterations: 0,
    converged: true,
    marginalError: 0,
    gradients() {
      const [dx, dy] = [new Float64Array(m), new Float64Array(n)];
      entries.values.forEach((mass, e) => {
        const [i, j] = [entries.rows[e]!, entries.columns[e]!];
        const difference = x[i]! - y[j]!;
        const slope = mass * p * Math.abs(difference) ** (p - 1) * Math.sign(difference);
        dx[i]! += slope;
        dy[j]! -= slope;
      });
      return { x: dx, y: dy, ...potentials(entries, m, n, cost) };
    },
  };
}

/** The plan that matches quantile with quantile: as north-west corner of the sorted sides. */
function monotonePlan(
  rowOrder: Int32Array,
  columnOrder: Int32Array,
  a: Float64Array,
  b: Float64Array,
): PlanEntries {
  const rows: number[] = [];
  const columns: number[] = [];
  const values: number[] = [];
  let [r, c] = [0, 0];
  let supply = a[rowOrder[0]!]!;
  let demand = b[columnOrder[0]!]!;
  for (;;) {
    const [lastRow, lastColumn] = [r === rowOrder.length - 1, c === columnOrder.length - 1];
    const mass = lastRow && lastColumn ? Math.max(supply, demand) : Math.min(supply, demand);
    rows.push(rowOrder[r]!);
    columns.push(columnOrder[c]!);
    values.push(mass);
    if (lastRow && lastColumn) break;
    // Rounding must not use up one side before the other; where both are used up the next entry has mass 0.
    if (!lastRow && (supply <= demand || lastColumn)) {
      demand = Math.max(demand - mass, 0);
      supply = a[rowOrder[++r]!]!;
    } else {
      supply = Math.max(supply - mass, 0);
      demand = b[columnOrder[++c]!]!;
    }
  }
  return {
    rows: Int32Array.from(rows),
    columns: Int32Array.from(columns),
    values: Float64Array.from(values),
  };
}

/** u and v with `u_i + v_j = C_ij` along the staircase, which is connected; the greatest feasible for empty places. */
function potentials(
  { rows, columns }: PlanEntries,
  m: number,
  n: number,
  cost: (i: number, j: number) => number,
): { a: Float64Array; b: Float64Array } {
  const u = new Float64Array(m).fill(Number.NaN);
  const v = new Float64Array(n).fill(Number.NaN);
  u[rows[0]!] = 0;
  rows.forEach((i, e) => {
    const j = columns[e]!;
    if (Number.isNaN(v[j]!)) v[j] = cost(i, j) - u[i]!;
    else if (Number.isNaN(u[i]!)) u[i] = cost(i, j) - v[j]!;
  });
  const least = (of: ReadonlySet<number>, value: (other: number) => number) => {
    let most = Infinity;
    for (const other of of) most = Math.min(most, value(other));
    return most;
  };
  const [usedRows, usedColumns] = [new Set(rows), new Set(columns)];
  u.forEach((value, i) => {
    if (Number.isNaN(value)) u[i] = least(usedColumns, (j) => cost(i, j) - v[j]!);
  });
  v.forEach((value, j) => {
    if (Number.isNaN(value)) v[j] = least(usedRows, (i) => cost(i, j) - u[i]!);
  });
  return { a: u, b: v };
}
