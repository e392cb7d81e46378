import { checkNumber, NonFiniteError, type Random, seededRandom } from '@orth/backend';
import type { ChooseEvent, LogEvent, ObserveEvent } from '../logs/events.js';
import type { Policy, Round } from '../policy.js';
import { DecisionStore, type PendingDecision } from './decisions.js';
import { type EncodedRound, Encoding } from './encoding.js';
import type { ActionInput, Features } from './features.js';
import type { SavedOptions } from './options.js';
import { type BanditCounters, type ContextualBanditState, saveBandit } from './savedBandit.js';

/** A request, less what only `choose` has. */
export interface CoreRequest {
  readonly context?: Features;
  readonly actions?: readonly ActionInput[];
  readonly mask?: ArrayLike<boolean | number>;
  readonly explore?: boolean;
}

/** A request that was checked. */
export interface CoreRound {
  readonly encoded: EncodedRound;
  readonly round: Round;
}

/** A decision before anything is changed. */
export interface CoreDecision {
  readonly id: string;
  readonly index: number;
  readonly probabilities: Float64Array;
}

function checkMask(caller: string, mask: ArrayLike<boolean | number>, count: number): Uint8Array {
  if (typeof mask !== 'object' || mask === null || mask.length !== count) {
    const got = typeof mask === 'object' && mask !== null ? `length ${mask.length}` : typeof mask;
    throw new RangeError(
      `${caller}: mask must have an entry for each of ${count} actions, got ${got}`,
    );
  }
  const allowed = Uint8Array.from(mask as ArrayLike<number>, (x) => (x ? 1 : 0));
  if (allowed.includes(1)) return allowed;
  throw new RangeError(`${caller}: mask must allow an action, got none`);
}

/** Rounding may leave a probability a little above 1, which nobody who reads the log would accept. */
function clampToUnit(probabilities: Float64Array): void {
  for (let a = 0; a < probabilities.length; a++) {
    if (probabilities[a]! > 1) probabilities[a] = 1;
  }
}

/** First action whose cumulative probability is above `u`; rounding leaves the last possible one. */
function sample(caller: string, probabilities: Float64Array, u: number): number {
  let sum = 0;
  for (let a = 0; a < probabilities.length; a++) sum += probabilities[a]!;
  if (!(Math.abs(sum - 1) < 1e-6)) {
    throw new RangeError(`${caller}: the policy's probabilities must sum to 1, got ${sum}`);
  }
  let last = 0;
  let cumulative = 0;
  for (let a = 0; a < probabilities.length; a++) {
    if (probabilities[a]! <= 0) continue;
    last = a;
    cumulative += probabilities[a]!;
    if (u * sum < cumulative) return a;
  }
  return last;
}

/**
 * Whether something was learnt. A network that diverges refuses an observation and stays as it was; since it does so
 * again when a log is replayed, a refusal is an event like others and must not end what depends on it.
 */
function accepted(learn: () => void): boolean {
  try {
    learn();
    return true;
  } catch (error) {
    if (error instanceof NonFiniteError) return false;
    throw error;
  }
}

/**
 * A bandit without clock and log: every change is a function of the state and of one event, so that replaying the events
 * gives the state again.
 */
export class BanditCore {
  private readonly encoding: Encoding;
  private readonly root: Random;
  readonly options: SavedOptions;
  readonly store: DecisionStore;

  constructor(
    caller: string,
    readonly policy: Policy,
    options: ConstructorParameters<typeof Encoding>[3] &
      Omit<SavedOptions, keyof Encoding['options']>,
    public counters: BanditCounters = {
      decisions: 0,
      learned: 0,
      expired: 0,
      time: 0,
      contextLength: undefined,
    },
  ) {
    this.encoding = new Encoding(caller, policy.dim, policy.actionCount, options);
    this.options = { ...options, ...this.encoding.options };
    this.root = seededRandom(options.seed);
    this.store = new DecisionStore(options.maxPending, options.maxAge, options.maxSettled);
  }

  /** Checks a request and encodes it. */
  round(caller: string, { context, actions, mask, explore }: CoreRequest): CoreRound {
    if (explore !== undefined && typeof explore !== 'boolean') {
      throw new TypeError(`${caller}: explore must be true or false, got ${typeof explore}`);
    }
    const { contextLength } = this.counters;
    const encoded = this.encoding.encode(caller, context, actions, contextLength);
    const round: Round = {
      features: encoded.rows,
      ...(mask !== undefined && { mask: checkMask(caller, mask, encoded.count) }),
      ...(explore !== undefined && { explore }),
    };
    return { encoded, round };
  }

  /** Demands an id that is not in use. */
  checkId(caller: string, id: unknown): void {
    if (typeof id !== 'string' || id === '') {
      throw new TypeError(`${caller}: decisionId must be a non-empty string, got ${typeof id}`);
    }
    if (this.store.knows(id)) {
      throw new RangeError(`${caller}: decisionId must not be in use, got ${JSON.stringify(id)}`);
    }
  }

