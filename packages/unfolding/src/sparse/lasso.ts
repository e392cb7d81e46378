/** The exact Lasso: by coordinate descent on the host, for one λ or along a path. */
import { checkFinite, checkInteger, checkNumber, checkOptions, checkTensor } from '@orth/backend';
import { type Tensor2D, type Tensor3D, tensor2d, tensor3d } from '@tensorflow/tfjs-core';
import { coordinateDescent, correlations, Dictionary } from './coordinateDescent.js';

/** Options of {@link lasso}. */
export interface LassoOptions {
  /** Weight of the penalty, >= 0. */
  readonly lambda: number;
  /** Duality gap relative to `½‖y‖²`, the objective at 0; for `lambda` 0, `‖Aᵀr‖∞ / ‖Aᵀy‖∞`. Default 1e-8 */
  readonly tolerance?: number;
  /** Working sets at most, for each sample and λ. Default 100 */
  readonly maxIterations?: number;
  /** Start, `[B, N]`. Default 0 */
  readonly x0?: Tensor2D;
}

/** What {@link lasso} found. */
export interface LassoResult {
  /** `[B, N]`; the caller disposes it. */
  readonly x: Tensor2D;
  /** Objective of each sample, float64. */
  readonly objective: Float64Array;
  /** Relative duality gap of each sample. */
  readonly gap: Float64Array;
  /** Whether each sample's gap is within the tolerance. */
  readonly converged: readonly boolean[];
  /** Working sets solved, over all samples. */
  readonly iterations: number;
}

/** Options of {@link lassoPath}. */
export interface LassoPathOptions extends Omit<LassoOptions, 'lambda' | 'x0'> {
  /** Weights of the penalty, > 0, largest first. Default: `count` of them, geometric from `max|Aᵀy|` of all samples */
  readonly lambdas?: readonly number[];
  /** Default 100 */
  readonly count?: number;
  /** Last λ as a part of the first, in (0, 1). Default 1e-3 */
  readonly ratio?: number;
}

/** What {@link lassoPath} found. */
export interface LassoPathResult {
  readonly lambdas: readonly number[];
  /** `[count, B, N]`; the caller disposes it. */
  readonly x: Tensor3D;
  /** Relative duality gap, `[count · B]`. */
  readonly gap: Float64Array;
  readonly converged: readonly boolean[];
}

async function read(caller: string, A: Tensor2D, y: Tensor2D) {
  checkTensor(caller, 'A', A, { rank: 2 });
  checkTensor(caller, 'y', y, { shape: [null, A.shape[0]] });
  const [a, b] = [await A.data(), await y.data()];
  checkFinite(caller, 'A', a);
  checkFinite(caller, 'y', b);
  const [M, N] = A.shape;
  const B = y.shape[0];
  const rows = Array.from({ length: B }, (_, i) => b.subarray(i * M, (i + 1) * M));
  return { dictionary: new Dictionary(a, M, N), rows, N };
}

function readLimits(
  caller: string,
  { tolerance = 1e-8, maxIterations = 100 }: Partial<LassoOptions>,
) {
  checkNumber(caller, 'tolerance', tolerance, { above: 0 });
  checkInteger(caller, 'maxIterations', maxIterations, { min: 1 });
  return [tolerance, maxIterations] as const;
}

/**
 * Minimises `½‖y − A x‖² + λ‖x‖₁` for each row of `y`, to a certified duality gap, in float64 on the host: the reference
 * for ISTA and its kin, and the faster way for one matrix with up to some thousand columns. (scikit-learn's `Lasso`
 * divides the first term by M: its `alpha` is `λ / M`.)
 *
 * @param A - `[M, N]`, float32
 * @param y - `[B, M]`
 * @throws TypeError or RangeError for a wrong argument or numbers that are not finite; failing to converge is reported
 *   in the result
 */
export async function lasso(A: Tensor2D, y: Tensor2D, options: LassoOptions): Promise<LassoResult> {
  const caller = 'lasso';
  checkOptions(caller, options, ['lambda', 'tolerance', 'maxIterations', 'x0']);
  const { lambda, x0 } = options;
  checkNumber(caller, 'lambda', lambda, { min: 0 });
  const limits = readLimits(caller, options);
  const { dictionary, rows, N } = await read(caller, A, y);
  const B = rows.length;
  if (x0 !== undefined) checkTensor(caller, 'x0', x0, { shape: [B, N] });
  const start = await x0?.data();
  if (start) checkFinite(caller, 'x0', start);
  const x = new Float32Array(B * N);
  const results = rows.map((row, i) => {
    const own = start ? Float64Array.from(start.subarray(i * N, (i + 1) * N)) : new Float64Array(N);
    const q = correlations(dictionary, row);
    const result = coordinateDescent(dictionary, row, q, lambda, own, ...limits);
    x.set(own, i * N);
    return result;
  });
  return {
    x: tensor2d(x, [B, N]),
    objective: Float64Array.from(results, (result) => result.objective),
    gap: Float64Array.from(results, (result) => result.gap),
    converged: results.map(({ converged }) => converged),
    iterations: results.reduce((total, { iterations }) => total + iterations, 0),
  };
}

/**
 * {@link lasso} for a falling sequence of λ, each solution the start of the next.
 *
 * @param A - `[M, N]`, float32
 * @param y - `[B, M]`
 * @throws TypeError or RangeError for a wrong argument or numbers that are not finite
 */
export async function lassoPath(
  A: Tensor2D,
  y: Tensor2D,
  options: LassoPathOptions = {},
): Promise<LassoPathResult> {
  const caller = 'lassoPath';
  checkOptions(caller, options, ['lambdas', 'count', 'ratio', 'tolerance', 'maxIterations']);
  const { lambdas: given, count = 100, ratio = 1e-3 } = options;
  checkInteger(caller, 'count', count, { min: 1 });
  checkNumber(caller, 'ratio', ratio, { above: 0, below: 1 });
  for (const [i, lambda] of (given ?? []).entries()) {
    checkNumber(caller, `lambdas[${i}]`, lambda, {
      above: 0,
      max: given![i - 1] ?? Number.MAX_VALUE,
    });
  }
  const limits = readLimits(caller, options);
  const { dictionary, rows, N } = await read(caller, A, y);
  const products = rows.map((row) => correlations(dictionary, row));
  const largest = Math.max(...products.map((q) => Math.max(...q.map(Math.abs)))) || 1;
  const lambdas =
    given ??
    Array.from({ length: count }, (_, i) => largest * ratio ** (i / Math.max(count - 1, 1)));
  const B = rows.length;
  const x = new Float32Array(lambdas.length * B * N);
  const gap = new Float64Array(lambdas.length * B);
  const converged: boolean[] = new Array(lambdas.length * B);
  for (const [b, row] of rows.entries()) {
    const own = new Float64Array(N);
    for (const [k, lambda] of lambdas.entries()) {
      const at = k * B + b;
      const result = coordinateDescent(dictionary, row, products[b]!, lambda, own, ...limits);
      x.set(own, at * N);
      gap[at] = result.gap;
      converged[at] = result.converged;
    }
  }
  return { lambdas, x: tensor3d(x, [lambdas.length, B, N]), gap, converged };
}
