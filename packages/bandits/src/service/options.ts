import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import type { Policy, PolicyState } from '../policy.js';
import { ENCODING_OPTIONS, type EncodingOptions } from './encoding.js';

/** What a bandit needs that is no part of its state. */
export interface BanditRuntime {
  /** The clock, in milliseconds; one that goes back counts as standing still. Default `Date.now` */
  readonly now?: () => number;
  /** Makes a policy of its saved state; only own policies need another. Default `policyFromJSON` */
  readonly restorePolicy?: (state: PolicyState) => Policy;
}

/** Options of `ContextualBandit`. */
export interface ContextualBanditOptions extends EncodingOptions, BanditRuntime {
  /** Of decisions and their ids, integer. Default 0 */
  readonly seed?: number;
  /** Decisions that may wait for their reward, ≥ 1; beyond, the oldest expires. Default 100 000 */
  readonly maxPending?: number;
  /** Milliseconds a decision may wait before it expires, > 0. Default ∞ */
  readonly maxAge?: number;
  /**
   * What a decision that expires is taken to have brought, within the policy's range: 0 where silence means that nobody
   * clicked. Default: nothing is learnt
   */
  readonly expiredReward?: number;
  /** Ids of settled decisions that are remembered, ≥ 0, to tell a duplicate from an unknown id. Default 100 000 */
  readonly maxSettled?: number;
}

/** The options that are saved, defaults filled in. */
export interface SavedOptions extends Required<EncodingOptions> {
  readonly seed: number;
  readonly maxPending: number;
  readonly maxAge: number;
  readonly expiredReward: number | null;
  readonly maxSettled: number;
}

const RUNTIME = ['now', 'restorePolicy'] as const;
const SAVED = ['seed', 'maxPending', 'maxAge', 'expiredReward', 'maxSettled'] as const;

function checkFunctions(caller: string, runtime: BanditRuntime): void {
  for (const name of RUNTIME) {
    const value = runtime[name];
    if (value === undefined || typeof value === 'function') continue;
    throw new TypeError(`${caller}: ${name} must be a function, got ${typeof value}`);
  }
}

/** Demands what {@link BanditRuntime} says. */
export function checkRuntime(caller: string, runtime: BanditRuntime): void {
  checkOptions(caller, runtime, RUNTIME);
  checkFunctions(caller, runtime);
}

/** Demands what {@link ContextualBanditOptions} says; those of the encoding are checked where they are used. */
export function checkBanditOptions(
  caller: string,
  policy: Policy,
  options: ContextualBanditOptions,
): Omit<SavedOptions, keyof EncodingOptions> {
  checkOptions(caller, options, [...RUNTIME, ...SAVED, ...ENCODING_OPTIONS]);
  checkFunctions(caller, options);
  const { seed = 0, maxPending = 100_000, maxAge = Infinity, maxSettled = 100_000 } = options;
  const { expiredReward = null } = options;
  checkInteger(caller, 'seed', seed);
  checkInteger(caller, 'maxPending', maxPending, { min: 1 });
  if (maxAge !== Infinity) checkNumber(caller, 'maxAge', maxAge, { above: 0 });
  checkInteger(caller, 'maxSettled', maxSettled, { min: 0 });
  if (expiredReward !== null) {
    const [min, max] = policy.range;
    checkNumber(caller, 'expiredReward', expiredReward, { min, max });
  }
  return { seed, maxPending, maxAge, expiredReward, maxSettled };
}
