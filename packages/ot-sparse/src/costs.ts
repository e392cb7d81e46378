/** Matrices of costs between clouds of points, as tensors: on the backend, differentiable, nothing read back. */
import { checkTensor } from '@orth/backend';
import {
  add,
  customGrad,
  div,
  expandDims,
  greater,
  matMul,
  maximum,
  mean,
  mul,
  relu,
  reshape,
  slice,
  sqrt,
  square,
  step,
  sub,
  sum,
  Tensor,
  tidy,
  where,
  zerosLike,
} from '@tensorflow/tfjs-core';

/** Up to here coordinates are subtracted one by one: exact, while |x|² + |y|² − 2xy cancels. */
const DIRECT = 4;

function checkClouds(caller: string, x: Tensor, y: Tensor): void {
  checkTensor(caller, 'x', x, { minRank: 2 });
  const shape = [...x.shape];
  checkTensor(caller, 'y', y, { shape: [...shape.slice(0, -2), null, shape.at(-1)!] });
}

/**
 * Squared Euclidean distances |x_i − y_j|².
 *
 * Up to four dimensions by differences; above, by products of clouds whose common mean was removed, with an absolute error
 * of some 1e−7 of the clouds' squared size.
 *
 * @param x - `[…, m, d]` float32
 * @param y - `[…, n, d]` float32
 * @returns `[…, m, n]`, differentiable; the caller disposes it
 * @throws TypeError or RangeError for another kind or shape
 * @example
 * const { value } = sinkhorn(squaredEuclideanCost(x, y), { epsilon: 0.1 });
 */
export function squaredEuclideanCost(x: Tensor, y: Tensor): Tensor {
  checkClouds('squaredEuclideanCost', x, y);
  return tidy(() => squaredDistances(x, y));
}

function squaredDistances(x: Tensor, y: Tensor): Tensor {
  const d = x.shape.at(-1)!;
  if (d > DIRECT) {
    const shift = mean(y, -2, true);
    const [p, q] = [sub(x, shift), sub(y, shift)];
    const squares = add(sum(square(p), -1, true), expandDims(sum(square(q), -1), -2));
    return relu(sub(squares, mul(2, matMul(p, q, false, true))));
  }
  const coordinate = (points: Tensor, k: number) => {
    const begin = new Array(points.rank).fill(0);
    begin[points.rank - 1] = k;
    return slice(points, begin, [...points.shape.slice(0, -1), 1]);
  };
  const columns = (points: Tensor, k: number) => {
    const one = coordinate(points, k);
    return reshape(one, [...one.shape.slice(0, -2), 1, one.shape.at(-2)!]);
  };
  let total: Tensor | undefined;
  for (let k = 0; k < d; k++) {
    const part = square(sub(coordinate(x, k), columns(y, k)));
    total = total ? add(total, part) : part;
  }
  return total!;
}

/**
 * Euclidean distances |x_i − y_j|; their gradient is taken as 0 where points meet. As {@link squaredEuclideanCost}
 * otherwise.
 */
export function euclideanCost(x: Tensor, y: Tensor): Tensor {
  checkClouds('euclideanCost', x, y);
  return tidy(() => root(squaredDistances(x, y)));
}

/** √x with derivative 0 at 0, where tfjs has Infinity. */
function root(x: Tensor): Tensor {
  const op = customGrad((input, save) => {
    const value = sqrt(input as Tensor);
    (save as (tensors: Tensor[]) => void)([value]);
    const gradFunc = (dy: Tensor, [y]: Tensor[]) =>
      where(greater(y!, 0), div(dy, mul(2, maximum(y!, 1e-30))), zerosLike(y!));
    return { value, gradFunc };
  });
  return op(x);
}

/**
 * Cosine distances 1 − cos(x_i, y_j), in [0, 2]; 1 where a point is 0. As {@link squaredEuclideanCost} otherwise.
 */
export function cosineCost(x: Tensor, y: Tensor): Tensor {
  checkClouds('cosineCost', x, y);
  const unit = (points: Tensor) => {
    const norm = root(sum(square(points), -1, true));
    return mul(div(points, maximum(norm, 1e-30)), step(norm));
  };
  return tidy(() => sub(1, matMul(unit(x), unit(y), false, true)));
}

/**
 * Costs by a function of your own, made of tensor operations that broadcast.
 *
 * @param x - `[…, m, d]` float32
 * @param y - `[…, n, d]` float32
 * @param cost - is given `x` as `[…, m, 1, d]` and `y` as `[…, 1, n, d]`, returns `[…, m, n]`
 * @returns `[…, m, n]`, differentiable as `cost` is; the caller disposes it
 * @throws TypeError or RangeError for another kind or shape, of `cost`'s result too
 * @example
 * const manhattan = pairwiseCost(x, y, (p, q) => tf.sum(tf.abs(tf.sub(p, q)), -1));
 */
export function pairwiseCost(x: Tensor, y: Tensor, cost: (x: Tensor, y: Tensor) => Tensor): Tensor {
  checkClouds('pairwiseCost', x, y);
  if (typeof cost !== 'function') {
    throw new TypeError(`pairwiseCost: cost must be a function, got ${String(cost)}`);
  }
  return tidy(() => {
    const costs = cost(expandDims(x, -2), expandDims(y, -3));
    const shape = [...x.shape.slice(0, -1), y.shape.at(-2)!];
    if (!(costs instanceof Tensor) || `${costs.shape}` !== `${shape}`) {
      const got = costs instanceof Tensor ? `[${costs.shape}]` : String(costs);
      throw new RangeError(`pairwiseCost: cost must return shape [${shape}], got ${got}`);
    }
    return costs;
  });
}
