import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { ColumnEvaluator } from './columnEvaluator.js';
import { type CompactProblem, compact } from './compactProblem.js';
import { checkInit, type InitialPotentials, readInit, readInitAsync } from './initialPotentials.js';
import {
  type CostInput,
  checkTransport,
  readTransport,
  readTransportAsync,
  type TransportProblem,
  type TransportRequest,
  type Weights,
  type WeightsInput,
} from './transportArguments.js';

/** Options of {@link transportObjectives}. */
export interface TransportObjectivesOptions extends Weights {
  /** Potential of the rows, shape `[m]`. */
  readonly alpha: WeightsInput;
  /** Potential of the columns, shape `[n]`: where given, the dual is evaluated too. */
  readonly beta?: WeightsInput;
  /** Most non-zeros of a column, integer >= 1. Default: m, quadratic transport */
  readonly k?: number;
  /** Strength of the regularisation, > 0. Default 1 */
  readonly gamma?: number;
}

/** An objective at given potentials, on the host. */
export interface ObjectiveValue {
  /** To be maximised; concave. */
  readonly value: number;
  /** a − T1. */
  readonly gradientAlpha: Float64Array;
  /** b − Tᵀ1; zeros for the semi-dual, up to rounding. */
  readonly gradientBeta: Float64Array;
  /** T, `m × n` row-major. */
  readonly plan: Float64Array;
  /** β: as given, or for the semi-dual the one that maximises the dual at this α. */
  readonly beta: Float64Array;
}

/** What {@link transportObjectives} gives. */
export interface TransportObjectives {
  readonly semiDual: ObjectiveValue;
  /** Where `beta` was given. */
  readonly dual?: ObjectiveValue;
}

/**
 * The objectives that `sparseTransport` and `quadraticTransport` maximise, at any potentials, with gradients and plans.
 *
 *     D(α, β) = ⟨α,a⟩ + ⟨β,b⟩ − (1/2γ) Σ_j Σ_{i ∈ top_k(x_j)} max(x_ij, 0)²,   x_ij = α_i + β_j − C_ij
 *     S(α) = max_β D(α, β)
 *
 * Gradients hold away from ties at the k-th place. Host code in float64; tensors are read synchronously.
 *
 * @param cost - `[m, n]`
 * @throws TypeError or RangeError for bad arguments, naming them
 * @see Liu, Puigcerver, Blondel 2023, arXiv 2209.15466
 */
export function transportObjectives(
  cost: CostInput,
  options: TransportObjectivesOptions,
): TransportObjectives {
  const request = checked('transportObjectives', cost, options);
  const [problem] = readTransport(request, { balanced: false });
  return evaluate(problem!, options, readInit(request, options)![0]!);
}

/** {@link transportObjectives} for backends that cannot be read synchronously. */
export async function transportObjectivesAsync(
  cost: CostInput,
  options: TransportObjectivesOptions,
): Promise<TransportObjectives> {
  const request = checked('transportObjectivesAsync', cost, options);
  const [problem] = await readTransportAsync(request, { balanced: false });
  return evaluate(problem!, options, (await readInitAsync(request, options))![0]!);
}

function checked(
  caller: string,
  cost: CostInput,
  options: TransportObjectivesOptions,
): TransportRequest {
  const request = checkTransport(caller, cost, options);
  checkOptions(caller, options, ['a', 'b', 'alpha', 'beta', 'k', 'gamma']);
  const { alpha, k = 1, gamma = 1 } = options;
  if (request.batchShape.length > 0) {
    throw new RangeError(
      `${caller}: cost must have rank 2, got shape [${[...request.batchShape, request.m, request.n]}]`,
    );
  }
  if (alpha === undefined) throw new TypeError(`${caller}: alpha must be given, got undefined`);
  checkInteger(caller, 'k', k, { min: 1 });
  checkNumber(caller, 'gamma', gamma, { above: 0 });
  checkInit(request, options);
  return request;
}

function evaluate(
  problem: TransportProblem,
  { k = Infinity, gamma = 1 }: TransportObjectivesOptions,
  { alpha, beta }: InitialPotentials,
): TransportObjectives {
  const compacted = compact(problem, true);
  const evaluator = new ColumnEvaluator(compacted, gamma, Math.min(k, problem.m));
  const semiDual = at(evaluator, compacted, gamma, alpha!, undefined);
  if (!beta) return { semiDual };
  return { semiDual, dual: at(evaluator, compacted, gamma, alpha!, beta) };
}

function at(
  evaluator: ColumnEvaluator,
  { m, n, a, b }: CompactProblem,
  gamma: number,
  alpha: Float64Array,
  given: Float64Array | undefined,
): ObjectiveValue {
  const theta = given?.map((value) => -value) ?? new Float64Array(n).fill(Number.NaN);
  const plan = new Float64Array(m * n);
  const gradientAlpha = a.slice();
  const gradientBeta = b.slice();
  let squares = 0;
  evaluator.visit(alpha, theta, !given, (j, rows, values, count) => {
    for (let e = 0; e < count; e++) {
      const [i, mass] = [rows[e]!, values[e]!];
      plan[i * n + j] = mass;
      gradientAlpha[i]! -= mass;
      gradientBeta[j]! -= mass;
      squares += mass * mass;
    }
  });
  const beta = theta.map((value) => -value);
  let value = -0.5 * gamma * squares;
  for (let i = 0; i < m; i++) value += alpha[i]! * a[i]!;
  for (let j = 0; j < n; j++) value += beta[j]! * b[j]!;
  return { value, gradientAlpha, gradientBeta, plan, beta };
}
