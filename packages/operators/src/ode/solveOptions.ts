import { checkInteger, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import type { ControllerOptions } from './controller.js';

/** Methods for ordinary differential equations. */
export type OdeMethod = 'tsit5' | 'rk4' | 'euler';

/** What decides the steps, and what they are. */
export interface OdeOptions {
  /** Start. Default 0 */
  readonly t0?: number;
  /** End; before `t0` to solve backwards. Default 1 */
  readonly t1?: number;
  /** Times between `t0` and `t1`, in any order, at which to keep the state. They cost no evaluation with `'tsit5'`. */
  readonly saveAt?: readonly number[];
  /** Allowed error relative to the state. Default 1e-4; below 1e-6 float32's rounding is what the estimate measures */
  readonly rtol?: number;
  /** Allowed error whatever the state. Default 1e-4 */
  readonly atol?: number;
  /** Default `'tsit5'`; the others take fixed steps */
  readonly method?: OdeMethod;
  /** Length of the first step, in the direction of `t1`. Default: chosen by two evaluations */
  readonly initialStep?: number;
  /**
   * Fixed steps of at most this length, all equal, instead of adaptive ones. Needed by `'rk4'` and `'euler'`
   */
  readonly stepSize?: number;
  /** Most steps tried. Default 10000 */
  readonly maxSteps?: number;
  /** Constants of the step-size controller. */
  readonly controller?: ControllerOptions;
}

/** Options with their defaults, checked. */
export interface CheckedOdeOptions extends Required<Omit<OdeOptions, 'initialStep' | 'stepSize'>> {
  readonly initialStep: number | undefined;
  readonly stepSize: number | undefined;
}

const METHODS = ['tsit5', 'rk4', 'euler'] as const;

/** Names of {@link OdeOptions}. */
export const ODE_OPTIONS = [
  't0',
  't1',
  'saveAt',
  'rtol',
  'atol',
  'method',
  'initialStep',
  'stepSize',
  'maxSteps',
  'controller',
] as const;

/** Demands an interval that is not empty. */
export function checkInterval(caller: string, t0: number, t1: number): void {
  checkNumber(caller, 't0', t0);
  checkNumber(caller, 't1', t1);
  if (t0 === t1) throw new RangeError(`${caller}: t1 must differ from t0, got ${t1} for both`);
}

/** Demands times within the interval. */
export function checkTimes(
  caller: string,
  saveAt: readonly number[],
  t0: number,
  t1: number,
): void {
  if (!Array.isArray(saveAt)) throw new TypeError(`${caller}: saveAt must be an array of times`);
  const [min, max] = t0 < t1 ? [t0, t1] : [t1, t0];
  for (const t of saveAt) checkNumber(caller, 'saveAt', t, { min, max });
}

/** @throws TypeError, RangeError for bad options */
export function checkOdeOptions(caller: string, options: OdeOptions): CheckedOdeOptions {
  checkOptions(caller, options, ODE_OPTIONS);
  const { t0 = 0, t1 = 1, saveAt = [], rtol = 1e-4, atol = 1e-4, method = 'tsit5' } = options;
  const { initialStep, stepSize, maxSteps = 10_000, controller = {} } = options;
  checkInterval(caller, t0, t1);
  checkTimes(caller, saveAt, t0, t1);
  checkNumber(caller, 'rtol', rtol, { min: 0 });
  checkNumber(caller, 'atol', atol, { min: 0 });
  if (rtol === 0 && atol === 0) {
    throw new RangeError(`${caller}: rtol and atol must not both be 0`);
  }
  checkOneOf(caller, 'method', method, METHODS);
  checkInteger(caller, 'maxSteps', maxSteps, { min: 1 });
  if (stepSize !== undefined) checkNumber(caller, 'stepSize', stepSize, { above: 0 });
  else if (method !== 'tsit5') {
    throw new RangeError(`${caller}: stepSize must be given for method '${method}', got none`);
  }
  if (initialStep !== undefined) {
    checkNumber(caller, 'initialStep', initialStep);
    if (initialStep * (t1 - t0) <= 0) {
      throw new RangeError(
        `${caller}: initialStep must point from t0 to t1 and not be 0, got ${initialStep}`,
      );
    }
  }
  return { t0, t1, saveAt, rtol, atol, method, initialStep, stepSize, maxSteps, controller };
}
