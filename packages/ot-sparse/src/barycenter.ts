import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { customGrad, Tensor, tensor } from '@tensorflow/tfjs-core';
import {
  type BarycenterGradients,
  type BarycenterProblem,
  type BarycenterSolution,
  barycenterGradients,
  solveBarycenter,
} from './barycenterSolver.js';
import {
  type CostInput,
  checkArrayInput,
  checkWeights,
  readLater,
  readNow,
  toFloat64,
  type WeightsInput,
} from './transportArguments.js';

/** Options of {@link barycenter}. */
export interface BarycenterOptions {
  /** Strength of the entropy, > 0, in units of cost. The barycentre is blurred accordingly. */
  readonly epsilon: number;
  /** Weights λ of the histograms, `[K]`, >= 0, normalised here. Default uniform */
  readonly lambda?: WeightsInput;
  /** Σ λ_k ‖T_kᵀ1 − b‖₁ at which iterations end. Default 1e−6 */
  readonly tolerance?: number;
  /** Most iterations. Default 2000 */
  readonly maxIterations?: number;
}

/** What {@link barycenter} finds. */
export interface Barycenter {
  /**
   * The barycentre, `[n]` float32, sum 1; from {@link barycenter} differentiable in histograms and cost. Disposed by
   * {@link dispose}.
   */
  readonly weights: Tensor;
  /** The barycentre in float64. */
  readonly data: Float64Array;
  /** Σ_k λ_k OT_ε(a_k, b) with entropy Σ T (log T − 1). */
  readonly objective: number;
  readonly iterations: number;
  readonly converged: boolean;
  /** Σ_k λ_k ‖T_kᵀ1 − b‖₁. */
  readonly marginalError: number;
  /** `weights` as a differentiable function of tensors with the values of the call; the caller disposes it. */
  attach(histograms: Tensor, cost: Tensor): Tensor;
  /** Disposes `weights`. May be called twice. */
  dispose(): void;
}

/**
 * Barycentre of histograms on a fixed support: the b that minimises `Σ_k λ_k OT_ε(a_k, b)`.
 *
 * Iterative Bregman projections in the log domain, on the host in float64, O(K m n) an iteration. The derivative is that
 * of the fixed point, by its adjoint iteration; nothing is unrolled.
 *
 * @param histograms - `[K, m]`, >= 0, each of positive sum; normalised here to sum 1
 * @param cost - `[m, n]`, from the histograms' support to that of the barycentre, or `[K, m, n]` with one for each
 * @throws TypeError or RangeError for another kind or shape, costs that are not finite, negative histograms, or an option
 *   out of its range; Error where the backend cannot be read synchronously: use {@link barycenterAsync} there
 * @see Benamou, Carlier, Cuturi, Nenna, Peyré 2015, "Iterative Bregman projections for regularized transportation problems"
 * @example
 * const { weights } = barycenter(tf.tensor2d([[1, 0, 0], [0, 0, 1]]), cost, { epsilon: 0.1 });
 */
export function barycenter(
  histograms: CostInput,
  cost: CostInput,
  options: BarycenterOptions,
): Barycenter {
  const caller = 'barycenter';
  const sizes = check(caller, histograms, cost, options);
  const { lambda } = options;
  const problem = problemOf(
    caller,
    sizes,
    readNow(caller, histograms),
    readNow(caller, cost),
    lambda && readNow(caller, lambda),
    options,
  );
  return solve(problem, histograms, cost, options, true);
}

/** {@link barycenter} for backends that cannot be read synchronously; `attach` gives differentiable weights. */
export async function barycenterAsync(
  histograms: CostInput,
  cost: CostInput,
  options: BarycenterOptions,
): Promise<Barycenter> {
  const caller = 'barycenterAsync';
  const sizes = check(caller, histograms, cost, options);
  const { lambda } = options;
  const [masses, costs, factors] = await Promise.all([
    readLater(histograms),
    readLater(cost),
    lambda && readLater(lambda),
  ]);
  const problem = problemOf(caller, sizes, masses, costs, factors, options);
  return solve(problem, histograms, cost, options, false);
}

interface Sizes {
  readonly count: number;
  readonly m: number;
  readonly n: number;
}