  /** Demands a reward within the policy's range. */
  checkReward(caller: string, reward: number): void {
    const [min, max] = this.policy.range;
    // The check writes its message first, which is slow: only where it will be needed.
    if (Number.isFinite(reward) && reward >= min && reward <= max) return;
    checkNumber(caller, this.policy.feedback, reward, { min, max });
  }

  /** Whether a decision has waited for too long. */
  isLate(decision: PendingDecision, time: number): boolean {
    return time - decision.time > this.options.maxAge;
  }

  /** Decides, and changes nothing: the next decision's randomness depends on the number of decisions alone. */
  decide(caller: string, round: Round, ownId?: string): CoreDecision {
    const random = this.root.fork(this.counters.decisions);
    const u = random.uniform();
    // Drawn also where it is not needed, so that an own id does not change the decision.
    const word = random.integer(0, 0xffffffff).toString(16).padStart(8, '0');
    const probabilities = this.policy.distribution(round, random);
    const index = sample(caller, probabilities, u);
    clampToUnit(probabilities);
    if (ownId !== undefined) return { id: ownId, index, probabilities };
    let id = `${this.counters.decisions.toString(36)}-${word}`;
    while (this.store.knows(id)) id += '-';
    return { id, index, probabilities };
  }

  /** Notes a decision that was made. */
  admit(
    { encoded, round }: CoreRound,
    {
      id,
      index,
      probability,
      time,
    }: { id: string; index: number; probability: number; time: number },
  ): void {
    const { dim, actionCount, needsRound } = this.policy;
    const { rows, count, contextLength } = encoded;
    const { mask } = round;
    const start = index * dim;
    // A row of its own: a view would keep the rows of all actions alive.
    const row = count === 1 || actionCount !== undefined ? rows : rows.slice(start, start + dim);
    this.counters.decisions++;
    this.counters.time = time;
    this.counters.contextLength ??= contextLength;
    this.store.pending.add(id, {
      time,
      action: index,
      probability,
      row,
      ...(needsRound && { round: mask ? { rows, mask } : { rows } }),
    });
    this.expireAt(time);
  }

  /** Learns what a waiting decision brought. */
  settle(id: string, reward: number, time: number): void {
    this.update(this.store.pending.get(id)!, reward);
    this.counters.time = time;
    this.counters.learned++;
    this.store.settle(id, 'learned');
  }

  /** Gives up what is too old or too much, learnt or not. */
  expireAt(time: number): void {
    const { expiredReward } = this.options;
    for (let due = this.store.due(time); due; due = this.store.due(time)) {
      this.counters.time = time;
      if (expiredReward !== null) accepted(() => this.update(due[1], expiredReward));
      this.counters.expired++;
      this.store.settle(due[0], 'expired');
    }
  }

  private update({ row, action, probability, round }: PendingDecision, reward: number): void {
    const mask = round?.mask;
    this.policy.update({
      features: row,
      action,
      outcome: reward + 0,
      probability,
      ...(round && { round: { features: round.rows, ...(mask && { mask }) } }),
    });
  }

  /** Learns what was decided elsewhere. */
  observe(event: Omit<ObserveEvent, 'type'>, { rows, contextLength }: EncodedRound): void {
    const { dim, actionCount, needsRound } = this.policy;
    const { time, index, reward, probability, weight } = event;
    const start = actionCount === undefined ? index * dim : 0;
    this.policy.update({
      features: rows.slice(start, start + dim),
      action: index,
      outcome: reward + 0,
      ...(probability !== undefined && { probability }),
      ...(weight !== undefined && { weight }),
      ...(needsRound && { round: { features: rows } }),
    });
    this.counters.time = time;
    this.counters.contextLength ??= contextLength;
  }

  /** Does what an event of a log says. */
  apply(caller: string, event: LogEvent, verify: boolean): void {
    if (event.type === 'start') return;
    this.expireAt(event.time);
    if (event.type === 'choose') this.applyChoose(caller, event, verify);
    if (event.type === 'observe') {
      const { encoded } = this.round(caller, event);
      accepted(() => this.observe(event, encoded));
    }
    if (event.type !== 'learn') return;
    if (!this.store.pending.has(event.id)) {
      throw new RangeError(`${caller}: decision ${event.id} must wait for its reward`);
    }
    this.checkReward(caller, event.reward);
    accepted(() => this.settle(event.id, event.reward, event.time));
  }

  private applyChoose(caller: string, event: ChooseEvent, verify: boolean): void {
    const { id, time, index, probabilities } = event;
    const coreRound = this.round(caller, event);
    this.checkId(caller, id);
    const probability = probabilities[index];
    checkNumber(caller, 'probability', probability, { above: 0, max: 1 });
    if (verify) {
      const again = this.decide(caller, coreRound.round, id);
      if (again.index !== index || again.probabilities.some((p, a) => p !== probabilities[a])) {
        throw new RangeError(`${caller}: the decision must come out as it did`);
      }
    }
    this.admit(coreRound, { id, index, probability, time });
  }

  /** The whole state. */
  toJSON(): ContextualBanditState {
    return saveBandit(this.options, this.policy.toJSON(), this.counters, this.store);
  }
}
