import {
  checkBoolean,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  type NumberRange,
} from '@orth/backend';
import {
  logSoftmax,
  mean,
  mul,
  neg,
  oneHot,
  reshape,
  squaredDifference,
  sum,
  type Tensor,
} from '@tensorflow/tfjs-core';
import type { Augmentation } from './augmentations.js';
import type { HyperContext, HyperModel } from './hyperLayer.js';

/** Loss of each example, `[batch]`. */
export type ExampleLoss = (outputs: Tensor, targets: Tensor) => Tensor;

/** What is added to each example's training loss, `[batch]` or `[1]`. */
export type Penalty = (model: HyperModel, context: HyperContext) => Tensor;

/** Options of {@link SelfTuning}. */
export interface SelfTuningOptions {
  /**
   * `'stn'`: all weights on the loss at perturbed hyperparameters. `'delta'`: Δ-STN, where the response is trained apart, on
   * a prediction linearised about the current hyperparameters. `'fixed'`: plain training at the initial values, for baselines.
   * Default `'stn'`
   */
  readonly variant?: 'stn' | 'delta' | 'fixed';
  /** Loss on validation data, and on training data before the penalty. Default `'crossEntropy'` of logits and int32 labels */
  readonly loss?: 'crossEntropy' | 'meanSquaredError' | ExampleLoss;
  /** Loss on training data where it differs; sees the hyperparameters through the context. */
  readonly trainLoss?: (outputs: Tensor, targets: Tensor, context: HyperContext) => Tensor;
  /** Regularisation by hyperparameters, e.g. `l2Penalty('l2')`. Default none */
  readonly penalty?: Penalty;
  /** Applied to training batches in this order. Default none */
  readonly augmentations?: readonly Augmentation[];
  /** Training steps before each turn of validation steps, n_t ≥ 1. Default 2 */
  readonly trainSteps?: number;
  /** Validation steps a turn, n_v ≥ 1. Default 1 */
  readonly validSteps?: number;
  /** Epochs at first without validation steps, ≥ 0. Default 5 */
  readonly warmupEpochs?: number;
  /** Of SGD on the weights. Default 0.01 */
  readonly learningRate?: number;
  /** Of SGD on the weights, in [0, 1). Default 0.9 */
  readonly momentum?: number;
  /** Of SGD on the response weights in Δ-STN. Default `learningRate` */
  readonly responseLearningRate?: number;
  /** Of Adam on the free hyperparameters. Default 0.01 */
  readonly hyperLearningRate?: number;
  /** Of Adam on the raw scales. Default 0.01 */
  readonly scaleLearningRate?: number;
  /** τ ≥ 0: weight of the perturbation's entropy. Default 1e-3 */
  readonly entropyWeight?: number;
  /** Whether σ is tuned; if not, validation steps use unperturbed hyperparameters. Default true */
  readonly tuneScales?: boolean;
  /** Greatest norm of the weights' gradient. Default none */
  readonly clipNorm?: number;
  /** Greatest norm of the hyperparameters' gradient, and of the scales'. Default 1 */
  readonly hyperClipNorm?: number;
  /** Default 128 */
  readonly batchSize?: number;
  /** Factor of the learning rate when the validation loss is no better than `decayPatience` epochs ago. Default 0.1 */
  readonly learningRateDecay?: number;
  /** Default 60 */
  readonly decayPatience?: number;
  /** Epochs without a new best validation loss after which training ends. Default 75 */
  readonly stopPatience?: number;
  /** Of noise, masks, orders. Default 0 */
  readonly seed?: number;
}

/** Options, checked and complete. */
export type SelfTuningSettings = Required<
  Omit<SelfTuningOptions, 'loss' | 'trainLoss' | 'penalty'>
> & {
  readonly loss: ExampleLoss;
  readonly trainLoss: SelfTuningOptions['trainLoss'];
  readonly penalty: Penalty | undefined;
};

