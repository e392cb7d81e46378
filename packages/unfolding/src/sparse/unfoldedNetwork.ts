import type { Tensor, Tensor1D, Variable } from '@tensorflow/tfjs-core';

/** Options of a network's `apply`. */
export interface ApplyOptions {
  /** Layers to run, from 1 to all. Default all */
  readonly layers?: number;
  /** Start, shape and dtype of the output. Default 0 */
  readonly x0?: Tensor;
}

/** An iteration unrolled into layers: what `trainUnfolded` trains. */
export interface UnfoldedNetwork {
  /** Number of layers. */
  readonly layers: number;
  /** Output of the last of the layers run, or of layer `options.layers`. */
  apply(y: Tensor, options?: ApplyOptions): Tensor;
  /** Objective of each sample, shape `[B]`; what unsupervised training lowers. */
  objective(x: Tensor, y: Tensor): Tensor1D;
  /** Variables that the output of layer `layers` depends on. */
  variablesUpTo(layers: number): Variable[];
}
