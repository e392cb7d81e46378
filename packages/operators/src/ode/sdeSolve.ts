/** Adaptive and fixed-step solution of stochastic differential equations with diagonal noise, and its discrete adjoint. */
import {
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkTensor,
  seededRandom,
} from '@orth/backend';
import { dispose, stack, type Tensor, type Tensor1D, tidy } from '@tensorflow/tfjs-core';
import { BrownianPath } from './brownianPath.js';
import { type ControllerOptions, StepController } from './controller.js';
import { OdeSolveError } from './errors.js';
import { checkedDynamics } from './odeSolve.js';
import { type Reading, readAsync } from './reading.js';
import type { Replay } from './replayOde.js';
import { checkInterval, checkTimes } from './solveOptions.js';
import {
  type Coefficient,
  type NoiseIncrements,
  type SdeMethod,
  SOSRI_STABILITY,
  sosriStep,
} from './sosri.js';
import { type SolveStatistics, StatisticsCounter } from './statistics.js';

/** Options of {@link sdeSolve}. */
export interface SdeOptions {
  /** Start. Default 0 */
  readonly t0?: number;
  /** End, after `t0`. Default 1 */
  readonly t1?: number;
  /** Times at which to keep the state; a step ends at each. */
  readonly saveAt?: readonly number[];
  /** Default 1e-2 */
  readonly rtol?: number;
  /** Default 1e-2 */
  readonly atol?: number;
  /** Default `'sosri'` */
  readonly method?: SdeMethod;
  /** Seed of the noise. Default 0 */
  readonly seed?: number;
  /** First step. Default 1/100 of the interval */
  readonly initialStep?: number;
  /** Fixed steps of at most this length, instead of adaptive ones. */
  readonly stepSize?: number;
  /** Most steps tried. Default 10000 */
  readonly maxSteps?: number;
  /** Weight of the drift's part in the error estimate. Default 1 */
  readonly delta?: number;
  /** Constants of the step-size controller. Default: exponents 7/15 and 4/15, growth of at most 9/8 */
  readonly controller?: ControllerOptions;
}

/** What {@link sdeSolve} gives back. */
export interface SdeSolution {
  /** State at `t1`; the caller disposes it. */
  readonly u: Tensor;
  /** States at `saveAt`, [saveAt.length, ...shape]; the caller disposes them. */
  readonly saved?: Tensor;
  /** Cost and estimates; `nfe` counts evaluations of the drift. */
  readonly stats: SolveStatistics;
  /** The noise of each accepted step, for {@link replaySde}; let go of it with {@link disposeNoise}. */
  readonly noise: readonly NoiseIncrements[];
}

/** Names of {@link SdeOptions}. */
export const SDE_OPTIONS = [
  't0',
  't1',
  'saveAt',
  'rtol',
  'atol',
  'method',
  'seed',
  'initialStep',
  'stepSize',
  'maxSteps',
  'delta',
  'controller',
] as const;

/** Strong order 3/2: the exponents of order-5 methods, scaled. */
const CONTROLLER: ControllerOptions = { beta1: 7 / 15, beta2: 4 / 15, maxGrowth: 9 / 8 };

