/** Adaptive and fixed-step solution of u' = f(t, u), forwards only: no gradient flows through the search for the steps. */
import { checkTensor } from '@orth/backend';
import {
  dispose,
  mul,
  stack,
  sum,
  type Tensor,
  type TensorContainer,
  tidy,
} from '@tensorflow/tfjs-core';
import { StepController } from './controller.js';
import { OdeSolveError } from './errors.js';
import { eulerStep, rk4Step } from './fixedMethods.js';
import { chooseInitialStep } from './initialStep.js';
import { type Reading, readAsync, readSync } from './reading.js';
import { type CheckedOdeOptions, checkOdeOptions, type OdeOptions } from './solveOptions.js';
import { type SolveStatistics, StatisticsCounter } from './statistics.js';
import type { Dynamics, Step } from './step.js';
import { TSIT5_STABILITY } from './tableaus.js';
import { tsit5Step } from './tsit5.js';

/** What {@link odeSolve} gives back; the caller disposes the tensors. */
export interface OdeSolution {
  /** State at `t1`, of the shape of `u0`. */
  readonly u: Tensor;
  /** States at `saveAt`, in its order: shape [saveAt.length, ...shape of u0]. Absent if no time was asked for. */
  readonly saved?: Tensor;
  /** Cost and estimates. */
  readonly stats: SolveStatistics;
}

/** Order of Tsit5, which the choice of its first step depends on. */
const ORDER = 5;

/** The step of a method. */
export function takeStep(
  { method, rtol, atol }: Pick<CheckedOdeOptions, 'method' | 'rtol' | 'atol'>,
  dynamics: Dynamics,
  t: number,
  u: Tensor,
  step: number,
  first: Tensor,
): Step {
  if (method === 'rk4') return rk4Step(dynamics, t, u, step, first);
  if (method === 'euler') return eulerStep(dynamics, t, u, step, first);
  return tsit5Step(dynamics, t, u, step, { rtol, atol }, first);
}

/** The same dynamics, whose results are held to the state's shape and whose evaluations are counted. */
export function checkedDynamics(
  caller: string,
  dynamics: Dynamics,
  shape: readonly number[],
  evaluated: () => void = () => {},
): Dynamics {
  if (typeof dynamics !== 'function') {
    throw new TypeError(`${caller}: dynamics must be a function of t and u, got ${dynamics}`);
  }
  return (t, u) => {
    evaluated();
    const derivative = dynamics(t, u);
    checkTensor(caller, 'the result of dynamics', derivative, { shape });
    return derivative;
  };
}

/** Tidies all but what belongs to the step; tfjs's type of such results has no place for functions. */
const tidyStep = (work: () => Step) =>
  tidy(work as unknown as () => TensorContainer) as unknown as Step;

/** What the last attempts were like, for the error that ends a solve. */
function underflow(caller: string, t: number, error: number, stats: SolveStatistics): Error {
  return Number.isFinite(error)
    ? new OdeSolveError(
        `${caller}: step size underflow at t = ${t}: the equation is stiff or discontinuous there; a looser rtol or atol may help`,
        'stepUnderflow',
        t,
        stats,
      )
    : new OdeSolveError(
        `${caller}: state or derivative non-finite at t = ${t}`,
        'nonFinite',
        t,
        stats,
      );
}

