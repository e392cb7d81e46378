/** Exact transport of one problem on the host, in float64. */
import { type AssignmentSolution, shortestPathAssignment } from './linearAssignment.js';
import { networkSimplex } from './networkSimplex.js';
import { sumOf, type TransportProblem } from './transportArguments.js';
import type { PlanEntries, TransportSolution } from './transportResult.js';

/** Options of the solver, complete. */
export interface ExactSettings {
  readonly method: 'auto' | 'networkSimplex' | 'assignment';
  readonly maxIterations: number;
}

/** Potentials and the arcs that carry the plan, for masses that are all positive. */
interface Basis {
  readonly rows: Int32Array;
  readonly columns: Int32Array;
  readonly flow: Float64Array;
  readonly u: Float64Array;
  readonly v: Float64Array;
  readonly iterations: number;
  readonly optimal: boolean;
}

/** Reduced costs above −1e−12 of the greatest cost count as 0. */
const TOLERANCE = 1e-12;
/** Share of the mass that rounding may leave on forbidden pairs. */
const FORBIDDEN_SHARE = 1e-9;
/** Paths of an assignment that look at more than this many times all costs are slower than a network simplex. */
const ASSIGNMENT_PASSES = 8;

/**
 * @param at - which problem of a batch, for messages
 * @param init - potentials of the columns from a similar problem
 * @throws RangeError if the forbidden pairs leave no plan
 */
export function solveExact(
  caller: string,
  problem: TransportProblem,
  { method, maxIterations }: ExactSettings,
  init: Float64Array | undefined,
  at: string,
): TransportSolution {
  const { m, n, cost, masked } = problem;
  const rowIndex = positive(problem.a);
  const columnIndex = positive(problem.b);
  const whole = rowIndex.length === m && columnIndex.length === n;
  const a = whole ? problem.a : Float64Array.from(rowIndex, (i) => problem.a[i]!);
  const b = whole ? problem.b : Float64Array.from(columnIndex, (j) => problem.b[j]!);
  const costs = whole ? cost : submatrix(cost, n, rowIndex, columnIndex);
  const v = init && (whole ? init : Float64Array.from(columnIndex, (j) => init[j]!));
  const infeasible = () => {
    const rule = 'must allow a plan, got forbidden pairs that leave mass without a partner';
    return new RangeError(`${caller}: cost ${rule}${at}`);
  };
  const uniform = a.length === b.length && isConstant(a) && isConstant(b);
  if (method === 'assignment' && !uniform) {
    const rule = "must be 'networkSimplex' or 'auto' unless masses are equal and as many";
    throw new RangeError(`${caller}: method ${rule}, got "assignment"${at}`);
  }
  let basis: Basis | undefined;
  if (uniform && method !== 'networkSimplex' && !v) {
    const passes = method === 'assignment' ? Infinity : ASSIGNMENT_PASSES;
    const found = shortestPathAssignment(costs, a.length, a.length, passes * costs.length);
    if (found === 'infeasible') throw infeasible();
    basis = found && permutationBasis(found, a[0]!);
  }
  basis ??= simplexBasis(costs, a, b, masked, maxIterations, v);
  const mass = sumOf(a);
  const { u, entries, forbidden, ...rest } = collect(basis, problem, rowIndex, columnIndex);
  if (forbidden > FORBIDDEN_SHARE * mass) throw infeasible();
  return { ...rest, alpha: u, entries: () => entries };
}

const positive = (masses: Float64Array): Int32Array => {
  const indices: number[] = [];
  for (let i = 0; i < masses.length; i++) if (masses[i]! > 0) indices.push(i);
  return Int32Array.from(indices);
};

const isConstant = (x: Float64Array) => x.every((value) => value === x[0]);

function submatrix(
  cost: Float64Array,
  n: number,
  rows: Int32Array,
  columns: Int32Array,
): Float64Array {
  const part = new Float64Array(rows.length * columns.length);
  let k = 0;
  for (const i of rows) for (const j of columns) part[k++] = cost[i * n + j]!;
  return part;
}

function permutationBasis(
  { columnOfRow, u, v, iterations }: AssignmentSolution,
  mass: number,
): Basis {
  const rows = Int32Array.from(columnOfRow.keys());
  const flow = new Float64Array(rows.length).fill(mass);
  return { rows, columns: columnOfRow, flow, u, v, iterations, optimal: true };
}

function simplexBasis(
  costs: Float64Array,
  a: Float64Array,
  b: Float64Array,
  masked: boolean,
  maxIterations: number,
  init: Float64Array | undefined,
): Basis {
  const { allowed, scale } = masked ? withPenalty(costs, a.length + b.length) : plain(costs);
  const { pivots, ...basis } = networkSimplex(
    allowed,
    a,
    b,
    TOLERANCE * scale,
    maxIterations,
    init,
  );
  return { ...basis, iterations: pivots };
}

