import {
  CheckpointError,
  checkInteger,
  checkNumber,
  checkOptions,
  checkTensor,
  type Random,
  type RandomState,
  restoreRandom,
  seededRandom,
} from '@orth/backend';
import {
  customGrad,
  type GradSaveFunc,
  mul,
  reshape,
  sub,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { checkBinary, marginsOf } from './binaryMargins.js';
import { assignDerivatives, sortedDerivatives } from './calibratedDerivatives.js';
import { checkClasses } from './compSum.js';
import {
  type EnsLossOptions,
  type ResolvedEnsLossOptions,
  resolveEnsLossOptions,
} from './ensLossOptions.js';
import { LAMBDA_LIMIT } from './inverseBoxCox.js';
import { perExample, withoutLastAxis } from './layersLoss.js';
import { toIndices } from './logLikelihood.js';
import { checkClassLabels, checkEach, shouldCheckValues } from './lossArguments.js';
import { multiclassSlopes, pairMargins } from './pairMargins.js';
import { type Reduction, reduceLoss } from './reduction.js';

/** Where the random derivatives of one call come from, if not from the seed. */
export interface EnsLossDraws {
  /** Standard normal numbers, one a margin, in any order. */
  readonly z?: ArrayLike<number>;
}

/** What {@link EnsLoss.toJSON} gives: options, λ of the moment, and the state of the random numbers. */
export interface EnsLossState {
  readonly options: EnsLossOptions;
  readonly lambda: number;
  readonly random: RandomState;
}

/**
 * EnsLoss: each call draws the derivatives of a random convex, classification-calibrated loss, so that training averages
 * over losses as dropout averages over networks.
 *
 * Of margins `m = y f`, the smallest gets the most negative derivative. `v_i` is the inverse Box–Cox transform of a
 * standard normal number; sorted, `max(−v, floor)` are handed out in the order of the margins, divided by m where m > 1,
 * and lowered by epsilon. The result is the pseudo-loss `mean d_i m_i`, d held fixed: its gradient is what trains; its
 * value is no loss to watch. Costs a sort a batch. Use a decaying learning rate: the derivative never vanishes.
 *
 * Stateful only in its random numbers and λ: {@link EnsLoss.toJSON} saves both. Holds no tensors.
 *
 * @example
 * const loss = new EnsLoss({ seed: 1 });
 * optimizer.minimize(() => loss.call(model(x), labels));
 * @see Dai 2024, "EnsLoss: Stochastic Calibrated Loss Ensembles for Preventing Overfitting in Classification",
 *   arXiv 2409.00908; defaults of the author's code
 */
export class EnsLoss {
  private readonly options: ResolvedEnsLossOptions;
  private random: Random;
  /** λ of the inverse Box–Cox transform at present. */
  lambda: number;

  /**
   * @param options - see {@link EnsLossOptions}
   * @throws TypeError for an unknown option; RangeError for a value out of range
   */
  constructor(options: EnsLossOptions = {}) {
    this.options = resolveEnsLossOptions(options);
    this.lambda = this.options.lambda;
    this.random = seededRandom(this.options.seed);
  }

  /**
   * The differentiable pseudo-loss of binary scores; draws new derivatives.
   *
   * @param scores - any shape, float32, finite; two scores an example have no meaning here, see {@link multiclass}
   * @param labels - same shape, in {0, 1} or in {−1, 1}
   * @param draws - `z` instead of draws from the seed, for tests
   * @returns a scalar, or for `reduction: 'none'` the shape of `scores`
   * @throws TypeError for another dtype; RangeError for another shape, an empty batch, and, where values are checked, for
   *   other labels or scores that are not finite
   */
  call(scores: Tensor, labels: Tensor, draws: EnsLossDraws = {}): Tensor {
    return this.ofScores(scores, labels, draws, this.options.reduction);
  }

  private ofScores(scores: Tensor, labels: Tensor, draws: EnsLossDraws, reduction: Reduction) {
    const caller = 'EnsLoss.call';
    const checkValues = shouldCheckValues(caller, this.options.checkValues);
    checkBinary(caller, scores, labels, checkValues);
    const sorted = this.draw(caller, scores.size, draws);
    return tidy(() => {
      const op = customGrad((m, save) => {
        const d = this.assign(reshape(m as Tensor, [scores.size]), sorted);
        const slopes = reshape(d, scores.shape);
        (save as GradSaveFunc)([slopes]);
        return {
          value: mul(slopes, m as Tensor),
          gradFunc: (dy: Tensor, saved: Tensor[]) => mul(dy, saved[0]!),
        };
      });
      return reduceLoss(op(marginsOf(scores, labels)), undefined, reduction);
    });
  }

  /**
   * Experimental, and ours: the same map on all margins `s_y − s_k`, k ≠ y, of a batch at once, mean over all pairs. The
   * paper's calibration is for two classes, where this is {@link call} on `s_y − s_k`.
   *
   * @param logits - shape `[B, n]`, float32, finite, n >= 2
   * @param labels - class indices `[B]` or one-hot rows `[B, n]`
   * @param draws - `z` of `B (n − 1)` numbers, for tests
   * @returns a scalar, or for `reduction: 'none'` shape `[B]`, each the mean over its pairs
   * @throws TypeError for another dtype; RangeError for another shape, an empty batch, and, where values are checked, for
   *   labels out of range or logits that are not finite
   */
  multiclass(logits: Tensor, labels: Tensor, draws: EnsLossDraws = {}): Tensor {
    return this.ofPairs(logits, labels, draws, this.options.reduction);
  }

  private ofPairs(logits: Tensor, labels: Tensor, draws: EnsLossDraws, reduction: Reduction) {
    const caller = 'EnsLoss.multiclass';
    checkTensor(caller, 'logits', logits, { rank: 2 });
    checkClasses(caller, logits);
    const checkValues = shouldCheckValues(caller, this.options.checkValues);
    const form = checkClassLabels(caller, labels, logits, checkValues);
    if (checkValues) checkEach(caller, 'logits', logits, 'be finite', Number.isFinite);
    const [B, n] = logits.shape as [number, number];
    const sorted = this.draw(caller, B * (n - 1), draws);
    return tidy(() => {
      const own = toIndices(labels, form);
      const op = customGrad((s, save) => {
        const margins = pairMargins(s as Tensor, own);
        const d = this.assign(reshape(margins, [B * n]), sorted);
        const { value, slopes } = multiclassSlopes(s as Tensor, own, reshape(d, [B, n]));
        (save as GradSaveFunc)([slopes]);
        return {
          value,
          gradFunc: (dy: Tensor, saved: Tensor[]) => mul(reshape(dy, [B, 1]), saved[0]!),
        };
      });
      return reduceLoss(op(logits), undefined, reduction);
    });
  }

  /**
   * Derivatives for given margins, all < 0; draws new ones. Nondecreasing in the margin up to 1.
   *
   * @param margins - any shape, float32, finite
   * @param draws - `z` instead of draws from the seed, for tests
   * @returns same shape; the caller disposes it
   * @throws TypeError for another dtype; RangeError for an empty batch, or, where values are checked, margins that are not
   *   finite
   */
  derivatives(margins: Tensor, draws: EnsLossDraws = {}): Tensor {
    const caller = 'EnsLoss.derivatives';
    checkTensor(caller, 'margins', margins);
    if (shouldCheckValues(caller, this.options.checkValues)) {
      checkEach(caller, 'margins', margins, 'be finite', Number.isFinite);
    }
    const sorted = this.draw(caller, margins.size, draws);
    return tidy(() =>
      reshape(this.assign(reshape(margins, [margins.size]), sorted), margins.shape),
    );
  }

  /**
   * Tells that an epoch begins: where `period` is positive and divides it, λ is drawn from U(−1, 1). In tf.layers:
   * `fit(x, y, { callbacks: { onEpochBegin: (epoch) => loss.onEpochBegin(epoch) } })`, synchronous.
   *
   * @param epoch - integer >= 0
   * @throws TypeError or RangeError if it is not
   */
  onEpochBegin(epoch: number): void {
    checkInteger('EnsLoss.onEpochBegin', 'epoch', epoch, { min: 0 });
    const { period } = this.options;
    if (period > 0 && epoch % period === 0) this.lambda = 2 * this.random.uniform() - 1;
  }

  /**
   * The loss as `(yTrue, yPred)`, for `model.compile({ loss })` of tf.layers: one number an example, whatever `reduction`
   * says, so that sample and class weights of `fit` apply. Two units or more are logits, see {@link multiclass}; labels
   * may then be class indices `[B]` or `[B, 1]` too. `evaluate` and validation draw as well.
   */
  asLayersLoss(): (yTrue: Tensor, yPred: Tensor) => Tensor {
    return (yTrue, yPred) =>
      tidy(() =>
        yPred.rank === 2 && yPred.shape[1]! > 1
          ? this.ofPairs(yPred, withoutLastAxis(yTrue, yPred), {}, 'none')
          : perExample(this.ofScores(yPred, yTrue, {}, 'none')),
      );
  }

  /** Everything that the next draws depend on, fit for JSON. */
  toJSON(): EnsLossState {
    return { options: { ...this.options }, lambda: this.lambda, random: this.random.state() };
  }

  /**
   * A loss that draws what the saved one would have drawn next.
   * @throws CheckpointError if `state` is not such a state
   */
  static fromJSON(state: EnsLossState): EnsLoss {
    const caller = 'EnsLoss.fromJSON';
    try {
      checkOptions(caller, state, ['options', 'lambda', 'random']);
      checkNumber(caller, 'lambda', state.lambda, { min: -LAMBDA_LIMIT, max: LAMBDA_LIMIT });
      const loss = new EnsLoss(state.options);
      loss.random = restoreRandom(state.random);
      loss.lambda = state.lambda;
      return loss;
    } catch (error) {
      throw new CheckpointError(
        `${caller}: state must be one that toJSON gave: ${error instanceof Error ? error.message : error}`,
      );
    }
  }

  /** `count` derivatives in ascending order, before the tail. */
  private draw(caller: string, count: number, draws: EnsLossDraws): Float32Array {
    checkOptions(caller, draws, ['z']);
    const { z } = draws;
    if (z !== undefined && z.length !== count) {
      throw new RangeError(`${caller}: z must hold ${count} numbers, got ${z.length}`);
    }
    const numbers = z ?? Float64Array.from({ length: count }, () => this.random.normal());
    return sortedDerivatives(numbers, this.lambda, this.options.floor);
  }

  /** To the smallest of `margins`, shape `[B]`; what gets none stays near 0. */
  private assign(margins: Tensor, sorted: Float32Array): Tensor {
    return sub(assignDerivatives(margins, sorted, this.options), this.options.epsilon);
  }
}
