import { CheckpointError, NonFiniteError, seededRandom } from '@orth/backend';
import type { OptimizerState } from '@orth/muon';
import { dispose, variableGrads } from '@tensorflow/tfjs-core';
import type { Batch } from './data.js';
import { Gpt } from './model.js';
import {
  OPTIMIZERS,
  type OptimizerEntry,
  type OptimizerName,
  type RaceOptimizer,
} from './optimizers.js';
import type { History } from './result.js';
import { warmupThenLinear } from './schedule.js';
import type { RaceSettings } from './settings.js';

/** What a checkpoint holds of one contestant. */
export interface ContestantState {
  readonly optimizer: OptimizerName;
  readonly weights: Record<string, Float32Array>;
  readonly optimizerState: OptimizerState;
  readonly history: History;
}

/** A model, its optimiser, and how they have fared. */
export class Contestant {
  readonly entry: OptimizerEntry;
  readonly learningRate: number;
  readonly model: Gpt;
  private readonly optimizer: RaceOptimizer;
  history: History = { trainLoss: [], seconds: [], validation: [], divergedAt: null };

  constructor(
    readonly name: OptimizerName,
    settings: RaceSettings,
  ) {
    this.entry = OPTIMIZERS[name];
    this.learningRate = settings.learningRates[name]!;
    // A generator of its own from the common seed: the same initial weights, whoever else races.
    this.model = new Gpt(name, settings.shape, seededRandom(settings.seed));
    this.optimizer = this.entry.create(warmupThenLinear(this.learningRate, settings.steps));
  }

  /** False once loss or gradients were not finite. */
  get racing(): boolean {
    return this.history.divergedAt === null;
  }

  /** Seconds spent in {@link step}. */
  get seconds(): number {
    return this.history.seconds.at(-1) ?? 0;
  }

  /** Bytes of the optimiser's state. */
  get stateBytes(): number {
    return this.optimizer.stateBytes();
  }

  /** One update on one batch; a loss or gradient that is not finite ends the race for this contestant. */
  async step(batch: Batch): Promise<void> {
    const { trainLoss, seconds } = this.history;
    const start = performance.now();
    const { value, grads } = variableGrads(() => this.model.loss(batch), [...this.model.variables]);
    try {
      // Reading the loss also waits for a GPU, so that the clock measures the work and not its submission.
      const [loss] = await value.data();
      if (!Number.isFinite(loss)) throw new NonFiniteError(`loss is ${loss}`);
      this.optimizer.applyGradients(grads);
      trainLoss.push(loss!);
      seconds.push(this.seconds + (performance.now() - start) / 1000);
    } catch (error) {
      if (!(error instanceof NonFiniteError)) throw error;
      this.history.divergedAt = trainLoss.length;
    } finally {
      dispose([value, ...Object.values(grads)]);
    }
  }

  /** Mean loss over the validation batches, each weighted by its size. */
  async validationLoss(batches: readonly Batch[]): Promise<number> {
    let total = 0;
    let bytes = 0;
    for (const batch of batches) {
      const loss = this.model.loss(batch);
      const [value] = await loss.data();
      loss.dispose();
      total += value! * batch.targets.size;
      bytes += batch.targets.size;
    }
    return total / bytes;
  }

  /** Validates and remembers the point. */
  async validate(batches: readonly Batch[]): Promise<void> {
    const loss = await this.validationLoss(batches);
    const step = this.history.trainLoss.length;
    if (Number.isFinite(loss)) this.history.validation.push({ step, loss, seconds: this.seconds });
    else this.history.divergedAt = step;
  }

  async save(): Promise<ContestantState> {
    return {
      optimizer: this.name,
      weights: await this.model.getWeights(),
      optimizerState: await this.optimizer.saveState(),
      history: structuredClone(this.history),
    };
  }

  /** @throws CheckpointError if the state belongs to another contestant or another model */
  restore({ optimizer, weights, optimizerState, history }: ContestantState): void {
    if (optimizer !== this.name) {
      throw new CheckpointError(`the checkpoint holds ${optimizer} where ${this.name} is expected`);
    }
    this.model.setWeights(weights);
    this.optimizer.loadState(optimizerState, this.model.variables);
    this.history = structuredClone(history);
  }

  dispose(): void {
    this.optimizer.dispose();
    this.model.dispose();
  }
}
