/** Decisions with what they brought, out of a decision log: what off-policy evaluation, warm starts and exports read. */
import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import type { Stream } from '../offPolicy/evaluateOffPolicy.js';
import type { PlainAction, PlainFeatures } from '../service/features.js';
import { FifoMap } from '../service/fifoMap.js';
import { type ChooseEvent, parseEvent } from './events.js';

/** A decision and its outcome. It can be passed to `learnLogged` and to `probabilities` as it is. */
export interface LoggedDecision {
  readonly decisionId: string;
  /** When it was made, in milliseconds since 1970. */
  readonly time?: number;
  readonly context?: PlainFeatures;
  readonly actions?: readonly PlainAction[];
  /** 1 where the action was allowed. */
  readonly mask?: readonly number[];
  /** Index of the action that was taken. */
  readonly action: number;
  /** Probability with which it was taken. */
  readonly probability: number;
  /** Probabilities of all actions. */
  readonly probabilities?: readonly number[];
  /** What it brought: a loss where the policy's `feedback` is `'loss'`. */
  readonly reward: number;
  /** Importance, where the log was thinned out. */
  readonly weight?: number;
}

/** Options of {@link readDecisions}. */
export interface ReadDecisionsOptions {
  /** Decisions that may wait for their reward, ≥ 1; beyond, the oldest counts as unrewarded. Default 100 000 */
  readonly maxPending?: number;
  /** Reward of decisions that have none. Default: they are left out */
  readonly missingReward?: number;
}

const decisionOf = (event: ChooseEvent, reward: number): LoggedDecision => {
  const { id, time, context, actions, mask, index, probabilities } = event;
  return {
    decisionId: id,
    time,
    ...(context && { context }),
    ...(actions && { actions }),
    ...(mask && { mask }),
    action: index,
    probability: probabilities[index]!,
    probabilities,
    reward,
  };
};

/**
 * The rewarded decisions of a decision log, as a stream, in the order of their rewards; with `missingReward`, the others
 * too, when they leave or at the end. What was learnt by `learnLogged` is left out.
 *
 * @param lines - a whole log, without ends of lines, such as `readLines(path)` of `@orth/bandits/node`; the part of a log
 *   that was archived will do
 * @throws LogLineError that names a damaged line
 * @example
 * for await (const { action, reward } of readDecisions(readLines('decisions.jsonl'))) tally(action, reward);
 */
export async function* readDecisions(
  lines: Stream<string>,
  options: ReadDecisionsOptions = {},
): AsyncGenerator<LoggedDecision> {
  const caller = 'readDecisions';
  checkOptions(caller, options, ['maxPending', 'missingReward']);
  const { maxPending = 100_000, missingReward } = options;
  checkInteger(caller, 'maxPending', maxPending, { min: 1 });
  if (missingReward !== undefined) checkNumber(caller, 'missingReward', missingReward);
  const waiting = new FifoMap<ChooseEvent>();
  let number = 0;
  for await (const line of lines) {
    if (line === '') continue;
    const event = parseEvent(caller, line, number++);
    if (event.type === 'learn') {
      const decision = waiting.get(event.id);
      // One that was made before this log began is no part of it.
      if (!decision) continue;
      waiting.delete(event.id);
      yield decisionOf(decision, event.reward);
    }
    if (event.type !== 'choose') continue;
    waiting.add(event.id, event);
    if (waiting.size <= maxPending) continue;
    const [id, oldest] = waiting.oldest()!;
    waiting.delete(id);
    if (missingReward !== undefined) yield decisionOf(oldest, missingReward);
  }
  if (missingReward === undefined) return;
  for (const [, decision] of waiting) yield decisionOf(decision, missingReward);
}
