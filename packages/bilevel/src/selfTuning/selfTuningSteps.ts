import { checkTensor, type Random, seededRandom } from '@orth/backend';
import {
  add,
  mean,
  mul,
  reshape,
  type Scalar,
  slice,
  sub,
  type Tensor,
  tensor1d,
  tidy,
  type Variable,
  variable,
  variableGrads,
} from '@tensorflow/tfjs-core';
import type { HyperContext, HyperModel } from './hyperLayer.js';
import type { HyperSpace } from './hyperSpace.js';
import { drawNoise, perturb, perturbationEntropy } from './perturbation.js';
import {
  type SelfTuningOptions,
  type SelfTuningSettings,
  selfTuningSettings,
} from './selfTuningOptions.js';
import { SlotOptimizer } from './slotOptimizer.js';
import { hyperValueTensor, softplusOf } from './transforms.js';

let instances = 0;

/**
 * The two steps of a self-tuning network, without a schedule: {@link SelfTuning} adds epochs, checkpoints and stopping.
 *
 * Training step: `E_ε L_train(w(h̃), value(h̃))` over all weights, with `h̃ = h + softplus(σ_raw) ε` for each example.
 * Validation step: `E_ε L_val(w(h̃)) − τ Ent(σ)` over h and σ only, regularisation off, gradients through the best-response
 * branches alone. Neither touches what the other learns. Nothing is read from the device.
 */
export class SelfTuningSteps {
  /** Free hyperparameters h, `[H]`. */
  readonly free: Variable;
  /** Raw scales σ_raw, `[H]`: softplus of them is σ. */
  readonly rawScales: Variable;
  protected readonly settings: SelfTuningSettings;
  protected random: Random;
  protected learningRateScale = 1;
  private rehearsed = false;
  protected readonly weightOptimizers: SlotOptimizer[];
  protected readonly hyperOptimizers: SlotOptimizer[];

  /**
   * @param model - layers with variables; the object owns it and disposes it
   * @throws TypeError or RangeError for bad arguments, before any tensor is made
   */
  constructor(
    readonly model: HyperModel,
    readonly space: HyperSpace,
    options: SelfTuningOptions = {},
  ) {
    const caller = 'SelfTuning';
    if (typeof model?.apply !== 'function' || !Array.isArray(model.general)) {
      throw new TypeError(`${caller}: model must be a HyperModel, e.g. of hyperSequential`);
    }
    if (typeof space?.valuesOf !== 'function') {
      throw new TypeError(`${caller}: space must be what hyperSpace gives`);
    }
    this.settings = selfTuningSettings(caller, options);
    const { variant, momentum, clipNorm, hyperClipNorm, seed, tuneScales } = this.settings;
    this.random = seededRandom(seed);
    const prefix = `selfTuning${instances++}`;
    const make = (values: Float32Array, name: string) => {
      const initial = tensor1d(values);
      const result = variable(initial, true, `${prefix}/${name}`);
      initial.dispose();
      return result;
    };
    this.free = make(space.initialFree(), 'free');
    this.rawScales = make(space.initialScales(), 'rawScales');
    const sgd = (variables: readonly Variable[]) =>
      new SlotOptimizer({ kind: 'momentum', momentum }, variables, clipNorm);
    const adam = (v: Variable) => new SlotOptimizer({ kind: 'adam' }, [v], hyperClipNorm);
    const { general, response } = model;
    this.weightOptimizers =
      variant === 'stn'
        ? [sgd([...general, ...response])]
        : [sgd(general), ...(variant === 'delta' ? [sgd(response)] : [])];
    this.hyperOptimizers =
      variant === 'fixed' ? [] : [adam(this.free), ...(tuneScales ? [adam(this.rawScales)] : [])];
  }

