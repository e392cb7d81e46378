import { checkInteger, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import { checkShape, type ModelShape, parseSize, SIZES } from './modelShape.js';
import { OPTIMIZER_NAMES, OPTIMIZERS, type OptimizerName } from './optimizers.js';

/** Everything that decides what a race computes: equal settings, equal losses on one backend. */
export interface RaceSettings {
  /** Who races, in the order in which they step. */
  readonly optimizers: readonly OptimizerName[];
  /** Steps of each. */
  readonly steps: number;
  /** Seed of initial weights, batches and samples. */
  readonly seed: number;
  readonly shape: ModelShape;
  /** Rows of a batch. */
  readonly batch: number;
  /** Peak learning rate of each. */
  readonly learningRates: Readonly<Partial<Record<OptimizerName, number>>>;
  /** Steps between two validations. */
  readonly validationInterval: number;
  /** Rows of text validated each time. */
  readonly validationRows: number;
}

/** {@link RaceSettings}, each with a default; the size by name or by numbers. */
export interface RaceSettingsOptions extends Partial<Omit<RaceSettings, 'shape'>> {
  /** `'tiny'`, `'small'` (default), `'medium'`, `'3x192'`, or explicit numbers. */
  readonly size?: string | ModelShape;
  /** Bytes in a row. Default: the size's */
  readonly context?: number;
}

/** What a race does when nothing is asked for. */
export const DEFAULTS = {
  steps: 300,
  seed: 1,
  size: 'small',
  batch: 16,
  validationInterval: 20,
  validationRows: 96,
} as const;

const KEYS = [
  'optimizers',
  'steps',
  'seed',
  'size',
  'context',
  'batch',
  'learningRates',
  'validationInterval',
  'validationRows',
];

/**
 * Fills in defaults and checks every number.
 * @throws RangeError or TypeError that names the option at fault
 */
export function raceSettings(options: RaceSettingsOptions = {}): RaceSettings {
  const caller = 'raceSettings';
  checkOptions(caller, options, KEYS);
  const { size = DEFAULTS.size, context, optimizers = ['adamW', 'muon'] } = options;
  const shape = typeof size === 'string' ? parseSize(size, context) : size;
  const settings: RaceSettings = {
    optimizers,
    steps: options.steps ?? DEFAULTS.steps,
    seed: options.seed ?? DEFAULTS.seed,
    shape: context === undefined ? shape : { ...shape, context },
    batch: options.batch ?? DEFAULTS.batch,
    learningRates: {
      ...Object.fromEntries(optimizers.map((name) => [name, OPTIMIZERS[name]?.learningRate])),
      ...options.learningRates,
    },
    validationInterval: options.validationInterval ?? DEFAULTS.validationInterval,
    validationRows: options.validationRows ?? DEFAULTS.validationRows,
  };
  checkSettings(caller, settings);
  return settings;
}

/**
 * Demands settings with which a race can run.
 * @throws RangeError or TypeError that names the setting at fault
 */
export function checkSettings(caller: string, settings: RaceSettings): void {
  const { optimizers, learningRates } = settings;
  for (const name of optimizers) checkOneOf(caller, 'optimizer', name, OPTIMIZER_NAMES);
  checkInteger(caller, 'number of optimizers', optimizers.length, { min: 1 });
  if (new Set(optimizers).size < optimizers.length) {
    throw new RangeError(`${caller}: optimizers must differ, got ${optimizers.join(', ')}`);
  }
  checkInteger(caller, 'steps', settings.steps, { min: 1, max: 1e6 });
  checkInteger(caller, 'seed', settings.seed, { min: -(2 ** 31), max: 2 ** 31 - 1 });
  checkShape(caller, settings.shape);
  checkInteger(caller, 'batch', settings.batch, { min: 1, max: 4096 });
  checkInteger(caller, 'validationInterval', settings.validationInterval, { min: 1 });
  checkInteger(caller, 'validationRows', settings.validationRows, { min: 1, max: 1e5 });
  for (const name of Object.keys(learningRates)) {
    checkOneOf(caller, 'learning rate of', name, optimizers);
  }
  for (const name of optimizers) {
    checkNumber(caller, `learning rate of ${name}`, learningRates[name], { above: 0 });
  }
}

/** Name of a shape, or its numbers. */
export function describeShape(shape: ModelShape): string {
  const { layers, width, heads, hidden, context } = shape;
  const same = (other: ModelShape) =>
    `${layers} ${width} ${heads} ${hidden}` ===
    `${other.layers} ${other.width} ${other.heads} ${other.hidden}`;
  const name = Object.entries(SIZES).find(([, other]) => same(other))?.[0];
  const numbers = `${layers} blocks × ${width}, ${heads} heads, MLP ${hidden}, context ${context}`;
  return name ? `${name} (${numbers})` : numbers;
}
