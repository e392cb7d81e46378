import { checkInteger, checkNumber, checkOneOf } from '@orth/backend';
import { ORACLE_OPTIONS, type OracleOptions } from './oracleOptions.js';
import type { VectorLike } from './startPoint.js';

/** Options of {@link Maid}; letters are those of the paper. */
export interface MaidOptions extends OracleOptions {
  /** θ₀, flat. */
  readonly theta0: VectorLike;
  /** Where the first lower-level solution starts, flat. Default 0 */
  readonly x0?: VectorLike;
  /** ε₀ > 0: accuracy of the first lower-level solution. Default 0.1 */
  readonly accuracy?: number;
  /** δ₀ > 0: residual of the first linear system. Default 0.1 */
  readonly residual?: number;
  /**
   * α₀ > 0: first trial step, or `'auto'` for `1 / max |z₀|`, by which no entry of θ moves by more than 1. (HOAG's
   * `√(length of θ) / ‖z₀‖` moves single log-weights by so much that μ falls, and trial points cost most of a budget.)
   * Default `'auto'`
   */
  readonly stepSize?: number | 'auto';
  /** ρ in (0, 1): factor of a step that was refused. Default 0.5 */
  readonly stepDecrease?: number;
  /** ρ̄ > 1: factor of the step after one was accepted. Default 10/9 */
  readonly stepIncrease?: number;
  /** ν in (0, 1): factor of ε and δ when they are too coarse. Default 0.5 */
  readonly accuracyDecrease?: number;
  /** ν̄ > 1: factor of ε and δ after a step was accepted. Default 1.25 */
  readonly accuracyIncrease?: number;
  /** η in (λ, 1): the descent test asks for `ω ≤ (1 − η) ‖z‖`. Default 0.5 */
  readonly descentFraction?: number;
  /** λ in (0, η): decrease asked for, as a share of α ‖z‖². Default 0.1 */
  readonly sufficientDecrease?: number;
  /** Trial steps before ε and δ are refined, ≥ 1; one more after each refinement. Default 10 */
  readonly maxBacktracks?: number;
  /**
   * Whether the error bound ω must certify z as a descent direction. `'bound'` is what the convergence theorem needs;
   * `'off'` lets the line search find out. Default `'bound'` if the problem gives all constants of the bound
   */
  readonly descentTest?: 'bound' | 'off';
  /**
   * Ends the run when ‖z‖ is at most this, and so is ω; with `descentTest: 'off'`, so are ε and δ, or they are at their
   * floor. Default 0
   */
  readonly tolerance?: number;
  /** Relative accuracy below which nothing is asked: ε ≥ this · max(1, ‖x‖), δ ≥ this · ‖∇g‖. Default 1e-5 for float32, 1e-11 for float64 problems */
  readonly accuracyFloor?: number;
}

/** Numbers of the schedule, checked and complete. */
export interface MaidSettings {
  readonly stepDecrease: number;
  readonly stepIncrease: number;
  readonly accuracyDecrease: number;
  readonly accuracyIncrease: number;
  readonly descentFraction: number;
  readonly sufficientDecrease: number;
  readonly maxBacktracks: number;
  readonly descentTest: 'bound' | 'off';
  readonly tolerance: number;
  readonly accuracyFloor: number;
}

export const MAID_OPTIONS = [
  ...['theta0', 'x0', 'accuracy', 'residual', 'stepSize', 'stepDecrease', 'stepIncrease'],
  ...['accuracyDecrease', 'accuracyIncrease', 'descentFraction', 'sufficientDecrease'],
  ...['maxBacktracks', 'descentTest', 'tolerance', 'accuracyFloor'],
  ...ORACLE_OPTIONS,
] as const;

/**
 * Checks the schedule and fills in its defaults.
 * @param bounded - whether the problem gives the constants of the error bound
 * @throws RangeError that names the rule, e.g. 0 < λ < η < 1
 */
export function maidSettings(
  caller: string,
  options: MaidOptions,
  bounded: boolean,
  accuracyFloor: number,
): MaidSettings {
  const { stepDecrease = 0.5, stepIncrease = 10 / 9 } = options;
  const { accuracyDecrease = 0.5, accuracyIncrease = 1.25 } = options;
  const { descentFraction = 0.5, sufficientDecrease = 0.1, maxBacktracks = 10 } = options;
  const { descentTest = bounded ? 'bound' : 'off', tolerance = 0 } = options;
  const within = (name: string, value: number) =>
    checkNumber(caller, name, value, { above: 0, below: 1 });
  within('stepDecrease', stepDecrease);
  checkNumber(caller, 'stepIncrease', stepIncrease, { above: 1 });
  within('accuracyDecrease', accuracyDecrease);
  checkNumber(caller, 'accuracyIncrease', accuracyIncrease, { above: 1 });
  within('descentFraction', descentFraction);
  within('sufficientDecrease', sufficientDecrease);
  if (sufficientDecrease >= descentFraction) {
    throw new RangeError(
      `${caller}: sufficientDecrease and descentFraction must satisfy 0 < sufficientDecrease < descentFraction < 1, ` +
        `got ${sufficientDecrease} and ${descentFraction}`,
    );
  }
  checkInteger(caller, 'maxBacktracks', maxBacktracks, { min: 1 });
  checkOneOf(caller, 'descentTest', descentTest, ['bound', 'off']);
  if (descentTest === 'bound' && !bounded) {
    throw new RangeError(
      `${caller}: descentTest must be 'off' where the problem lacks inverseHessianLipschitz, crossLipschitz or ` +
        "crossNorm, got 'bound'",
    );
  }
  checkNumber(caller, 'tolerance', tolerance, { min: 0 });
  return {
    stepDecrease,
    stepIncrease,
    accuracyDecrease,
    accuracyIncrease,
    descentFraction,
    sufficientDecrease,
    maxBacktracks,
    descentTest,
    tolerance,
    accuracyFloor,
  };
}
