/** Augmentations whose strength is a hyperparameter, each example with its own; nothing is read back. */
import { checkInteger, checkTensor } from '@orth/backend';
import {
  abs,
  add,
  less,
  logicalAnd,
  max,
  mul,
  range,
  reshape,
  sub,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import type { HyperContext } from './hyperLayer.js';
import { indicator } from './indicator.js';

/** Changes a training batch, given the values of its examples' hyperparameters. */
export type Augmentation = (x: Tensor, context: HyperContext) => Tensor;

/** `[batch]` or `[1]` as `[batch or 1, 1, …]` of a rank. */
const spread = (x: Tensor, rank: number): Tensor =>
  reshape(x, [x.shape[0]!, ...new Array<number>(rank - 1).fill(1)]);

/** Options of {@link cutout}. */
export interface CutoutOptions {
  /** Name of the discrete hyperparameter that is the number of holes. */
  readonly holes: string;
  /** Name of the discrete hyperparameter that is their side in pixels. */
  readonly length: string;
  /** Most holes that are drawn, at least the upper end of the range of `holes`. */
  readonly maxHoles: number;
}

/**
 * Cutout: zeroes squares with random centres in images `[batch, rows, columns, channels]`; parts beyond the border are cut.
 *
 * @throws RangeError if `maxHoles` < 1
 * @see DeVries and Taylor 2017, arXiv 1708.04552
 */
export function cutout({ holes, length, maxHoles }: CutoutOptions): Augmentation {
  checkInteger('cutout', 'maxHoles', maxHoles, { min: 1 });
  return (x, { random, value }) => {
    checkTensor('cutout', 'x', x, { rank: 4 });
    const [batch, rows, columns] = x.shape as [number, number, number, number];
    const centres = (n: number) => random.uniformTensor([batch, maxHoles, 1, 1], 0, n);
    const [row, column] = [centres(rows), centres(columns)];
    const result = tidy(() => {
      const half = mul(spread(value(length), 4), 0.5);
      const within = (centre: Tensor, n: number, shape: number[]) =>
        less(abs(sub(reshape(add(range(0, n), 0.5), shape), centre)), half);
      const used = less(reshape(range(0, maxHoles), [1, maxHoles, 1, 1]), spread(value(holes), 4));
      const inRow = within(row, rows, [1, 1, rows, 1]);
      const inColumn = within(column, columns, [1, 1, 1, columns]);
      const hole = logicalAnd(logicalAnd(inRow, inColumn), used);
      const any = max(indicator(hole), 1);
      return mul(x, sub(1, reshape(any, [batch, rows, columns, 1])));
    });
    row.dispose();
    column.dispose();
    return result;
  };
}

/** Adds Gaussian noise whose standard deviation is the hyperparameter `name`. */
export function inputNoise(name: string): Augmentation {
  return (x, { random, value }) => {
    const noise = random.normalTensor(x.shape);
    const result = tidy(() => add(x, mul(spread(value(name), x.rank), noise)));
    noise.dispose();
    return result;
  };
}

/** Multiplies each example by a number drawn uniformly from [1 − a, 1 + a], where a is the hyperparameter `name`. */
export function brightness(name: string): Augmentation {
  return (x, { random, value }) => {
    const draw = random.uniformTensor([x.shape[0]!], -1, 1);
    const result = tidy(() => mul(x, spread(add(1, mul(value(name), draw)), x.rank)));
    draw.dispose();
    return result;
  };
}
