import type { Random } from '@orth/backend';
import type { Tensor, Variable } from '@tensorflow/tfjs-core';

/** What flows through a {@link HyperModel}: a value and, in a linearised pass, its derivative along δ. */
export interface Signal {
  /** `[batch, …]`. */
  readonly value: Tensor;
  /** Directional derivative of `value` in the hyperparameters, same shape; absent in an ordinary pass. */
  readonly tangent?: Tensor;
}

/** What a pass knows. */
export interface HyperContext {
  /**
   * Input of the best-response branches, `[batch, H]` or `[1, H]`: the free hyperparameters (STN), or how far they are from
   * where they stand (Δ-STN). `null` leaves the branches out.
   */
  readonly h: Tensor | null;
  /** Whether the pass is linear in `h` about `h = 0`: layers then carry tangents. */
  readonly linearized: boolean;
  /** Whether regularisation (dropout, augmentation) acts. */
  readonly training: boolean;
  /** Random numbers of the pass, for masks. */
  readonly random: Random;
  /** Value of a hyperparameter for each example, `[batch]` or `[1]`. @throws RangeError for an unknown name */
  value(name: string): Tensor;
}

/** A layer: pure in its weights. */
export interface HyperLayer {
  /** Weights that plain training would have: trained at the current hyperparameters in Δ-STN. */
  readonly general: readonly Variable[];
  /** Weights of the best-response branch. */
  readonly response: readonly Variable[];
  apply(x: Signal, context: HyperContext): Signal;
  /** Squared norm of the effective weights for each row of `h`, `[batch]`, or `[1]` for null; absent where none counts. */
  squaredNorm?(h: Tensor | null): Tensor;
  dispose(): void;
}

/** A model is a layer whose outputs are predictions. */
export type HyperModel = HyperLayer;

/** What a layer without weights has. */
export const WITHOUT_WEIGHTS = { general: [], response: [], dispose: () => undefined } as const;

/** Applies a linear function to value and tangent alike. */
export function linearly({ value, tangent }: Signal, f: (x: Tensor) => Tensor): Signal {
  return tangent ? { value: f(value), tangent: f(tangent) } : { value: f(value) };
}
