/**
 * Schedules: a hyperparameter as a function of the step, counted from 0. The ones made here compose, and can be written
 * into a configuration and read back, which a function of the user's own cannot.
 */
import { checkInteger, checkNumber, checkOneOf, checkOptions } from '@orth/backend';

/** A number, or its value at each step (counted from 0). */
export type Schedule = number | ScheduleFunction;

/** The value at a step, counted from 0. */
export interface ScheduleFunction {
  (step: number): number;
  /** What the schedule was made from, for configurations; absent on a function of the user's own. */
  readonly definition?: ScheduleDefinition;
}

/** A schedule as plain JSON: the maker's name and its options. */
export interface ScheduleDefinition {
  readonly schedule: string;
  readonly [option: string]: unknown;
}

/** Form of a decay from 1 to 0: straight, half a cosine, or 1 − √x (steep first). */
export type DecayShape = 'linear' | 'cosine' | 'squareRoot';

const SHAPES: Record<DecayShape, (x: number) => number> = {
  linear: (x) => 1 - x,
  cosine: (x) => (1 + Math.cos(Math.PI * x)) / 2,
  squareRoot: (x) => 1 - Math.sqrt(x),
};

/** Value of a schedule at a step. */
export function scheduleValue(schedule: Schedule, step: number): number {
  return typeof schedule === 'number' ? schedule : schedule(step);
}

function define(
  definition: ScheduleDefinition,
  value: (step: number) => number,
): ScheduleFunction & { readonly definition: ScheduleDefinition } {
  return Object.assign((step: number) => value(step), { definition });
}

function checkSchedule(caller: string, argument: string, schedule: unknown): void {
  if (typeof schedule !== 'function') checkNumber(caller, argument, schedule);
}

/** Options of {@link linear} and {@link cosine}. */
export interface DecayOptions {
  /** Value at step 0. */
  readonly from: number;
  /** Value from `steps` on. Default 0 */
  readonly to?: number;
  /** Length, integer >= 1. */
  readonly steps: number;
}

function decay(caller: 'linear' | 'cosine', options: DecayOptions): ScheduleFunction {
  checkOptions(caller, options, ['from', 'to', 'steps']);
  const { from, to = 0, steps } = options;
  checkNumber(caller, 'from', from);
  checkNumber(caller, 'to', to);
  checkInteger(caller, 'steps', steps, { min: 1 });
  return define({ schedule: caller, from, to, steps }, (step) =>
    step >= steps ? to : to + (from - to) * SHAPES[caller](step / steps),
  );
}

/**
 * Straight line from `from` at step 0 to `to` at `steps`, constant afterwards.
 * @throws TypeError or RangeError for a missing or wrong option
 * @example
 * new Muon({ learningRate: linear({ from: 0.02, steps: 1000 }) });
 */
export function linear(options: DecayOptions): ScheduleFunction {
  return decay('linear', options);
}

/**
 * Half a cosine from `from` at step 0 to `to` at `steps`, constant afterwards.
 * @throws TypeError or RangeError for a missing or wrong option
 * @see Loshchilov and Hutter 2017, "SGDR", eq. 5 without restarts
 */
export function cosine(options: DecayOptions): ScheduleFunction {
  return decay('cosine', options);
}

/** Options of {@link warmup}. */
export interface WarmupOptions {
  /** Length, integer >= 1. */
  readonly steps: number;
  /** Value at step 0. Default 0 */
  readonly from?: number;
  /** What follows; its own step 0 is step `steps`, and its value there is what the ramp rises to. */
  readonly to: Schedule;
}

/**
 * Straight ramp from `from` to the first value of `to`, which takes over at step `steps`.
 * @throws TypeError or RangeError for a missing or wrong option
 * @example
 * const momentum = warmup({ from: 0.85, steps: 300, to: 0.95 });
 * const learningRate = warmup({ steps: 100, to: cosine({ from: 0.02, steps: 900 }) });
 */
export function warmup(options: WarmupOptions): ScheduleFunction {
  checkOptions('warmup', options, ['steps', 'from', 'to']);
  const { steps, from = 0, to } = options;
  checkInteger('warmup', 'steps', steps, { min: 1 });
  checkNumber('warmup', 'from', from);
  checkSchedule('warmup', 'to', to);
  return define({ schedule: 'warmup', steps, from, to: to as unknown }, (step) => {
    if (step >= steps) return scheduleValue(to, step - steps);
    return from + (scheduleValue(to, 0) - from) * (step / steps);
  });
}

/** Options of {@link warmupStableDecay}. */
export interface WarmupStableDecayOptions {
  /** Value of the stable part. */
  readonly peak: number;
  /** Steps of the rise from 0, integer >= 0. Default 0 */
  readonly warmupSteps?: number;
  /** Steps at `peak`, integer >= 0. */
  readonly stableSteps: number;
  /** Steps of the decay, integer >= 1. */
  readonly decaySteps: number;
  /** Value after the decay. Default 0 */
  readonly to?: number;
  /** Form of the decay. Default `'linear'` */
  readonly shape?: DecayShape;
}

