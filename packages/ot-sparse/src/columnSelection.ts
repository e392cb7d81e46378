/**
 * Host kernels on one column of scores `s_i = α_i − C_ij`: the k largest, and the threshold of the projection on the
 * simplex. All in float64.
 */

/** Scores and rows of one column's selected entries, reused from column to column. */
export class Selection {
  readonly values: Float64Array;
  readonly rows: Int32Array;
  length = 0;
  private readonly scratch: Float64Array;

  constructor(capacity: number) {
    this.values = new Float64Array(capacity);
    this.rows = new Int32Array(capacity);
    this.scratch = new Float64Array(capacity);
  }

  /**
   * Reduces to the `k` largest; of equal ones those that came first. Order is kept.
   * @returns the least value kept: the k-th largest
   */
  keepLargest(k: number): number {
    const { values, rows, scratch, length } = this;
    scratch.set(values.subarray(0, length));
    const last = kthLargest(scratch, length, k);
    let above = 0;
    for (let e = 0; e < length; e++) if (values[e]! > last) above++;
    let equal = k - above;
    let to = 0;
    for (let e = 0; e < length; e++) {
      const value = values[e]!;
      if (value < last || (value === last && equal-- <= 0)) continue;
      values[to] = value;
      rows[to++] = rows[e]!;
    }
    this.length = to;
    return last;
  }
}

/** The k-th largest of the first `length` numbers, which are reordered (Hoare's selection, middle pivot). */
export function kthLargest(x: Float64Array, length: number, k: number): number {
  let low = 0;
  let high = length - 1;
  const target = k - 1;
  while (low < high) {
    const pivot = x[(low + high) >> 1]!;
    let i = low;
    let j = high;
    while (i <= j) {
      while (x[i]! > pivot) i++;
      while (x[j]! < pivot) j--;
      if (i > j) break;
      const swap = x[i]!;
      x[i++] = x[j]!;
      x[j--] = swap;
    }
    if (target <= j) high = j;
    else if (target >= i) low = i;
    else break;
  }
  return x[target]!;
}

/**
 * θ with Σ max(s − θ, 0) = z over the given scores: the projection on the simplex of size z is `max(s − θ, 0)`.
 *
 * Newton's iteration on a convex, piecewise linear, decreasing function: after its first step it comes from the left,
 * drops entries for good, and ends exactly, in two or three passes from a threshold of a similar column.
 *
 * @param values - scores, the first `length` count; one at least is finite
 * @param z - total >= 0; 0 gives the largest score
 * @param guess - where to start; any number, or NaN
 * @see Condat 2016, "Fast projection onto the simplex and the l1 ball"; Newton's view: Cominetti, Mascarenhas, Silva 2014
 */
export function simplexThreshold(
  values: Float64Array,
  length: number,
  z: number,
  guess: number,
): number {
  let most = -Infinity;
  for (let e = 0; e < length; e++) if (values[e]! > most) most = values[e]!;
  if (z === 0) return most;
  // Relative to the largest score: sums of large scores would lose a small z.
  let theta = guess < most ? guess - most : -z;
  let previous = -1;
  for (let pass = 0; pass <= length + 1; pass++) {
    let total = 0;
    let count = 0;
    for (let e = 0; e < length; e++) {
      const value = values[e]! - most;
      if (value > theta) {
        total += value;
        count++;
      }
    }
    const next = (total - z) / count;
    const same = count === previous && next >= theta;
    theta = next;
    if (same) break;
    previous = count;
  }
  return theta + most;
}
