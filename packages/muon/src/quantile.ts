import {
  add,
  cast,
  greater,
  lessEqual,
  max,
  min,
  mul,
  reshape,
  sub,
  sum,
  type Tensor,
  tensor2d,
  tidy,
  where,
} from '@tensorflow/tfjs-core';
import { readsAtOnce } from './finiteness.js';

/** Halvings of [−1, max]: what lies 2⁴⁰ below the largest entry is still found to the last bit. */
const HALVINGS = 64;

/**
 * The q-quantile of each row of non-negative finite numbers, interpolated linearly between neighbouring order
 * statistics: position `q (N − 1)`.
 *
 * Where values can be read back at once, they are counted on the host; elsewhere the device does it without a stop.
 * Not by `topk`: sorting the top tenth of a large matrix takes wasm ten times as long as orthogonalising it, and a GPU
 * hundreds of passes.
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
    const [low, high] = readsAtOnce() ? byCounting(x, lower + 1) : byBisection(x, lower + 1);
    return reshape(add(low, mul(sub(high, low), fraction)), [count]);
  });
}

const HALF = 16;

/** The k-th and the (k + 1)-th smallest of each row, `[b, 1]` each, on the host. */
export function byCounting(x: Tensor, k: number): [Tensor, Tensor] {
  const [count, size] = x.shape as [number, number];
  const values = Float32Array.from(x.dataSync());
  const bounds = Array.from({ length: count }, (_, row) =>
    neighbours(values.subarray(row * size, (row + 1) * size), k),
  );
  const column = (at: 0 | 1) =>
    tensor2d(
      bounds.map((pair) => pair[at]),
      [count, 1],
    );
  return [column(0), column(1)];
}

/**
 * Bits of non-negative floats are ordered as the floats are: one pass counts by the upper half of the bits, and only
 * the bin with the k-th number is sorted.
 */
function neighbours(values: Float32Array, k: number): [number, number] {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const counts = new Uint32Array(1 << HALF);
  for (let i = 0; i < bits.length; i++) counts[bits[i]! >>> HALF]!++;
  let bin = 0;
  let below = 0;
  while (below + counts[bin]! < k) below += counts[bin++]!;
  const inside = new Float32Array(counts[bin]!);
  let above = Number.POSITIVE_INFINITY;
  for (let i = 0, at = 0; i < bits.length; i++) {
    const place = bits[i]! >>> HALF;
    if (place === bin) inside[at++] = values[i]!;
    else if (place > bin && values[i]! < above) above = values[i]!;
  }
  inside.sort();
  const at = k - 1 - below;
  return [inside[at]!, at + 1 < inside.length ? inside[at + 1]! : above];
}

/** The same by counting on the device. Counts are exact up to 2²⁴ entries. */
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
