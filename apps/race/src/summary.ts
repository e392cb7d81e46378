/** The rows and sentences that the terminal and the report have in common. */
import { ABSENT, formatBytes, formatLoss, formatSeconds } from './format.js';
import { type ContestantResult, firstAtOrBelow, type RaceResult } from './result.js';

/** Column names of {@link tableRow}: short ones fit a terminal, whose table says below what they mean. */
export const COLUMNS = [
  { short: 'optimiser', long: 'optimiser' },
  { short: 'val loss', long: 'validation loss' },
  { short: 'train loss', long: 'training loss' },
  { short: 'steps', long: 'steps to target' },
  { short: 'time', long: 'time to target' },
  { short: 'ms/step', long: 'ms/step' },
  { short: 'state', long: 'optimiser state' },
  { short: 'rate', long: 'peak rate' },
] as const;

/** What the table's losses, steps and times are. */
export function tableCaption({ targetLoss, targetGiven }: RaceResult): string {
  const units = 'Losses in nats per byte';
  if (targetLoss === null) return `${units}.`;
  const origin = targetGiven ? '' : ', the worst final validation loss';
  return `${units}; steps and time of training until validation loss ${formatLoss(targetLoss)}${origin}.`;
}

/** One contestant's row, as texts in the order of {@link COLUMNS}. */
export function tableRow(contestant: ContestantResult): string[] {
  const { label, learningRate, divergedAt, millisecondsPerStep, stepsToTarget } = contestant;
  const diverged = divergedAt === null ? undefined : `diverged at step ${divergedAt}`;
  return [
    label,
    diverged ?? formatLoss(contestant.finalValidationLoss),
    formatLoss(contestant.finalTrainLoss),
    stepsToTarget === null ? ABSENT : String(stepsToTarget),
    formatSeconds(contestant.secondsToTarget),
    millisecondsPerStep?.toFixed(0) ?? ABSENT,
    formatBytes(contestant.stateBytes),
    String(learningRate),
  ];
}

/** The contestants that are still in the race, best final validation loss first. */
export function ranking({ contestants }: RaceResult): ContestantResult[] {
  return contestants
    .filter(({ finalValidationLoss }) => finalValidationLoss !== null)
    .sort((a, b) => a.finalValidationLoss! - b.finalValidationLoss!);
}

/** Who is ahead, by how much, and how much sooner, in one or two sentences. */
export function verdict(result: RaceResult): string {
  const [first, second] = ranking(result);
  if (!first) return 'No contestant finished.';
  const steps = `${result.step} steps`;
  if (!second) return `${first.label}: ${formatLoss(first.finalValidationLoss)} after ${steps}.`;
  const gap = second.finalValidationLoss! - first.finalValidationLoss!;
  const ahead = `After ${steps} ${first.label} is ahead of ${second.label} by ${gap.toFixed(3)} nats per byte.`;
  const reached = firstAtOrBelow(first, second.finalValidationLoss);
  const secondSeconds = second.seconds.at(-1);
  if (!reached || !secondSeconds || reached.step === 0) return ahead;
  const time = (reached.seconds / secondSeconds).toFixed(2);
  return `${ahead} It reached ${second.label}'s final loss after ${reached.step} steps, in ${time} times its time.`;
}