const NUMBERS: Record<string, [number, NumberRange]> = {
  learningRate: [0.01, { above: 0 }],
  momentum: [0.9, { min: 0, below: 1 }],
  hyperLearningRate: [0.01, { above: 0 }],
  scaleLearningRate: [0.01, { above: 0 }],
  entropyWeight: [1e-3, { min: 0 }],
  learningRateDecay: [0.1, { above: 0, max: 1 }],
};

const INTEGERS: Record<string, [number, number]> = {
  trainSteps: [2, 1],
  validSteps: [1, 1],
  warmupEpochs: [5, 0],
  batchSize: [128, 1],
  decayPatience: [60, 1],
  stopPatience: [75, 1],
};

const OTHERS = [
  ...['variant', 'loss', 'trainLoss', 'penalty', 'augmentations', 'responseLearningRate'],
  ...['tuneScales', 'clipNorm', 'hyperClipNorm', 'seed'],
];

const crossEntropy: ExampleLoss = (outputs, targets) =>
  neg(sum(mul(logSoftmax(outputs), oneHot(targets, outputs.shape[1]!, 1, 0, 'float32')), 1));

const meanSquaredError: ExampleLoss = (outputs, targets) => {
  const errors = squaredDifference(outputs, targets);
  return mean(reshape(errors, [errors.shape[0]!, -1]), 1);
};

/** Checks the options and fills in the defaults. */
export function selfTuningSettings(caller: string, options: SelfTuningOptions): SelfTuningSettings {
  checkOptions(caller, options, [...Object.keys(NUMBERS), ...Object.keys(INTEGERS), ...OTHERS]);
  const given = options as Record<string, unknown>;
  const complete: Record<string, unknown> = {};
  for (const [name, [initial, rule]] of Object.entries(NUMBERS)) {
    complete[name] = given[name] ?? initial;
    checkNumber(caller, name, complete[name], rule);
  }
  for (const [name, [initial, min]] of Object.entries(INTEGERS)) {
    complete[name] = given[name] ?? initial;
    checkInteger(caller, name, complete[name], { min });
  }
  const { variant = 'stn', loss = 'crossEntropy', tuneScales = true, seed = 0 } = options;
  const { responseLearningRate = complete.learningRate as number, augmentations = [] } = options;
  const { trainLoss, penalty, clipNorm = Infinity, hyperClipNorm = 1 } = options;
  checkOneOf(caller, 'variant', variant, ['stn', 'delta', 'fixed']);
  if (typeof loss !== 'function') {
    checkOneOf(caller, 'loss', loss, ['crossEntropy', 'meanSquaredError']);
  }
  checkBoolean(caller, 'tuneScales', tuneScales);
  checkInteger(caller, 'seed', seed);
  checkNumber(caller, 'responseLearningRate', responseLearningRate, { above: 0 });
  for (const [name, value] of Object.entries({ clipNorm, hyperClipNorm })) {
    if (value !== Infinity) checkNumber(caller, name, value, { above: 0 });
  }
  for (const [name, f] of Object.entries({ trainLoss, penalty })) {
    if (f === undefined || typeof f === 'function') continue;
    throw new TypeError(`${caller}: ${name} must be a function, got ${typeof f}`);
  }
  if (!Array.isArray(augmentations) || augmentations.some((f) => typeof f !== 'function')) {
    throw new TypeError(`${caller}: augmentations must be an array of functions`);
  }
  const named = { crossEntropy, meanSquaredError };
  return {
    ...(complete as unknown as SelfTuningSettings),
    variant,
    loss: typeof loss === 'function' ? loss : named[loss],
    trainLoss,
    penalty,
    augmentations,
    tuneScales,
    seed,
    responseLearningRate,
    clipNorm,
    hyperClipNorm,
  };
}

/**
 * Weight decay whose strength is the hyperparameter `name`: `λ_b ‖w(h_b)‖²` of the effective kernels for each example; the
 * gradient does not flow into the strength. Biases and the factor e are left out.
 */
export function l2Penalty(name: string): Penalty {
  return (model, { h, value }) => {
    if (!model.squaredNorm) {
      throw new TypeError('l2Penalty: the model must have squaredNorm');
    }
    return mul(value(name), model.squaredNorm(h));
  };
}
