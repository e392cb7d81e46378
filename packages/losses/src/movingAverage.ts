import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { add, mul, type Tensor, tidy, type Variable } from '@tensorflow/tfjs-core';

/** Options of {@link movingAverageSchedule}. */
export interface MovingAverageOptions {
  /** Decay in the first epoch, in [0, 1]. Default 0.999 */
  readonly start?: number;
  /** Decay from epoch `epochs` on, in [0, 1]. Default 0.9999 */
  readonly end?: number;
  /** Epochs over which it rises linearly, integer >= 1. Default 100 */
  readonly epochs?: number;
}

/**
 * Decay of the teacher's moving average over epochs, linear and then constant.
 *
 * @returns the decay of an epoch, counted from 0
 * @throws TypeError for an unknown option; RangeError for a value out of range
 * @see Wang et al. 2023, arXiv 2304.05919; the author's code
 */
export function movingAverageSchedule(
  options: MovingAverageOptions = {},
): (epoch: number) => number {
  const caller = 'movingAverageSchedule';
  checkOptions(caller, options, ['start', 'end', 'epochs']);
  const { start = 0.999, end = 0.9999, epochs = 100 } = options;
  checkNumber(caller, 'start', start, { min: 0, max: 1 });
  checkNumber(caller, 'end', end, { min: 0, max: 1 });
  checkInteger(caller, 'epochs', epochs, { min: 1 });
  return (epoch) => {
    checkInteger(caller, 'epoch', epoch, { min: 0 });
    return start + (end - start) * Math.min(epoch / epochs, 1);
  };
}

/**
 * Moves a teacher towards its student: `t ← decay · t + (1 − decay) · s` for each variable, after the optimizer's step.
 *
 * @param teacher - variables, changed
 * @param student - as many, of the same shapes in the same order
 * @param decay - in [0, 1]
 * @throws RangeError for another number of variables, other shapes, or a decay out of range; nothing is changed then
 */
export function updateMovingAverage(
  teacher: readonly Variable[],
  student: readonly Tensor[],
  decay: number,
): void {
  const caller = 'updateMovingAverage';
  checkNumber(caller, 'decay', decay, { min: 0, max: 1 });
  if (teacher.length !== student.length) {
    throw new RangeError(
      `${caller}: student must have as many variables as teacher, got ${student.length} for ${teacher.length}`,
    );
  }
  teacher.forEach((t, i) => {
    if (`${t.shape}` === `${student[i]!.shape}`) return;
    throw new RangeError(
      `${caller}: student[${i}] must have shape [${t.shape}], got [${student[i]!.shape}]`,
    );
  });
  tidy(() => {
    teacher.forEach((t, i) => {
      t.assign(add(mul(t, decay), mul(student[i]!, 1 - decay)));
    });
  });
}
