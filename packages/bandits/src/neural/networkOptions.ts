/** Options of the networks inside policies: their shape, their start and how they train. */
import { checkInteger, checkNumber, checkOneOf, type Random } from '@orth/backend';
import { ACTIVATIONS, type Activation } from './activations.js';
import type { History } from './history.js';
import { Mlp, theoryInitialization, uniformInitialization } from './mlp.js';
import { fullBatch, type ReplaySettings, replay } from './sgd.js';

/** Shape and start of a network. */
export interface NetworkShapeOptions {
  /** Units of each hidden layer, one layer or more. Default `[100]` */
  readonly hidden?: readonly number[];
  /** Default `'relu'` */
  readonly activation?: Activation;
  /**
   * `'uniform'`: PyTorch's start, ±1/√inputs. `'theory'`: Gaussian weights and products scaled by width^(−1/2), as the
   * analysis has them; every hidden layer then needs the same width. Default `'uniform'`
   */
  readonly initialization?: 'uniform' | 'theory';
  /** Seed of the initial parameters and of everything random in training, integer. Default 0 */
  readonly seed?: number;
}

/**
 * When a network trains on its history and for how long. The defaults are those of the EE-Net code: every 10
 * observations for the first 1000, then every 100; at most 2000 steps, less when an epoch's mean loss is 1e-3.
 */
export interface TrainingOptions {
  /** Step of gradient descent, > 0. Default 0.01 */
  readonly learningRate?: number;
  /** Observations in which training comes every `initialEvery`. Default 1000 */
  readonly initialRounds?: number;
  /** Default 10 */
  readonly initialEvery?: number;
  /** Afterwards training comes every so many observations. Default 100 */
  readonly every?: number;
  /** Steps of a training. Default 2000 with samples one by one, 100 with full batches */
  readonly maxUpdates?: number;
  /** Mean loss of an epoch at which a training ends early. Default 1e-3 */
  readonly tolerance?: number;
  /** Observations kept to train on, the newest; memory is `8 · dim` bytes each. Default 20000 */
  readonly capacity?: number;
}

/** @internal Names of {@link NetworkShapeOptions}. */
export const SHAPE_OPTIONS = ['hidden', 'activation', 'initialization', 'seed'] as const;
/** @internal Names of {@link TrainingOptions}. */
export const TRAINING_OPTIONS = [
  'learningRate',
  'initialRounds',
  'initialEvery',
  'every',
  'maxUpdates',
  'tolerance',
  'capacity',
] as const;

/** @internal {@link NetworkShapeOptions} with defaults, checked. */
export function networkShape(caller: string, options: NetworkShapeOptions) {
  const { hidden = [100], activation = 'relu', initialization = 'uniform', seed = 0 } = options;
  if (!Array.isArray(hidden) || hidden.length === 0) {
    throw new TypeError(`${caller}: hidden must be a list of 1 or more widths, got ${hidden}`);
  }
  for (const width of hidden) checkInteger(caller, 'hidden', width, { min: 1 });
  checkOneOf(caller, 'activation', activation, ACTIVATIONS);
  checkOneOf(caller, 'initialization', initialization, ['uniform', 'theory']);
  if (initialization === 'theory' && hidden.some((width) => width !== hidden[0])) {
    throw new RangeError(`${caller}: hidden must be of one width in theory, got [${hidden}]`);
  }
  checkInteger(caller, 'seed', seed);
  return { hidden: [...hidden] as number[], activation, initialization, seed };
}

/** @internal {@link TrainingOptions} with defaults, checked. */
export function trainingSettings(
  caller: string,
  options: TrainingOptions,
  defaults: Required<TrainingOptions> = TRAINING_DEFAULTS,
): Required<TrainingOptions> {
  const own = TRAINING_OPTIONS.filter((key) => options[key] !== undefined);
  const all = { ...defaults, ...Object.fromEntries(own.map((key) => [key, options[key]])) };
  checkNumber(caller, 'learningRate', all.learningRate, { above: 0 });
  checkInteger(caller, 'initialRounds', all.initialRounds, { min: 0 });
  checkInteger(caller, 'initialEvery', all.initialEvery, { min: 1 });
  checkInteger(caller, 'every', all.every, { min: 1 });
  checkInteger(caller, 'maxUpdates', all.maxUpdates, { min: 1 });
  checkNumber(caller, 'tolerance', all.tolerance, { min: 0 });
  checkInteger(caller, 'capacity', all.capacity, { min: 1 });
  return all;
}

/** @internal Defaults of {@link TrainingOptions}. */
export const TRAINING_DEFAULTS: Required<TrainingOptions> = {
  learningRate: 0.01,
  initialRounds: 1000,
  initialEvery: 10,
  every: 100,
  maxUpdates: 2000,
  tolerance: 1e-3,
  capacity: 20000,
};

/** @internal A network at its initial parameters. */
export function createNetwork(
  dim: number,
  blocks: number,
  shape: ReturnType<typeof networkShape>,
  random: Random,
  extraFloats = 0,
): Mlp {
  const { hidden, activation, initialization } = shape;
  const theory = initialization === 'theory';
  const scale = theory ? hidden[0]! ** -0.5 : 1;
  const net = new Mlp({ dim, blocks, hidden, activation, scale }, extraFloats);
  // Deviation: σ₁ is not fixed by the paper's experiments; 2 makes the first layer's spread close to 1.
  if (theory) theoryInitialization(net, random, 2);
  else uniformInitialization(net, random);
  net.start.set(net.theta);
  return net;
}

/** @internal Whether training is due after `t` observations. */
export function trainingIsDue(t: number, settings: Required<TrainingOptions>): boolean {
  const { initialRounds, initialEvery, every } = settings;
  return t % (t < initialRounds ? initialEvery : every) === 0;
}

/** @internal At most `count` of the indices below `size` in random order: all that training can visit. */
export function randomOrder(random: Random, size: number, count: number): Int32Array {
  const order = new Int32Array(size);
  for (let i = 0; i < size; i++) order[i] = i;
  const length = Math.min(size, count);
  for (let i = 0; i < length; i++) {
    const j = random.integer(i, size - 1);
    const other = order[j]!;
    order[j] = order[i]!;
    order[i] = other;
  }
  return order.subarray(0, length);
}

/** @internal One training on the history; false when it diverged, and then `net` is as before. */
export function trainOnHistory(
  net: Mlp,
  history: History,
  random: Random,
  mode: 'replay' | 'fullBatch',
  settings: ReplaySettings,
): boolean {
  net.snapshot();
  const order = () => randomOrder(random, history.size, settings.maxUpdates);
  const finite =
    mode === 'replay'
      ? replay(net, history, order(), settings)
      : fullBatch(net, history, history.size, settings);
  if (finite) return true;
  net.rollback();
  return false;
}
