import {
  CheckpointError,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
} from '@orth/backend';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import type { MatrixInput } from './denseMatrix.js';
import type { OnlineDictionaryState } from './dictionaryState.js';
import { checkExponent } from './dictionaryStep.js';

/**
 * Polar factor of the averaged gradient: `'newtonSchulz'` (products on the device, nothing read back), `'exact'`
 * (singular vectors on the host in float64, a partial isometry where the gradient lacks rank; quicker for small N), or
 * a function that returns a new tensor.
 */
export type DictionaryPolar = 'newtonSchulz' | 'exact' | ((G: Tensor2D) => Tensor2D);

/** Options of `OnlineOrthogonalDictionary`. */
export interface OnlineDictionaryOptions {
  /** Exponent of the norm of the codes that is maximised, > 2; 3 and 4 are usual. Default 3 */
  readonly p?: number;
  /** Weight of a batch's gradient in the running mean, in (0, 1], for step t = 1, 2, … Default `min(1, 4 (t+1)^−1/2)` */
  readonly rho?: (t: number) => number;
  /** Frank–Wolfe step, in (0, 1]. Default `min(1, 2 (t+2)^−3/4)` */
  readonly gamma?: (t: number) => number;
  /** Default `'newtonSchulz'` */
  readonly polar?: DictionaryPolar;
  /** Singular values of the gradient up to this share of the largest count as 0; `'exact'` only. Default 1e−5 */
  readonly rankTolerance?: number;
  /** Start, shape `[N, N]`, spectral norm at most 1. Default: random orthogonal */
  readonly init?: MatrixInput;
  /** Seed of the random start, integer. Default 0 */
  readonly seed?: number;
  /** A batch with NaN or an infinity throws, or is skipped and counted. The dictionary stays as it was. Default `'throw'` */
  readonly onNonFinite?: 'throw' | 'skip';
}

const KEYS = ['p', 'rho', 'gamma', 'polar', 'rankTolerance', 'init', 'seed', 'onNonFinite'];

/** `min(1, 4 (t+1)^−1/2)`: not clipped it exceeds 1 for t < 15 and turns the sign of the memory. */
export const defaultRho = (t: number): number => Math.min(1, 4 / Math.sqrt(t + 1));

/** `min(1, 2 (t+2)^−3/4)`. */
export const defaultGamma = (t: number): number => Math.min(1, 2 * (t + 2) ** -0.75);

/** Options with all defaults filled in. */
export interface ResolvedDictionaryOptions {
  readonly p: number;
  readonly rho: (t: number) => number;
  readonly gamma: (t: number) => number;
  readonly polar: DictionaryPolar;
  readonly rankTolerance: number;
  readonly init: MatrixInput | undefined;
  readonly seed: number;
  readonly onNonFinite: 'throw' | 'skip';
}

/** @throws TypeError or RangeError for a wrong option */
export function resolveDictionaryOptions(
  caller: string,
  options: OnlineDictionaryOptions,
): ResolvedDictionaryOptions {
  checkOptions(caller, options, KEYS);
  const { p = 3, rho = defaultRho, gamma = defaultGamma, polar = 'newtonSchulz' } = options;
  const { rankTolerance = 1e-5, seed = 0, onNonFinite = 'throw', init } = options;
  checkExponent(caller, p);
  for (const [name, schedule] of Object.entries({ rho, gamma })) {
    if (typeof schedule === 'function') continue;
    throw new TypeError(
      `${caller}: ${name} must be a function of the step, got ${typeof schedule}`,
    );
  }
  if (typeof polar !== 'function') checkOneOf(caller, 'polar', polar, ['newtonSchulz', 'exact']);
  checkNumber(caller, 'rankTolerance', rankTolerance, { min: 0, below: 1 });
  checkInteger(caller, 'seed', seed);
  checkOneOf(caller, 'onNonFinite', onNonFinite, ['throw', 'skip']);
  return { p, rho, gamma, polar, rankTolerance, init, seed, onNonFinite };
}

/** What must be given again on restoring: functions are not part of a saved state. */
export type RestoreDictionaryOptions = Pick<
  OnlineDictionaryOptions,
  'rho' | 'gamma' | 'polar' | 'rankTolerance' | 'onNonFinite'
>;

/** Options for going on from a saved state. */
export function optionsFromState(
  caller: string,
  state: OnlineDictionaryState,
  options: RestoreDictionaryOptions,
): OnlineDictionaryOptions {
  checkOptions(caller, options, ['rho', 'gamma', 'polar', 'rankTolerance', 'onNonFinite']);
  const own = { rho: state.customRho, gamma: state.customGamma, polar: state.polar === 'custom' };
  for (const key of ['rho', 'gamma', 'polar'] as const) {
    if (own[key] !== (typeof options[key] === 'function') && (own[key] || key !== 'polar')) {
      const rule = own[key] ? 'needs the function that was used' : 'was saved without a function';
      throw new CheckpointError(`${caller}: state ${rule} as ${key}`);
    }
  }
  const saved = state.polar === 'custom' ? {} : { polar: state.polar };
  return { ...saved, ...options, p: state.p };
}
