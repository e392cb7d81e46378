/** The discrete adjoint: the accepted steps once more, under a gradient. */
import { checkNumber, checkTensor } from '@orth/backend';
import { stack, type Tensor, type Tensor1D } from '@tensorflow/tfjs-core';
import { checkedDynamics, takeStep } from './odeSolve.js';
import { checkTimes, type OdeMethod } from './solveOptions.js';
import type { Dynamics } from './step.js';

/** What a replay needs to know of the solve. */
export interface ReplayOptions {
  /** Start. Default 0 */
  readonly t0?: number;
  /** End. Default `t0` plus the steps, which may differ from it in the last digit */
  readonly t1?: number;
  /** Times at which to keep the state, as in the solve. */
  readonly saveAt?: readonly number[];
  /** As in the solve: the error estimates are in units of it. Default 1e-4 */
  readonly rtol?: number;
  /** Default 1e-4 */
  readonly atol?: number;
  /** Default `'tsit5'` */
  readonly method?: OdeMethod;
}

/** A differentiable solution. */
export interface Replay {
  /** State at the end. */
  readonly u: Tensor;
  /** States at `saveAt`: [saveAt.length, ...shape]. */
  readonly saved?: Tensor;
  /** Error estimate of each step, [steps]; absent for methods without. */
  readonly errorEstimates?: Tensor1D;
  /** Stiffness estimate of each step, [steps]; absent for methods without. */
  readonly stiffness?: Tensor1D;
}

/** Everything a run of steps gives, in one list: the state, the kept states, then one estimate of each kind a step. */
function runSteps(
  dynamics: Dynamics,
  u0: Tensor,
  ends: readonly number[],
  steps: readonly number[],
  saveAt: readonly number[],
  options: Required<Pick<ReplayOptions, 'rtol' | 'atol' | 'method'>>,
) {
  let u = u0;
  let first: Tensor | undefined;
  const saved: (Tensor | undefined)[] = saveAt.map(() => undefined);
  const errors: Tensor[] = [];
  const stiffness: Tensor[] = [];
  for (const [j, step] of steps.entries()) {
    const [t, end] = [ends[j]!, ends[j + 1]!];
    first ??= dynamics(t, u);
    const taken = takeStep(options, dynamics, t, u, step, first);
    let last = taken.last;
    for (const [i, time] of saveAt.entries()) {
      if (saved[i] || (time - t) * step < 0 || (end - time) * step < 0) continue;
      if (time !== t && time !== end) last ??= dynamics(end, taken.u);
      saved[i] = taken.at(time === end ? 1 : (time - t) / step, last);
    }
    if (taken.errorEstimate) errors.push(taken.errorEstimate);
    if (taken.stiffness) stiffness.push(taken.stiffness);
    [u, first] = [taken.u, last];
  }
  return { u, saved: saved as Tensor[], errors, stiffness };
}

type Run = ReturnType<typeof runSteps>;

/**
 * Takes given steps again, differentiably: gradients flow through every stage of every step, through the dense output and
 * through the error and stiffness estimates, and the lengths of the steps are constants. This is the gradient of the numbers
 * that the solver computed (a discrete adjoint), not of the equation.
 *
 * @param dynamics - f(t, u); variables that it uses get gradients
 * @param u0 - state at the start, float32, any shape
 * @param steps - signed lengths of the steps: `stats.steps` of a solve
 * @returns state, kept states and estimates as tensors; call it under `tf.grad`, `tf.variableGrads` or in `tf.tidy`
 * @throws TypeError, RangeError for bad arguments
 * @example
 * const { stats } = await odeSolve(dynamics, u0, { t1: 1 });
 * const { value, grads } = variableGrads(() => {
 *   const { u, errorEstimates } = replayOde(dynamics, u0, stats.steps);
 *   return add(task(u), mul(10, odeRegularization({ errorEstimates }, stats.steps, { kind: 'error' })));
 * });
 */
export function replayOde(
  dynamics: Dynamics,
  u0: Tensor,
  steps: readonly number[],
  options: ReplayOptions = {},
): Replay {
  const { t0 = 0, saveAt = [], rtol = 1e-4, atol = 1e-4, method = 'tsit5' } = options;
  checkTensor('replayOde', 'u0', u0);
  if (steps.length === 0) throw new RangeError('replayOde: steps must not be empty');
  const ends = [t0];
  for (const step of steps) {
    checkNumber('replayOde', 'steps', step);
    if (step * steps[0]! <= 0) {
      throw new RangeError(`replayOde: steps must all have one sign, got ${step}`);
    }
    ends.push(ends.at(-1)! + step);
  }
  if (options.t1 !== undefined) ends[steps.length] = options.t1;
  checkTimes('replayOde', saveAt, t0, ends.at(-1)!);
  const checked = checkedDynamics('replayOde', dynamics, u0.shape);
  const scheme = { rtol, atol, method };
  return assemble(runSteps(checked, u0, ends, steps, saveAt, scheme));
}

function assemble({ u, saved, errors, stiffness }: Run): Replay {
  return {
    u,
    ...(saved.length > 0 && { saved: stack(saved) }),
    ...(errors.length > 0 && { errorEstimates: stack(errors) as Tensor1D }),
    ...(stiffness.length > 0 && { stiffness: stack(stiffness) as Tensor1D }),
  };
}
