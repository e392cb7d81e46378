import { CheckpointError, checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { eventLine, type LogEvent } from '../logs/events.js';
import { type ReplayOptions, type ReplayResult, replayLines } from '../logs/replay.js';
import { policyFromJSON } from '../policies/policyFromJSON.js';
import type { Policy } from '../policy.js';
import { BanditCore } from './banditCore.js';
import { type ActionInput, type Features, plainAction, plainFeatures } from './features.js';
import {
  type BanditRuntime,
  type ContextualBanditOptions,
  checkBanditOptions,
  checkRuntime,
} from './options.js';
import { type ContextualBanditState, openState, restoreDecisions } from './savedBandit.js';

/** What a decision is to be made about. */
export interface DecisionRequest<A extends ActionInput = ActionInput> {
  /** Features that all actions share. Needed by policies with `actionCount`. */
  readonly context?: Features;
  /**
   * The actions to choose from: any number of them, with features, for policies without `actionCount`; else just as many
   * as it says, labels being enough, or none, which stands for 0, 1, 2, …
   */
  readonly actions?: readonly A[];
  /** `[K]`: which actions are allowed, by truth. Default all */
  readonly mask?: ArrayLike<boolean | number>;
  /** False takes the best action as far as is known. Default true */
  readonly explore?: boolean;
}

/** A decision to be made. */
export interface ChooseRequest<A extends ActionInput = ActionInput> extends DecisionRequest<A> {
  /**
   * Own id, not in use. Default: one that depends on the seed and the number of decisions. It can be guessed: where those
   * who send rewards are not trusted, give one that cannot, such as `crypto.randomUUID()`
   */
  readonly decisionId?: string;
}

/** What was decided. */
export interface Decision<A = number> {
  /** The chosen one of the `actions` given; its index where none were. */
  readonly action: A;
  /** Where it stands among the actions. */
  readonly index: number;
  /** Probability with which it was chosen: the one that off-policy evaluation needs. */
  readonly probability: number;
  /** `[K]`: probabilities of all actions. */
  readonly probabilities: number[];
  /** To be given to `learn`. */
  readonly decisionId: string;
}

/**
 * What became of a reward: `'learned'`; `'duplicate'`: that decision had its reward, this one was ignored; `'expired'`:
 * the decision was given up before, by age or because too many waited; `'unknown'`: there was no such decision, or it was
 * settled so long ago that it is forgotten. Only `'learned'` changes anything.
 */
export type LearnStatus = 'learned' | 'duplicate' | 'expired' | 'unknown';

/** An outcome of a decision that was made elsewhere. */
export interface LoggedOutcome extends Omit<DecisionRequest, 'explore' | 'mask'> {
  /** Index of the action that was taken. */
  readonly action: number;
  readonly reward: number;
  /** Probability with which it was taken. */
  readonly probability?: number;
  /** Importance in learning, ≥ 0. Default 1 */
  readonly weight?: number;
}

/** What happened so far. */
export interface BanditStatistics {
  /** Decisions made. */
  readonly decisions: number;
  /** Decisions whose reward was learnt. */
  readonly learned: number;
  /** Decisions that expired. */
  readonly expired: number;
  /** Decisions that wait. */
  readonly pending: number;
}

const REQUEST = ['context', 'actions', 'mask', 'explore', 'decisionId'] as const;
const CLASS = 'ContextualBandit';

/**
 * A policy in service: it chooses, remembers what it chose until the reward comes, and learns; rewards may come late, in
 * any order, twice, or never.
 *
 * Deterministic: randomness depends on `seed` and the number of decisions alone, so a log of what was asked and answered
 * rebuilds the state bit for bit. Everything is synchronous and on the host.
 *
 * When more than `maxPending` decisions wait, or one waits for more than `maxAge`, the oldest expires: it is learnt with
 * `expiredReward` if there is one, else forgotten. Times are looked at in `choose`, `learn` and `expire`.
 *
 * Rewards are losses where the policy's `feedback` is `'loss'`.
 *
 * @example
 * const bandit = new ContextualBandit(linUCB({ dim: 3 }), { seed: 1 });
 * const { decisionId, action } = bandit.choose({ context: [1], actions: [[0, 1], [1, 0]] });
 * bandit.learn(decisionId, 1); // 'learned'
 * bandit.learn(decisionId, 1); // 'duplicate'
 */
export class ContextualBandit {
  private core: BanditCore;
  private readonly now: () => number;
  private readonly runtime: BanditRuntime;
  private write: ((line: string) => void) | undefined;
  /** Lines that the log holds; undefined where what happened is not in one. */
  private lines: number | undefined;

  /**
   * @param policy - belongs to the bandit from here on
   * @throws TypeError or RangeError for unknown options and values outside their ranges
   */
  constructor(policy: Policy, options: ContextualBanditOptions = {}) {
    if (typeof policy?.distribution !== 'function') {
      throw new TypeError(`${CLASS}: policy must be a policy, got ${typeof policy}`);
    }
    const saved = checkBanditOptions(CLASS, policy, options);
    const { encoding, interactions, hashSeed, now = Date.now, restorePolicy } = options;
    this.core = new BanditCore(CLASS, policy, { ...saved, encoding, interactions, hashSeed });
    this.now = now;
    this.runtime = { now, ...(restorePolicy && { restorePolicy }) };
  }

  /** The policy, to look at: what it learnt past the bandit would not be logged. */
  get policy(): Policy {
    return this.core.policy;
  }

  /** What happened so far, before a restart included. */
  get statistics(): BanditStatistics {
    const { decisions, learned, expired } = this.core.counters;
    return { decisions, learned, expired, pending: this.core.store.pending.size };
  }

  /**
   * Chooses an action, and waits for its reward.
   *
   * @param request - context, actions, mask; an own `decisionId` must not be in use
   * @throws TypeError or RangeError for features of a wrong length or not finite, no action, none that is allowed, or an
   *   id in use; nothing is changed then, and the next decision is what it would have been
   */
  choose<A extends ActionInput>(
    request: ChooseRequest<A> & { readonly actions: readonly A[] },
  ): Decision<A>;
  choose(request: ChooseRequest): Decision;
  choose(request: ChooseRequest): Decision<unknown> {
    const caller = `${CLASS}.choose`;
    checkOptions(caller, request, REQUEST);
    const { context, actions, decisionId } = request;
    const round = this.core.round(caller, request);
    if (decisionId !== undefined) this.core.checkId(caller, decisionId);
    const time = this.clock(caller);
    this.expireLogged(time);
    const { id, index, probabilities: p } = this.core.decide(caller, round.round, decisionId);
    const probabilities = Array.from(p);
    const { mask, explore } = round.round;
    this.log(() => ({
      type: 'choose',
      time,
      id,
      ...plainRequest(context, actions),
      ...(mask && { mask: [...mask] }),
      ...(explore === false && { explore }),
      index,
      probabilities,
    }));
    const probability = probabilities[index]!;
    this.core.admit(round, { id, index, probability, time });
    const action = actions ? actions[index] : index;
    return { action, index, probability, probabilities, decisionId: id };
  }

  /**
   * Learns what a decision brought.
   *
   * @param reward - within the policy's range
   * @returns what became of it; see {@link LearnStatus}
   * @throws TypeError or RangeError for a reward that is no number, not finite or out of range; NonFiniteError where the
   *   policy's network would diverge; nothing is learnt then, and the decision goes on waiting
   */
  learn(decisionId: string, reward: number): LearnStatus {
    const caller = `${CLASS}.learn`;
    if (typeof decisionId !== 'string') {
      throw new TypeError(`${caller}: decisionId must be a string, got ${typeof decisionId}`);
    }
    this.core.checkReward(caller, reward);
    const time = this.clock(caller);
    const { store } = this.core;
    const decision = store.pending.get(decisionId);
    if (!decision || this.core.isLate(decision, time)) {
      this.expireLogged(time);
      const settled = store.settled.get(decisionId);
      if (decision) return 'expired';
      return settled === 'learned' ? 'duplicate' : (settled ?? 'unknown');
    }
    this.log(() => ({ type: 'learn', time, id: decisionId, reward }));
    this.core.expireAt(time);
    this.core.settle(decisionId, reward, time);
    return 'learned';
  }

  /**
   * Learns from a decision that was made elsewhere, such as one that `readDsjson` gives: a warm start.
   * @throws TypeError or RangeError for features, action, reward, probability or weight that do not fit; NonFiniteError
   *   where the policy's network would diverge; nothing is learnt then
   */
  learnLogged(outcome: LoggedOutcome): void {
    const caller = `${CLASS}.learnLogged`;
    const { context, actions, action: index, reward, probability, weight } = outcome;
    const { encoded } = this.core.round(caller, { context, actions });
    checkInteger(caller, 'action', index, { min: 0, below: encoded.count });
    this.core.checkReward(caller, reward);
    if (probability !== undefined) {
      checkNumber(caller, 'probability', probability, { above: 0, max: 1 });
    }
    if (weight !== undefined) checkNumber(caller, 'weight', weight, { min: 0 });
    const time = this.clock(caller);
    this.expireLogged(time);
    const observed = {
      time,
      index,
      reward,
      ...(probability !== undefined && { probability }),
      ...(weight !== undefined && { weight }),
    };
    this.log(() => ({ type: 'observe', ...observed, ...plainRequest(context, actions) }));
    this.core.observe(observed, encoded);
  }

  /**
   * Gives up decisions that have waited for more than `maxAge`; `choose` and `learn` do so themselves.
   * @returns how many
   */
  expire(): number {
    const before = this.core.counters.expired;
    this.expireLogged(this.clock(`${CLASS}.expire`));
    return this.core.counters.expired - before;
  }

  /**
   * `[K]`: probabilities that the next decision would have, without making it: to look, or for off-policy evaluation.
   * Whatever else the request holds is ignored, so that a logged decision will do.
   * @throws as `choose`
   */
  probabilities(request: DecisionRequest): Float64Array {
    const caller = `${CLASS}.probabilities`;
    return this.core.decide(caller, this.core.round(caller, request).round).probabilities;
  }

  /**
   * `[K]`: expected rewards, without exploration.
   * @throws as `choose`
   */
  predict(request: DecisionRequest): Float64Array {
    return this.core.policy.predict(this.core.round(`${CLASS}.predict`, request).round);
  }

  /** The whole state, from which {@link ContextualBandit.fromJSON} continues bit for bit. */
  toJSON(): ContextualBanditState {
    return this.core.toJSON();
  }

  /**
   * A bandit that continues from a saved state.
   *
   * @param state - what `toJSON` gave, or what `JSON.parse` made of it
   * @throws CheckpointError if the state is damaged or of something else
   */
  static fromJSON(state: unknown, runtime: BanditRuntime = {}): ContextualBandit {
    const caller = `${CLASS}.fromJSON`;
    checkRuntime(caller, runtime);
    const { options, policy: saved, data } = openState(caller, state);
    const policy = (runtime.restorePolicy ?? policyFromJSON)(saved);
    let bandit: ContextualBandit;
    try {
      bandit = new ContextualBandit(policy, { ...options, ...runtime });
    } catch (error) {
      throw new CheckpointError(`${caller}: ${error instanceof Error ? error.message : error}`);
    }
    bandit.core.counters = restoreDecisions(caller, data, policy, bandit.core.store);
    return bandit;
  }

  /**
   * Begins a log: writes a line with the present state, and from here on one before each change. Where writing throws,
   * the change does not happen and the error goes to the caller.
   *
   * @param write - appends a line and its end; `openBandit` of `@orth/bandits/node` does so with a file
   */
  startLog(write: (line: string) => void): void {
    const caller = `${CLASS}.startLog`;
    checkWrite(caller, write);
    const time = this.clock(caller);
    const format = 'orth-bandits-log';
    write(eventLine(0, { type: 'start', format, version: 1, time, state: this.toJSON() }));
    this.write = write;
    this.lines = 1;
  }

  /**
   * Rebuilds the state that a log describes, in place of this bandit's own.
   *
   * @param lines - a whole log, without ends of lines; empty ones at its end are ignored
   * @returns what was read; then `resumeLog` continues the log
   * @throws LogLineError naming the line that is damaged, missing, repeated or of a bandit with other options than this
   *   one's; this bandit is unchanged then
   */
  replay(lines: Iterable<string>, options: ReplayOptions = {}): ReplayResult {
    const { bandit, ...result } = replayLines(lines, options, {
      own: this.toJSON(),
      restore: (state) => ContextualBandit.fromJSON(state, this.runtime).core,
      apply: (core, event, verify) => core.apply(`${CLASS}.replay`, event, verify),
    });
    this.core = bandit;
    this.write = undefined;
    this.lines = result.lines;
    return result;
  }

  /**
   * Continues the log that was just replayed.
   *
   * @param write - as for `startLog`
   * @throws Error if none was, or if something has been decided or learnt since
   */
  resumeLog(write: (line: string) => void): void {
    const caller = `${CLASS}.resumeLog`;
    checkWrite(caller, write);
    if (this.lines === undefined || this.write) {
      throw new Error(`${caller}: a log must be replayed just before`);
    }
    this.write = write;
  }

  private log(event: () => LogEvent): void {
    if (!this.write) {
      this.lines = undefined;
      return;
    }
    this.write(eventLine(this.lines!, event()));
    this.lines!++;
  }

  private expireLogged(time: number): void {
    if (!this.core.store.due(time)) return;
    this.log(() => ({ type: 'expire', time }));
    this.core.expireAt(time);
  }

  private clock(caller: string): number {
    const time = this.now();
    if (!Number.isFinite(time)) checkNumber(caller, 'now()', time);
    return Math.max(time, this.core.counters.time);
  }
}

function checkWrite(caller: string, write: unknown): void {
  if (typeof write === 'function') return;
  throw new TypeError(`${caller}: write must be a function, got ${typeof write}`);
}

/** Context and actions as a log holds them. */
const plainRequest = (
  context: Features | undefined,
  actions: readonly ActionInput[] | undefined,
) => ({
  ...(context !== undefined && { context: plainFeatures(context) }),
  ...(actions && { actions: actions.map(plainAction) }),
});
