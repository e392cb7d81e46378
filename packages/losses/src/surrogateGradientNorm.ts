import { checkBoolean, checkNumber, checkOptions, NonFiniteError } from '@orth/backend';
import { type Optimizer, stack, type Tensor } from '@tensorflow/tfjs-core';
import {
  resolveSharpness,
  type SharpnessGradients,
  type SharpnessOptions,
  type SurrogateVariables,
  sharpnessGradients,
} from './sharpnessGradients.js';

/** Options of {@link SurrogateGradientNorm}. Defaults are those of the authors' scripts. */
export interface SurrogateGradientNormOptions extends SharpnessOptions {
  /** ε >= 0: sharpness that is allowed. Default 0.1 */
  readonly epsilon?: number;
  /** λ at the start. Default 1e−3 */
  readonly lambda?: number;
  /** Rate of λ, >= 0; 0 keeps it as it is (IGNITE-2). Default 1e−3, which small networks hardly notice: 0.1 there */
  readonly etaLambda?: number;
  /**
   * Whether λ is kept >= 0, as a multiplier of an inequality must be. The authors' code does not, and rewards sharpness
   * where λ falls below 0. Default true
   */
  readonly nonNegative?: boolean;
}

/** What a step of {@link SurrogateGradientNorm} gives. */
export interface SharpnessStep {
  /** The base loss before the step. */
  readonly loss: number;
  /** ‖∇G‖ before the step. */
  readonly gradientNorm: number;
  /** ρ ‖∇G‖ before the step. */
  readonly sharpness: number;
  /** λ after the step. */
  readonly lambda: number;
}

/**
 * IGNITE: trains a surrogate under the constraint `ρ ‖∇_θ G‖ <= ε` on its mean prediction G, so that a search through it
 * exploits it less. Wraps the training step of any tfjs model and loss; the optimiser is yours (the authors': Adam 3e−4).
 *
 * Each step descends along `∇L + λ ρ ∇‖∇G‖` and then moves the multiplier, `λ ← λ + η_λ (ρ ‖∇G‖ − ε)`.
 *
 * @example
 * const ignite = new SurrogateGradientNorm({ etaLambda: 0.1 });
 * const { loss, sharpness } = await ignite.step(
 *   optimizer, model, () => meanSquared(model.predict(x), y), () => tf.mean(model.predict(x)),
 * );
 * @see Dao et al. 2024, arXiv 2503.04242
 */
export class SurrogateGradientNorm {
  readonly rho: number;
  readonly r: number;
  readonly epsilon: number;
  readonly etaLambda: number;
  readonly nonNegative: boolean;
  private multiplier: number;
  private busy = false;

  /** @throws TypeError for an unknown option; RangeError for rho, r <= 0, epsilon, etaLambda < 0, or λ < 0 if it may not */
  constructor(options: SurrogateGradientNormOptions = {}) {
    const caller = 'SurrogateGradientNorm';
    const known = ['rho', 'r', 'epsilon', 'lambda', 'etaLambda', 'nonNegative'];
    checkOptions(caller, options, known);
    const { rho, r, epsilon = 0.1, lambda = 1e-3 } = options;
    const { etaLambda = 1e-3, nonNegative = true } = options;
    const sharpness = resolveSharpness(caller, {
      ...(rho !== undefined && { rho }),
      ...(r !== undefined && { r }),
    });
    this.rho = sharpness.rho;
    this.r = sharpness.r;
    checkNumber(caller, 'epsilon', epsilon, { min: 0 });
    checkNumber(caller, 'etaLambda', etaLambda, { min: 0 });
    checkBoolean(caller, 'nonNegative', nonNegative);
    checkNumber(caller, 'lambda', lambda, nonNegative ? { min: 0 } : {});
    this.epsilon = epsilon;
    this.etaLambda = etaLambda;
    this.nonNegative = nonNegative;
    this.multiplier = lambda;
  }

  /** The multiplier λ: all the state there is. */
  get lambda(): number {
    return this.multiplier;
  }

  /** Sets λ, to go on from a checkpoint. */
  set lambda(value: number) {
    checkNumber('SurrogateGradientNorm', 'lambda', value, this.nonNegative ? { min: 0 } : {});
    this.multiplier = value;
  }

  /** {@link sharpnessGradients} with this λ, ρ and r; λ stays as it is. */
  gradients(
    variables: SurrogateVariables,
    baseLoss: () => Tensor,
    meanPrediction: () => Tensor,
  ): SharpnessGradients {
    const { rho, r } = this;
    return sharpnessGradients(variables, baseLoss, meanPrediction, this.multiplier, { rho, r });
  }

  /**
   * Moves λ as a step does, for those who call {@link gradients} themselves.
   * @param gradientNorm - ‖∇G‖ before the step
   * @returns the new λ
   */
  updateMultiplier(gradientNorm: number): number {
    checkNumber('updateMultiplier', 'gradientNorm', gradientNorm, { min: 0 });
    const next = this.multiplier + this.etaLambda * (this.rho * gradientNorm - this.epsilon);
    this.multiplier = this.nonNegative ? Math.max(0, next) : next;
    return this.multiplier;
  }

  /**
   * One step of training. Waits for loss and norm to arrive on the host before anything is changed; wait for a step before
   * the next.
   *
   * @param optimizer - any tfjs optimizer
   * @throws NonFiniteError if loss or norm is not finite, nothing is changed then; Error if the last step is not over; as
   *   {@link sharpnessGradients}
   */
  async step(
    optimizer: Optimizer,
    variables: SurrogateVariables,
    baseLoss: () => Tensor,
    meanPrediction: () => Tensor,
  ): Promise<SharpnessStep> {
    if (this.busy) throw new Error('SurrogateGradientNorm.step: the step before is not over');
    this.busy = true;
    const result = this.gradientsOrRelease(variables, baseLoss, meanPrediction);
    try {
      const both = stack([result.loss, result.gradientNorm]);
      const values = await both.data();
      both.dispose();
      const [loss, gradientNorm] = [values[0]!, values[1]!];
      for (const [what, value] of Object.entries({ loss, 'gradient norm': gradientNorm })) {
        if (Number.isFinite(value)) continue;
        throw new NonFiniteError(
          `SurrogateGradientNorm.step: ${what} must be finite, got ${value}; nothing was changed`,
        );
      }
      optimizer.applyGradients(result.gradients);
      const lambda = this.updateMultiplier(gradientNorm);
      return { loss, gradientNorm, sharpness: this.rho * gradientNorm, lambda };
    } finally {
      this.busy = false;
      const { loss, gradientNorm, gradients, predictionGradients, normGradients } = result;
      const all = [gradients, predictionGradients, normGradients].flatMap((x) => Object.values(x));
      for (const x of [loss, gradientNorm, ...all]) x.dispose();
    }
  }

  private gradientsOrRelease(
    variables: SurrogateVariables,
    baseLoss: () => Tensor,
    meanPrediction: () => Tensor,
  ): SharpnessGradients {
    try {
      return this.gradients(variables, baseLoss, meanPrediction);
    } catch (error) {
      this.busy = false;
      throw error;
    }
  }
}
