import {
  checkInteger,
  checkOptions,
  checkTensor,
  NonFiniteError,
  restoreRandom,
} from '@orth/backend';
import {
  argMax,
  equal,
  gather,
  type Scalar,
  slice,
  stack,
  sum,
  type Tensor,
  tensor,
  tensor1d,
  tidy,
  type Variable,
} from '@tensorflow/tfjs-core';
import { BatchCursor } from './batchCursor.js';
import { indicator } from './indicator.js';
import { parseSelfTuningState, type SavedTensor, type SelfTuningState } from './selfTuningState.js';
import { SelfTuningSteps } from './selfTuningSteps.js';

/** Examples: rows of `x` belong to rows of `y`. */
export interface Examples {
  /** `[N, …]`. */
  readonly x: Tensor;
  /** `[N]` int32 labels for cross-entropy, else what the loss takes. */
  readonly y: Tensor;
}

/** What an epoch gave. */
export interface SelfTuningEpoch {
  /** 1, 2, … */
  readonly epoch: number;
  /** Mean over the epoch's training steps: regularised, perturbed. */
  readonly trainLoss: number;
  /** On all validation data at unperturbed hyperparameters. */
  readonly validLoss: number;
  /** Share of right labels on validation data, where targets are int32 labels. */
  readonly validAccuracy: number | undefined;
  /** Values of the hyperparameters after the epoch. */
  readonly values: Readonly<Record<string, number>>;
  /** σ of the perturbations. */
  readonly scales: Readonly<Record<string, number>>;
  readonly learningRate: number;
  /** Updates left out so far because a gradient was not finite. */
  readonly skippedUpdates: number;
}

/** Options of {@link SelfTuning.fit}. */
export interface SelfTuningFitOptions {
  readonly train: Examples;
  /** Validation data, from which the hyperparameters learn. */
  readonly valid: Examples;
  /** Epochs since the start, ≥ 0: a resumed fit counts those before. */
  readonly epochs: number;
  /** Called after each epoch; a promise is awaited. */
  readonly onEpoch?: (epoch: SelfTuningEpoch) => void | Promise<void>;
  /** Called after each training step with the epoch (from 1) and the step within it (from 1). */
  readonly onStep?: (progress: { epoch: number; step: number; total: number }) => void;
  /** Ends the fit after the step that is under way; a later fit goes on from there. */
  readonly signal?: AbortSignal;
}

/** What a fit gives. */
export interface SelfTuningResult {
  readonly reason: 'epochs' | 'patience' | 'aborted';
  readonly schedule: readonly SelfTuningEpoch[];
  /** The epoch of the least validation loss; `restoreBest()` brings its weights back. */
  readonly best: SelfTuningEpoch | undefined;
}

/**
 * A self-tuning network: trains weights and, on validation data, tunes dropout rates, weight decay and augmentation in the
 * same run. Each layer has a small branch that learns how its weights should move when hyperparameters move; the validation
 * loss reaches the hyperparameters through it.
 *
 * @example
 * const tuned = new SelfTuning(model, space, { seed: 1 });
 * const { best } = await tuned.fit({ train: { x, y }, valid: { x: vx, y: vy }, epochs: 60 });
 * await tuned.restoreBest();
 * @see MacKay et al. 2019, arXiv 1903.03088, Algorithm 1; Bae and Grosse 2020, arXiv 2010.13514 (`variant: 'delta'`)
 */
export class SelfTuning extends SelfTuningSteps {
  private epochs: SelfTuningEpoch[] = [];
  private bestWeights: Float32Array[] | undefined;
  private trainCursor: BatchCursor | undefined;
  private validCursor: BatchCursor | undefined;
  private sinceTurn = 0;
  private stepsInEpoch = 0;
  private lossSum = 0;
  private pending: Scalar[] = [];
  private running = false;

  /** What each epoch gave, and so the schedule of each hyperparameter. */
  get schedule(): readonly SelfTuningEpoch[] {
    return this.epochs;
  }

