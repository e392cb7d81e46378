import { checkOptions, checkTensor } from '@orth/backend';
import {
  argMax,
  mean,
  sqrt,
  square,
  sub,
  Tensor,
  type Tensor2D,
  type Tensor3D,
  tensor,
  tidy,
  type Variable,
} from '@tensorflow/tfjs-core';
import { fitEpoch } from './fitEpoch.js';
import { type FitEpoch, type FitOptions, resolveFit } from './fitOptions.js';
import { checkDirections } from './hostChecks.js';
import { createPromptModel, type MSGCoOpOptions, type PromptModel } from './msgcoopOptions.js';
import { PromptDescent } from './promptDescent.js';
import { decodePrompts, encodePrompts } from './promptFile.js';
import {
  checkLabels,
  type ImageLabels,
  type PromptLosses,
  promptClassWeights,
  promptLogits,
  promptLosses,
} from './promptLosses.js';
import type { ClassSelection } from './promptSource.js';

/** Features of images, or of each epoch's augmented images: freed here then, in the order of the labels. */
export type ImageFeatures = Tensor2D | ((epoch: number) => Tensor2D | Promise<Tensor2D>);

const SELECTION = ['classNames', 'tokens', 'classFeatures'];

/**
 * Several learnable prompts for a frozen model of images and texts, guided by descriptions of the classes (MSGCoOp). Only
 * the context is learned: for each prompt a few embeddings, shared by all classes, which therefore serve classes that
 * training never saw. The prompts' logits are averaged.
 *
 * `loss = cross-entropy + semanticWeight · (1 - cos(mean prompt feature, target)) + diversityWeight · mean cos² of pairs`.
 *
 * With `classFeatures` instead of an encoder it runs in feature-space mode, which is not the paper's: the learned part is an
 * offset `[N, D]` of the given features. The three losses are the same.
 *
 * @example
 * const model = new MSGCoOp({ encoder, classNames, descriptions });
 * await model.fit(imageFeatures, labels);
 * const predicted = await model.predict(newImages, { classNames: newNames });
 * @see Wang, Sun, Du, Huang 2025, "MSGCoOp: Multiple Semantic-Guided Context Optimization for Few-Shot Learning", arXiv
 *   2507.21786; constants are those of its code
 */
export class MSGCoOp {
  private readonly model: PromptModel;
  private readonly descent: PromptDescent;
  private epochsDone = 0;
  private isFitting = false;
  private isOver = false;

  /** @throws TypeError or RangeError for a wrong option; nothing is left behind then */
  constructor(options: MSGCoOpOptions) {
    this.model = createPromptModel('MSGCoOp', options);
    this.descent = new PromptDescent(this.contexts);
  }

  /** All that is learned: `[N, n, d]`, class-specific `[N, C, n, d]`, in feature-space mode `[N, D]`. */
  get contexts(): Variable {
    return this.model.source.parameter;
  }

  /** An optimizer's `varList`. */
  get trainableVariables(): Variable[] {
    return this.isOver ? [] : [this.contexts];
  }

  get numPrompts(): number {
    return this.model.source.numPrompts;
  }

  get numClasses(): number {
    return this.model.classes.size;
  }

  /** Epochs that the last training did, also of one that was loaded: the `initialEpoch` to go on from. */
  get epoch(): number {
    return this.epochsDone;
  }

  /** Features the prompts are pulled towards, shape `[C, D]`, if there are any; the model's own. */
  get target(): Tensor | undefined {
    return this.model.target;
  }

  /** Whether it has been freed. */
  get disposed(): boolean {
    return this.isOver;
  }

  /**
   * Features of every prompt and class, not normalised; differentiable with respect to {@link contexts}.
   * @param classes - Default: those of the constructor
   * @returns shape `[N, C, D]`
   * @throws TypeError or RangeError for a wrong selection, or new classes for class-specific contexts
   */
  textFeatures(classes: ClassSelection = {}): Tensor3D {
    const caller = 'MSGCoOp.textFeatures';
    this.checkUsable(caller);
    return this.featuresOf(caller, classes);
  }

