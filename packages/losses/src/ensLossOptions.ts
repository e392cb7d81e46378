import { checkInteger, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import { LAMBDA_LIMIT } from './inverseBoxCox.js';
import { type LossOptions, shouldCheckValues } from './lossArguments.js';

/** Options of {@link EnsLoss}. */
export interface EnsLossOptions extends Pick<LossOptions, 'checkValues'> {
  /** λ of the inverse Box–Cox transform, in [−1000, 1000]; 0 gives log-normal derivatives. Default 0 */
  readonly lambda?: number;
  /**
   * λ is drawn anew from U(−1, 1) at the beginning of each epoch that is a multiple of this, see
   * {@link EnsLoss.onEpochBegin}; never where it is not positive. Integer. Default −1
   */
  readonly period?: number;
  /** Derivatives at margins m > 1 are divided by m to this power, >= 0; 0 leaves them. Default 1 */
  readonly tailPower?: number;
  /** Least derivative, < 0. Default −1 */
  readonly floor?: number;
  /** Keeps derivatives below 0, >= 0. Default 1e−6 */
  readonly epsilon?: number;
  /** How pseudo-losses of examples become the result. Default `'mean'` */
  readonly reduction?: 'none' | 'mean' | 'sum';
  /** Seed of the draws, integer. Default 0 */
  readonly seed?: number;
}

/** {@link EnsLossOptions} with every default filled in, but for `checkValues`, whose default is up to the backend. */
export type ResolvedEnsLossOptions = Required<Omit<EnsLossOptions, 'checkValues'>> &
  Pick<EnsLossOptions, 'checkValues'>;

const NAMES: readonly (keyof EnsLossOptions)[] = [
  'lambda',
  'period',
  'tailPower',
  'floor',
  'epsilon',
  'reduction',
  'seed',
  'checkValues',
];

/**
 * Checks the options of {@link EnsLoss} and fills in defaults.
 * @throws TypeError for an unknown option or kind; RangeError for a value out of range
 */
export function resolveEnsLossOptions(options: EnsLossOptions): ResolvedEnsLossOptions {
  const caller = 'EnsLoss';
  checkOptions(caller, options, NAMES);
  const { lambda = 0, period = -1, tailPower = 1, floor = -1, epsilon = 1e-6 } = options;
  const { reduction = 'mean', seed = 0, checkValues } = options;
  checkNumber(caller, 'lambda', lambda, { min: -LAMBDA_LIMIT, max: LAMBDA_LIMIT });
  checkInteger(caller, 'period', period);
  checkNumber(caller, 'tailPower', tailPower, { min: 0 });
  checkNumber(caller, 'floor', floor, { below: 0 });
  checkNumber(caller, 'epsilon', epsilon, { min: 0 });
  checkOneOf(caller, 'reduction', reduction, ['none', 'mean', 'sum']);
  checkInteger(caller, 'seed', seed);
  if (checkValues !== undefined) shouldCheckValues(caller, checkValues);
  return { lambda, period, tailPower, floor, epsilon, reduction, seed, checkValues };
}
