import type { FactoredWeights } from './factoredWeights.js';
import { multiply } from './hostProduct.js';

/** Queries scored together; bounds the memory for what they look like at each age of rows. */
const QUERIES = 8;
/** Rows scored together. */
const BLOCK = 128;

/**
 * Logits of classes for one query after the other, O(D d) each: rather than the rows of V, which differ in how many maps
 * they have passed, the query is brought back through the maps, once for each age.
 *
 * @param hidden - H, `[m, d]`
 * @param classes - which classes; all without
 * @param visit - gets a query's number and its logits, an array that is used again
 */
export function scoreClasses(
  weights: FactoredWeights,
  m: number,
  hidden: Float64Array,
  classes: ArrayLike<number> | undefined,
  visit: (query: number, logits: Float32Array) => void,
): void {
  const { D } = weights;
  const count = classes ? classes.length : D;
  for (let start = 0; start < m; start += QUERIES) {
    const queries = Math.min(QUERIES, m - start);
    const aged = queriesByAge(weights, queries, hidden, start);
    const logits = scoreBlocks(weights, queries, aged, classes, count);
    for (let i = 0; i < queries; i++) {
      visit(start + i, logits.subarray(i * count, (i + 1) * count));
    }
  }
}

/** What queries look like to rows of each age: `logit = V[c]·x + β`. */
interface AgedQueries {
  /** `[ages, queries, d]` */
  readonly x: Float64Array;
  /** `[ages, queries]` */
  readonly beta: Float64Array;
}

/** Through the map `v ← v T + t`, x becomes `T x` and β grows by `t·x`. */
function queriesByAge(
  weights: FactoredWeights,
  queries: number,
  hidden: Float64Array,
  start: number,
): AgedQueries {
  const { d } = weights;
  const maps = weights.allMaps();
  const x = new Float64Array((maps.length + 1) * queries * d);
  const beta = new Float64Array((maps.length + 1) * queries);
  const size = queries * d;
  x.set(hidden.subarray(start * d, start * d + size), maps.length * size);
  const here = new Float64Array(size);
  for (let age = maps.length - 1; age >= 0; age--) {
    const { matrix, offset } = maps[age]!;
    const after = x.subarray((age + 1) * size, (age + 2) * size);
    multiply(queries, d, d, { data: after }, { data: matrix, transposed: true }, here);
    x.set(here, age * size);
    for (let i = 0; i < queries; i++) {
      let shift = beta[(age + 1) * queries + i]!;
      for (let j = 0; j < d; j++) shift += offset[j]! * after[i * d + j]!;
      beta[age * queries + i] = shift;
    }
  }
  return { x, beta };
}

/** `[queries, count]`: blocks of rows of one age as products, others row by row. */
function scoreBlocks(
  weights: FactoredWeights,
  queries: number,
  { x, beta }: AgedQueries,
  classes: ArrayLike<number> | undefined,
  count: number,
): Float32Array {
  const { d, V, ages } = weights;
  const out = new Float32Array(queries * count);
  const block = new Float64Array(BLOCK * d);
  const scores = new Float64Array(queries * BLOCK);
  const size = queries * d;
  for (let start = 0; start < count; start += BLOCK) {
    const rows = Math.min(BLOCK, count - start);
    const first = ages[classes ? classes[start]! : start]!;
    let uniform = true;
    for (let r = 0; r < rows; r++) {
      const c = classes ? classes[start + r]! : start + r;
      uniform &&= ages[c] === first;
      for (let j = 0; j < d; j++) block[r * d + j] = V[c * d + j]!;
    }
    if (uniform) {
      const data = x.subarray(first * size, (first + 1) * size);
      multiply(queries, rows, d, { data }, { data: block, transposed: true }, scores);
    }
    for (let r = 0; r < rows; r++) {
      const age = ages[classes ? classes[start + r]! : start + r]!;
      for (let i = 0; i < queries; i++) {
        const score = uniform ? scores[i * rows + r]! : dot(d, block, r * d, x, age * size + i * d);
        out[i * count + start + r] = score + beta[age * queries + i]!;
      }
    }
  }
  return out;
}

function dot(d: number, a: Float64Array, aAt: number, b: Float64Array, bAt: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  const even = d - (d % 4);
  let j = 0;
  // Four sums, so that an addition need not wait for the one before.
  for (; j < even; j += 4) {
    s0 += a[aAt + j]! * b[bAt + j]!;
    s1 += a[aAt + j + 1]! * b[bAt + j + 1]!;
    s2 += a[aAt + j + 2]! * b[bAt + j + 2]!;
    s3 += a[aAt + j + 3]! * b[bAt + j + 3]!;
  }
  for (; j < d; j++) s0 += a[aAt + j]! * b[bAt + j]!;
  return s0 + s1 + (s2 + s3);
}

/** The k greatest entries, in falling order, equal ones by index: O(n) and O(k) for each that enters the list. */
export function greatest(
  values: Float32Array,
  k: number,
  indices: Int32Array,
  best: Float32Array,
  at: number,
): void {
  let filled = 0;
  for (let c = 0; c < values.length; c++) {
    const value = values[c]!;
    if (filled === k && value <= best[at + k - 1]!) continue;
    let place = filled < k ? filled++ : k - 1;
    for (; place > 0 && best[at + place - 1]! < value; place--) {
      best[at + place] = best[at + place - 1]!;
      indices[at + place] = indices[at + place - 1]!;
    }
    best[at + place] = value;
    indices[at + place] = c;
  }
}
