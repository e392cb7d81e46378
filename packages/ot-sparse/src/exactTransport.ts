import { checkInteger, checkOneOf, checkOptions } from '@orth/backend';
import { solveExact } from './exactSolver.js';
import {
  checkInit,
  type DualsInput,
  type InitialPotentials,
  readInit,
  readInitAsync,
} from './initialPotentials.js';
import {
  type CostInput,
  checkTransport,
  readTransport,
  readTransportAsync,
  type TransportProblem,
  type TransportRequest,
  type Weights,
} from './transportArguments.js';
import { TransportResult } from './transportResult.js';

/** Options of {@link exactTransport}. */
export interface ExactTransportOptions extends Weights {
  /**
   * `'networkSimplex'`; `'assignment'`, for as many rows as columns with equal masses: shortest augmenting paths,
   * several times faster on random costs and several times slower on distances between points; `'auto'` begins with paths
   * where it can and goes on with the simplex when they take long. Default `'auto'`
   */
  readonly method?: 'auto' | 'networkSimplex' | 'assignment';
  /** Most pivots of the simplex, integer >= 1. What ends there says `converged: false`. Default 1000 · (m + n) */
  readonly maxIterations?: number;
  /**
   * Potentials of a similar problem, as the `duals` of its result: the simplex begins near its plan. One of them is enough.
   */
  readonly init?: DualsInput;
}

const OPTIONS = ['a', 'b', 'method', 'maxIterations', 'init'];
/** Masses in float32 sum up to rounding. */
const RULES = { massTolerance: 1e-5 };

/**
 * Optimal transport without regularisation: `min ⟨T, C⟩` over `T >= 0` with row sums `a` and column sums `b`.
 *
 * On the host in float64, by a network simplex of our own (block search, strongly feasible trees) or, for equal masses, by
 * shortest augmenting paths. The plan has at most m + n − 1 non-zeros. `value` is differentiable: by the envelope theorem
 * ∂/∂C = T, ∂/∂a = alpha, ∂/∂b = beta, subgradients where the solution is not unique.
 *
 * @param cost - `[…, m, n]`; `Infinity` forbids a pair
 * @returns plan, potentials with `alpha_i + beta_j <= C_ij` (equal where the plan is not 0), value, and whether the optimum
 *   was reached; the caller disposes it
 * @throws TypeError or RangeError if an argument has the wrong kind, shape or value (NaN, negative masses, masses that
 *   differ by more than 1e−5 of them), or if the forbidden pairs leave no plan; Error where the backend cannot be read
 *   synchronously (WebGPU outside a browser): use {@link exactTransportAsync} there
 * @see Bonneel et al. 2011, "Displacement interpolation using Lagrangian mass transport", section 4.1; Cunningham 1976, "A
 *   network simplex method"; Jonker and Volgenant 1987
 * @example
 * const result = exactTransport(tf.tensor2d([[0, 2], [1, 0]]), { a: [0.5, 0.5], b: [0.25, 0.75] });
 * result.objective; // 0.5: a quarter moves at cost 2
 */
export function exactTransport(
  cost: CostInput,
  options: ExactTransportOptions = {},
): TransportResult {
  const request = check('exactTransport', cost, options);
  const problems = readTransport(request, RULES);
  const init = readInit(request, options.init);
  return new TransportResult(request, solve(request, problems, init, options), true);
}

/** {@link exactTransport} for backends that cannot be read synchronously; `attach` gives a differentiable value. */
export async function exactTransportAsync(
  cost: CostInput,
  options: ExactTransportOptions = {},
): Promise<TransportResult> {
  const request = check('exactTransportAsync', cost, options);
  const problems = await readTransportAsync(request, RULES);
  const init = await readInitAsync(request, options.init);
  return new TransportResult(request, solve(request, problems, init, options), false);
}

function check(caller: string, cost: CostInput, options: ExactTransportOptions): TransportRequest {
  checkOptions(caller, options, OPTIONS);
  const { a, b, method, maxIterations, init } = options;
  const request = checkTransport(caller, cost, { a, b });
  if (method !== undefined) {
    checkOneOf(caller, 'method', method, ['auto', 'networkSimplex', 'assignment']);
  }
  if (maxIterations !== undefined) {
    checkInteger(caller, 'maxIterations', maxIterations, { min: 1 });
  }
  checkInit(request, init);
  return request;
}

function solve(
  { caller, count, m, n }: TransportRequest,
  problems: readonly TransportProblem[],
  init: readonly InitialPotentials[] | undefined,
  { method = 'auto', maxIterations = 1000 * (m + n) }: ExactTransportOptions,
) {
  return problems.map((problem, index) => {
    const at = count > 1 ? ` (problem ${index} of the batch)` : '';
    const beta = init && columnPotentials(problem, init[index]!);
    return solveExact(caller, problem, { method, maxIterations }, beta, at);
  });
}

/** Potentials of the columns: those given, or the greatest feasible beside those of the rows. */
function columnPotentials(
  { m, n, cost }: TransportProblem,
  { alpha, beta }: InitialPotentials,
): Float64Array {
  if (beta) return beta;
  const least = new Float64Array(n).fill(Infinity);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) least[j] = Math.min(least[j]!, cost[i * n + j]! - alpha![i]!);
  }
  return least.map((value) => (value === Infinity ? 0 : value));
}
