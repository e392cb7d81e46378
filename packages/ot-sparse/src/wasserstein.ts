import { checkBoolean, checkOptions } from '@orth/backend';
import { cloudCost } from './cloudCost.js';
import { DenseRows } from './denseRows.js';
import { solveExact } from './exactSolver.js';
import {
  checkPoints,
  type PointProblem,
  type PointsInput,
  readPoints,
  readPointsAsync,
} from './pointArguments.js';
import { PointResult, type PointSolution } from './pointResult.js';
import type { Weights } from './transportArguments.js';
import type { PlanEntries } from './transportResult.js';

/** Options of {@link wasserstein1}. */
export type WassersteinOptions = Weights;

/** Options of {@link wasserstein2}. */
export interface Wasserstein2Options extends Weights {
  /**
   * Return W₂² instead of W₂: smooth where the clouds meet, and the usual loss. Default false
   */
  readonly squared?: boolean;
}

/** One pair of clouds and its optimal plan. */
export interface WassersteinSolution extends PointSolution {
  /** Non-zeros of the plan: at most m + n − 1. */
  readonly entries: PlanEntries;
}

/** Result of {@link wasserstein1} and {@link wasserstein2}. */
export type WassersteinResult = PointResult<WassersteinSolution>;

/**
 * W₁ between clouds of points: the least mean distance that mass must move, Euclidean, exact.
 *
 * On the host in float64 by the solver of `exactTransport`, in O(mn) memory: up to a few thousand points. Differentiable in
 * points and masses. In one dimension `wasserstein1d` is far quicker, and for large clouds `sinkhornDivergence`.
 *
 * @param x - `[…, m, d]`
 * @param y - `[…, n, d]`
 * @param options.a - masses of x. Default uniform
 * @param options.b - masses of y. Default uniform
 * @returns value `[…]`, plans and gradients; the caller disposes it
 * @throws TypeError or RangeError for another kind or shape, points that are not finite, negative or unequal masses; Error
 *   where the backend cannot be read synchronously: use {@link wasserstein1Async} there
 * @example
 * const distance = wasserstein1(tf.tensor2d([[0, 0]]), tf.tensor2d([[3, 4]])).value; // 5
 */
export function wasserstein1(
  x: PointsInput,
  y: PointsInput,
  options: WassersteinOptions = {},
): WassersteinResult {
  checkOptions('wasserstein1', options, ['a', 'b']);
  const request = checkPoints('wasserstein1', x, y, options);
  const problems = readPoints(request);
  return new PointResult(request, solveAll('wasserstein1', problems, 1, false), true);
}

/** {@link wasserstein1} for backends that cannot be read synchronously; `attach` gives a differentiable value. */
export async function wasserstein1Async(
  x: PointsInput,
  y: PointsInput,
  options: WassersteinOptions = {},
): Promise<WassersteinResult> {
  checkOptions('wasserstein1Async', options, ['a', 'b']);
  const request = checkPoints('wasserstein1Async', x, y, options);
  const problems = await readPointsAsync(request);
  return new PointResult(request, solveAll('wasserstein1Async', problems, 1, false), false);
}

/**
 * W₂ between clouds of points: the root of the least mean squared distance that mass must move, exact. As
 * {@link wasserstein1} otherwise. Where W₂ is 0 its gradient is taken as 0; `squared` is smooth there.
 *
 * @example
 * const { grads } = tf.variableGrads(() => wasserstein2(points, target, { squared: true }).value);
 */
export function wasserstein2(
  x: PointsInput,
  y: PointsInput,
  options: Wasserstein2Options = {},
): WassersteinResult {
  const squared = checkSquared('wasserstein2', options);
  const request = checkPoints('wasserstein2', x, y, options);
  const problems = readPoints(request);
  return new PointResult(request, solveAll('wasserstein2', problems, 2, !squared), true);
}

/** {@link wasserstein2} for backends that cannot be read synchronously; `attach` gives a differentiable value. */
export async function wasserstein2Async(
  x: PointsInput,
  y: PointsInput,
  options: Wasserstein2Options = {},
): Promise<WassersteinResult> {
  const squared = checkSquared('wasserstein2Async', options);
  const request = checkPoints('wasserstein2Async', x, y, options);
  const problems = await readPointsAsync(request);
  return new PointResult(request, solveAll('wasserstein2Async', problems, 2, !squared), false);
}

function checkSquared(caller: string, options: Wasserstein2Options): boolean {
  checkOptions(caller, options, ['a', 'b', 'squared']);
  const { squared = false } = options;
  checkBoolean(caller, 'squared', squared);
  return squared;
}

const solveAll = (
  caller: string,
  problems: readonly PointProblem[],
  power: 1 | 2,
  root: boolean,
): WassersteinSolution[] => problems.map((problem) => solve(caller, problem, power, root));

function solve(
  caller: string,
  { x, y, a, b, m, n, d }: PointProblem,
  power: 1 | 2,
  root: boolean,
): WassersteinSolution {
  const rows = DenseRows.of(cloudCost({ power, scale: 1 }, x, y, d));
  const { objective, alpha, beta, iterations, converged, residuals, entries } = solveExact(
    caller,
    { m, n, cost: rows.data, a, b, masked: false },
    { method: 'auto', maxIterations: 1000 * (m + n) },
    undefined,
    '',
  );
  const plan = entries();
  const value = root ? Math.sqrt(Math.max(objective, 0)) : objective;
  // d√s = ds / 2√s
  const factor = root ? (value > 0 ? 0.5 / value : 0) : 1;
  return {
    value,
    entries: plan,
    iterations,
    converged,
    marginalError: residuals.rows + residuals.columns,
    gradients() {
      const [dx, dy] = [new Float64Array(m * d), new Float64Array(n * d)];
      const weights = new Float64Array(n);
      for (let e = 0; e < plan.values.length; ) {
        const i = plan.rows[e]!;
        const first = e;
        for (; plan.rows[e] === i; e++) weights[plan.columns[e]!] = factor * plan.values[e]!;
        rows.addGradient(i, weights, dx, dy);
        for (let k = first; k < e; k++) weights[plan.columns[k]!] = 0;
      }
      return {
        x: dx,
        y: dy,
        a: alpha.map((u) => factor * u),
        b: beta.map((v) => factor * v),
      };
    },
  };
}