  /** What a pass sees: `h` for the branches, and values of the free numbers `at`, `[batch, H]`. */
  private context(
    h: Tensor | null,
    at: Tensor,
    training: boolean,
    linearized = false,
    random = this.random,
  ): HyperContext {
    const { entries } = this.space;
    return {
      h,
      training,
      linearized,
      random,
      value: (name) => {
        const i = this.space.indexOf(name);
        const column = reshape(slice(at, [0, i], [-1, 1]), [-1]);
        return hyperValueTensor(column, entries[i]!.range, entries[i]!.discrete);
      },
    };
  }

  private augmented(x: Tensor, context: HyperContext): Tensor {
    return this.settings.augmentations.reduce((batch, f) => f(batch, context), x);
  }

  private trainingLoss(x: Tensor, y: Tensor, context: HyperContext): Scalar {
    const { loss, trainLoss, penalty } = this.settings;
    const { value, tangent } = this.model.apply({ value: x }, context);
    const outputs = tangent ? add(value, tangent) : value;
    const each = trainLoss ? trainLoss(outputs, y, context) : loss(outputs, y);
    return mean(penalty ? add(each, penalty(this.model, context)) : each) as Scalar;
  }

  /** Unperturbed h, `[1, H]`. */
  private current(): Tensor {
    return reshape(this.free, [1, this.space.size]);
  }

  /**
   * A pass without gradients before the first step: what a model, loss or augmentation refuses then throws while nothing
   * has changed, and where tfjs does not leak what its tape had saved.
   */
  private rehearse(x: Tensor, y: Tensor): void {
    if (this.rehearsed) return;
    tidy(() => {
      const now = this.current();
      const own = this.settings.variant === 'fixed' ? null : now;
      const linearized = this.settings.variant === 'delta';
      const context = this.context(own, now, true, linearized, this.random.fork(0));
      const { shape } = this.trainingLoss(this.augmented(x, context), y, context);
      const outputs = this.model.apply({ value: x }, this.context(own, now, false)).value;
      const each = this.settings.loss(outputs, y);
      if (shape.length === 0 && each.rank === 1) return;
      throw new RangeError(
        `SelfTuning: loss must give one number for each example, got shape [${each.shape}]`,
      );
    });
    this.rehearsed = true;
  }

  private noiseOf(caller: string, x: Tensor, noise: Tensor | undefined): Tensor {
    const batch = x.shape[0]!;
    if (!noise) return drawNoise(this.space, batch, this.random);
    checkTensor(caller, 'noise', noise, { shape: [batch, this.space.size] });
    return noise;
  }

  private checkBatch(caller: string, x: Tensor, y: Tensor): void {
    checkTensor(caller, 'x', x, { minRank: 1, dtype: ['float32', 'int32'] });
    checkTensor(caller, 'y', y, { minRank: 1, dtype: ['float32', 'int32'] });
    if (x.shape[0] !== y.shape[0]) {
      throw new RangeError(`${caller}: y must have ${x.shape[0]} rows, got shape [${y.shape}]`);
    }
  }

  /**
   * One step on the weights; hyperparameters and scales stay.
   *
   * @param x - batch of inputs, `[batch, …]`
   * @param y - targets
   * @param noise - ε, `[batch, H]`; drawn if absent
   * @returns the training loss before the step (Δ-STN: of the general weights), which the caller disposes
   * @throws TypeError or RangeError for bad shapes
   */
  trainStep(x: Tensor, y: Tensor, noise?: Tensor): Scalar {
    const caller = 'trainStep';
    this.checkBatch(caller, x, y);
    this.rehearse(x, y);
    const { variant, learningRate, responseLearningRate } = this.settings;
    const [first, second] = this.weightOptimizers;
    return tidy(() => {
      const perturbed =
        variant === 'fixed'
          ? this.current()
          : perturb(this.free, this.rawScales, this.noiseOf(caller, x, noise));
      const step = (optimizer: SlotOptimizer, context: HyperContext, rate: number) => {
        const batch = this.augmented(x, context);
        const { value, grads } = variableGrads(
          () => this.trainingLoss(batch, y, context),
          [...optimizer.variables],
        );
        optimizer.apply(grads, rate * this.learningRateScale);
        return value;
      };
      if (variant === 'stn') {
        return step(first!, this.context(perturbed, perturbed, true), learningRate);
      }
      const now = this.current();
      const loss = step(first!, this.context(null, now, true), learningRate);
      if (variant === 'delta') {
        const delta = sub(perturbed, now);
        step(second!, this.context(delta, perturbed, true, true), responseLearningRate).dispose();
      }
      return loss;
    });
  }

