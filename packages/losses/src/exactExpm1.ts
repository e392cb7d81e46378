import {
  abs,
  add,
  clipByValue,
  customGrad,
  exp,
  expm1,
  type GradSaveFunc,
  less,
  mul,
  type Tensor,
  where,
} from '@tensorflow/tfjs-core';
import { isHostBackend } from './lossArguments.js';

/** Up to here the series below is good to 4e−8, relative. */
const SERIES_UP_TO = 0.4;
const SERIES_TERMS = 7;

/**
 * `exp(x) − 1` that keeps its digits near 0 on every backend: tfjs's kernels for GPUs subtract, and lose them.
 * @param x - any shape, float32; few entries, since elsewhere than on the host this takes many small operations
 */
export function exactExpm1(x: Tensor): Tensor {
  if (isHostBackend()) return expm1(x);
  const op = customGrad((y, save) => {
    (save as GradSaveFunc)([y as Tensor]);
    return {
      value: where(less(abs(y as Tensor), SERIES_UP_TO), series(y as Tensor), expm1(y as Tensor)),
      gradFunc: (dy: Tensor, saved: Tensor[]) => mul(dy, exp(saved[0]!)),
    };
  });
  return op(x);
}

/** Taylor's, by Horner: `x (1 + x/2 (1 + x/3 (…)))`. */
function series(x: Tensor): Tensor {
  // Infinity times 0 would be NaN, which some devices let through a selection.
  const small = clipByValue(x, -SERIES_UP_TO, SERIES_UP_TO);
  let result: Tensor = add(mul(small, 1 / SERIES_TERMS), 1);
  for (let k = SERIES_TERMS - 1; k >= 2; k--) result = add(mul(mul(small, result), 1 / k), 1);
  return mul(small, result);
}