function* solve(
  caller: string,
  userDynamics: Dynamics,
  u0: Tensor,
  options: CheckedOdeOptions,
): Reading<OdeSolution> {
  const { t0, t1, saveAt, stepSize, maxSteps } = options;
  const counter = new StatisticsCounter(TSIT5_STABILITY);
  const controller = new StepController(caller, options.controller);
  const evaluate = checkedDynamics(caller, userDynamics, u0.shape, () => {
    counter.nfe++;
  });
  // The user's function may give its argument or a tensor of its own, which are not ours to dispose.
  const dynamics: Dynamics = (t, u) => evaluate(t, u).clone();
  const span = t1 - t0;
  const least = 10 * 2 ** -52 * Math.max(Math.abs(t0), Math.abs(t1), Math.abs(span));
  const fixedSteps = stepSize && Math.max(1, Math.ceil(Math.abs(span) / stepSize - 1e-9));
  let step: number;
  if (fixedSteps) step = span / fixedSteps;
  else {
    step = options.initialStep ?? (yield* chooseInitialStep(dynamics, u0, t0, t1, options, ORDER));
    if (Number.isNaN(step)) throw underflow(caller, t0, Number.NaN, counter.report());
  }

  const saved: (Tensor | undefined)[] = saveAt.map(() => undefined);
  let t = t0;
  let u = u0.clone();
  let first: Tensor | undefined;
  let current: Step | undefined;
  /** Lets go of what the current step made, but for the tensors named. */
  const release = (...kept: (Tensor | undefined)[]) => {
    if (!current) return;
    const owned = Object.values(current).flat() as unknown[];
    for (const x of owned) {
      if (x instanceof Object && 'dataId' in x && x !== first && !kept.includes(x as Tensor)) {
        (x as Tensor).dispose();
      }
    }
    current = undefined;
  };
  let done = false;
  try {
    first = tidy(() => dynamics(t0, u));
    while (t !== t1) {
      if (counter.attempts === maxSteps) {
        throw new OdeSolveError(
          `${caller}: maxSteps = ${maxSteps} reached at t = ${t} of ${t1}`,
          'maxSteps',
          t,
          counter.report(),
        );
      }
      // Within rounding of the end is the end: no sliver of a step remains.
      const isLast = fixedSteps
        ? counter.attempts === fixedSteps - 1
        : Math.abs(step) >= Math.abs(t1 - t) * (1 - 1e-10);
      const tried = isLast ? t1 - t : step;
      current = tidyStep(() => takeStep(options, dynamics, t, u, tried, first!));
      const { errorEstimate, stiffness } = current;
      let error: number | undefined;
      let stiff: number | undefined;
      if (errorEstimate && stiffness) {
        const values = yield tidy(() => stack([errorEstimate, stiffness]));
        // An estimate of exactly 0 comes as the root of what keeps its derivative finite.
        [error, stiff] = [values[0]! < 2e-10 ? 0 : values[0]!, values[1]! < 2e-10 ? 0 : values[1]!];
        if (Number.isNaN(error)) error = Number.POSITIVE_INFINITY;
      }
      if (!fixedSteps && error! > 1) {
        counter.reject(tried);
        release();
        step = controller.reject(tried, error!);
        if (Math.abs(step) < least) throw underflow(caller, t, error!, counter.report());
        continue;
      }
      if (error === Number.POSITIVE_INFINITY) throw underflow(caller, t, error, counter.report());
      counter.accept(tried, error, stiff);
      if (!fixedSteps) step = controller.accept(tried, error!);
      const end = isLast ? t1 : t + tried;
      const taken: Step = current;
      const wanted = saveAt.flatMap((time, i) =>
        saved[i] === undefined && (time - t) * span >= 0 && (end - time) * span >= 0 ? [i] : [],
      );
      // Methods without the derivative at the end need it to interpolate, and the next step needs it anyway.
      const inside = wanted.some((i) => saveAt[i] !== t && saveAt[i] !== end);
      const last: Tensor | undefined =
        taken.last ?? (isLast && !inside ? undefined : tidy(() => dynamics(end, taken.u)));
      for (const i of wanted) {
        const theta = saveAt[i] === end ? 1 : (saveAt[i]! - t) / tried;
        saved[i] = tidy(() => taken.at(theta, last).clone());
      }
      release(taken.u, last);
      dispose([u, first]);
      [t, u, first] = [end, taken.u, last];
    }
    if (options.method !== 'tsit5') {
      // ∞ and NaN times 0 are NaN.
      const probe = yield tidy(() => sum(mul(u, 0)));
      if (!Number.isFinite(probe[0]!)) throw underflow(caller, t1, Number.NaN, counter.report());
    }
    done = true;
    const solution = { u, stats: counter.report() };
    if (saved.length === 0) return solution;
    return { ...solution, saved: tidy(() => stack(saved as Tensor[])) };
  } finally {
    release();
    first?.dispose();
    if (!done) u.dispose();
    for (const x of saved) x?.dispose();
  }
}

/**
 * Solves u' = f(t, u) from `t0` to `t1`.
 *
 * `'tsit5'` (default) chooses its steps so that each one's error stays within `atol + rtol·|u|`, in the root mean square over
 * the whole state; a batch is one system. Time and step sizes are float64, states float32. To differentiate, replay the steps
 * that it took: {@link replayOde}, {@link NeuralODE}.
 *
 * @param dynamics - f(t, u); what it makes is tidied
 * @param u0 - state at `t0`, float32, any shape
 * @returns the state at `t1` and at `saveAt`, to be disposed by the caller, and statistics
 * @throws {OdeSolveError} if a state is not finite, a step falls below 10 ulp (stiff or discontinuous), or `maxSteps` are tried
 * @throws TypeError, RangeError for bad options, or dynamics whose result has another shape than the state
 * @see A. Pal, Y. Ma, V. Shah, C. Rackauckas, *Opening the Blackbox*, ICML 2021; controller and constants of OrdinaryDiffEq.jl
 * @example
 * const { u, stats } = await odeSolve((t, u) => neg(u), tensor1d([1]), { t1: 2, rtol: 1e-5, atol: 1e-5 });
 * console.log(await u.data(), stats.nfe); // 0.135
 */
export async function odeSolve(
  dynamics: Dynamics,
  u0: Tensor,
  options: OdeOptions = {},
): Promise<OdeSolution> {
  return readAsync(start('odeSolve', dynamics, u0, options));
}

/** {@link odeSolve} without waiting: blocks on each read, and cannot run on WebGPU in Node. */
export function odeSolveSync(
  dynamics: Dynamics,
  u0: Tensor,
  options: OdeOptions = {},
): OdeSolution {
  return readSync(start('odeSolveSync', dynamics, u0, options));
}

function start(caller: string, dynamics: Dynamics, u0: Tensor, options: OdeOptions) {
  checkTensor(caller, 'u0', u0);
  return solve(caller, dynamics, u0, checkOdeOptions(caller, options));
}