function check(
  caller: string,
  histograms: CostInput,
  cost: CostInput,
  options: BarycenterOptions,
): Sizes {
  checkOptions(caller, options, ['epsilon', 'lambda', 'tolerance', 'maxIterations']);
  const { epsilon, lambda, tolerance, maxIterations } = options;
  checkNumber(caller, 'epsilon', epsilon, { above: 0 });
  if (tolerance !== undefined) checkNumber(caller, 'tolerance', tolerance, { above: 0 });
  if (maxIterations !== undefined) {
    checkInteger(caller, 'maxIterations', maxIterations, { min: 1 });
  }
  const shape = checkArrayInput(caller, 'histograms', histograms);
  if (shape.length !== 2) {
    throw new RangeError(`${caller}: histograms must have shape [K,m], got shape [${shape}]`);
  }
  const [count, m] = shape as [number, number];
  const costShape = checkArrayInput(caller, 'cost', cost);
  const n = costShape.at(-1)!;
  if (`${costShape}` !== `${[m, n]}` && `${costShape}` !== `${[count, m, n]}`) {
    const rule = `cost must have shape [${m},n] or [${count},${m},n]`;
    throw new RangeError(`${caller}: ${rule}, got shape [${costShape}]`);
  }
  checkWeights(caller, 'lambda', lambda, [], count);
  return { count, m, n };
}

function problemOf(
  caller: string,
  { count, m, n }: Sizes,
  masses: ArrayLike<number>,
  costs: ArrayLike<number>,
  factors: ArrayLike<number> | undefined,
  { epsilon }: BarycenterOptions,
): BarycenterProblem {
  const all = toFloat64(costs);
  const bad = all.findIndex((c) => !Number.isFinite(c));
  if (bad >= 0) {
    throw new RangeError(`${caller}: cost must be finite, got ${all[bad]} at index ${bad}`);
  }
  const { shares, totals } = normalized(caller, 'histograms', masses, count, m);
  return {
    count,
    m,
    n,
    histograms: shares,
    totals,
    costs: all,
    lambda: factors
      ? normalized(caller, 'lambda', factors, 1, count).shares
      : new Float64Array(count).fill(1 / count),
    epsilon,
  };
}

function normalized(
  caller: string,
  argument: string,
  data: ArrayLike<number>,
  rows: number,
  length: number,
): { readonly shares: Float64Array; readonly totals: Float64Array } {
  const shares = Float64Array.from(data);
  const totals = new Float64Array(rows);
  const bad = shares.findIndex((mass) => !(mass >= 0 && mass < Infinity));
  if (bad >= 0) {
    const rule = `${argument} must be finite and >= 0, got ${shares[bad]} at index ${bad}`;
    throw new RangeError(`${caller}: ${rule}`);
  }
  for (let r = 0; r < rows; r++) {
    const row = shares.subarray(r * length, (r + 1) * length);
    const total = row.reduce((sum, mass) => sum + mass, 0);
    if (!(total > 0)) {
      throw new RangeError(`${caller}: ${argument} must have a positive sum, got 0 in row ${r}`);
    }
    for (let i = 0; i < length; i++) row[i]! /= total;
    totals[r] = total;
  }
  return { shares, totals };
}

function solve(
  problem: BarycenterProblem,
  histograms: CostInput,
  cost: CostInput,
  { tolerance = 1e-6, maxIterations = 2000 }: BarycenterOptions,
  differentiable: boolean,
): Barycenter {
  const solution = solveBarycenter(problem, tolerance, maxIterations);
  const attach = (a: unknown, c: unknown) => attachTo(problem, solution, a, c, maxIterations);
  const weights = differentiable ? attach(histograms, cost) : plain(solution);
  const { objective, iterations, converged, error } = solution;
  return {
    weights,
    data: solution.weights,
    objective,
    iterations,
    converged,
    marginalError: error,
    attach(a, c) {
      const want = `${[histograms.shape, cost.shape].map((shape) => `[${shape}]`)}`;
      const got = `${[a, c].map(({ shape }) => `[${shape}]`)}`;
      if (want !== got) {
        throw new RangeError(
          `attach: histograms and cost must have the shapes of the call, ${want}, got ${got}`,
        );
      }
      return attach(a, c);
    },
    dispose: () => weights.dispose(),
  };
}

const plain = ({ weights }: BarycenterSolution): Tensor => tensor(Float32Array.from(weights));

function attachTo(
  problem: BarycenterProblem,
  solution: BarycenterSolution,
  histograms: unknown,
  cost: unknown,
  maxIterations: number,
): Tensor {
  const inputs: Tensor[] = [];
  const wanted: (keyof BarycenterGradients)[] = [];
  if (histograms instanceof Tensor) {
    inputs.push(histograms);
    wanted.push('histograms');
  }
  if (cost instanceof Tensor) {
    inputs.push(cost);
    wanted.push('costs');
  }
  if (inputs.length === 0) return plain(solution);
  const shapes = inputs.map(({ shape }) => shape);
  const op = customGrad(() => ({
    value: plain(solution),
    gradFunc: (dy: Tensor) => {
      const dWeights = toFloat64(readNow('barycenter', dy));
      const gradients = barycenterGradients(problem, solution, dWeights, 10 * maxIterations);
      return wanted.map((name, i) => tensor(Float32Array.from(gradients[name]), shapes[i]!));
    },
  }));
  return op(...inputs);
}
