import type { Tensor, Tensor1D, Variable } from '@tensorflow/tfjs-core';

/** A weight of an input-convex network: how it is shaped, started and constrained. */
export interface WeightSpec {
  readonly name: string;
  readonly shape: number[];
  /** Inputs that a unit sums over; initial weights are uniform in ±1/√fanIn. */
  readonly fanIn: number;
  /** Whether convexity needs it to be >= 0. */
  readonly nonNegative: boolean;
}

/** Weights by name. */
export type Weights = Readonly<Record<string, Variable>>;

/**
 * A scalar function of one sample, convex in it while the weights marked so are >= 0. Both functions are plain
 * differentiable tfjs code: the gradient is written out by hand, so that training it needs first derivatives only.
 */
export interface ConvexNetwork {
  /** Shape of one sample. */
  readonly inputShape: readonly number[];
  readonly specs: readonly WeightSpec[];
  /** `[B, …]` to `[B]`. */
  potential(weights: Weights, x: Tensor): Tensor1D;
  /** Gradient of the potential in x, shape of `x`. */
  gradient(weights: Weights, x: Tensor): Tensor;
}
