import { readInit, readInitAsync } from './initialPotentials.js';
import { checkedSettings, type SparseTransportOptions } from './regularizedOptions.js';
import {
  type RegularizedSettings,
  type SparseSolution,
  solveRegularized,
} from './regularizedSolver.js';
import {
  type CostInput,
  checkTransport,
  readTransport,
  readTransportAsync,
  type TransportProblem,
  type TransportRequest,
} from './transportArguments.js';
import { TransportResult } from './transportResult.js';

/** Result of {@link sparseTransport} and `quadraticTransport`. */
export type SparseTransportResult = TransportResult<SparseSolution>;

/**
 * Optimal transport with at most k non-zeros in each column of the plan.
 *
 *     min ⟨T, C⟩ + (γ/2)‖T‖²   over   T ≥ 0,  T1 = a,  Tᵀ1 = b,  ‖t_j‖₀ ≤ k
 *
 * solved through its dual or semi-dual. k = 1 gives the value of unregularised transport, k ≥ m that of quadratic
 * transport. Where no column has a tie at the k-th place the plan is unique and optimal (`solutions[i].certified`);
 * with ties its columns keep at most k non-zeros while its row sums are wrong by `residuals.rows`: see `recover`.
 *
 * Works on the host in float64: tensors are read synchronously. An iteration costs about the non-zeros of the plan, one in
 * several passes over C. For "at most k per row" transpose the problem.
 *
 * @param cost - `[…, m, n]`; `Infinity` forbids a pair
 * @throws TypeError or RangeError for bad arguments, naming them: NaN costs, negative weights, masses that differ, k < 1,
 *   empty problems, k·n < m without `allowInfeasible`; Error where the backend cannot be read synchronously
 * @example
 * const result = sparseTransport(cost, { k: 2, gamma: 0.1 });
 * const { indices, values } = result.sparsePlan();
 * @see Liu, Puigcerver, Blondel 2023, "Sparsity-Constrained Optimal Transport", arXiv 2209.15466
 */
export function sparseTransport(
  cost: CostInput,
  options: SparseTransportOptions,
): SparseTransportResult {
  const request = checkTransport('sparseTransport', cost, options);
  const settings = checkedSettings(request, options, true);
  const problems = readTransport(request);
  const init = readInit(request, options.init);
  return new TransportResult(request, solveAll(request, problems, settings, init), true);
}

/**
 * {@link sparseTransport} for backends that cannot be read synchronously (WebGPU outside a browser). `value` has no
 * gradient here; `result.attach(cost)` does.
 */
export async function sparseTransportAsync(
  cost: CostInput,
  options: SparseTransportOptions,
): Promise<SparseTransportResult> {
  const request = checkTransport('sparseTransportAsync', cost, options);
  const settings = checkedSettings(request, options, true);
  const problems = await readTransportAsync(request);
  const init = await readInitAsync(request, options.init);
  return new TransportResult(request, solveAll(request, problems, settings, init), false);
}

/** Solves every problem of a batch by itself. */
export function solveAll(
  { caller }: TransportRequest,
  problems: readonly TransportProblem[],
  settings: RegularizedSettings,
  init: ReturnType<typeof readInit>,
): SparseSolution[] {
  if (!settings.allowInfeasible) {
    for (const { a, b } of problems) {
      const count = (weights: Float64Array) => weights.filter((w) => w > 0).length;
      const [rows, columns] = [count(a), count(b)];
      if (settings.k * columns >= rows) continue;
      throw new RangeError(
        `${caller}: k must be >= ${Math.ceil(rows / columns)} to give each of ${rows} rows with mass a place in ` +
          `${columns} columns (or set allowInfeasible), got ${settings.k}`,
      );
    }
  }
  return problems.map((problem, index) => solveRegularized(problem, settings, init?.[index]));
}
