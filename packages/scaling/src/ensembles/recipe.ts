/** The regularised recipe: AdamW whose strong, decoupled decay is tuned together with its rate. */
import { checkInteger, checkNumber, checkOptions } from '@orth/backend';
import { AdamW, cosine, type ScheduleFunction, type VariableInfo, warmup } from '@orth/muon';
import { checkFunction } from '../checks.js';

/** Options of {@link recipeSchedule}. */
export interface RecipeScheduleOptions {
  /** Greatest learning rate, > 0. */
  readonly learningRate: number;
  /** Steps T, integer >= 1. */
  readonly totalSteps: number;
  /** Part of the steps over which the rate rises from 0: int(fraction·T) steps, in [0, 1). Default 0.01 */
  readonly warmupFraction?: number;
}

/**
 * Linear rise from 0, then half a cosine to 0 at `totalSteps`. The first step has rate 0 where there is a rise.
 * @throws TypeError or RangeError for a missing or wrong option
 * @see Kim et al. 2025, "Pre-training under infinite compute", training details
 */
export function recipeSchedule(options: RecipeScheduleOptions): ScheduleFunction {
  const caller = 'recipeSchedule';
  checkOptions(caller, options, ['learningRate', 'totalSteps', 'warmupFraction']);
  const { learningRate, totalSteps, warmupFraction = 0.01 } = options;
  checkNumber(caller, 'learningRate', learningRate, { above: 0 });
  checkInteger(caller, 'totalSteps', totalSteps, { min: 1 });
  checkNumber(caller, 'warmupFraction', warmupFraction, { min: 0, below: 1 });
  const steps = Math.trunc(warmupFraction * totalSteps);
  const decay = cosine({ from: learningRate, steps: totalSteps - steps });
  return steps === 0 ? decay : warmup({ steps, to: decay });
}

const UNDECAYED = /embed|norm|bias/i;

/**
 * Whether the recipe decays a variable: matrices, the output head included, but not embeddings, norms or biases, which are
 * told by rank and name.
 */
export const decaysByDefault = ({ name, shape }: VariableInfo): boolean =>
  shape.length >= 2 && !UNDECAYED.test(name);

/** Options of {@link regularizedAdamW}. */
export interface RegularizedAdamWOptions extends RecipeScheduleOptions {
  /** Decoupled decay per unit of learning rate, >= 0: the shrinkage of a step is lr·wd. About 3 where 0.1 is usual */
  readonly weightDecay: number;
  /** Which variables decay. Default {@link decaysByDefault} */
  decays?(variable: VariableInfo): boolean;
  /** Decay of the first moment, in [0, 1). Default 0.9 */
  readonly beta1?: number;
  /** Decay of the second moment, in [0, 1). Default 0.95 */
  readonly beta2?: number;
  /** Added to the root of the second moment, > 0. Default 1e−8 */
  readonly epsilon?: number;
  /** Greatest norm of all gradients together, > 0; Infinity for no limit. Default 1 */
  readonly clipNorm?: number;
  /** What a gradient that is not finite does. Default `'throw'` */
  readonly onNonFinite?: 'throw' | 'skip';
}

const KNOWN = [
  'learningRate',
  'totalSteps',
  'warmupFraction',
  'weightDecay',
  'decays',
  'beta1',
  'beta2',
  'epsilon',
  'clipNorm',
  'onNonFinite',
];

/**
 * The optimizer of the regularised recipe: clip to norm 1, Adam(0.9, 0.95, 1e−8), plus wd·w on decayed variables, times
 * the learning rate of {@link recipeSchedule}.
 *
 * @returns a tfjs optimizer, which the caller disposes
 * @throws TypeError or RangeError for a missing or wrong option, and for learningRate·weightDecay >= 1, which would turn weights
 *   around
 * @see Kim et al. 2025, "Pre-training under infinite compute"; Loshchilov and Hutter 2019 for the decay
 */
export function regularizedAdamW(options: RegularizedAdamWOptions): AdamW {
  const caller = 'regularizedAdamW';
  checkOptions(caller, options, KNOWN);
  const {
    learningRate,
    totalSteps,
    warmupFraction,
    weightDecay,
    decays = decaysByDefault,
  } = options;
  const { beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, clipNorm = 1, onNonFinite } = options;
  checkNumber(caller, 'learningRate', learningRate, { above: 0 });
  checkNumber(caller, 'weightDecay', weightDecay, { min: 0 });
  if (learningRate * weightDecay >= 1) {
    throw new RangeError(
      `${caller}: learningRate * weightDecay must be < 1, got ${learningRate} * ${weightDecay}`,
    );
  }
  checkFunction(caller, 'decays', decays);
  if (clipNorm !== Infinity) checkNumber(caller, 'clipNorm', clipNorm, { above: 0 });
  return new AdamW({
    learningRate: recipeSchedule({
      learningRate,
      totalSteps,
      ...(warmupFraction !== undefined && { warmupFraction }),
    }),
    beta1,
    beta2,
    epsilon,
    weightDecay,
    ...(clipNorm !== Infinity && { clipNorm }),
    ...(onNonFinite && { onNonFinite }),
    groups: [{ match: (variable) => !decays(variable), optimizer: 'adamW', weightDecay: 0 }],
  });
}

/** Hyperparameters that the recipe tunes. */
export interface RecipePoint {
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly epochs: number;
}

/**
 * What to train an ensemble's members with, from the best single model: twice the epochs and half the decay. Members may
 * overfit more than a model that stands alone, since averaging takes that back.
 * @see Kim et al. 2025, "Pre-training under infinite compute", tuning of ensembles
 */
export function ensembleRecipe({ learningRate, weightDecay, epochs }: RecipePoint): RecipePoint {
  checkNumber('ensembleRecipe', 'learningRate', learningRate, { above: 0 });
  checkNumber('ensembleRecipe', 'weightDecay', weightDecay, { min: 0 });
  checkNumber('ensembleRecipe', 'epochs', epochs, { above: 0 });
  return { learningRate, weightDecay: weightDecay / 2, epochs: 2 * epochs };
}
