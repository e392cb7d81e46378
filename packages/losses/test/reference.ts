/** float64 references for the tests. */
import { seededRandom } from '@orth/backend';
import { type Tensor, tensor } from '@tensorflow/tfjs-core';

/** Standard normal numbers times `scale`, rounded to float32. */
export function gaussian(seed: number, size: number, scale = 1): Float32Array {
  const random = seededRandom(seed);
  return Float32Array.from({ length: size }, () => scale * random.normal());
}

/** Rows of a flat array. */
export const rowsOf = (flat: ArrayLike<number>, n: number): number[][] =>
  Array.from({ length: flat.length / n }, (_, i) => Array.from(flat).slice(i * n, (i + 1) * n));

/** Central differences in float64. */
export function differences(f: (x: number[]) => number, at: ArrayLike<number>, h = 1e-6): number[] {
  return Array.from(at, (_, i) => {
    const shifted = (by: number) => Array.from(at, (v, j) => (j === i ? v + by : v));
    return (f(shifted(h)) - f(shifted(-h))) / (2 * h);
  });
}

/** `log softmax` of a row. */
export function logSoftmax64(row: readonly number[]): number[] {
  const top = Math.max(...row);
  const z = Math.log(row.reduce((sum, s) => sum + Math.exp(s - top), 0));
  return row.map((s) => s - top - z);
}

/** Comp-sum loss at a class, from the sum over the other classes, as the paper writes it. */
export function compSum64(row: readonly number[], y: number, tau: number): number {
  const v = row.reduce((sum, s, k) => (k === y ? sum : sum + Math.exp(s - row[y]!)), 0);
  return tau === 1 ? Math.log1p(v) : Math.expm1((1 - tau) * Math.log1p(v)) / (1 - tau);
}

/** `√(Σ_k (d_y − d_k)²)`. */
export function marginDelta64(after: readonly number[], before: readonly number[], y: number) {
  const d = after.map((s, k) => s - before[k]!);
  return Math.sqrt(d.reduce((sum, x) => sum + (d[y]! - x) ** 2, 0));
}

/** Relative loss objective over all ordered pairs, both halves, as the paper writes it. */
export function relative64(
  predictions: readonly number[][],
  targets: readonly number[][],
  epsilon = 1e-6,
  weights: readonly number[] = predictions.map(() => 1),
): number {
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  let [cost, pairs] = [0, 0];
  predictions.forEach((e, n) => {
    const l = targets[n]!;
    for (let i = 0; i < e.length; i++) {
      for (let j = 0; j < e.length; j++) {
        if (l[i] === l[j]) continue;
        const d = e[j]! - e[i]!;
        cost -= weights[n]! * Math.log(sigmoid(l[j]! > l[i]! ? d : -d) + epsilon);
        pairs += weights[n]!;
      }
    }
  });
  return cost / pairs;
}

/** A tensor from numbers. */
export const toTensor = (data: ArrayLike<number>, shape: number[]): Tensor =>
  tensor(Float32Array.from(data), shape);