/**
 * Warm-up, a long constant part, and a decay (WSD, "trapezoidal").
 * @throws TypeError or RangeError for a missing or wrong option
 * @see Hu et al. 2024, "MiniCPM", eq. 1; 1 − √x: Hägele et al. 2024, arXiv 2405.18392
 */
export function warmupStableDecay(options: WarmupStableDecayOptions): ScheduleFunction {
  const caller = 'warmupStableDecay';
  const known = ['peak', 'warmupSteps', 'stableSteps', 'decaySteps', 'to', 'shape'];
  checkOptions(caller, options, known);
  const { peak, warmupSteps = 0, stableSteps, decaySteps, to = 0, shape = 'linear' } = options;
  checkNumber(caller, 'peak', peak);
  checkInteger(caller, 'warmupSteps', warmupSteps, { min: 0 });
  checkInteger(caller, 'stableSteps', stableSteps, { min: 0 });
  checkInteger(caller, 'decaySteps', decaySteps, { min: 1 });
  checkNumber(caller, 'to', to);
  checkOneOf(caller, 'shape', shape, Object.keys(SHAPES) as DecayShape[]);
  const definition = { schedule: caller, peak, warmupSteps, stableSteps, decaySteps, to, shape };
  return define(definition, (step) => {
    if (step < warmupSteps) return peak * (step / warmupSteps);
    const x = (step - warmupSteps - stableSteps) / decaySteps;
    if (x <= 0) return peak;
    return x >= 1 ? to : to + (peak - to) * SHAPES[shape](x);
  });
}

/** Options of {@link stepDecay}. */
export interface StepDecayOptions {
  /** Value at step 0. */
  readonly from: number;
  /** What the value is multiplied by at each drop, > 0. */
  readonly factor: number;
  /** Steps between drops, integer >= 1; give either this or `milestones`. */
  readonly every?: number;
  /** Steps at which the value drops, increasing integers. */
  readonly milestones?: readonly number[];
}

/**
 * Constant pieces: the value is multiplied by `factor` every so many steps, or at given steps.
 * @throws TypeError or RangeError for a missing or wrong option, or if `every` and `milestones` are both given or missing
 */
export function stepDecay(options: StepDecayOptions): ScheduleFunction {
  const caller = 'stepDecay';
  checkOptions(caller, options, ['from', 'factor', 'every', 'milestones']);
  const { from, factor, every, milestones } = options;
  checkNumber(caller, 'from', from);
  checkNumber(caller, 'factor', factor, { above: 0 });
  if ((every === undefined) === (milestones === undefined)) {
    throw new TypeError(`${caller}: options must hold either every or milestones`);
  }
  if (every !== undefined) {
    checkInteger(caller, 'every', every, { min: 1 });
    return define(
      { schedule: caller, from, factor, every },
      (step) => from * factor ** Math.floor(step / every),
    );
  }
  const drops = [...milestones!];
  for (const [i, milestone] of drops.entries()) {
    checkInteger(caller, `milestones[${i}]`, milestone, i > 0 ? { above: drops[i - 1]! } : {});
  }
  return define(
    { schedule: caller, from, factor, milestones: drops },
    (step) => from * factor ** drops.filter((milestone) => step >= milestone).length,
  );
}

const MAKERS: Record<string, (options: never) => ScheduleFunction> = {
  linear,
  cosine,
  warmup,
  warmupStableDecay,
  stepDecay,
};

/**
 * A schedule as plain JSON, for configurations.
 * @throws TypeError for a function that this package did not make
 */
export function scheduleToJSON(argument: string, schedule: Schedule): unknown {
  if (typeof schedule === 'number') return schedule;
  const { definition } = schedule;
  if (!definition) {
    throw new TypeError(
      `getConfig: ${argument} must be a number or a schedule of @orth/muon to be saved, got a function`,
    );
  }
  if (definition.schedule !== 'warmup') return { ...definition };
  return { ...definition, to: scheduleToJSON(argument, definition.to as Schedule) };
}

/**
 * The schedule that {@link scheduleToJSON} wrote; numbers and functions pass through.
 * @throws RangeError for an unknown kind of schedule
 */
export function scheduleFromJSON(json: unknown): Schedule {
  if (typeof json !== 'object' || json === null) return json as Schedule;
  const { schedule, ...options } = json as Record<string, unknown>;
  checkOneOf('fromConfig', 'schedule', schedule, Object.keys(MAKERS));
  if (schedule === 'warmup') options.to = scheduleFromJSON(options.to);
  return MAKERS[schedule as string]!(options as never);
}