  /**
   * The learned classifier: rows by which unit image features are multiplied, shape `[C, D]`. Keep it where only
   * predictions are wanted: it needs no text encoder.
   */
  classWeights(classes: ClassSelection = {}): Tensor2D {
    const caller = 'MSGCoOp.classWeights';
    this.checkUsable(caller);
    return tidy(() => promptClassWeights(this.featuresOf(caller, classes)));
  }

  /**
   * Logits of images, the mean over prompts, shape `[B, C]`; differentiable.
   * @param imageFeatures - shape `[B, D]`, of any length
   */
  logits(imageFeatures: Tensor2D, classes: ClassSelection = {}): Tensor2D {
    const caller = 'MSGCoOp.logits';
    this.checkImages(caller, imageFeatures);
    const { logitScale } = this.model.weights;
    return tidy(() => promptLogits(this.featuresOf(caller, classes), imageFeatures, logitScale));
  }

  /**
   * The most probable class of each image, as its number among the classes.
   * @param imageFeatures - shape `[B, D]`
   * @param classes - Default: those of the constructor
   * @throws (rejects with) RangeError for features with NaN, or 0 throughout; as {@link textFeatures} for classes
   */
  async predict(imageFeatures: Tensor2D, classes: ClassSelection = {}): Promise<Int32Array> {
    const caller = 'MSGCoOp.predict';
    this.checkImages(caller, imageFeatures);
    const best = tidy(() => argMax(this.logits(imageFeatures, classes), 1));
    try {
      await checkDirections(caller, 'imageFeatures', imageFeatures);
      return Int32Array.from(await best.data());
    } finally {
      best.dispose();
    }
  }

  /**
   * The losses on some images, scalars, for a training loop of your own; differentiable with respect to {@link contexts} and
   * the images' features. Values are not read, so not checked.
   */
  losses(imageFeatures: Tensor2D, labels: ImageLabels): PromptLosses {
    const caller = 'MSGCoOp.losses';
    this.checkImages(caller, imageFeatures);
    checkLabels(caller, labels, imageFeatures.shape[0], this.numClasses);
    const { target, weights } = this.model;
    return tidy(() => {
      const textFeatures = this.featuresOf(caller, {});
      return promptLosses({ textFeatures, imageFeatures }, labels, {
        ...weights,
        ...(target && { target }),
      });
    });
  }

  /**
   * Learns the contexts from a few images a class.
   *
   * @param imageFeatures - shape `[S, D]`, or a function that gives those of an epoch
   * @param labels - S class numbers
   * @returns the progress of each epoch
   * @throws (rejects with) TypeError or RangeError for wrong arguments, before anything changes; NonFiniteError from the step
   *   whose loss is not finite, which changes nothing; the signal's reason
   */
  async fit(
    imageFeatures: ImageFeatures,
    labels: ImageLabels,
    options: FitOptions = {},
  ): Promise<FitEpoch[]> {
    const caller = 'MSGCoOp.fit';
    this.checkUsable(caller);
    if (this.isFitting) throw new Error(`${caller}: the model must not be training already`);
    const settings = resolveFit(caller, options);
    const all = { ...settings, onStep: options.onStep, signal: options.signal };
    const { seed } = this.model;
    this.isFitting = true;
    try {
      const classes = await this.checkedLabels(caller, labels);
      if (this.model.target) await checkDirections(caller, 'target', this.model.target);
      const fixed = typeof imageFeatures === 'function' ? undefined : imageFeatures;
      if (fixed) await this.checkBatch(caller, fixed, classes.length);
      options.signal?.throwIfAborted();
      const history: FitEpoch[] = [];
      if (settings.initialEpoch === 0) this.descent.reset();
      this.epochsDone = settings.initialEpoch;
      for (let epoch = settings.initialEpoch; epoch < settings.finalEpoch; epoch++) {
        const images = fixed ?? (await (imageFeatures as (epoch: number) => Tensor2D)(epoch));
        try {
          if (!fixed) await this.checkBatch(caller, images, classes.length);
          history.push(await fitEpoch(this.descent, this, { epoch, images, classes, seed }, all));
        } finally {
          if (!fixed) images.dispose();
        }
        this.epochsDone = epoch + 1;
        await options.onEpoch?.(history[history.length - 1]!);
      }
      return history;
    } finally {
      this.isFitting = false;
    }
  }

