/** Regression oracles: what predicts the losses that an exploration rule turns into probabilities. */
import { LogisticModel } from './linear/logisticModel.js';
import { RidgeModel, type RidgeOptions } from './linear/ridgeModel.js';
import type { Json } from './policy.js';
import type { SavedData } from './stateCodec.js';

/** Predicts the loss of every action and learns from one. */
export interface Oracle {
  /** Losses of K actions: `x` holds K rows, or the one row that a fixed number of actions share. */
  predict(x: Float64Array, K: number, out: Float64Array): void;
  /** Learns the loss of `action`, whose features, or the shared ones, are the first row of `x`. */
  update(x: Float64Array, action: number, loss: number, weight: number): void;
  save(): { [key: string]: Json };
  load(data: SavedData): void;
}

interface LinearModel {
  mean(x: Float64Array, at: number): number;
  update(x: Float64Array, at: number, y: number, w: number): void;
  save(): { [key: string]: Json };
  load(data: SavedData): void;
}

/** What a {@link LinearOracle} is for. */
export interface LinearOracleShape {
  readonly dim: number;
  readonly actionCount: number | undefined;
  /** Whether the models see a constant 1 after the features. */
  readonly intercept: boolean;
}

/** One linear model for all actions, or one each. */
export class LinearOracle<Model extends LinearModel> implements Oracle {
  readonly models: readonly Model[];
  private readonly row: Float64Array;

  constructor(
    private readonly shape: LinearOracleShape,
    create: (dim: number) => Model,
  ) {
    const { dim, actionCount = 1, intercept } = shape;
    this.models = Array.from({ length: actionCount }, () => create(dim + (intercept ? 1 : 0)));
    this.row = new Float64Array(dim + 1).fill(1);
  }

  /** Calls `visit` with the model, where its features are, and the index of each action of the K in `x`. */
  each(
    x: Float64Array,
    K: number,
    visit: (model: Model, row: Float64Array, at: number, a: number) => void,
  ): void {
    const { models, row } = this;
    const { dim, actionCount, intercept } = this.shape;
    const shared = actionCount !== undefined;
    if (intercept && shared) this.extend(x, 0);
    for (let a = 0; a < K; a++) {
      const model = models[shared ? a : 0]!;
      if (!intercept) {
        visit(model, x, shared ? 0 : a * dim, a);
        continue;
      }
      if (!shared) this.extend(x, a * dim);
      visit(model, row, 0, a);
    }
  }

  /** Copies features before the 1 in `row`. */
  private extend(x: Float64Array, at: number): void {
    const { row } = this;
    for (let i = 0; i < this.shape.dim; i++) row[i] = x[at + i]!;
  }

  predict(x: Float64Array, K: number, out: Float64Array): void {
    this.each(x, K, (model, row, at, a) => {
      out[a] = model.mean(row, at);
    });
  }

  /** The features of the first row of `x` as the models see them. */
  features(x: Float64Array): Float64Array {
    if (!this.shape.intercept) return x;
    this.extend(x, 0);
    return this.row;
  }

  /** The model that learns of `action`. */
  of(action: number): Model {
    return this.models[this.shape.actionCount === undefined ? 0 : action]!;
  }

  update(x: Float64Array, action: number, loss: number, weight: number): void {
    this.of(action).update(this.features(x), 0, loss, weight);
  }

  save(): { [key: string]: Json } {
    return { models: this.models.map((model) => model.save()) };
  }

  load(data: SavedData): void {
    const parts = data.parts('models', this.models.length);
    for (const [i, model] of this.models.entries()) model.load(parts[i]!);
  }
}

/** Ridge regression, see {@link RidgeModel}. */
export const ridgeOracle = (shape: LinearOracleShape, options: RidgeOptions) =>
  new LinearOracle(shape, (dim) => new RidgeModel(dim, options));

/** Logistic regression, see {@link LogisticModel}. */
export const logisticOracle = (shape: LinearOracleShape, lambda: number) =>
  new LinearOracle(shape, (dim) => new LogisticModel(dim, lambda));
