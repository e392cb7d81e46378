import { checkOptions } from '@orth/backend';
import {
  OFF_POLICY_OPTIONS,
  type OffPolicyEvaluation,
  OffPolicyEvaluator,
  type OffPolicyOptions,
} from './evaluator.js';
import type { OffPolicyRound } from './terms.js';

/** A stream: a log in memory, or one that is read as it is needed. */
export type Stream<T> = Iterable<T> | AsyncIterable<T>;

/** The least that off-policy evaluation needs of a logged decision. */
export type PlayedAction = Pick<OffPolicyRound, 'action' | 'probability' | 'reward'>;

/** Options of {@link progressiveValidation}. */
export interface ProgressiveOptions extends OffPolicyOptions {
  /** Ends the evaluation early, with the signal's reason as the error. */
  readonly signal?: AbortSignal;
}

/** Options of {@link evaluateOffPolicy}. */
export interface EvaluateOptions<R> extends ProgressiveOptions {
  /** `[K]`: rewards that a model expects of each action of a round; gives DM, DR and their relatives. Default: none */
  readonly model?: (round: R) => ArrayLike<number>;
}

/** What learns while it is evaluated. */
export interface ProgressiveLearner<R> {
  /** `[K]`: probabilities for a round it has not learnt from. */
  readonly probabilities: (round: R) => ArrayLike<number>;
  /** Learns from the round. */
  readonly learn: (round: R) => void;
  /** `[K]`: expected rewards for a round it has not learnt from; gives DM, DR and their relatives. */
  readonly predict?: (round: R) => ArrayLike<number>;
}

/** How far a learner had come. */
export interface ProgressiveStep {
  /** Rounds so far: 1, 2, 4, 8, …, and the last. */
  readonly rounds: number;
  /** Importance-weighted mean reward of those rounds, each evaluated before it was learnt from. */
  readonly ips: number;
  /** The same, divided by the mean weight. */
  readonly snips: number;
}

/** What {@link progressiveValidation} gives. */
export interface ProgressiveEvaluation extends OffPolicyEvaluation {
  /** The course of learning, at powers of two. */
  readonly curve: readonly ProgressiveStep[];
}

function split<R>(caller: string, options: EvaluateOptions<R>) {
  checkOptions(caller, options, [...OFF_POLICY_OPTIONS, 'model', 'signal']);
  const { model, signal, ...rest } = options;
  if (model !== undefined && typeof model !== 'function') {
    throw new TypeError(`${caller}: model must be a function, got ${typeof model}`);
  }
  return { model, signal, evaluator: new OffPolicyEvaluator(rest) };
}

function checkFunction(caller: string, argument: string, value: unknown): void {
  if (typeof value !== 'function') {
    throw new TypeError(`${caller}: ${argument} must be a function, got ${typeof value}`);
  }
}

/** The error of round `n`, saying so. */
function atRound<T>(n: number, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof Error) error.message += ` (round ${n})`;
    throw error;
  }
}

/**
 * Estimates the mean reward that a policy would have had on logged decisions, by every estimator, in one pass and
 * bounded memory.
 *
 * @param log - decisions in any order: an array, or a stream such as `readDsjson(lines)`
 * @param target - `[K]`: the evaluated policy's probabilities for a round's context; must not have learnt from the log
 *   that it is evaluated on (see {@link progressiveValidation} for that)
 * @returns a promise of every estimate with its intervals
 * @throws TypeError or RangeError that says which round; Error if the log is empty
 * @example
 * const log = [
 *   { action: 0, probability: 0.5, reward: 1 },
 *   { action: 1, probability: 0.5, reward: 0 },
 * ];
 * const { ips } = await evaluateOffPolicy(log, () => [1, 0]);
 * ips.value; // 1
 * @see Dudík, Langford and Li 2011; Swaminathan and Joachims 2015
 */
export async function evaluateOffPolicy<R extends PlayedAction>(
  log: Stream<R>,
  target: (round: R) => ArrayLike<number>,
  options: EvaluateOptions<R> = {},
): Promise<OffPolicyEvaluation> {
  const caller = 'evaluateOffPolicy';
  checkFunction(caller, 'target', target);
  const { model, signal, evaluator } = split(caller, options);
  let n = 0;
  for await (const round of log) {
    signal?.throwIfAborted();
    n++;
    const { action, probability, reward } = round;
    atRound(n, () => {
      const estimates = model && { estimates: model(round) };
      evaluator.add({ action, probability, reward, target: target(round), ...estimates });
    });
  }
  return evaluator.result();
}

/**
 * Progressive validation (Blum, Kalai and Langford 1999): each round first evaluates the learner and then teaches it, so
 * one pass over a log tells how well learning from it would have gone, and no round is judged by what it taught. VW calls
 * this the average loss.
 *
 * @param log - decisions in the order in which they are to be learnt
 * @param learner - probabilities, learning, and expected rewards if DM and DR are wanted
 * @returns a promise of the estimates over the whole course, and the course itself
 * @throws TypeError or RangeError that says which round; Error if the log is empty
 * @example
 * const policy = new ContextualBandit(linUCB({ dim: 2 }));
 * const { ips, curve } = await progressiveValidation(log, {
 *   probabilities: (round) => policy.probabilities(round),
 *   learn: (round) => policy.learnLogged(round),
 * });
 */
export async function progressiveValidation<R extends PlayedAction>(
  log: Stream<R>,
  learner: ProgressiveLearner<R>,
  options: ProgressiveOptions = {},
): Promise<ProgressiveEvaluation> {
  const caller = 'progressiveValidation';
  checkFunction(caller, 'learner.probabilities', learner?.probabilities);
  checkFunction(caller, 'learner.learn', learner?.learn);
  if ('model' in options) {
    throw new TypeError(`${caller}: unknown option "model"; give learner.predict in its place`);
  }
  const { signal, evaluator } = split<R>(caller, options);
  const curve: ProgressiveStep[] = [];
  let n = 0;
  let weights = 0;
  let rewards = 0;
  const step = () =>
    curve.push({
      rounds: n,
      ips: rewards / n,
      snips: weights > 0 ? rewards / weights : Number.NaN,
    });
  for await (const round of log) {
    signal?.throwIfAborted();
    n++;
    const { action, probability, reward } = round;
    atRound(n, () => {
      const target = learner.probabilities(round);
      const estimates = learner.predict && { estimates: learner.predict(round) };
      evaluator.add({ action, probability, reward, target, ...estimates });
      weights += target[action]! / probability;
      rewards += (target[action]! / probability) * reward;
      learner.learn(round);
    });
    if (Number.isInteger(Math.log2(n))) step();
  }
  const result = evaluator.result();
  if (curve.at(-1)?.rounds !== n) step();
  return { ...result, curve };
}
