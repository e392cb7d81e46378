import { checkBoolean, checkOptions } from '@orth/backend';
import { type LogEvent, LogLineError, parseEvent } from './events.js';

/** Options of `ContextualBandit.replay`. */
export interface ReplayOptions {
  /**
   * Decides everything again, and refuses a log whose decisions come out otherwise: the policy's code has changed, or
   * something was learnt that is not in the log. Takes as long as the decisions took. Default false
   */
  readonly verify?: boolean;
  /** Leaves out a last line that is damaged, as a crash in the middle of a write leaves it. Default false */
  readonly allowTornLine?: boolean;
}

/** What a replay read. */
export interface ReplayResult {
  /** Whole lines. */
  readonly lines: number;
  /** Decisions. */
  readonly decisions: number;
  /** Rewards learnt. */
  readonly rewards: number;
  /** Whether a last line was left out. */
  readonly torn: boolean;
}

/** What {@link replayLines} needs of a bandit. */
export interface Replayable<B> {
  /** The bandit's own state, whose options the log's must equal. */
  readonly own: { readonly options: object; readonly policy: object };
  restore(state: unknown): B;
  apply(bandit: B, event: LogEvent, verify: boolean): void;
}

const isObject = (x: unknown): x is Record<string, unknown> => typeof x === 'object' && x !== null;

/** Where two JSON values first differ. */
function difference(a: unknown, b: unknown, path: string): string | undefined {
  if (!isObject(a) || !isObject(b)) {
    return a === b ? undefined : `${path} was ${JSON.stringify(a)} and is ${JSON.stringify(b)}`;
  }
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const found = difference(a[key], b[key], path ? `${path}.${key}` : key);
    if (found) return found;
  }
  return undefined;
}

/** What a policy or a bandit was made with. */
const made = (state: unknown) => {
  const { options, policy } = (isObject(state) ? state : {}) as Record<string, unknown>;
  const { policy: name, options: own } = (isObject(policy) ? policy : {}) as Record<
    string,
    unknown
  >;
  return { options, policy: name, policyOptions: own };
};

/**
 * Makes of a log the bandit that wrote it.
 * @throws LogLineError that names the line
 */
export function replayLines<B>(
  lines: Iterable<string>,
  options: ReplayOptions,
  { own, restore, apply }: Replayable<B>,
): ReplayResult & { readonly bandit: B } {
  const caller = 'ContextualBandit.replay';
  checkOptions(caller, options, ['verify', 'allowTornLine']);
  const { verify = false, allowTornLine = false } = options;
  checkBoolean(caller, 'verify', verify);
  checkBoolean(caller, 'allowTornLine', allowTornLine);
  let bandit: B | undefined;
  let count = 0;
  let decisions = 0;
  let rewards = 0;
  let bad: LogLineError | undefined;
  let empty = 0;
  const take = (line: string) => {
    const event = parseEvent(caller, line, count);
    try {
      if (event.type === 'start') {
        const other = difference(made(event.state), made(own), '');
        if (other) throw new RangeError(`must be of a bandit with the same options, but ${other}`);
        bandit = restore(event.state);
      } else apply(bandit!, event, verify);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      throw new LogLineError(`${caller}: line ${count + 1}: ${text}`, count + 1);
    }
    count++;
    if (event.type === 'choose') decisions++;
    if (event.type === 'learn') rewards++;
  };
  for (const line of lines) {
    if (bad) throw bad;
    if (line === '') {
      empty++;
      continue;
    }
    try {
      if (empty > 0) {
        throw new LogLineError(`${caller}: line ${count + 1} must not be empty`, count + 1);
      }
      take(line);
    } catch (error) {
      if (!allowTornLine || count === 0 || !(error instanceof LogLineError)) throw error;
      bad = error;
    }
  }
  if (!bandit) throw new LogLineError(`${caller}: line 1 must begin a log, got none`, 1);
  return { bandit, lines: count, decisions, rewards, torn: bad !== undefined };
}