function range(costs: Float64Array): { low: number; high: number } {
  let [low, high] = [Infinity, -Infinity];
  for (let k = 0; k < costs.length; k++) {
    const c = costs[k]!;
    if (c === Infinity) continue;
    if (c < low) low = c;
    if (c > high) high = c;
  }
  return { low, high };
}

function plain(costs: Float64Array) {
  const { low, high } = range(costs);
  return { allowed: costs, scale: Math.max(Math.abs(low), Math.abs(high)) };
}

/**
 * Costs with a penalty in place of +∞: above what a path through all nodes can cost, so that any plan that avoids
 * forbidden pairs is better than any that does not.
 */
function withPenalty(costs: Float64Array, nodes: number) {
  const { low, high } = range(costs);
  const scale = Math.max(Math.abs(low), Math.abs(high));
  const penalty = high + nodes * (high - low || Math.abs(high) || 1);
  return { allowed: costs.map((c) => (c === Infinity ? penalty : c)), scale };
}

/** The plan, value and potentials of the original problem. */
function collect(
  { rows, columns, flow, u, v, iterations, optimal }: Basis,
  problem: TransportProblem,
  rowIndex: Int32Array,
  columnIndex: Int32Array,
) {
  const { m, n, cost, a, b } = problem;
  const { alpha, beta } = expand(problem, rowIndex, columnIndex, u, v, optimal);
  let forbidden = 0;
  const kept: number[] = [];
  for (let e = 0; e < flow.length; e++) {
    if (!(flow[e]! > 0)) continue;
    if (cost[rowIndex[rows[e]!]! * n + columnIndex[columns[e]!]!] === Infinity) {
      forbidden += flow[e]!;
    } else kept.push(e);
  }
  kept.sort((e, f) => rows[e]! - rows[f]! || columns[e]! - columns[f]!);
  const entries: PlanEntries = {
    rows: Int32Array.from(kept, (e) => rowIndex[rows[e]!]!),
    columns: Int32Array.from(kept, (e) => columnIndex[columns[e]!]!),
    values: Float64Array.from(kept, (e) => flow[e]!),
  };
  const rowRest = a.slice();
  const columnRest = b.slice();
  let transportCost = 0;
  entries.values.forEach((value, e) => {
    const [i, j] = [entries.rows[e]!, entries.columns[e]!];
    transportCost += value * cost[i * n + j]!;
    rowRest[i]! -= value;
    columnRest[j]! -= value;
  });
  let dual = 0;
  for (let i = 0; i < m; i++) dual += alpha[i]! * a[i]!;
  for (let j = 0; j < n; j++) dual += beta[j]! * b[j]!;
  const size = (x: Float64Array) => x.reduce((total, value) => total + Math.abs(value), 0);
  return {
    objective: transportCost,
    transportCost,
    u: alpha,
    beta,
    iterations,
    converged: optimal,
    residuals: { rows: size(rowRest), columns: size(columnRest), gap: transportCost - dual },
    reason: optimal ? 'no reduced cost is negative' : 'maxIterations reached',
    entries,
    forbidden,
  };
}

/**
 * Potentials of all rows and columns, feasible everywhere: those of rows and columns without mass are the greatest that
 * are; 0 where all pairs are forbidden. Potentials that are not optimal are made feasible, so that they bound the cost.
 */
function expand(
  { m, n, cost }: TransportProblem,
  rowIndex: Int32Array,
  columnIndex: Int32Array,
  u: Float64Array,
  v: Float64Array,
  optimal: boolean,
): { alpha: Float64Array; beta: Float64Array } {
  if (optimal && rowIndex.length === m && columnIndex.length === n) return { alpha: u, beta: v };
  const alpha = new Float64Array(m).fill(Infinity);
  const beta = new Float64Array(n).fill(Infinity);
  rowIndex.forEach((row, i) => {
    alpha[row] = u[i]!;
  });
  columnIndex.forEach((column, j) => {
    beta[column] = v[j]!;
  });
  for (let i = 0; i < m; i++) {
    if (alpha[i] !== Infinity) continue;
    for (const j of columnIndex) alpha[i] = Math.min(alpha[i]!, cost[i * n + j]! - beta[j]!);
    if (alpha[i] === Infinity) alpha[i] = 0;
  }
  for (let j = 0; j < n; j++) {
    if (optimal && beta[j] !== Infinity) continue;
    beta[j] = Infinity;
    for (let i = 0; i < m; i++) beta[j] = Math.min(beta[j]!, cost[i * n + j]! - alpha[i]!);
    if (beta[j] === Infinity) beta[j] = 0;
  }
  return { alpha, beta };
}