  /**
   * One step on hyperparameters and scales; all weights stay.
   *
   * @param x - batch of validation inputs, `[batch, …]`
   * @param y - targets
   * @param noise - ε, `[batch, H]`; drawn if absent
   * @returns the validation loss less τ times the entropy, before the step, which the caller disposes
   * @throws TypeError or RangeError for bad shapes; Error for the variant `'fixed'`
   */
  validationStep(x: Tensor, y: Tensor, noise?: Tensor): Scalar {
    const caller = 'validationStep';
    const { variant, tuneScales, entropyWeight, loss } = this.settings;
    if (variant === 'fixed') throw new Error(`${caller}: the variant must not be 'fixed'`);
    this.checkBatch(caller, x, y);
    this.rehearse(x, y);
    const { hyperLearningRate, scaleLearningRate } = this.settings;
    return tidy(() => {
      const epsilon = tuneScales ? this.noiseOf(caller, x, noise) : undefined;
      const moved = () => (epsilon ? perturb(this.free, this.rawScales, epsilon) : this.current());
      // Taken outside the gradient: values and the centre of δ are constants in it.
      const values = moved();
      const centre = variant === 'delta' ? this.current() : undefined;
      const { value, grads } = variableGrads(
        () => {
          const h = centre ? sub(moved(), centre) : moved();
          const outputs = this.model.apply({ value: x }, this.context(h, values, false)).value;
          const each = mean(loss(outputs, y)) as Scalar;
          if (!tuneScales || entropyWeight === 0) return each;
          return sub(each, mul(entropyWeight, perturbationEntropy(this.rawScales))) as Scalar;
        },
        tuneScales ? [this.free, this.rawScales] : [this.free],
      );
      const [hyper, scales] = this.hyperOptimizers;
      hyper!.apply(grads, hyperLearningRate);
      scales?.apply(grads, scaleLearningRate);
      return value;
    });
  }

  /**
   * Predictions at the current hyperparameters, without noise or regularisation; the caller disposes them.
   * @param x - `[batch, …]`
   */
  predict(x: Tensor): Tensor {
    checkTensor('predict', 'x', x, { minRank: 1, dtype: ['float32', 'int32'] });
    return tidy(() => {
      const now = this.current();
      const h = this.settings.variant === 'stn' ? now : null;
      return this.model.apply({ value: x }, this.context(h, now, false)).value;
    });
  }

  /** Current values of the hyperparameters by name; discrete ones floored. */
  async values(): Promise<Record<string, number>> {
    return this.space.valuesOf(await this.free.data());
  }

  /** Current σ of the perturbation by name, in free units. */
  async scales(): Promise<Record<string, number>> {
    const raw = await this.rawScales.data();
    return Object.fromEntries(this.space.names.map((name, i) => [name, softplusOf(raw[i]!)]));
  }

  /** Updates that were left out because a gradient was not finite. */
  async skippedUpdates(): Promise<number> {
    const counters = [...this.weightOptimizers, ...this.hyperOptimizers];
    const counts = await Promise.all(counters.map(({ skippedUpdates: n }) => n.data()));
    return counts.reduce((total, [n]) => total + n!, 0);
  }

  /** Disposes the model, the hyperparameters and the optimizers' state; may be called twice. */
  dispose(): void {
    this.model.dispose();
    for (const v of [this.free, this.rawScales]) if (!v.isDisposed) v.dispose();
    for (const o of [...this.weightOptimizers, ...this.hyperOptimizers]) o.dispose();
  }
}