  /** The epoch of the least validation loss so far. */
  get best(): SelfTuningEpoch | undefined {
    return this.epochs.reduce<SelfTuningEpoch | undefined>(
      (best, epoch) => (!best || epoch.validLoss < best.validLoss ? epoch : best),
      undefined,
    );
  }

  /**
   * Trains until there were `epochs` epochs, the validation loss has not improved for `stopPatience` epochs, or the signal
   * aborts.
   *
   * @throws TypeError or RangeError for bad options or data, an empty set included, before anything changes; NonFiniteError
   *   after an epoch whose losses were not finite (the weights are); Error if a fit is under way
   */
  async fit(options: SelfTuningFitOptions): Promise<SelfTuningResult> {
    const caller = 'SelfTuning.fit';
    checkOptions(caller, options, ['train', 'valid', 'epochs', 'onEpoch', 'onStep', 'signal']);
    const { train, valid, epochs, onEpoch, onStep, signal } = options;
    const rows = this.checkExamples(caller, 'train', train);
    const validRows = this.checkExamples(caller, 'valid', valid);
    checkInteger(caller, 'epochs', epochs, { min: 0 });
    if (this.running) throw new Error(`${caller}: a fit must end before the next begins`);
    const { batchSize, stopPatience } = this.settings;
    this.trainCursor = this.cursorFor(caller, 'train', this.trainCursor, rows, batchSize);
    this.validCursor = this.cursorFor(caller, 'valid', this.validCursor, validRows, batchSize);
    this.running = true;
    const ends = (reason: SelfTuningResult['reason']) => ({
      reason,
      schedule: [...this.epochs],
      best: this.best,
    });
    try {
      const total = Math.ceil(rows / batchSize);
      while (this.epochs.length < epochs) {
        while (this.stepsInEpoch < total) {
          if (signal?.aborted) return ends('aborted');
          this.oneStep(train, valid);
          onStep?.({ epoch: this.epochs.length + 1, step: this.stepsInEpoch, total });
          // Leaves the event loop a turn, so that signals and pages stay alive, and bounds what is queued on a device.
          if (this.stepsInEpoch % 16 === 0) await this.readLosses();
        }
        const epoch = await this.endEpoch(valid, total);
        await onEpoch?.(epoch);
        const best = this.best!;
        if (this.epochs.length - best.epoch >= stopPatience) return ends('patience');
      }
      return ends('epochs');
    } finally {
      await this.readLosses();
      this.running = false;
    }
  }

  /** A training step and, when it is their turn, the validation steps. */
  private oneStep(train: Examples, valid: Examples): void {
    const { variant, trainSteps, validSteps, warmupEpochs } = this.settings;
    this.pending.push(this.onBatch(train, this.trainCursor!, (x, y) => this.trainStep(x, y)));
    this.stepsInEpoch++;
    this.sinceTurn++;
    if (this.sinceTurn < trainSteps) return;
    this.sinceTurn = 0;
    if (variant === 'fixed' || this.epochs.length < warmupEpochs) return;
    for (let i = 0; i < validSteps; i++) {
      this.onBatch(valid, this.validCursor!, (x, y) => this.validationStep(x, y)).dispose();
    }
  }

  private onBatch(
    { x, y }: Examples,
    cursor: BatchCursor,
    step: (x: Tensor, y: Tensor) => Scalar,
  ): Scalar {
    const rows = cursor.next(this.random);
    return tidy(() => {
      const indices = tensor1d([...rows], 'int32');
      return step(gather(x, indices), gather(y, indices));
    });
  }

  private async readLosses(): Promise<void> {
    if (this.pending.length === 0) return;
    const read = this.pending;
    this.pending = [];
    const all = tidy(() => stack(read));
    for (const loss of read) loss.dispose();
    const values = await all.data();
    all.dispose();
    for (const value of values) this.lossSum += value;
  }

