import { checkInteger, checkNumber, checkOptions, NonFiniteError } from '@orth/backend';
import {
  add,
  mean,
  mul,
  type Optimizer,
  reshape,
  type Scalar,
  square,
  sub,
  Tensor,
  type Tensor2D,
  tidy,
  type Variable,
  variableGrads,
} from '@tensorflow/tfjs-core';
import { gradientAscent } from './gradientAscent.js';
import type { SurrogateGradientNorm } from './surrogateGradientNorm.js';

/** Options of {@link ConservativeObjective}. */
export interface ConservativeOptions {
  /** Weight α of the overestimation at the start, >= 0. Default 0.1 */
  readonly alpha?: number;
  /** Rate of α, >= 0; 0 keeps it as it is. Default 0.01 */
  readonly alphaLearningRate?: number;
  /** Overestimation that is allowed. Default 0.5; the authors take 2 for discrete designs */
  readonly limit?: number;
  /** Steps of the search for overestimated designs, integer >= 1. Default 50 */
  readonly ascentSteps?: number;
  /** Size of these steps, times √d, > 0. Default 0.05 */
  readonly ascentStepSize?: number;
}

/** What a step of {@link ConservativeObjective} gives. */
export interface ConservativeStep {
  /** Squared error and α times the overestimation, before the step. */
  readonly loss: number;
  /** Mean prediction at searched designs less that at the data, before the step. */
  readonly overestimation: number;
  /** α after the step. */
  readonly alpha: number;
}

/**
 * Conservative objective model (COMs), the baseline: squared error plus `α (mean h(x⁺) − mean h(x))`, where x⁺ are the
 * batch's designs after some steps of ascent on h; α rises while that overestimation exceeds a limit.
 *
 * Deviation: α moves by projected ascent, `α ← max(0, α + rate (overestimation − limit))`; the authors move its logarithm
 * with Adam.
 * @see Trabucco et al. 2021, arXiv 2107.06882
 */
export class ConservativeObjective {
  private weight: number;
  private readonly rate: number;
  private readonly limit: number;
  private readonly ascent: { steps: number; learningRate: number };

  /** @throws TypeError for an unknown option; RangeError for a value out of range */
  constructor(options: ConservativeOptions = {}) {
    const caller = 'ConservativeObjective';
    checkOptions(caller, options, [
      'alpha',
      'alphaLearningRate',
      'limit',
      'ascentSteps',
      'ascentStepSize',
    ]);
    const { alpha = 0.1, alphaLearningRate = 0.01, limit = 0.5 } = options;
    const { ascentSteps = 50, ascentStepSize = 0.05 } = options;
    checkNumber(caller, 'alpha', alpha, { min: 0 });
    checkNumber(caller, 'alphaLearningRate', alphaLearningRate, { min: 0 });
    checkNumber(caller, 'limit', limit);
    checkInteger(caller, 'ascentSteps', ascentSteps, { min: 1 });
    checkNumber(caller, 'ascentStepSize', ascentStepSize, { above: 0 });
    this.weight = alpha;
    this.rate = alphaLearningRate;
    this.limit = limit;
    this.ascent = { steps: ascentSteps, learningRate: ascentStepSize };
  }

  /** The weight α: all the state there is. */
  get alpha(): number {
    return this.weight;
  }

  /** Sets α, to go on from a checkpoint. */
  set alpha(value: number) {
    checkNumber('ConservativeObjective', 'alpha', value, { min: 0 });
    this.weight = value;
  }

  /**
   * One step of training.
   *
   * @param predict - maps designs `[n, d]` to `[n]` or `[n, 1]`, by these variables
   * @param x - `[n, d]`, float32
   * @param y - `[n]`, float32
   * @param ignite - adds its regulariser, and moves its λ
   * @throws NonFiniteError if the loss is not finite; nothing is changed then
   */
  async step(
    optimizer: Optimizer,
    variables: readonly Variable[],
    predict: (designs: Tensor2D) => Tensor,
    x: Tensor2D,
    y: Tensor,
    ignite?: SurrogateGradientNorm,
  ): Promise<ConservativeStep> {
    const designs = gradientAscent(predict, x, this.ascent);
    const overestimationOf = () => sub(mean(predict(designs)), mean(predict(x)));
    const baseLoss = () => {
      const error = square(sub(reshape(predict(x), [x.shape[0]]), reshape(y, [x.shape[0]])));
      return add(mean(error), mul(overestimationOf(), this.weight));
    };
    const before = tidy(overestimationOf);
    try {
      const overestimation = (await before.data())[0]!;
      if (!Number.isFinite(overestimation)) {
        throw new NonFiniteError(
          `ConservativeObjective.step: overestimation must be finite, got ${overestimation}`,
        );
      }
      const loss = ignite
        ? (await ignite.step(optimizer, variables, baseLoss, () => mean(predict(x)))).loss
        : await plainStep(optimizer, variables, baseLoss);
      this.weight = Math.max(0, this.weight + this.rate * (overestimation - this.limit));
      return { loss, overestimation, alpha: this.weight };
    } finally {
      before.dispose();
      designs.dispose();
    }
  }
}

/** One step without a regulariser. */
export async function plainStep(
  optimizer: Optimizer,
  variables: readonly Variable[],
  baseLoss: () => Tensor,
): Promise<number> {
  const { value, grads } = variableGrads(baseLoss as () => Scalar, [...variables]);
  const present = Object.fromEntries(Object.entries(grads).filter(([, g]) => g instanceof Tensor));
  try {
    const loss = (await value.data())[0]!;
    if (!Number.isFinite(loss)) {
      throw new NonFiniteError(`loss must be finite, got ${loss}; nothing was changed`);
    }
    optimizer.applyGradients(present);
    return loss;
  } finally {
    value.dispose();
    for (const g of Object.values(present)) g.dispose();
  }
}
