/** Plug-and-play ADMM. */
import { checkInteger, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import {
  add,
  dispose,
  div,
  maximum,
  mul,
  sub,
  type Tensor,
  tidy,
  zerosLike,
} from '@tensorflow/tfjs-core';
import type { BoundOperator, LinearOperator } from '../sparse/linearOperator.js';
import {
  checkIterations,
  type Denoiser,
  type PlugAndPlayOptions,
  type PlugAndPlayResult,
  Problem,
  perSample,
  plus,
  relativeChange,
  Watch,
} from './plugAndPlay.js';

/** Options of {@link pnpAdmm}. */
export interface PnpAdmmOptions extends PlugAndPlayOptions {
  /** Penalty ρ, > 0. Default 0.1 */
  readonly rho?: number;
  /** Factor s of the data term `s‖A x − b‖²`, > 0. Default 0.5 */
  readonly scale?: number;
  /** Default 20 */
  readonly iterations?: number;
  /**
   * `'132'`: x, then the multiplier u, then z, as the authors' code; `'123'`: x, z, u, the textbook's. Default `'132'`
   */
  readonly order?: '132' | '123';
  /** Relative residual at which the linear system of an iteration counts as solved. Default 1e-5 */
  readonly cgTolerance?: number;
  /** Steps of conjugate gradients for it at most. Default 30 */
  readonly cgIterations?: number;
}

/** What {@link pnpAdmm} found. */
export interface PnpAdmmResult extends PlugAndPlayResult {
  /** The denoised copy of `x`; at a fixed point they agree. The caller disposes it. */
  readonly z: Tensor;
  /** Scaled multiplier; the caller disposes it. */
  readonly u: Tensor;
}

/**
 * Minimises `s‖A x − b‖² + R(x)` with a denoiser in the place of the prox of R:
 * `x = argmin s‖A x − b‖² + ρ/2 ‖z − u − x‖²`, `u ← u + x − z`, `z = f(x + u)`, from `x = z = Aᴴb`, `u = 0`. The strength
 * of the prior is set by the noise that the denoiser was trained with; ρ does not change it.
 *
 * @param A - matrix `[M, N]` or a pair of functions; x is real
 * @param b - `[B, M]`, or as the functions have it
 * @param prox - an {@link LPN}, or any function of a batch
 * @returns the estimate, errors (the largest of `‖x − z‖/‖x‖` and the relative changes of x and z) and whether convergence
 *   is guaranteed
 * @throws TypeError or RangeError for a wrong argument or numbers that are not finite; failing to converge is reported
 * @see Fang, Buchanan, Sulam 2024, Algorithm 1 and the theorem on PnP-ADMM
 */
export async function pnpAdmm(
  A: LinearOperator,
  b: Tensor,
  prox: Denoiser,
  options: PnpAdmmOptions = {},
): Promise<PnpAdmmResult> {
  const caller = 'pnpAdmm';
  const own = ['rho', 'scale', 'iterations', 'order', 'cgTolerance', 'cgIterations'];
  checkOptions(caller, options, [...own, 'x0', 'tolerance', 'onStep', 'signal']);
  const { rho = 0.1, scale = 0.5, iterations = 20, order = '132' } = options;
  const { cgTolerance = 1e-5, cgIterations = 30 } = options;
  checkNumber(caller, 'rho', rho, { above: 0 });
  checkNumber(caller, 'scale', scale, { above: 0 });
  checkIterations(caller, iterations);
  checkOneOf(caller, 'order', order, ['132', '123']);
  checkNumber(caller, 'cgTolerance', cgTolerance, { above: 0 });
  checkInteger(caller, 'cgIterations', cgIterations, { min: 1 });
  const problem = new Problem(caller, A, b, prox, options);
  const { op } = problem;
  const watch = new Watch(iterations, options);
  let x = problem.start.clone();
  let z = x.clone();
  let u: Tensor = zerosLike(x);
  const data = tidy(() => mul(op.adjoint(problem.b), 2 * scale));
  try {
    await problem.check();
    const L = await problem.lipschitz();
    while (watch.goes) {
      const rhs = tidy(() => plus(data, sub(z, u), rho));
      const x1 = await solve(op, rhs, x, 2 * scale, rho, cgTolerance, cgIterations);
      rhs.dispose();
      const [u1, z1, error] = tidy(() => {
        if (order === '123') {
          const z1 = problem.denoise(add(x1, u));
          return [add(u, sub(x1, z1)), z1, errorOf(x1, x, z1, z)];
        }
        const u1 = add(u, sub(x1, z));
        const z1 = problem.denoise(add(x1, u1));
        return [u1, z1.clone(), errorOf(x1, x, z1, z)];
      }) as [Tensor, Tensor, Tensor];
      dispose([x, z, u]);
      [x, z, u] = [x1, z1, u1];
      const values = (await error.data()) as Float32Array;
      error.dispose();
      watch.see(values, { x, z, u });
    }
    const { status, history, error } = watch;
    const guaranteed = problem.lpn !== undefined && problem.lpn.alpha > 0 && rho > 2 * scale * L;
    const result = { x, z, u, status, error, history, guaranteed, iterations: history.length };
    data.dispose();
    return result;
  } catch (error) {
    dispose([x, z, u, data]);
    throw error;
  } finally {
    problem.dispose();
  }
}

function errorOf(x: Tensor, x0: Tensor, z: Tensor, z0: Tensor): Tensor {
  const moved = maximum(relativeChange(x, x0), relativeChange(z, z0));
  return maximum(moved, relativeChange(x, z));
}

/** `(c AᴴA + ρ I) x = rhs` by conjugate gradients, for a batch, each sample with its own coefficients. */
async function solve(
  op: BoundOperator,
  rhs: Tensor,
  start: Tensor,
  c: number,
  rho: number,
  tolerance: number,
  iterations: number,
): Promise<Tensor> {
  const apply = (v: Tensor) => plus(mul(v, rho), op.adjoint(op.apply(v)), c);
  const dot = (a: Tensor, b: Tensor) => perSample(mul(a, b));
  let x = start.clone();
  let r = tidy(() => sub(rhs, apply(x)));
  let p = r.clone();
  let rr = tidy(() => dot(r, r));
  const size = tidy(() => dot(rhs, rhs));
  const limits = (await size.data()).map((s) => tolerance * tolerance * s);
  size.dispose();
  for (let i = 0; i < iterations; i++) {
    const now = await rr.data();
    if (now.every((value, k) => value <= limits[k]!)) break;
    const [x1, r1, p1, rr1] = tidy(() => {
      const Ap = apply(p);
      const a = div(rr, maximum(dot(p, Ap), 1e-30));
      const r1 = sub(r, mul(Ap, a));
      const rr1 = dot(r1, r1);
      return [add(x, mul(p, a)), r1, add(r1, mul(p, div(rr1, maximum(rr, 1e-30)))), rr1];
    }) as [Tensor, Tensor, Tensor, Tensor];
    dispose([x, r, p, rr]);
    [x, r, p, rr] = [x1, r1, p1, rr1];
  }
  dispose([r, p, rr]);
  return x;
}
