/** Plug-and-play proximal gradient descent. */
import { checkNumber, checkOptions } from '@orth/backend';
import {
  add,
  clipByValue,
  concat,
  dispose,
  mul,
  reshape,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  tidy,
} from '@tensorflow/tfjs-core';
import type { LinearOperator } from '../sparse/linearOperator.js';
import {
  checkIterations,
  type Denoiser,
  type PlugAndPlayOptions,
  type PlugAndPlayResult,
  Problem,
  plus,
  relativeChange,
  Watch,
} from './plugAndPlay.js';

/** Options of {@link pnpPgd}. */
export interface PnpPgdOptions extends PlugAndPlayOptions {
  /** Step η, > 0. Default `0.99 / L`, within the bound for convergence (the authors' code takes 2 for images) */
  readonly eta?: number;
  /** Default 20 */
  readonly iterations?: number;
  /** Bounds that the estimate is clipped to after each iteration, as the authors do with `[0, 1]`. Default none */
  readonly box?: readonly [number, number];
}

/**
 * `x ← f(x − η Aᴴ(A x − b))`: proximal gradient descent on `η/2 ‖A x − b‖² + R(x)` with a denoiser in the place of the
 * prox of R.
 *
 * @param A - matrix `[M, N]` or a pair of functions; x is real
 * @param b - `[B, M]`, or as the functions have it
 * @param prox - an {@link LPN}, or any function of a batch
 * @returns the estimate, errors (`‖x⁺ − x‖/‖x⁺‖`), the objective by iteration for an LPN without a box, and whether
 *   convergence is guaranteed
 * @throws TypeError or RangeError for a wrong argument or numbers that are not finite; failing to converge is reported
 * @see Fang, Buchanan, Sulam 2024, Algorithm 2 and the theorem on PnP-PGD
 */
export async function pnpPgd(
  A: LinearOperator,
  b: Tensor,
  prox: Denoiser,
  options: PnpPgdOptions = {},
): Promise<PlugAndPlayResult> {
  const caller = 'pnpPgd';
  checkOptions(caller, options, [
    'eta',
    'iterations',
    'box',
    'x0',
    'tolerance',
    'onStep',
    'signal',
  ]);
  const { iterations = 20, box } = options;
  if (options.eta !== undefined) checkNumber(caller, 'eta', options.eta, { above: 0 });
  checkIterations(caller, iterations);
  if (box !== undefined) {
    checkNumber(caller, 'box[0]', box[0]);
    checkNumber(caller, 'box[1]', box[1], { above: box[0] });
  }
  const problem = new Problem(caller, A, b, prox, options);
  const { op, lpn } = problem;
  const watch = new Watch(iterations, options);
  let x = problem.start.clone();
  try {
    await problem.check();
    const L = await problem.lipschitz();
    const { eta = 0.99 / Math.max(L, 1e-30) } = options;
    const tracked = lpn !== undefined && box === undefined;
    while (watch.goes) {
      const [x1, report] = tidy(() => {
        const v = plus(x, op.adjoint(sub(problem.b, op.apply(x))), eta);
        const denoised = problem.denoise(v);
        const x1 = box ? clipByValue(denoised, ...box) : denoised.clone();
        const change = relativeChange(x1, x) as Tensor1D;
        if (!tracked) return [x1, change];
        // R at x = f(v) needs no inversion.
        const misfit = mul(sum(square(sub(op.apply(x1), problem.b))), eta / 2);
        const F = add(misfit, sum(lpn.priorAt(x1, v)));
        return [x1, concat([change, reshape(F, [1]) as Tensor1D])];
      }) as [Tensor, Tensor];
      x.dispose();
      x = x1;
      const values = (await report.data()) as Float32Array;
      report.dispose();
      const B = x.shape[0]!;
      watch.see(values.slice(0, B), { x }, tracked ? values[B] : undefined);
    }
    const { status, history, error } = watch;
    const guaranteed = lpn !== undefined && lpn.alpha > 0 && eta * L < 1;
    return { x, status, error, history, guaranteed, iterations: history.length };
  } catch (error) {
    dispose([x]);
    throw error;
  } finally {
    problem.dispose();
  }
}
