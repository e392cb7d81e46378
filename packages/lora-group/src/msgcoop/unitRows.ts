import { div, sqrt, square, sum, type Tensor, tidy } from '@tensorflow/tfjs-core';

/** Euclidean lengths along the last axis; tfjs's `norm` takes powers of absolute values there. */
export const rowLengths = (x: Tensor, keepDims = false): Tensor =>
  tidy(() => sqrt(sum(square(x), -1, keepDims)));

/** Rows along the last axis, each divided by its length. */
export const unitRows = <T extends Tensor>(x: T): T => tidy(() => div(x, rowLengths(x, true)) as T);
