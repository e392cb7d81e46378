/** What a race found out: plain data, fit for JSON. */
import type { OptimizerName } from './optimizers.js';
import type { RaceSettings } from './settings.js';

/** A validation. */
export interface ValidationPoint {
  /** Steps done. */
  readonly step: number;
  /** Mean cross entropy of the next byte, in nats. */
  readonly loss: number;
  /** Seconds of training so far, validation not counted. */
  readonly seconds: number;
}

/** How one contestant has fared. */
export interface History {
  /** Loss of each step's batch before its update, in nats. */
  readonly trainLoss: number[];
  /** Seconds of training after each step, validation not counted. */
  readonly seconds: number[];
  readonly validation: ValidationPoint[];
  /** The step at which loss or gradients stopped being finite; the contestant stands still from there. */
  divergedAt: number | null;
}

/** One contestant's result. */
export interface ContestantResult extends Readonly<History> {
  readonly optimizer: OptimizerName;
  readonly label: string;
  /** Peak learning rate. */
  readonly learningRate: number;
  /** Mean over the last steps; null before the first step or after divergence. */
  readonly finalTrainLoss: number | null;
  readonly finalValidationLoss: number | null;
  /** Steps until the first validation at or below the target loss; null if it was not reached. */
  readonly stepsToTarget: number | null;
  readonly secondsToTarget: number | null;
  readonly millisecondsPerStep: number | null;
  readonly stateBytes: number;
  /** Generated text; empty when none was asked for. */
  readonly sample: string;
}

/** A race's result. */
export interface RaceResult {
  readonly settings: RaceSettings;
  /** Name, library and device of the backend. */
  readonly backend: string;
  /** Trained numbers of each model. */
  readonly parameters: number;
  /** Steps done; fewer than `settings.steps` if the race was stopped. */
  readonly step: number;
  readonly finished: boolean;
  /** The loss that the table measures the way to. */
  readonly targetLoss: number | null;
  /** Whether the target was given, or is the worst final validation loss. */
  readonly targetGiven: boolean;
  readonly contestants: readonly ContestantResult[];
}

/** Steps that a final training loss is the mean of: one batch's loss is noisy. */
const TRAIN_WINDOW = 20;

/** Mean of the last training losses; null if there is none. */
export function recentTrainLoss({ trainLoss, divergedAt }: Readonly<History>): number | null {
  if (trainLoss.length === 0 || divergedAt !== null) return null;
  const recent = trainLoss.slice(-TRAIN_WINDOW);
  return recent.reduce((total, loss) => total + loss, 0) / recent.length;
}

/** The last validation loss; null if there is none. */
export function lastValidationLoss({ validation, divergedAt }: Readonly<History>): number | null {
  return divergedAt === null ? (validation.at(-1)?.loss ?? null) : null;
}

/** The loss that every contestant still in the race has reached: the worst of their last validations. */
export function commonTarget(histories: readonly Readonly<History>[]): number | null {
  const losses = histories.map(lastValidationLoss).filter((loss) => loss !== null);
  return losses.length > 0 ? Math.max(...losses) : null;
}

/** The first validation at or below `target`. */
export function firstAtOrBelow(
  { validation }: Readonly<History>,
  target: number | null,
): ValidationPoint | null {
  if (target === null) return null;
  return validation.find(({ loss }) => loss <= target) ?? null;
}

/** Median time of a step. */
export function millisecondsPerStep({ seconds }: Readonly<History>): number | null {
  const times = seconds.map((end, i) => end - (seconds[i - 1] ?? 0)).sort((a, b) => a - b);
  const middle = times[Math.floor(times.length / 2)];
  return middle === undefined ? null : 1000 * middle;
}
