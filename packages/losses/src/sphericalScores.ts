import type { FactoredWeights } from './factoredWeights.js';

/** Queries scored together; bounds the memory for what they look like at each age of rows. */
const QUERIES = 8;

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
  const { d, D, V, ages } = weights;
  const maps = weights.allMaps();
  const count = classes ? classes.length : D;
  const logits = new Float32Array(count);
  // Query i at age e: logit = V[c]·x + β. Through the map v ← vT + t, x becomes T x and β grows by t·x.
  const x = new Float64Array(QUERIES * (maps.length + 1) * d);
  const beta = new Float64Array(QUERIES * (maps.length + 1));
  const stride = maps.length + 1;
  for (let start = 0; start < m; start += QUERIES) {
    const queries = Math.min(QUERIES, m - start);
    for (let i = 0; i < queries; i++) {
      const last = i * stride + maps.length;
      for (let j = 0; j < d; j++) x[last * d + j] = hidden[(start + i) * d + j]!;
      beta[last] = 0;
      for (let age = maps.length - 1; age >= 0; age--) {
        const { matrix, offset } = maps[age]!;
        const here = i * stride + age;
        const after = (here + 1) * d;
        let shift = beta[here + 1]!;
        for (let a = 0; a < d; a++) {
          let dot = 0;
          for (let b = 0; b < d; b++) dot += matrix[a * d + b]! * x[after + b]!;
          x[here * d + a] = dot;
          shift += offset[a]! * x[after + a]!;
        }
        beta[here] = shift;
      }
    }
    for (let i = 0; i < queries; i++) {
      for (let k = 0; k < count; k++) {
        const c = classes ? classes[k]! : k;
        const at = i * stride + ages[c]!;
        logits[k] = dot4(d, V, c * d, x, at * d) + beta[at]!;
      }
      visit(start + i, logits);
    }
  }
}

function dot4(d: number, V: Float32Array, vAt: number, x: Float64Array, xAt: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  const even = d - (d % 4);
  let j = 0;
  // Four sums, so that an addition need not wait for the one before.
  for (; j < even; j += 4) {
    s0 += V[vAt + j]! * x[xAt + j]!;
    s1 += V[vAt + j + 1]! * x[xAt + j + 1]!;
    s2 += V[vAt + j + 2]! * x[xAt + j + 2]!;
    s3 += V[vAt + j + 3]! * x[xAt + j + 3]!;
  }
  for (; j < d; j++) s0 += V[vAt + j]! * x[xAt + j]!;
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
