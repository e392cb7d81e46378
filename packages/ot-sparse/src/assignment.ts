import { checkBoolean, checkOptions } from '@orth/backend';
import { customGrad, mul, reshape, Tensor, tensor, tidy } from '@tensorflow/tfjs-core';
import { type AssignmentSolution, shortestPathAssignment } from './linearAssignment.js';
import { networkSimplex } from './networkSimplex.js';
import {
  type CostInput,
  checkTransport,
  readLater,
  readNow,
  toFloat64,
} from './transportArguments.js';

/** Options of {@link assignment}. */
export interface AssignmentOptions {
  /** Whether to look for the greatest total instead of the least. Default false */
  readonly maximize?: boolean;
}

/** What {@link assignment} finds. */
export interface Assignment {
  /** Column of each row, −1 where a row has none; `[…, m]` row-major. */
  readonly columnOfRow: Int32Array;
  /** Total of the chosen costs, one number a problem, in float64. */
  readonly totals: Float64Array;
  /**
   * Potentials of rows and columns, `[…, m]` and `[…, n]` row-major: `u_i + v_j <= C_ij` (>= when maximizing), with
   * equality on the pairs chosen; 0 for whoever is left alone.
   */
  readonly u: Float64Array;
  readonly v: Float64Array;
  /** The totals as a float32 tensor `[…]`, differentiable in the cost; the caller disposes it. */
  readonly value: Tensor;
}

const OPTIONS = ['maximize'];
/** Costs that the paths may look at, in times of all, before the network simplex takes over. */
const PASSES = 8;

/**
 * Linear assignment: min(m, n) pairs, no row and no column twice, of least total cost.
 *
 * On the host in float64: shortest augmenting paths, or a network simplex where those take long. `value` is differentiable
 * in `cost` when that is a tensor: the gradient is 1 on the pairs chosen.
 *
 * @param cost - `[…, m, n]`; `Infinity` (−Infinity when maximizing) forbids a pair
 * @throws TypeError or RangeError for another kind or shape, NaN, or forbidden pairs that leave no assignment; Error where
 *   the backend cannot be read synchronously: use {@link assignmentAsync} there
 * @see Jonker and Volgenant 1987, "A shortest augmenting path algorithm for dense and sparse linear assignment problems"
 * @example
 * assignment({ shape: [2, 3], data: [4, 1, 3, 2, 0, 5] }).columnOfRow; // [1, 0]
 */
export function assignment(cost: CostInput, options: AssignmentOptions = {}): Assignment {
  const request = check('assignment', cost, options);
  return solve('assignment', cost, request, readNow('assignment', cost), options, true);
}

/** {@link assignment} for backends that cannot be read synchronously; `value` has no gradient. */
export async function assignmentAsync(
  cost: CostInput,
  options: AssignmentOptions = {},
): Promise<Assignment> {
  const request = check('assignmentAsync', cost, options);
  return solve('assignmentAsync', cost, request, await readLater(cost), options, false);
}

interface Sizes {
  readonly batchShape: readonly number[];
  readonly count: number;
  readonly m: number;
  readonly n: number;
}

function check(caller: string, cost: CostInput, options: AssignmentOptions): Sizes {
  checkOptions(caller, options, OPTIONS);
  if (options.maximize !== undefined) checkBoolean(caller, 'maximize', options.maximize);
  return checkTransport(caller, cost, {});
}