function checkSdeOptions(options: SdeOptions) {
  const caller = 'sdeSolve';
  checkOptions(caller, options, SDE_OPTIONS);
  const { t0 = 0, t1 = 1, saveAt = [], rtol = 1e-2, atol = 1e-2, method = 'sosri' } = options;
  const { seed = 0, stepSize, maxSteps = 10_000, delta = 1, controller = {} } = options;
  checkInterval(caller, t0, t1);
  if (t1 < t0) throw new RangeError(`${caller}: t1 must be after t0, got ${t1} and ${t0}`);
  checkTimes(caller, saveAt, t0, t1);
  const { initialStep = (t1 - t0) / 100 } = options;
  checkNumber(caller, 'rtol', rtol, { min: 0 });
  checkNumber(caller, 'atol', atol, { min: 0 });
  if (rtol === 0 && atol === 0) throw new RangeError(`${caller}: rtol and atol must not both be 0`);
  checkOneOf(caller, 'method', method, ['sosri', 'sosri2']);
  checkInteger(caller, 'maxSteps', maxSteps, { min: 1 });
  checkNumber(caller, 'delta', delta, { min: 0 });
  checkNumber(caller, 'initialStep', initialStep, { above: 0 });
  if (stepSize !== undefined) checkNumber(caller, 'stepSize', stepSize, { above: 0 });
  const withDefaults = { ...CONTROLLER, ...controller };
  return {
    ...{ t0, t1, saveAt, rtol, atol, method, seed, initialStep, stepSize, maxSteps, delta },
    controller: new StepController(caller, withDefaults),
  };
}

function* solve(
  userDrift: Coefficient,
  userDiffusion: Coefficient,
  u0: Tensor,
  options: ReturnType<typeof checkSdeOptions>,
): Reading<SdeSolution> {
  const caller = 'sdeSolve';
  const { t0, t1, saveAt, stepSize, maxSteps, controller, ...scheme } = options;
  const counter = new StatisticsCounter(SOSRI_STABILITY);
  const drift = checkedDynamics(caller, userDrift, u0.shape, () => {
    counter.nfe++;
  });
  const diffusion = checkedDynamics(caller, userDiffusion, u0.shape);
  const stops = [...new Set([...saveAt, t1])].filter((t) => t > t0).sort((a, b) => a - b);
  const least = 10 * 2 ** -52 * Math.max(Math.abs(t0), Math.abs(t1), t1 - t0);
  const path = new BrownianPath(seededRandom(options.seed), u0.shape);
  const noise: NoiseIncrements[] = [];
  const kept = new Map<number, Tensor>();
  let [t, u, step] = [t0, u0.clone(), stepSize ?? options.initialStep];
  let done = false;
  try {
    if (saveAt.includes(t0)) kept.set(t0, u.clone());
    while (t !== t1) {
      if (counter.attempts === maxSteps) {
        const where = `${caller}: maxSteps = ${maxSteps} reached at t = ${t} of ${t1}`;
        throw new OdeSolveError(where, 'maxSteps', t, counter.report());
      }
      const stop = stops.find((time) => time > t)!;
      const reaches = step >= (stop - t) * (1 - 1e-10);
      const tried = reaches ? stop - t : step;
      const increments = path.next(tried);
      const taken = tidy(() => ({
        ...sosriStep(drift, diffusion, t, u, tried, increments, scheme),
      }));
      const estimates = yield tidy(() => stack([taken.errorEstimate, taken.stiffness]));
      dispose([taken.errorEstimate, taken.stiffness]);
      const error = Number.isNaN(estimates[0]!) ? Number.POSITIVE_INFINITY : estimates[0]!;
      if (stepSize === undefined && error > 1) {
        counter.reject(tried);
        taken.u.dispose();
        path.putBack(tried, increments);
        step = controller.reject(tried, error);
        if (step >= least) continue;
      } else if (error !== Number.POSITIVE_INFINITY) {
        counter.accept(tried, error, estimates[1]!);
        noise.push(increments);
        if (stepSize === undefined) {
          const next = controller.accept(tried, error);
          // A step cut short at a stop says nothing against the longer one.
          step = reaches && error <= 1 ? Math.max(step, next) : next;
        }
        u.dispose();
        [t, u] = [reaches ? stop : t + tried, taken.u];
        if (saveAt.includes(t)) kept.set(t, u.clone());
        continue;
      } else {
        taken.u.dispose();
        path.putBack(tried, increments);
      }
      const [reason, what] = Number.isFinite(error)
        ? (['stepUnderflow', 'step size underflow'] as const)
        : (['nonFinite', 'state, drift or diffusion non-finite'] as const);
      throw new OdeSolveError(`${caller}: ${what} at t = ${t}`, reason, t, counter.report());
    }
    done = true;
    const stats = counter.report();
    if (saveAt.length === 0) return { u, stats, noise };
    return { u, saved: stack(saveAt.map((time) => kept.get(time)!)), stats, noise };
  } finally {
    path.dispose();
    for (const x of kept.values()) x.dispose();
    if (!done) {
      u.dispose();
      disposeNoise(noise);
    }
  }
}

