import {
  add,
  cast,
  greater,
  lessEqual,
  max,
  min,
  mul,
  reshape,
  slice,
  sub,
  sum,
  type Tensor,
  tidy,
  topk,
  where,
} from '@tensorflow/tfjs-core';
import { readsAtOnce } from './finiteness.js';

/** Up to this many largest entries a sort is quick on a GPU too. */
const SORTED_ON_GPU = 1024;
/** Halvings of [−1, max]: what lies 2⁴⁰ below the largest entry is still found to the last bit. */
const HALVINGS = 64;

/**
 * The q-quantile of each row of non-negative numbers, interpolated linearly between neighbouring order statistics, on
 * the device: position `q (N − 1)`.
 *
 * @param x - `[b, N]`, entries >= 0
 * @param q - in [0, 1]
 * @returns `[b]`
 */
export function quantile(x: Tensor, q: number): Tensor {
  const [count, size] = x.shape as [number, number];
  const position = q * (size - 1);
  const lower = Math.floor(position);
  const fraction = position - lower;
  return tidy(() => {
    if (lower === size - 1) return max(x, 1);
    const k = size - lower;
    const [low, high] =
      readsAtOnce() || k <= SORTED_ON_GPU ? bySorting(x, k) : byBisection(x, lower + 1);
    return reshape(add(low, mul(sub(high, low), fraction)), [count]);
  });
}

/** The k-th and the (k − 1)-th largest of each row, k >= 2: `[b, 1]` each. */
function bySorting(x: Tensor, k: number): [Tensor, Tensor] {
  const count = x.shape[0]!;
  const { values } = topk(x, k, true);
  return [slice(values, [0, k - 1], [count, 1]), slice(values, [0, k - 2], [count, 1])];
}

/**
 * The k-th and the (k + 1)-th smallest of each row, by counting: sorting the top tenth of a large matrix takes a GPU
 * hundreds of passes. Counts are exact up to 2²⁴ entries.
 */
export function byBisection(x: Tensor, k: number): [Tensor, Tensor] {
  const count = (bound: Tensor) => sum(cast(lessEqual(x, bound), 'float32'), 1, true);
  const largest = max(x, 1, true);
  // Fewer than k entries are <= lo, at least k are <= hi.
  let hi: Tensor = largest;
  let lo: Tensor = sub(mul(largest, 0), 1);
  for (let halving = 0; halving < HALVINGS; halving++) {
    const [nextLo, nextHi] = tidy(() => {
      const middle = mul(add(lo, hi), 0.5);
      const enough = lessEqual(k, count(middle));
      return [where(enough, lo, middle), where(enough, middle, hi)] as const;
    });
    for (const former of [lo, hi]) if (former !== largest) former.dispose();
    [lo, hi] = [nextLo, nextHi];
  }
  const infinite = add(mul(x, 0), Number.POSITIVE_INFINITY);
  const low = max(where(lessEqual(x, hi), x, mul(infinite, -1)), 1, true);
  const above = min(where(greater(x, low), x, infinite), 1, true);
  return [low, where(lessEqual(k + 1, count(low)), low, above)];
}
