import { checkBoolean, checkInteger, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import { type Tensor, tensor } from '@tensorflow/tfjs-core';
import type { PointCost, PointCostName } from './cloudCost.js';
import { CloudTransport, rowsOf } from './cloudSinkhorn.js';
import {
  checkPoints,
  type PointProblem,
  type PointRequest,
  type PointsInput,
  readPoints,
  readPointsAsync,
} from './pointArguments.js';
import { PointResult, type PointSolution } from './pointResult.js';
import type { EpsilonScaling } from './sinkhorn.js';
import type { Weights } from './transportArguments.js';

/** Options of {@link sinkhornPointCloud}. */
export interface SinkhornPointCloudOptions extends Weights {
  /** Entropic regularisation, > 0, in the units of the cost. */
  readonly epsilon: number;
  /** Cost between two points: a name, or a function on the host. Default `'squaredEuclidean'` */
  readonly cost?: PointCostName | PointCost;
  /** Penalty ρ > 0 on both marginals (Kullback–Leibler) instead of the constraints. Default none: balanced */
  readonly rho?: number;
  /** Marginal error, in parts of the mass, at which iterations end. Default 1e−6 */
  readonly tolerance?: number;
  /** Most iterations, levels of ε included. Default 2000 */
  readonly maxIterations?: number;
  /** One iteration at each of `start`, `start·factor`, … before those at ε; `start` is the greatest cost. Default true */
  readonly epsilonScaling?: boolean | EpsilonScaling;
  /** Over-relaxed steps near the solution, balanced problems only. Default true */
  readonly acceleration?: boolean;
  /** Compute costs anew in each iteration, in O((m + n) d) memory. Default: above 4 million pairs */
  readonly online?: boolean;
  /** Potentials of a similar problem, as the `duals` of its result: begins there, at ε. */
  readonly init?: { readonly alpha: ArrayLike<number>; readonly beta: ArrayLike<number> };
}

const OPTIONS = [
  'a',
  'b',
  'epsilon',
  'cost',
  'rho',
  'tolerance',
  'maxIterations',
  'epsilonScaling',
  'acceleration',
  'online',
  'init',
];

/** Entropic transport of one pair of clouds. */
export interface PointCloudSolution extends PointSolution {
  /** Potential of x: `T_ij = a_i b_j exp((alpha_i + beta_j − C_ij)/ε)`. */
  readonly alpha: Float64Array;
  /** Potential of y. */
  readonly beta: Float64Array;
  /** ⟨T, C⟩, computed when asked for by a pass over all pairs. */
  transportCost(): number;
  /** T · values for `n × width` values, row-major, and the row sums of T; a pass over all pairs. */
  apply(
    values: Float64Array,
    width: number,
  ): { readonly product: Float64Array; readonly sums: Float64Array };
}

/** Result of {@link sinkhornPointCloud}. */
export class PointCloudResult extends PointResult<PointCloudSolution> {
  private readonly targets: readonly Float64Array[];

  /** For {@link sinkhornPointCloud}. */
  constructor(
    request: PointRequest,
    solutions: readonly PointCloudSolution[],
    differentiable: boolean,
    targets: readonly Float64Array[],
  ) {
    super(request, solutions, differentiable);
    this.targets = targets;
  }

  /** Potentials on the host, batch after batch, in the form that the option `init` takes. */
  get duals(): { readonly alpha: Float64Array; readonly beta: Float64Array } {
    const join = (parts: Float64Array[]) => {
      const all = new Float64Array(parts.reduce((total, part) => total + part.length, 0));
      let at = 0;
      for (const part of parts) {
        all.set(part, at);
        at += part.length;
      }
      return all;
    };
    return {
      alpha: join(this.solutions.map(({ alpha }) => alpha)),
      beta: join(this.solutions.map(({ beta }) => beta)),
    };
  }

  /** ⟨T, C⟩, summed over the batch. */
  get transportCost(): number {
    return this.solutions.reduce((total, solution) => total + solution.transportCost(), 0);
  }

  /**
   * Where the plan sends each point of x: the mean of y under its row. Without the plan in memory.
   * @returns `[…, m, d]` float32, no gradient; the caller disposes it
   */
  barycentricMap(): Tensor {
    const { batchShape, count, m, d } = this.request;
    const all = new Float32Array(count * m * d);
    this.solutions.forEach((solution, index) => {
      const { product, sums } = solution.apply(this.targets[index]!, d);
      for (let k = 0; k < m * d; k++) {
        const sum = sums[Math.floor(k / d)]!;
        all[index * m * d + k] = sum > 0 ? product[k]! / sum : 0;
      }
    });
    return tensor(all, [...batchShape, m, d]);
  }
}

/**
 * Entropic transport between clouds of points, without the matrix of costs where that would be large:
 *
 *     min ⟨T, C⟩ + ε KL(T | a bᵀ),   C_ij = cost(x_i, y_j)
 *
 * On the host in float64, log-domain, with ε-scaling; about 10 ns a pair and iteration in two or three dimensions, so
 * 20,000 × 20,000 takes some 5 s an iteration and a few megabytes. Differentiable in points and masses by the envelope
 * theorem. With costs as a matrix use `sinkhorn`.
 *
 * @param x - `[…, m, d]`
 * @param y - `[…, n, d]`
 * @returns value `[…]`, potentials, plan by its products, and whether the tolerance was met; the caller disposes it
 * @throws TypeError or RangeError for another kind or shape, points that are not finite, negative masses, unequal ones
 *   without `rho`, or an option out of its range; Error where the backend cannot be read synchronously: use
 *   {@link sinkhornPointCloudAsync} there
 * @see Cuturi 2013; Schmitzer 2019 (ε-scaling, log-domain); conventions of the specification of `sinkhorn`
 * @example
 * const result = sinkhornPointCloud(x, y, { epsilon: 0.05 });
 * const moved = result.barycentricMap();
 */
export function sinkhornPointCloud(
  x: PointsInput,
  y: PointsInput,
  options: SinkhornPointCloudOptions,
): PointCloudResult {
  const request = check('sinkhornPointCloud', x, y, options);
  const problems = readPoints(request, { balanced: options.rho === undefined });
  return solveAll(request, problems, options, true);
}

/** {@link sinkhornPointCloud} for backends that cannot be read synchronously; `attach` gives a differentiable value. */
export async function sinkhornPointCloudAsync(
  x: PointsInput,
  y: PointsInput,
  options: SinkhornPointCloudOptions,
): Promise<PointCloudResult> {
  const request = check('sinkhornPointCloudAsync', x, y, options);
  const problems = await readPointsAsync(request, { balanced: options.rho === undefined });
  return solveAll(request, problems, options, false);
}

function check(
  caller: string,
  x: PointsInput,
  y: PointsInput,
  options: SinkhornPointCloudOptions,
): PointRequest {
  checkOptions(caller, options, OPTIONS);
  const { epsilon, cost, rho, tolerance, maxIterations, epsilonScaling } = options;
  const { acceleration, online, init } = options;
  checkNumber(caller, 'epsilon', epsilon, { above: 0 });
  if (typeof cost === 'object') {
    if (typeof cost.cost !== 'function') {
      throw new TypeError(`${caller}: cost must have a function cost(x, y), got ${cost.cost}`);
    }
  } else if (cost !== undefined) {
    checkOneOf(caller, 'cost', cost, ['squaredEuclidean', 'euclidean', 'cosine']);
  }
  if (rho !== undefined) checkNumber(caller, 'rho', rho, { above: 0 });
  if (tolerance !== undefined) checkNumber(caller, 'tolerance', tolerance, { above: 0 });
  if (maxIterations !== undefined) {
    checkInteger(caller, 'maxIterations', maxIterations, { min: 1 });
  }
  if (typeof epsilonScaling === 'object') {
    checkOptions(caller, epsilonScaling, ['start', 'factor']);
    const { start, factor } = epsilonScaling;
    if (start !== undefined) checkNumber(caller, 'epsilonScaling.start', start, { above: 0 });
    if (factor !== undefined) {
      checkNumber(caller, 'epsilonScaling.factor', factor, { above: 0, below: 1 });
    }
  } else if (epsilonScaling !== undefined) {
    checkBoolean(caller, 'epsilonScaling', epsilonScaling);
  }
  if (acceleration !== undefined) checkBoolean(caller, 'acceleration', acceleration);
  if (online !== undefined) checkBoolean(caller, 'online', online);
  const request = checkPoints(caller, x, y, options);
  if (init !== undefined) {
    checkOptions(caller, init, ['alpha', 'beta']);
    checkPotential(caller, 'init.alpha', init.alpha, request.count * request.m);
    checkPotential(caller, 'init.beta', init.beta, request.count * request.n);
  }
  return request;
}

function checkPotential(
  caller: string,
  argument: string,
  values: ArrayLike<number>,
  length: number,
): void {
  if (values?.length === length && Array.from(values).every(Number.isFinite)) return;
  const rule = `${argument} must be ${length} finite numbers`;
  throw new RangeError(`${caller}: ${rule}, got ${values?.length} numbers`);
}

function solveAll(
  request: PointRequest,
  problems: readonly PointProblem[],
  options: SinkhornPointCloudOptions,
  differentiable: boolean,
): PointCloudResult {
  const solutions = problems.map((problem, index) => solve(problem, index, options));
  const targets = problems.map(({ y }) => y);
  return new PointCloudResult(request, solutions, differentiable, targets);
}

function solve(
  { x, y, a, b, m, n, d }: PointProblem,
  index: number,
  options: SinkhornPointCloudOptions,
): PointCloudSolution {
  const { epsilon, rho = Infinity, tolerance = 1e-6, maxIterations = 2000 } = options;
  const { cost = 'squaredEuclidean', epsilonScaling = true, acceleration = true, init } = options;
  const rows = rowsOf(cost, x, y, d, options.online ?? 'auto');
  const settings = {
    epsilon,
    rho,
    tolerance,
    maxIterations,
    ...levelsOf(epsilonScaling),
    acceleration: acceleration && rho === Infinity,
  };
  const part = (values: ArrayLike<number>, length: number) =>
    Float64Array.from({ length }, (_, k) => values[index * length + k]!);
  const start = init && { f: part(init.alpha, m), g: part(init.beta, n) };
  const solved = new CloudTransport(rows, a, b, settings, false, start);
  return {
    value: solved.value,
    alpha: solved.f,
    beta: solved.g,
    iterations: solved.iterations,
    converged: solved.converged,
    marginalError: solved.error,
    transportCost: () => solved.transportCost(),
    apply: (values, width) => solved.apply(values, width),
    gradients() {
      const [dx, dy] = [new Float64Array(m * d), new Float64Array(n * d)];
      solved.addPointGradients(1, dx, dy);
      return { x: dx, y: dy, a: solved.massGradient('a'), b: solved.massGradient('b') };
    },
  };
}

function levelsOf(scaling: boolean | EpsilonScaling): { scaling: number; start?: number } {
  if (scaling === false) return { scaling: 1 };
  const { start, factor = 0.5 } = scaling === true ? {} : scaling;
  return { scaling: factor, ...(start !== undefined && { start }) };
}
