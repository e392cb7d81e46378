/** The discrete adjoint: the accepted steps once more, under a gradient. */
import { checkInteger, checkNumber, checkTensor } from '@orth/backend';
import {
  concat,
  customGrad,
  type GradSaveFunc,
  grads,
  reshape,
  slice,
  stack,
  type Tensor,
  type Tensor1D,
  tidy,
  type Variable,
} from '@tensorflow/tfjs-core';
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
  /**
   * Keep the state only every so many steps, and compute those between again in the backward pass: memory falls from
   * steps × stages to steps / n + n × stages, for one more evaluation of everything. Needs `variables`. Default: keep all
   */
  readonly checkpointEvery?: number;
  /** With `checkpointEvery`: the variables that the dynamics depend on. */
  readonly variables?: readonly Variable[];
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

/** A run of steps that keeps nothing but its start, and runs again in the backward pass. */
function checkpointed(
  run: (u: Tensor) => Run,
  u0: Tensor,
  variables: readonly Variable[],
  savedCount: number,
  stepCount: number,
): Run {
  const pack = (u: Tensor) => {
    const { u: end, saved, errors, stiffness } = run(u);
    return concat([end, ...saved, ...errors, ...stiffness].map((x) => reshape(x, [x.size])));
  };
  const operation = customGrad((u, ...rest) => {
    const save = rest.pop() as GradSaveFunc;
    save([u as Tensor]);
    return {
      value: tidy(() => pack(u as Tensor)),
      gradFunc: (dy: Tensor | Tensor[], kept: Tensor[]) => {
        const start = kept[0]!;
        const again = grads((x: Tensor) => pack(x));
        return again([start, ...variables] as Tensor[], dy as Tensor);
      },
    };
  });
  const packed = operation(u0, ...variables);
  let at = 0;
  const take = (shape: number[]) => {
    const size = shape.reduce((product, n) => product * n, 1);
    at += size;
    return reshape(slice(packed, [at - size], [size]), shape);
  };
  const u = take(u0.shape);
  const saved = Array.from({ length: savedCount }, () => take(u0.shape));
  const estimates = (packed.size - at) / stepCount;
  const [errors, stiffness] = [0, 1].map((kind) =>
    estimates > kind ? Array.from({ length: stepCount }, () => take([])) : [],
  );
  return { u, saved, errors: errors!, stiffness: stiffness! };
}

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
  const { checkpointEvery, variables } = options;
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
  if (checkpointEvery === undefined) {
    return assemble(runSteps(checked, u0, ends, steps, saveAt, scheme));
  }
  checkInteger('replayOde', 'checkpointEvery', checkpointEvery, { min: 1 });
  if (!variables) throw new RangeError('replayOde: variables must be given with checkpointEvery');
  const whole: Run = { u: u0, saved: [], errors: [], stiffness: [] };
  for (let from = 0; from < steps.length; from += checkpointEvery) {
    const part = steps.slice(from, from + checkpointEvery);
    const times = ends.slice(from, from + part.length + 1);
    const [start, end] = [times[0]!, times.at(-1)!];
    const sign = Math.sign(part[0]!);
    const here = saveAt.flatMap((time, i) =>
      !whole.saved[i] && (time - start) * sign >= 0 && (end - time) * sign >= 0 ? [i] : [],
    );
    const wanted = here.map((i) => saveAt[i]!);
    const run = (u: Tensor) => runSteps(checked, u, times, part, wanted, scheme);
    const done = checkpointed(run, whole.u, variables, wanted.length, part.length);
    for (const [place, i] of here.entries()) whole.saved[i] = done.saved[place]!;
    whole.u = done.u;
    whole.errors.push(...done.errors);
    whole.stiffness.push(...done.stiffness);
  }
  return assemble(whole);
}

function assemble({ u, saved, errors, stiffness }: Run): Replay {
  return {
    u,
    ...(saved.length > 0 && { saved: stack(saved) }),
    ...(errors.length > 0 && { errorEstimates: stack(errors) as Tensor1D }),
    ...(stiffness.length > 0 && { stiffness: stack(stiffness) as Tensor1D }),
  };
}
