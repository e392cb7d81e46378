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

/**
 * `[a, b, c, 2, d]` to `[a, d, b, 2, c]` in two steps of four axes: tfjs's wasm backend moves more axes than four number by
 * number, some ten times slower.
 */
export function lastToSecond(x: Tensor): Tensor {
  const [a, b, c, , d] = x.shape as [number, number, number, number, number];
  const turned = reshape(permute(x, [0, 1, 4, 3, 2]), [a, b, d, 2 * c]);
  return reshape(transpose(turned, [0, 2, 1, 3]), [a, d, b, 2, c]);
}

/** Inverse of {@link lastToSecond}: `[a, d, b, 2, c]` to `[a, b, c, 2, d]`. */
export function secondToLast(x: Tensor): Tensor {
  const [a, d, b, , c] = x.shape as [number, number, number, number, number];
  const turned = transpose(reshape(x, [a, d, b, 2 * c]), [0, 2, 1, 3]);
  return permute(reshape(turned, [a, b, d, 2, c]), [0, 1, 4, 3, 2]);
}