/**
 * Solves du = f(t, u) dt + g(t, u) dW (Itô, diagonal noise) by SOSRI or SOSRI2, of strong order 1.5, with adaptive steps that
 * keep the Brownian path when a step is rejected. The same seed gives the same path.
 *
 * @param drift - f(t, u)
 * @param diffusion - g(t, u), entry by entry the size of the noise
 * @param u0 - state at `t0`, float32, any shape
 * @returns states, statistics, and the noise of each step
 * @throws {OdeSolveError} if a state is not finite, a step falls below 10 ulp, or `maxSteps` are tried
 * @throws TypeError, RangeError for bad options
 * @see A. Pal et al., *Opening the Blackbox*, ICML 2021
 */
export async function sdeSolve(
  drift: Coefficient,
  diffusion: Coefficient,
  u0: Tensor,
  options: SdeOptions = {},
): Promise<SdeSolution> {
  checkTensor('sdeSolve', 'u0', u0);
  return readAsync(solve(drift, diffusion, u0, checkSdeOptions(options)));
}

/** Lets go of the noise of a solution. */
export function disposeNoise(noise: readonly NoiseIncrements[]): void {
  for (const { dW, dZ } of noise) dispose([dW, dZ]);
}

/**
 * Takes the steps of a solution again with the same noise, differentiably; steps and noise are constants.
 *
 * @param steps - `stats.steps` of the solution
 * @param noise - `noise` of the solution
 * @param options - those of the solve
 * @throws RangeError if there is not one noise a step
 */
export function replaySde(
  drift: Coefficient,
  diffusion: Coefficient,
  u0: Tensor,
  steps: readonly number[],
  noise: readonly NoiseIncrements[],
  options: Pick<SdeOptions, 't0' | 'saveAt' | 'rtol' | 'atol' | 'method' | 'delta'> = {},
): Replay {
  const { t0 = 0, saveAt = [], rtol = 1e-2, atol = 1e-2, method = 'sosri', delta = 1 } = options;
  checkTensor('replaySde', 'u0', u0);
  if (steps.length === 0 || steps.length !== noise.length) {
    throw new RangeError(
      `replaySde: noise must hold one entry a step (${steps.length}), got ${noise.length}`,
    );
  }
  const span = steps.reduce((sum, step) => sum + step, 0);
  const near = (a: number, b: number) => Math.abs(a - b) <= 1e-9 * span;
  const saved = saveAt.map((time) => (near(time, t0) ? u0 : undefined));
  const errors: Tensor[] = [];
  const stiffness: Tensor[] = [];
  let [t, u] = [t0, u0];
  for (const [j, step] of steps.entries()) {
    const scheme = { rtol, atol, method, delta };
    const taken = sosriStep(drift, diffusion, t, u, step, noise[j]!, scheme);
    errors.push(taken.errorEstimate);
    stiffness.push(taken.stiffness);
    [t, u] = [t + step, taken.u];
    for (const [i, time] of saveAt.entries()) if (near(time, t)) saved[i] = u;
  }
  const missing = saveAt.find((_, i) => !saved[i]);
  if (missing !== undefined) {
    throw new RangeError(`replaySde: saveAt must be ends of steps, got ${missing}`);
  }
  return {
    u,
    ...(saved.length > 0 && { saved: stack(saved as Tensor[]) }),
    errorEstimates: stack(errors) as Tensor1D,
    stiffness: stack(stiffness) as Tensor1D,
  };
}
