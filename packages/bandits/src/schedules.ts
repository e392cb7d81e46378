/** Numbers that change with the count `t` of learnt observations. */
import { checkNumber, checkOptions } from '@orth/backend';

/** `scale · t^exponent`, kept within `minimum` and `maximum`; t counts learnt observations. */
export interface PowerSchedule {
  /** Value at t = 1, > 0. */
  readonly scale: number;
  /** Negative to decay. */
  readonly exponent: number;
  /** Default 0 */
  readonly minimum?: number;
  /** Default Infinity */
  readonly maximum?: number;
}

/** A constant, or a power of the count of learnt observations. */
export type Schedule = number | PowerSchedule;

/** @internal Demands a constant within [0, `most`], or a schedule. */
export function checkSchedule(
  caller: string,
  argument: string,
  schedule: unknown,
  most = Number.MAX_VALUE,
): asserts schedule is Schedule {
  if (typeof schedule === 'number') {
    checkNumber(caller, argument, schedule, { min: 0, max: most });
    return;
  }
  checkOptions(`${caller} ${argument}`, schedule, ['scale', 'exponent', 'minimum', 'maximum']);
  const { scale, exponent, minimum = 0, maximum = most } = schedule as PowerSchedule;
  checkNumber(caller, `${argument}.scale`, scale, { above: 0 });
  checkNumber(caller, `${argument}.exponent`, exponent);
  checkNumber(caller, `${argument}.minimum`, minimum, { min: 0, max: most });
  if (maximum !== Infinity) {
    checkNumber(caller, `${argument}.maximum`, maximum, { min: minimum, max: most });
  }
}

/** @internal The value after `t` observations; a decaying power starts as at t = 1, a growing one at 0. */
export function scheduleAt(schedule: Schedule, t: number): number {
  if (typeof schedule === 'number') return schedule;
  const { scale, exponent, minimum = 0, maximum = Infinity } = schedule;
  const power = exponent < 0 ? Math.max(t, 1) ** exponent : t ** exponent;
  return Math.min(maximum, Math.max(minimum, scale * power));
}
