import { checkNumber, checkTensor } from '@orth/backend';
import {
  abs,
  add,
  div,
  mean,
  mul,
  type Scalar,
  sqrt,
  square,
  stack,
  sub,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import type { Tolerances } from './combination.js';
import { type Reading, readAsync } from './reading.js';
import type { Dynamics } from './step.js';

/** Options of {@link initialStep}. */
export interface InitialStepOptions extends Partial<Tolerances> {
  /** Start. Default 0 */
  readonly t0?: number;
  /** End: gives the direction, and the greatest step. Default 1 */
  readonly t1?: number;
  /** Order of the method. Default 5 */
  readonly order?: number;
}

const rootMeanSquare = (x: Tensor): Scalar => sqrt(mean(square(x))) as Scalar;

/** The generator behind {@link initialStep}; a state or derivative that is not finite gives NaN. */
export function* chooseInitialStep(
  dynamics: Dynamics,
  u0: Tensor,
  t0: number,
  t1: number,
  { rtol, atol }: Tolerances,
  order: number,
): Reading<number> {
  const span = Math.abs(t1 - t0);
  const direction = Math.sign(t1 - t0);
  const allowed = tidy(() => add(atol, mul(abs(u0), rtol)));
  let f0: Tensor | undefined;
  try {
    f0 = tidy(() => dynamics(t0, u0));
    const start = f0;
    const norms = yield tidy(() =>
      stack([rootMeanSquare(div(u0, allowed)), rootMeanSquare(div(start, allowed))]),
    );
    const [d0, d1] = [norms[0]!, norms[1]!];
    if (!Number.isFinite(d0) || !Number.isFinite(d1)) return Number.NaN;
    const h0 = Math.min(d0 < 1e-5 || d1 < 1e-5 ? 1e-6 : (0.01 * d0) / d1, span);
    const change = yield tidy(() => {
      const f1 = dynamics(t0 + direction * h0, add(u0, mul(start, direction * h0)));
      return rootMeanSquare(div(sub(f1, start), allowed));
    });
    const d2 = change[0]! / h0;
    if (!Number.isFinite(d2)) return Number.NaN;
    if (d2 === 0) return direction * Math.min(100 * h0, span);
    const greatest = Math.max(d1, d2);
    const h1 =
      greatest <= 1e-15 ? Math.max(1e-6, 1e-3 * h0) : 10 ** (-(2 + Math.log10(greatest)) / order);
    return direction * Math.min(100 * h0, h1, span);
  } finally {
    allowed.dispose();
    f0?.dispose();
  }
}

/**
 * A first step for an adaptive method, from the sizes of the state, of its derivative and of the change in that derivative
 * (E. Hairer, S. P. Nørsett, G. Wanner, *Solving Ordinary Differential Equations I*, II.4; with OrdinaryDiffEq.jl's
 * constants). Evaluates the dynamics twice.
 *
 * @param dynamics - f(t, u)
 * @param u0 - state at the start, float32, any shape
 * @returns signed length of the step; NaN if state or derivative are not finite
 * @throws TypeError, RangeError for bad arguments
 */
export async function initialStep(
  dynamics: Dynamics,
  u0: Tensor,
  options: InitialStepOptions = {},
): Promise<number> {
  const { t0 = 0, t1 = 1, rtol = 1e-4, atol = 1e-4, order = 5 } = options;
  checkTensor('initialStep', 'u0', u0);
  for (const [name, value] of Object.entries({ t0, t1 })) checkNumber('initialStep', name, value);
  for (const [name, value] of Object.entries({ rtol, atol, order })) {
    checkNumber('initialStep', name, value, { above: 0 });
  }
  return readAsync(chooseInitialStep(dynamics, u0, t0, t1, { rtol, atol }, order));
}
