import { CheckpointError, checkNumber, checkOneOf, checkOptions } from '@orth/backend';
import {
  add,
  dispose,
  keep,
  mul,
  type Tensor,
  tensor,
  tidy,
  type Variable,
} from '@tensorflow/tfjs-core';
import type { PlainTensor } from '../randomFeatures/regressorState.js';

/** Options of {@link WeightAverage}. */
export interface WeightAverageOptions {
  /** Exponential (recent steps count more) or plain mean over all updates (SWA). Default `'exponential'` */
  readonly kind?: 'exponential' | 'mean';
  /** Part of the average that a step keeps, in [0, 1); exponential only. Default 0.99 */
  readonly decay?: number;
}

/** A saved average: plain JSON. */
export interface WeightAverageState {
  readonly updates: number;
  readonly weights: readonly PlainTensor[];
}

/**
 * Average of a model's weights over training: a small ensemble for the price of one model. The exponential one is free of
 * the bias of its start: the first weights count no more than later ones.
 *
 * @see Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization"
 */
export class WeightAverage {
  private readonly kind: 'exponential' | 'mean';
  private readonly decay: number;
  private weights: Tensor[] | undefined;
  private count = 0;

  /**
   * An empty average.
   * @throws TypeError or RangeError for a wrong option
   */
  constructor(options: WeightAverageOptions = {}) {
    checkOptions('WeightAverage', options, ['kind', 'decay']);
    const { kind = 'exponential', decay = 0.99 } = options;
    checkOneOf('WeightAverage', 'kind', kind, ['exponential', 'mean']);
    checkNumber('WeightAverage', 'decay', decay, { min: 0, below: 1 });
    this.kind = kind;
    this.decay = decay;
  }

  /** How often it was updated. */
  get updates(): number {
    return this.count;
  }

  /**
   * Takes the present weights in.
   * @throws RangeError if the variables are others than before, by number or shape
   */
  update(variables: readonly Variable[]): void {
    this.check('WeightAverage.update', variables);
    this.count++;
    const t = this.count;
    // Weights of an exponential mean whose parts sum to 1 at every t.
    const share = this.kind === 'mean' ? 1 / t : (1 - this.decay) / (1 - this.decay ** t);
    const before = this.weights;
    this.weights = variables.map((variable, i) =>
      keep(
        tidy(() =>
          before ? add(mul(before[i]!, 1 - share), mul(variable, share)) : mul(variable, 1),
        ),
      ),
    );
    if (before) dispose(before);
  }

  /**
   * Writes the average into variables.
   * @throws Error if nothing was averaged; RangeError if the variables do not fit
   */
  apply(variables: readonly Variable[]): void {
    if (!this.weights) throw new Error('WeightAverage.apply: updates must be >= 1, got 0');
    this.check('WeightAverage.apply', variables);
    variables.forEach((variable, i) => {
      // The variable takes the tensor that it is given.
      tidy(() => variable.assign(mul(this.weights![i]!, 1)));
    });
  }

  /** The average as plain JSON. */
  async save(): Promise<WeightAverageState> {
    const weights: PlainTensor[] = [];
    for (const w of this.weights ?? []) {
      weights.push({ shape: w.shape, data: Array.from(await w.data()) });
    }
    return { updates: this.count, weights };
  }

  /**
   * Continues from a saved average.
   * @throws CheckpointError if `state` is damaged; nothing is changed then
   */
  restore({ updates, weights }: WeightAverageState): void {
    const sound =
      Number.isInteger(updates) &&
      updates >= 0 &&
      Array.isArray(weights) &&
      (updates === 0) === (weights.length === 0) &&
      weights.every(
        ({ shape, data }: PlainTensor) =>
          data.every(Number.isFinite) && data.length === shape.reduce((a, b) => a * b, 1),
      );
    if (!sound) throw new CheckpointError('WeightAverage.restore: state must be a saved average');
    this.dispose();
    this.count = updates;
    if (updates > 0) {
      this.weights = weights.map(({ shape, data }: PlainTensor) =>
        keep(tensor([...data], [...shape], 'float32')),
      );
    }
  }

  /** Frees and forgets the average. */
  dispose(): void {
    if (this.weights) dispose(this.weights);
    this.weights = undefined;
    this.count = 0;
  }

  private check(caller: string, variables: readonly Variable[]): void {
    if (!this.weights) return;
    const shapes = (list: readonly Tensor[]) => list.map(({ shape }) => `[${shape}]`).join(' ');
    const [want, got] = [shapes(this.weights), shapes(variables)];
    if (want === got) return;
    throw new RangeError(`${caller}: variables must have the shapes ${want}, got ${got}`);
  }
}