  /**
   * How far the contexts are from being one: the root mean square distance of their numbers from their mean over prompts.
   * 0 for contexts that began equal, and stays so up to rounding.
   */
  async spread(): Promise<number> {
    this.checkUsable('MSGCoOp.spread');
    const spread = tidy(() => sqrt(mean(square(sub(this.contexts, mean(this.contexts, 0, true))))));
    const [value] = await spread.data();
    spread.dispose();
    return value!;
  }

  /** What was learned, the momentum, and the epochs done, as a safetensors file; classes and targets are not in it. */
  async save(): Promise<Uint8Array<ArrayBuffer>> {
    this.checkUsable('MSGCoOp.save');
    return encodePrompts(this.contexts, this.descent.momentum, this.epochsDone);
  }

  /**
   * Takes over what {@link save} wrote; `fit(…, { initialEpoch: model.epoch })` then goes on as if it had never stopped.
   * @throws CheckpointError if the file is damaged or of other shapes; nothing is changed then
   */
  load(bytes: Uint8Array): void {
    const caller = 'MSGCoOp.load';
    this.checkUsable(caller);
    if (this.isFitting) throw new Error(`${caller}: the model must not be training`);
    const { contexts, momentum, epoch } = decodePrompts(caller, bytes, this.contexts.shape);
    const value = tensor(contexts.data, [...contexts.shape]);
    this.contexts.assign(value);
    value.dispose();
    this.descent.reset(momentum && tensor(momentum.data, [...momentum.shape]));
    this.epochsDone = epoch;
  }

  /** Frees everything but the encoder. Does nothing the second time. */
  dispose(): void {
    if (this.isOver) return;
    if (this.isFitting) throw new Error('MSGCoOp.dispose: the model must not be training');
    this.isOver = true;
    this.descent.reset();
    this.model.classes.dispose();
    this.model.target?.dispose();
    this.contexts.dispose();
  }

  private featuresOf(caller: string, selection: ClassSelection): Tensor3D {
    checkOptions(caller, selection, SELECTION);
    const { source, classes } = this.model;
    if (Object.values(selection).every((value) => value === undefined)) {
      return source.features(classes);
    }
    const other = source.prepare(caller, selection);
    try {
      if (source.classSpecific && other.size !== classes.size) {
        throw new RangeError(
          `${caller}: classes must be the ${classes.size} that class-specific contexts were learned for, got ${other.size}`,
        );
      }
      return source.features(other);
    } finally {
      other.dispose();
    }
  }

  private checkImages(caller: string, images: Tensor2D): void {
    this.checkUsable(caller);
    checkTensor(caller, 'imageFeatures', images, { shape: [null, this.model.source.featureDim] });
  }

  private async checkBatch(caller: string, images: Tensor2D, count: number): Promise<void> {
    this.checkImages(caller, images);
    if (images.shape[0] !== count) {
      throw new RangeError(
        `${caller}: labels must be ${images.shape[0]}, one for each image, got ${count}`,
      );
    }
    await checkDirections(caller, 'imageFeatures', images);
  }

  private async checkedLabels(caller: string, labels: ImageLabels): Promise<Int32Array> {
    const isTensor = labels instanceof Tensor;
    if (isTensor) checkLabels(caller, labels, labels.size, this.numClasses);
    const values = isTensor ? await labels.data() : labels;
    checkLabels(caller, values, values?.length, this.numClasses);
    return Int32Array.from(values);
  }

  private checkUsable(caller: string): void {
    if (this.isOver) throw new Error(`${caller}: the model must not have been disposed`);
  }
}
