/** What all solvers of this folder share: their options and their report. */
import { checkInteger, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import { checkVector, type HostVector } from './vectors.js';

/**
 * How a solve ended.
 *
 * - `'converged'`: ‖b − A x‖, computed anew from x, is below the tolerance.
 * - `'maxIterations'`: it is not, after `maxIter` iterations.
 * - `'stagnated'`: rounding keeps x where it is; no more digits are to be had.
 * - `'breakdown'`: a direction with pᵀAp = 0, to rounding: A is singular or nearly so.
 * - `'aborted'`: by `signal`.
 */
export type SolveStatus = 'converged' | 'maxIterations' | 'stagnated' | 'breakdown' | 'aborted';

/** What a solver gives back; also when it did not converge. */
export interface SolveReport {
  /** The solution, or the best that was reached; float64, `[n]`. */
  readonly x: Float64Array;
  readonly status: SolveStatus;
  /** Whether `status` is `'converged'`. */
  readonly converged: boolean;
  readonly iterations: number;
  /** ‖b − A x‖ at the start and after each iteration: `iterations + 1` numbers. */
  readonly residuals: readonly number[];
  /** The last residual relative to what `tol` is relative to. */
  readonly relativeResidual: number;
}

/** An iteration, as `onStep` is told. */
export interface SolveStep {
  /** From 1. */
  readonly iteration: number;
  /** ‖b − A x‖ */
  readonly residual: number;
  /** The same relative to what `tol` is relative to. */
  readonly relativeResidual: number;
}

/** Options of every solver. */
export interface SolveOptions {
  /** Ends the solve once ‖b − A x‖ is below `tol` times the residual at the start; > 0. */
  readonly tol?: number;
  /** Most iterations, integer >= 0. */
  readonly maxIter?: number;
  /** Where to start, `[n]`. Default zeros */
  readonly x0?: HostVector;
  /** What `tol` is relative to: the residual of `x0`, or ‖b‖ (a good `x0` then saves iterations). Default `'initialResidual'` */
  readonly relativeTo?: 'initialResidual' | 'rightHandSide';
  /** Called after each iteration. */
  readonly onStep?: (step: SolveStep) => void;
  /** Ends the solve before the next iteration, with what was reached. */
  readonly signal?: AbortSignal;
}

export const SOLVE_OPTIONS = ['tol', 'maxIter', 'x0', 'relativeTo', 'onStep', 'signal'] as const;

/** Options with defaults filled in. */
export interface CheckedOptions {
  readonly tol: number;
  readonly maxIter: number;
  readonly x0: Float64Array | undefined;
  readonly relativeTo: 'initialResidual' | 'rightHandSide';
  readonly onStep: ((step: SolveStep) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

/** @throws TypeError or RangeError that names the option */
export function checkSolveOptions(
  caller: string,
  n: number,
  options: SolveOptions,
  defaults: { tol: number; maxIter: number },
  known: readonly string[] = SOLVE_OPTIONS,
): CheckedOptions {
  checkOptions(caller, options, known);
  const { tol = defaults.tol, maxIter = defaults.maxIter, x0, onStep, signal } = options;
  const { relativeTo = 'initialResidual' } = options;
  checkNumber(caller, 'tol', tol, { above: 0 });
  checkInteger(caller, 'maxIter', maxIter, { min: 0 });
  checkOneOf(caller, 'relativeTo', relativeTo, ['initialResidual', 'rightHandSide']);
  if (onStep !== undefined && typeof onStep !== 'function') {
    throw new TypeError(`${caller}: onStep must be a function, got ${typeof onStep}`);
  }
  const start = x0 === undefined ? undefined : checkVector(caller, 'x0', x0, n);
  return { tol, maxIter, x0: start, relativeTo, onStep, signal };
}

/** The report, from what a solver has at hand. */
export function report(
  x: Float64Array,
  status: SolveStatus,
  residuals: readonly number[],
  reference: number,
): SolveReport {
  const last = residuals.at(-1)!;
  return {
    x,
    status,
    converged: status === 'converged',
    iterations: residuals.length - 1,
    residuals,
    relativeResidual: reference > 0 ? last / reference : last,
  };
}