  private async endEpoch(valid: Examples, steps: number): Promise<SelfTuningEpoch> {
    await this.readLosses();
    const { loss: validLoss, accuracy } = await this.evaluate(valid);
    const trainLoss = this.lossSum / steps;
    this.lossSum = 0;
    this.stepsInEpoch = 0;
    if (!Number.isFinite(validLoss) || !Number.isFinite(trainLoss)) {
      throw new NonFiniteError(
        `SelfTuning.fit: losses must be finite, got ${trainLoss} in training and ${validLoss} in validation; a smaller ` +
          'learning rate, or clipNorm, may help',
      );
    }
    const { learningRate, learningRateDecay, decayPatience } = this.settings;
    const epoch: SelfTuningEpoch = {
      epoch: this.epochs.length + 1,
      trainLoss,
      validLoss,
      validAccuracy: accuracy,
      values: await this.values(),
      scales: await this.scales(),
      learningRate: learningRate * this.learningRateScale,
      skippedUpdates: await this.skippedUpdates(),
    };
    if (!this.best || validLoss < this.best.validLoss) {
      this.bestWeights = await Promise.all(this.learned.map(readFloats));
    }
    // The authors' non-monotone rule, applied at most once in `decayPatience` epochs.
    const since = this.epochs[this.epochs.length - decayPatience];
    const before = this.epochs.slice(0, Math.max(0, this.epochs.length - decayPatience + 1));
    if (
      since?.learningRate === epoch.learningRate &&
      before.some((past) => past.validLoss <= validLoss)
    ) {
      this.learningRateScale *= learningRateDecay;
    }
    this.epochs.push(epoch);
    return epoch;
  }

  /** Weights, hyperparameters and scales, in the order in which they are saved. */
  private get learned(): Variable[] {
    return [...this.model.general, ...this.model.response, this.free, this.rawScales];
  }

  /**
   * Loss and, for int32 labels, accuracy at the current unperturbed hyperparameters, in batches.
   * @throws TypeError or RangeError for bad data
   */
  async evaluate(examples: Examples): Promise<{ loss: number; accuracy: number | undefined }> {
    const rows = this.checkExamples('SelfTuning.evaluate', 'examples', examples);
    const { x, y } = examples;
    const { batchSize, loss } = this.settings;
    const labels = y.rank === 1 && y.dtype === 'int32';
    const from = (t: Tensor, start: number) =>
      slice(
        t,
        [start, ...new Array<number>(t.rank - 1).fill(0)],
        [Math.min(batchSize, rows - start), ...t.shape.slice(1)],
      );
    const sums: Tensor[] = [];
    for (let start = 0; start < rows; start += batchSize) {
      sums.push(
        tidy(() => {
          const [batch, targets] = [from(x, start), from(y, start)];
          const outputs = this.predict(batch);
          const total = sum(loss(outputs, targets));
          if (!labels || outputs.rank !== 2) return stack([total]);
          const right = sum(indicator(equal(argMax(outputs, 1), targets)));
          return stack([total, right]);
        }),
      );
    }
    const read = await Promise.all(sums.map((t) => t.data()));
    for (const t of sums) t.dispose();
    const mean = (i: number) => read.reduce((total, values) => total + values[i]!, 0) / rows;
    return { loss: mean(0), accuracy: read[0]!.length > 1 ? mean(1) : undefined };
  }

  /**
   * Brings back weights and hyperparameters of the best epoch; optimizers and schedule stay.
   * @throws Error if no epoch has ended
   */
  restoreBest(): void {
    if (!this.bestWeights) throw new Error('SelfTuning.restoreBest: there must be an epoch first');
    for (const [i, v] of this.learned.entries()) assign(v, this.bestWeights[i]!);
  }

  private checkExamples(caller: string, name: string, examples: Examples): number {
    if (typeof examples !== 'object' || examples === null) {
      throw new TypeError(`${caller}: ${name} must be { x, y }, got ${String(examples)}`);
    }
    const { x, y } = examples;
    const dtype = ['float32', 'int32'];
    checkTensor(caller, `${name}.x`, x, { minRank: 1, dtype });
    checkTensor(caller, `${name}.y`, y, { minRank: 1, dtype });
    if (x.shape[0] === y.shape[0]) return x.shape[0]!;
    throw new RangeError(
      `${caller}: ${name}.y must have ${x.shape[0]} rows, got shape [${y.shape}]`,
    );
  }

