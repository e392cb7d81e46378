import { CheckpointError } from '@orth/backend';
import type { Json, Policy, PolicyState } from '../policy.js';
import { encodeNumbers, fromPlain, SavedData, toPlain } from '../stateCodec.js';
import type { DecisionStore, PendingDecision, Settled } from './decisions.js';
import type { SavedOptions } from './options.js';

/** Everything that a `ContextualBandit` is, as plain JSON. */
export interface ContextualBanditState {
  readonly format: 'orth-bandits-service';
  readonly version: 1;
  /** The options of the constructor, defaults filled in; ∞ as a word. */
  readonly options: { readonly [key: string]: Json };
  readonly policy: PolicyState;
  /** Counters, and decisions that wait for their reward. */
  readonly data: { readonly [key: string]: Json };
}

/** What changes while a bandit is used, besides its policy. */
export interface BanditCounters {
  /** Decisions made; the next one's randomness depends on it. */
  decisions: number;
  /** Decisions whose reward was learnt. */
  learned: number;
  /** Decisions that expired. */
  expired: number;
  /** Greatest time seen, in milliseconds. */
  time: number;
  /** Features of dense contexts; undefined before the first. */
  contextLength: number | undefined;
}

function pendingToJSON(id: string, decision: PendingDecision): Json {
  const { time, action, probability, row, round } = decision;
  const base = { id, time, action, probability, row: encodeNumbers(row) };
  if (!round) return base;
  const rows = encodeNumbers(round.rows);
  return { ...base, round: round.mask ? { rows, mask: [...round.mask] } : { rows } };
}

/** A bandit as plain JSON. */
export function saveBandit(
  options: SavedOptions,
  policy: PolicyState,
  { contextLength, ...counters }: BanditCounters,
  store: DecisionStore,
): ContextualBanditState {
  return {
    format: 'orth-bandits-service',
    version: 1,
    options: toPlain(options) as { readonly [key: string]: Json },
    policy,
    data: {
      ...counters,
      contextLength: contextLength ?? null,
      pending: [...store.pending].map(([id, decision]) => pendingToJSON(id, decision)),
      settled: [...store.settled].map(([id, how]) => [id, how]),
    },
  };
}

const isRecord = (x: unknown): x is Record<string, unknown> =>
  typeof x === 'object' && x !== null && !Array.isArray(x);

/** The parts of a saved bandit, before they are looked into. */
export function openState(caller: string, state: unknown) {
  if (
    !isRecord(state) ||
    state.format !== 'orth-bandits-service' ||
    !isRecord(state.options) ||
    !isRecord(state.policy) ||
    !isRecord(state.data)
  ) {
    throw new CheckpointError(`${caller}: state must be what ContextualBandit.toJSON gave`);
  }
  if (state.version !== 1) {
    throw new CheckpointError(`${caller}: state must have version 1, got ${String(state.version)}`);
  }
  const { expiredReward, ...options } = fromPlain(state.options as Json) as Record<string, unknown>;
  return {
    options: expiredReward === null ? options : { ...options, expiredReward },
    policy: state.policy as unknown as PolicyState,
    data: state.data,
  };
}

/** Fills an empty store, and gives the counters. Whatever does not fit throws a `CheckpointError`. */
export function restoreDecisions(
  caller: string,
  data: Record<string, unknown>,
  policy: Policy,
  store: DecisionStore,
): BanditCounters {
  const fail = (what: string): never => {
    throw new CheckpointError(`${caller}: ${what}`);
  };
  const saved = new SavedData(caller, data);
  const { time, contextLength, pending, settled } = data;
  if (typeof time !== 'number' || !Number.isFinite(time)) fail('data.time must be a finite number');
  if (contextLength !== null) saved.count('contextLength');
  if (!Array.isArray(pending) || !Array.isArray(settled)) {
    return fail('data.pending and data.settled must be lists');
  }
  let last = Number.NEGATIVE_INFINITY;
  for (const [i, entry] of pending.entries()) {
    const where = `data.pending[${i}]`;
    const part = new SavedData(caller, entry, where);
    const { id, time: made, probability, round } = entry as Record<string, unknown>;
    if (typeof id !== 'string' || store.knows(id)) fail(`${where}.id must be a word of its own`);
    if (typeof made !== 'number' || !(made >= last) || made > (time as number)) {
      fail(`${where}.time must not be before the last nor after data.time`);
    }
    if (typeof probability !== 'number' || !(probability > 0 && probability <= 1)) {
      fail(`${where}.probability must be in (0, 1]`);
    }
    const action = part.count('action');
    if (action >= (policy.actionCount ?? Infinity)) fail(`${where}.action must be an action`);
    last = made as number;
    store.pending.add(id as string, {
      time: last,
      action,
      probability: probability as number,
      row: part.numbers('row', policy.dim),
      ...(round !== undefined && { round: restoreRound(fail, where, part, round, policy) }),
    });
  }
  for (const [i, entry] of settled.entries()) {
    const [id, how] = Array.isArray(entry) ? entry : [];
    if (typeof id !== 'string' || store.knows(id) || (how !== 'learned' && how !== 'expired')) {
      fail(`data.settled[${i}] must be an id of its own and how it was settled`);
    }
    store.settled.add(id, how as Settled);
  }
  return {
    decisions: saved.count('decisions'),
    learned: saved.count('learned'),
    expired: saved.count('expired'),
    time: time as number,
    contextLength: (contextLength as number | null) ?? undefined,
  };
}

function restoreRound(
  fail: (what: string) => never,
  where: string,
  part: SavedData,
  round: unknown,
  { dim, actionCount }: Policy,
): NonNullable<PendingDecision['round']> {
  const rows = part.part('round').numbers('rows');
  const K = actionCount ?? rows.length / dim;
  const whole = actionCount === undefined ? Number.isInteger(K) : rows.length === dim;
  if (rows.length === 0 || !whole) {
    fail(`${where}.round.rows must hold rows of ${dim} numbers`);
  }
  const { mask } = round as { mask?: unknown };
  if (mask === undefined) return { rows };
  const isMask = Array.isArray(mask) && mask.length === K && mask.every((x) => x === 0 || x === 1);
  if (!isMask) fail(`${where}.round.mask must hold 0 or 1 for each of ${K} actions`);
  return { rows, mask: Uint8Array.from(mask as number[]) };
}
