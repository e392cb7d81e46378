import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import type { FileTensor } from '../files/fileTensor.js';
import type { Target } from './target.js';

/** What an adapter that adds to a layer's output is given of one forward pass. */
export interface ActivationPath {
  /** The input through a low-rank factor: `x A`, a gather of rows, a convolution. The last axis is the factor's. */
  project(A: Tensor): Tensor;
  /** The input itself, last axis `in`, dropout applied; absent where the layer is no plain product. */
  readonly input?: () => Tensor;
  /** The pretrained layer's output without bias and activation, last axis `out`. */
  base(): Tensor;
  /** The matrix view of the pretrained weight. */
  weight(): Tensor;
}

/** An adapter's part at one target. */
export interface AdapterModule {
  /** Trained variables, by the names of their part: `A`, `B`. */
  readonly factors: Readonly<Record<string, Variable>>;
  /** What is added to the weight's matrix view `W [in, out]`; differentiable. */
  delta(W: Tensor): Tensor;
  /** Whether {@link contribution} can be had at this target; else the weight is replaced. */
  readonly addsToOutput: boolean;
  /** What is added to the layer's output, before its activation. */
  contribution(path: ActivationPath): Tensor;
  /** The numbers to be saved, by the ending of their names in a file. */
  save(target: Target): Promise<Record<string, FileTensor>>;
  dispose(): void;
}

/** Rank and scale of a module, for a file's header. */
export interface ModuleScale {
  readonly r: number;
  readonly alpha: number;
}
