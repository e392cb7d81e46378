import { linear, type ScheduleFunction, warmup } from '@orth/muon';

/** Part of the run in which the learning rate rises. */
const WARMUP = 0.05;

/**
 * The schedule that every contestant gets: a linear rise to `peak` over the first 5 % of the steps, then linear to 0.
 * @param peak - greatest learning rate
 * @param steps - steps of the whole run
 */
export function warmupThenLinear(peak: number, steps: number): ScheduleFunction {
  const rise = Math.max(1, Math.round(WARMUP * steps));
  const fall = linear({ from: peak, steps: Math.max(1, steps - rise) });
  // From peak / rise rather than 0: a first step of size 0 would be a step lost.
  return warmup({ from: peak / (rise + 1), steps: rise, to: fall });
}
