import { checkNumber, type NumberRange } from '@orth/backend';
import { type Schedule, scheduleValue } from './schedules.js';

/**
 * A schedule's value at a step, counted from 0.
 * @throws RangeError if the schedule gives something out of range there
 */
export function stepValue(
  argument: string,
  schedule: Schedule,
  step: number,
  range: NumberRange = { min: 0 },
): number {
  const value = scheduleValue(schedule, step);
  checkNumber('applyGradients', `${argument} at step ${step}`, value, range);
  return value;
}
