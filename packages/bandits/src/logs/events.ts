/**
 * Lines of a decision log: one JSON object a line, numbered from 0, each with a checksum as its last key, so that a line
 * that is torn, altered, missing or repeated is recognised. Line 0 holds the state with which the log begins.
 */

import type { PlainAction, PlainFeatures } from '../service/features.js';
import { crc32 } from './crc32.js';

/** First line: the bandit as it was when the log began. */
export interface StartEvent {
  readonly type: 'start';
  readonly format: 'orth-bandits-log';
  readonly version: 1;
  readonly time: number;
  /** `ContextualBandit.toJSON()`. */
  readonly state: unknown;
}

/** A decision. */
export interface ChooseEvent {
  readonly type: 'choose';
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly id: string;
  readonly context?: PlainFeatures;
  readonly actions?: readonly PlainAction[];
  /** 1 where the action was allowed. */
  readonly mask?: readonly number[];
  /** False where it was asked for without exploration. */
  readonly explore?: boolean;
  /** Index of the action that was chosen. */
  readonly index: number;
  /** Probabilities of all actions. */
  readonly probabilities: readonly number[];
}

/** A reward that was learnt. */
export interface LearnEvent {
  readonly type: 'learn';
  readonly time: number;
  readonly id: string;
  readonly reward: number;
}

/** Something learnt that was decided elsewhere. */
export interface ObserveEvent {
  readonly type: 'observe';
  readonly time: number;
  readonly context?: PlainFeatures;
  readonly actions?: readonly PlainAction[];
  readonly index: number;
  readonly reward: number;
  readonly probability?: number;
  readonly weight?: number;
}

/** Old decisions were given up. */
export interface ExpireEvent {
  readonly type: 'expire';
  readonly time: number;
}

/** What a line holds. */
export type LogEvent = StartEvent | ChooseEvent | LearnEvent | ObserveEvent | ExpireEvent;

/** A line of a log is not what it was when it was written. */
export class LogLineError extends Error {
  override readonly name = 'LogLineError';
  constructor(
    message: string,
    /** Counted from 1. */
    readonly line: number,
  ) {
    super(message);
  }
}

const MARK = ',"crc":"';
/** `,"crc":"xxxxxxxx"}` */
const TAIL = MARK.length + 10;

/** An object as a line, its checksum last; without the line's end. */
export function sealLine(value: object): string {
  const text = JSON.stringify(value).slice(0, -1);
  return `${text}${MARK}${crc32(text)}"}`;
}

/** The object of a sealed line, or why it is none. */
export function openLine(line: string): { value: Record<string, unknown> } | { problem: string } {
  const text = line.slice(0, -TAIL);
  if (!line.startsWith('{') || line.slice(-TAIL, -10) !== MARK || !line.endsWith('"}')) {
    return { problem: 'is torn or was never written here' };
  }
  const sum = line.slice(-10, -2);
  const want = crc32(text);
  if (sum !== want) return { problem: `was altered: its checksum is ${want}, not ${sum}` };
  try {
    return { value: JSON.parse(`${text}}`) as Record<string, unknown> };
  } catch {
    return { problem: 'holds no JSON' };
  }
}

/** A line with its number in the log. */
export const eventLine = (number: number, event: LogEvent): string =>
  sealLine({ n: number, ...event });

const TYPES: readonly string[] = ['start', 'choose', 'learn', 'observe', 'expire'];

/**
 * Reads a line of a log.
 *
 * @param caller - the function named in errors
 * @param line - without its end
 * @param number - its number in the log, from 0
 * @throws LogLineError that names the line, counted from 1
 */
export function parseEvent(caller: string, line: string, number: number): LogEvent {
  const fail = (problem: string): never => {
    throw new LogLineError(`${caller}: line ${number + 1} ${problem}`, number + 1);
  };
  const opened = openLine(line);
  if ('problem' in opened) return fail(opened.problem);
  const { n, ...event } = opened.value;
  if (n !== number) return fail(`must have number ${number}, got ${String(n)}`);
  if (!TYPES.includes(event.type as string)) {
    return fail(`must hold a known event, got ${String(event.type)}`);
  }
  if ((event.type === 'start') !== (number === 0)) {
    return fail(number === 0 ? 'must begin a log' : 'must not begin a log');
  }
  // What was written with its checksum has the form it was written in.
  return event as unknown as LogEvent;
}
