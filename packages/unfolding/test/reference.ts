/** Float64 references and helpers of the tests of sparse recovery and proximal networks. */
import { seededRandom } from '@orth/backend';
import { memory, type Tensor, tensor, tidy } from '@tensorflow/tfjs-core';
import { expect } from 'vitest';

/** Normal numbers of a seed. */
export function gaussian(seed: number, count: number, deviation = 1): Float64Array {
  const random = seededRandom(seed);
  // Rounded to float32, so that tensors hold exactly these.
  return Float64Array.from({ length: count }, () => Math.fround(deviation * random.normal()));
}

export const toTensor = <T extends Tensor = Tensor>(data: ArrayLike<number>, shape: number[]): T =>
  tensor(Float32Array.from(data), shape, 'float32') as T;

/** Runs a check in a scope of its own, which must leave no tensor behind. */
export function scoped(check: () => void): void {
  const before = memory().numTensors;
  tidy(() => {
    check();
  });
  expect(memory().numTensors).toBe(before);
}

/** Runs an asynchronous check that disposes what it made through `hold`; nothing else may be left. */
export async function holding(check: (hold: <T extends Tensor>(x: T) => T) => Promise<void>) {
  const before = memory().numTensors;
  const made: Tensor[] = [];
  try {
    await check((x) => {
      made.push(x);
      return x;
    });
  } finally {
    for (const x of made) x.dispose();
  }
  expect(memory().numTensors).toBe(before);
}

/** Central differences of a scalar function. */
export function differences(f: (x: Float64Array) => number, x: ArrayLike<number>, h = 1e-5) {
  const at = Float64Array.from(x);
  return at.map((v, i) => {
    at[i] = v + h;
    const up = f(at);
    at[i] = v - h;
    const down = f(at);
    at[i] = v;
    return (up - down) / (2 * h);
  });
}

/** `A x` or `Aᵀ x` of one vector; A row-major `[m, n]`. */
export function times(
  A: ArrayLike<number>,
  x: ArrayLike<number>,
  m: number,
  n: number,
  transposed = false,
): Float64Array {
  const y = new Float64Array(transposed ? n : m);
  for (let r = 0; r < m; r++) {
    for (let c = 0; c < n; c++) {
      if (transposed) y[c]! += A[r * n + c]! * x[r]!;
      else y[r]! += A[r * n + c]! * x[c]!;
    }
  }
  return y;
}

export const soft64 = (z: number, s: number) => Math.sign(z) * Math.max(Math.abs(z) - s, 0);

/** Unrolled ISTA or IHT of one sample, from 0. */
export function unrolled64(
  kind: 'ista' | 'iht',
  A: ArrayLike<number>,
  y: ArrayLike<number>,
  n: number,
  lambda: number,
  alphas: ArrayLike<number>,
): Float64Array {
  const m = y.length;
  let x: Float64Array = new Float64Array(n);
  for (const a of Array.from(alphas)) {
    const r = times(A, x, m, n).map((v, i) => y[i]! - v);
    const g = times(A, r, m, n, true);
    x = x.map((v, i) => {
      const z = v + a * g[i]!;
      if (kind === 'ista') return soft64(z, lambda * a);
      return Math.abs(z) > Math.sqrt(2 * lambda * a) ? z : 0;
    });
  }
  return x;
}

/** Sum of a row's products. */
export const dot64 = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, v, i) => sum + v * b[i]!, 0);
