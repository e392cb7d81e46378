import { checkInteger, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { MatrixInput } from './denseMatrix.js';

/**
 * Step along `Q U`:
 * - `'geometric'`: `η₀ ρ^t / ‖Q_t‖_F`, for any noise;
 * - `'polyak'`: `(π/2) η₀ f(U_t)`, for Gaussian measurements without noise;
 * - `'polyakKnown'`: `2 (f(U_t) − f*) / ‖2 Q_t U_t‖_F²`, where the optimum `f*` is known;
 * - a function of t: its value `/ ‖Q_t‖_F`.
 */
export type SubgmSchedule = 'geometric' | 'polyak' | 'polyakKnown' | ((t: number) => number);

/** One step of the history. */
export interface SubgmRecord {
  /** `(1/m) Σ |⟨A_i, X⟩ − y_i|` before the step. */
  readonly loss: number;
  /** `‖Q_t‖_F`. */
  readonly qNorm: number;
  /** Step taken along `Q U`. */
  readonly step: number;
  /** `‖X − truth‖_F / ‖truth‖_F` after the step, where the truth was given. */
  readonly relError?: number;
}

/** What {@link SubgmOptions.onStep} is told; tensors must not be disposed. */
export interface SubgmStep {
  /** From 0. */
  readonly iteration: number;
  /** `[U]` or `[L, R]` after the step. */
  readonly factors: readonly Tensor[];
}

/** Options that the symmetric and the rectangular method share. */
export interface SubgmOptions {
  /** Columns of the factors: at least the rank of X; more does no harm if `alpha` is small. */
  readonly rank: number;
  /** Size of the start, > 0: the error that directions beyond the true rank leave shrinks with it. Default 1e−3 */
  readonly alpha?: number;
  /** Take `alpha` in units of √‖X‖_F, estimated as √(median|y| / 0.6745), right for Gaussian measurements. Default false */
  readonly relativeAlpha?: boolean;
  /** Steps, integer >= 1. Default 1200 */
  readonly steps?: number;
  /** η₀ > 0. Default 0.3 */
  readonly eta0?: number;
  /** ρ in (0, 1]; with 1 the error stays at the order of η₀. Default 0.99 */
  readonly rho?: number;
  /** Default `'geometric'` */
  readonly schedule?: SubgmSchedule;
  /** `f*`, >= 0, for `'polyakKnown'`. Default 0 */
  readonly optimum?: number;
  /** Start. Default `'spectral'`; `'gaussian'` is `α N(0, 1) / √d` */
  readonly init?: 'spectral' | 'gaussian';
  /** Seed of the Gaussian start, integer. Default 0 */
  readonly seed?: number;
  /** The result counts as converged when the median of |residuals| is at most this share of that of |y|. Default 1e−3 */
  readonly tolerance?: number;
  /** X that is known, for the history. */
  readonly truth?: MatrixInput;
  /** Called after each step. */
  readonly onStep?: (step: SubgmStep) => void;
  /** Ends the run; the result is what was reached. */
  readonly signal?: AbortSignal;
}

const KEYS = [
  'rank',
  'alpha',
  'relativeAlpha',
  'steps',
  'eta0',
  'rho',
  'schedule',
  'optimum',
  'init',
  'seed',
  'tolerance',
  'truth',
  'onStep',
  'signal',
];

/** Options with defaults filled in, but for the start, which the methods check themselves. */
export type ResolvedSubgmOptions = Required<
  Pick<
    SubgmOptions,
    'rank' | 'alpha' | 'steps' | 'eta0' | 'rho' | 'schedule' | 'optimum' | 'seed' | 'tolerance'
  >
> &
  Pick<SubgmOptions, 'truth' | 'onStep' | 'signal'> & { readonly relativeAlpha: boolean };

/** @throws TypeError or RangeError for a wrong option */
export function resolveSubgmOptions(
  caller: string,
  options: object,
  maxRank: number,
): ResolvedSubgmOptions {
  checkOptions(caller, options, KEYS);
  const given = options as SubgmOptions;
  const { rank, alpha = 1e-3, relativeAlpha = false, steps = 1200, eta0 = 0.3 } = given;
  const { rho = 0.99, schedule = 'geometric', optimum = 0, seed = 0, tolerance = 1e-3 } = given;
  const { truth, onStep, signal } = given;
  checkInteger(caller, 'rank', rank, { min: 1, max: maxRank });
  checkNumber(caller, 'alpha', alpha, { above: 0 });
  checkInteger(caller, 'steps', steps, { min: 1 });
  checkNumber(caller, 'eta0', eta0, { above: 0 });
  checkNumber(caller, 'rho', rho, { above: 0, max: 1 });
  if (typeof schedule !== 'function') {
    checkOneOf(caller, 'schedule', schedule, ['geometric', 'polyak', 'polyakKnown']);
  }
  checkNumber(caller, 'optimum', optimum, { min: 0 });
  checkInteger(caller, 'seed', seed);
  checkNumber(caller, 'tolerance', tolerance, { above: 0 });
  return {
    rank,
    alpha,
    relativeAlpha,
    steps,
    eta0,
    rho,
    schedule,
    optimum,
    seed,
    tolerance,
    ...(truth !== undefined && { truth }),
    ...(onStep && { onStep }),
    ...(signal && { signal }),
  };
}