function solve(
  caller: string,
  cost: CostInput,
  { batchShape, count, m, n }: Sizes,
  data: ArrayLike<number>,
  { maximize = false }: AssignmentOptions,
  differentiable: boolean,
): Assignment {
  const sign = maximize ? -1 : 1;
  const costs = maximize ? Float64Array.from(data, (c) => -c) : toFloat64(data);
  checkCosts(caller, costs, maximize);
  const columnOfRow = new Int32Array(count * m).fill(-1);
  const u = new Float64Array(count * m);
  const v = new Float64Array(count * n);
  const totals = new Float64Array(count);
  const chosen: number[] = [];
  for (let index = 0; index < count; index++) {
    const part = costs.subarray(index * m * n, (index + 1) * m * n);
    const wide = m <= n;
    const found = assignRows(wide ? part : transposed(part, m, n), Math.min(m, n), Math.max(m, n));
    if (found === 'infeasible') {
      const at = count > 1 ? ` (problem ${index} of the batch)` : '';
      const rule = 'must allow an assignment, got forbidden pairs that leave none';
      throw new RangeError(`${caller}: cost ${rule}${at}`);
    }
    found.columnOfRow.forEach((to, from) => {
      const [i, j] = wide ? [from, to] : [to, from];
      columnOfRow[index * m + i] = j;
      totals[index]! += sign * part[i * n + j]!;
      chosen.push((index * m + i) * n + j);
    });
    const [rows, columns] = wide ? [found.u, found.v] : [found.v, found.u];
    u.set(maximize ? rows.map((x) => -x) : rows, index * m);
    v.set(maximize ? columns.map((x) => -x) : columns, index * n);
  }
  const value = () => tensor(Float32Array.from(totals), [...batchShape], 'float32');
  const gradient = (dy: Tensor) =>
    tidy(() => {
      const pairs = new Float32Array(count * m * n);
      for (const k of chosen) pairs[k] = 1;
      const indicator = tensor(pairs, [...batchShape, m, n]);
      return mul(reshape(dy, [...batchShape, 1, 1]), indicator);
    });
  const attached =
    differentiable && cost instanceof Tensor
      ? customGrad(() => ({ value: value(), gradFunc: gradient }))(cost)
      : value();
  return { columnOfRow, totals, u, v, value: attached };
}

function checkCosts(caller: string, costs: Float64Array, maximize: boolean): void {
  for (let k = 0; k < costs.length; k++) {
    const c = costs[k]!;
    if (c > -Infinity) continue;
    const rule = `finite, or ${maximize ? '-Infinity' : 'Infinity'} where a pair is forbidden`;
    throw new RangeError(`${caller}: cost must be ${rule}, got ${maximize ? -c : c} at index ${k}`);
  }
}

function transposed(x: Float64Array, m: number, n: number): Float64Array {
  const result = new Float64Array(x.length);
  for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) result[j * m + i] = x[i * n + j]!;
  return result;
}

/** Assigns all rows, m ≤ n. */
function assignRows(costs: Float64Array, m: number, n: number): AssignmentSolution | 'infeasible' {
  const found = shortestPathAssignment(costs, m, n, PASSES * costs.length);
  return found ?? bySimplex(costs, m, n);
}

/** Transport of masses 1, with a row of cost 0 that takes the columns left over. */
function bySimplex(costs: Float64Array, m: number, n: number): AssignmentSolution | 'infeasible' {
  const rest = n - m;
  const [low, high] = finiteRange(costs);
  const penalty = high + (m + n + 1) * (high - low || 1);
  const all = new Float64Array((m + (rest > 0 ? 1 : 0)) * n);
  for (let k = 0; k < costs.length; k++) all[k] = costs[k] === Infinity ? penalty : costs[k]!;
  const a = new Float64Array(all.length / n).fill(1);
  if (rest > 0) a[m] = rest;
  const b = new Float64Array(n).fill(1);
  const tolerance = 1e-12 * Math.max(Math.abs(low), Math.abs(high));
  const basis = networkSimplex(all, a, b, tolerance, Number.POSITIVE_INFINITY);
  const columnOfRow = new Int32Array(m).fill(-1);
  for (let e = 0; e < basis.flow.length; e++) {
    const [i, j] = [basis.rows[e]!, basis.columns[e]!];
    if (i === m || basis.flow[e]! < 0.5) continue;
    if (costs[i * n + j] === Infinity) return 'infeasible';
    columnOfRow[i] = j;
  }
  // Columns that are left over have potential 0, hence the others at most that.
  const shift = rest > 0 ? basis.u[m]! : 0;
  const u = basis.u.slice(0, m).map((x) => x - shift);
  const v = basis.v.map((x) => x + shift);
  return { columnOfRow, u, v, iterations: basis.pivots };
}

function finiteRange(costs: Float64Array): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const c of costs) {
    if (c === Infinity) continue;
    low = Math.min(low, c);
    high = Math.max(high, c);
  }
  return [low, high];
}