  private cursorFor(
    caller: string,
    name: string,
    cursor: BatchCursor | undefined,
    rows: number,
    batchSize: number,
  ): BatchCursor {
    if (!cursor || cursor.count === rows) return cursor ?? new BatchCursor(rows, batchSize);
    // Only between epochs may the data change its size.
    if (cursor.atEnd) return new BatchCursor(rows, batchSize);
    if (name === 'valid') return new BatchCursor(rows, batchSize);
    throw new RangeError(
      `${caller}: ${name} must have ${cursor.count} rows until the epoch that was interrupted ends, got ${rows}`,
    );
  }

  private get saved(): Variable[] {
    const optimizers = [...this.weightOptimizers, ...this.hyperOptimizers];
    return [...this.learned, ...optimizers.flatMap((optimizer) => optimizer.state)];
  }

  /**
   * The whole state as plain data, fit for JSON: a fit that goes on from it equals one that was never stopped, on the same
   * backend. The model, the space and the options are not in it.
   */
  async saveState(): Promise<SelfTuningState> {
    await this.readLosses();
    const variables = await Promise.all(
      this.saved.map(
        async (v): Promise<SavedTensor> => ({
          shape: [...v.shape],
          data: [...(await readFloats(v))],
        }),
      ),
    );
    return {
      format: 'orth-self-tuning',
      version: 1,
      variant: this.settings.variant,
      names: [...this.space.names],
      variables,
      best: this.bestWeights?.map((values) => [...values]) ?? null,
      random: [...this.random.state()],
      learningRateScale: this.learningRateScale,
      epochs: this.epochs.map((epoch) => ({ ...epoch })),
      sinceTurn: this.sinceTurn,
      stepsInEpoch: this.stepsInEpoch,
      lossSum: this.lossSum,
      train: this.trainCursor ? { count: this.trainCursor.count, ...this.trainCursor.state } : null,
      valid: this.validCursor ? { count: this.validCursor.count, ...this.validCursor.state } : null,
    };
  }

  /**
   * Puts a state of {@link saveState} in place.
   * @throws CheckpointError if it is damaged or belongs to another model, space or variant; nothing is changed then
   */
  loadState(state: unknown): void {
    const shapes = this.saved.map((v) => v.shape);
    const learned = this.learned.length;
    const { variant } = this.settings;
    const parsed = parseSelfTuningState(state, variant, this.space.names, shapes, learned);
    const random = restoreRandom(parsed.random);
    for (const [i, v] of this.saved.entries()) assign(v, parsed.variables[i]!.data);
    this.bestWeights = parsed.best?.map((values) => Float32Array.from(values));
    this.random = random;
    this.learningRateScale = parsed.learningRateScale;
    this.epochs = parsed.epochs.map((epoch) => ({ ...epoch }));
    this.sinceTurn = parsed.sinceTurn;
    this.stepsInEpoch = parsed.stepsInEpoch;
    this.lossSum = parsed.lossSum;
    const cursor = (saved: SelfTuningState['train']) => {
      if (!saved) return undefined;
      const result = new BatchCursor(saved.count, this.settings.batchSize);
      result.state = saved;
      return result;
    };
    this.trainCursor = cursor(parsed.train);
    this.validCursor = cursor(parsed.valid);
  }

  override dispose(): void {
    for (const loss of this.pending) loss.dispose();
    this.pending = [];
    super.dispose();
  }
}

const readFloats = async (v: Variable): Promise<Float32Array> => Float32Array.from(await v.data());

function assign(v: Variable, values: ArrayLike<number>): void {
  tidy(() => v.assign(tensor(Float32Array.from(values), v.shape)));
}
