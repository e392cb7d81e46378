/** One axis of a transform: a product with a table along the last axes. */
import { matMul, reshape, type Tensor, type Tensor2D, transpose } from '@tensorflow/tfjs-core';

/**
 * Contracts the last `axes` axes of `x` with the table's rows; `tail` are the axes that take their place.
 * @param axes - default 2: the real and imaginary part, and the one that is transformed
 */
export function contract(x: Tensor, table: Tensor2D, tail: readonly number[], axes = 2): Tensor {
  const rows = reshape(x, [-1, table.shape[0]]) as Tensor2D;
  return reshape(matMul(rows, table), [...x.shape.slice(0, x.rank - axes), ...tail]);
}

/** `transpose` that costs nothing where the order stays. */
export function permute(x: Tensor, order: readonly number[]): Tensor {
  return order.every((axis, i) => axis === i) ? x : transpose(x, [...order]);
}
