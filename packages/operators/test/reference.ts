/** Float64 on the host: what the tensors are checked against. */
import { seededRandom } from '@orth/backend';
import { type Tensor, tensor } from '@tensorflow/tfjs-core';

/** Seeded normal numbers. */
export function gaussian(seed: number, count: number): Float64Array {
  const random = seededRandom(seed);
  return Float64Array.from({ length: count }, () => random.normal());
}

export const toTensor = (x: ArrayLike<number>, shape: number[]): Tensor =>
  tensor(Float32Array.from(x), shape);

/** Σ x exp(∓2πi k·j/n) over all axes of `shape`, by definition. */
export function dft(
  re: ArrayLike<number>,
  im: ArrayLike<number> | undefined,
  shape: readonly number[],
  sign = -1,
): { re: Float64Array; im: Float64Array } {
  const size = shape.reduce((p, n) => p * n, 1);
  const index = (i: number) => {
    const result: number[] = [];
    let rest = i;
    for (const n of [...shape].reverse()) {
      result.unshift(rest % n);
      rest = Math.floor(rest / n);
    }
    return result;
  };
  const [outR, outI] = [new Float64Array(size), new Float64Array(size)];
  for (let k = 0; k < size; k++) {
    const K = index(k);
    for (let j = 0; j < size; j++) {
      const J = index(j);
      const turns = shape.reduce((sum, n, axis) => sum + ((K[axis]! * J[axis]!) % n) / n, 0);
      const [c, s] = [Math.cos(2 * Math.PI * turns), sign * Math.sin(2 * Math.PI * turns)];
      const [a, b] = [re[j]!, im?.[j] ?? 0];
      outR[k]! += a * c - b * s;
      outI[k]! += a * s + b * c;
    }
  }
  return { re: outR, im: outI };
}

/** Values at the kept frequencies of a real transform. */
export function halfOf(values: ArrayLike<number>, n: number): number[] {
  return Array.from(values).filter((_, i) => i % n <= Math.floor(n / 2));
}

/** Greatest |a − b| relative to the greatest |b|. */
export function relativeMax(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
    size = Math.max(size, Math.abs(b[i]!));
  }
  return difference / size;
}
