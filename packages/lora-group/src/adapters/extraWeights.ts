import { clone, keep, type Tensor, type Variable } from '@tensorflow/tfjs-core';
import type { FileTensor } from '../files/fileTensor.js';

/** A weight of the model that an adapter trains whole: of a new head, or a bias. */
export interface ExtraWeight {
  /** Its name in a file, behind the layer's path: `head.weight`. */
  readonly key: string;
  readonly variable: Variable;
  /** Between tfjs's layout and the file's. */
  toFile(x: FileTensor): FileTensor;
  fromFile(x: FileTensor): FileTensor;
}

/** The pretrained values of weights that an active adapter has replaced. */
export type BaseValues = Map<Variable, Tensor>;

/** Another reference to the numbers of `x`, which no tidy disposes; the numbers are not copied where tfjs need not. */
export const hold = (x: Tensor): Tensor => keep(clone(x));

/**
 * An adapter's own values of weights that it trains whole. While the adapter is active they are in the model, else here;
 * they change places by reference, so that every bit survives.
 */
export class ExtraWeights {
  private values: readonly Tensor[] | undefined;

  /** Starts from the values that the weights have in the pretrained model. */
  constructor(
    readonly weights: readonly ExtraWeight[],
    base: BaseValues,
  ) {
    this.values = weights.map(({ variable }) => hold(base.get(variable) ?? variable));
  }

  /** Puts the adapter's values into the model. */
  swapIn(base: BaseValues): void {
    this.weights.forEach(({ variable }, i) => {
      const value = this.values![i]!;
      base.set(variable, hold(variable));
      variable.assign(value);
      value.dispose();
    });
    this.values = undefined;
  }

  /** Puts the pretrained values back. */
  swapOut(base: BaseValues): void {
    this.values = this.weights.map(({ variable }) => {
      const value = hold(variable);
      const pretrained = base.get(variable)!;
      variable.assign(pretrained);
      pretrained.dispose();
      base.delete(variable);
      return value;
    });
  }

  /** Current values: tensors of this or the model. */
  current(): readonly Tensor[] {
    return this.values ?? this.weights.map(({ variable }) => variable);
  }

  /** Replaces values that are not in the model. */
  replace(values: readonly Tensor[]): void {
    for (const value of this.values ?? []) value.dispose();
    this.values = values.map((value) => hold(value));
  }

  dispose(): void {
    for (const value of this.values ?? []) value.dispose();
    this.values = undefined;
  }
}
