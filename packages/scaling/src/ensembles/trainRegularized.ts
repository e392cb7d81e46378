import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import type { Optimizer, Scalar, Tensor } from '@tensorflow/tfjs-core';
import { checkFunction } from '../checks.js';
import { crossEntropy } from './combine.js';
import { type Dataset, EpochSampler } from './dataset.js';
import { type RecipePoint, type RegularizedAdamWOptions, regularizedAdamW } from './recipe.js';
import {
  LOOP_OPTIONS,
  type LoopOptions,
  runSteps,
  type TrainableModel,
  type TrainingResult,
} from './trainingLoop.js';

/** Options of {@link trainRegularized}. */
export interface TrainRegularizedOptions extends RecipePoint, LoopOptions {
  /** Examples a step, integer >= 1. Default 256 */
  readonly batchSize?: number;
  /** Seed of the order of the data. Default 0 */
  readonly seed?: number;
  /** What the optimizer takes beside rate, decay and steps. */
  readonly optimizer?: Omit<RegularizedAdamWOptions, 'learningRate' | 'weightDecay' | 'totalSteps'>;
  /** Makes another optimizer for so many steps; it is disposed afterwards. */
  createOptimizer?(totalSteps: number): Optimizer;
  /** Loss of logits and targets. Default: mean cross-entropy */
  loss?(logits: Tensor, targets: Tensor): Scalar;
}

const KNOWN = [
  'learningRate',
  'weightDecay',
  'epochs',
  'batchSize',
  'seed',
  'optimizer',
  'createOptimizer',
  'loss',
  ...LOOP_OPTIONS,
];

/** Checks what training needs of a model. */
export function checkModel(caller: string, model: TrainableModel): void {
  checkFunction(caller, 'model.predict', model?.predict);
  if (Array.isArray(model.variables) && model.variables.length > 0) return;
  throw new TypeError(`${caller}: model.variables must be a list of variables`);
}

/** Steps of so many epochs: epochs · size / batchSize, rounded, at least one. */
export const stepsOf = (epochs: number, size: number, batchSize: number): number =>
  Math.max(1, Math.round((epochs * size) / batchSize));

/**
 * Trains a model by the regularised recipe: {@link regularizedAdamW}, a new order of the data each epoch, cross-entropy.
 *
 * @param model - its variables are changed
 * @param data - see {@link tokenWindows}
 * @param options - see {@link TrainRegularizedOptions}
 * @throws TypeError or RangeError for a wrong option; NonFiniteError if the loss or a gradient is not finite; the signal's reason
 * @example
 * await trainRegularized(model, data, { learningRate: 3e-3, weightDecay: 3, epochs: 8 });
 * @see Kim et al. 2025, "Pre-training under infinite compute", regularised recipe
 */
export async function trainRegularized(
  model: TrainableModel,
  data: Dataset,
  options: TrainRegularizedOptions,
): Promise<TrainingResult> {
  const caller = 'trainRegularized';
  checkOptions(caller, options, KNOWN);
  checkModel(caller, model);
  const { learningRate, weightDecay, epochs, batchSize = 256, seed = 0 } = options;
  const { createOptimizer, loss = crossEntropy, reportEvery } = options;
  checkNumber(caller, 'epochs', epochs, { above: 0 });
  checkInteger(caller, 'batchSize', batchSize, { min: 1 });
  if (reportEvery !== undefined) checkInteger(caller, 'reportEvery', reportEvery, { min: 1 });
  const totalSteps = stepsOf(epochs, data.size, batchSize);
  const sampler = new EpochSampler(data.size, batchSize, seed);
  const optimizer =
    createOptimizer?.(totalSteps) ??
    regularizedAdamW({ ...options.optimizer, learningRate, weightDecay, totalSteps });
  try {
    return await runSteps(
      caller,
      model,
      optimizer,
      totalSteps,
      {
        prepare() {
          const { inputs, targets } = data.batch(sampler.next());
          return [inputs, targets] as const;
        },
        loss: ([inputs, targets]) => loss(model.predict(inputs), targets),
      },
      options,
    );
  } finally {
    optimizer.dispose();
  }
}
