/** Float64 references, written plainly. */
import type { Activation } from '../src/neural/activations.js';

const FUNCTIONS: Record<Activation, (z: number) => number> = {
  relu: (z) => Math.max(0, z),
  tanh: Math.tanh,
  sigmoid: (z) => 1 / (1 + Math.exp(-z)),
  softplus: (z) => Math.log(1 + Math.exp(z)),
  elu: (z) => (z > 0 ? z : Math.exp(z) - 1),
  identity: (z) => z,
};

/** f(θ; x), θ as W1 `[in, out]`, b1, …; products times `scale`. */
export function networkOutput(
  theta: ArrayLike<number>,
  x: ArrayLike<number>,
  hidden: readonly number[],
  activation: Activation,
  scale = 1,
): number {
  let h = Array.from(x);
  let at = 0;
  for (const [l, outputs] of [...hidden, 1].entries()) {
    const inputs = h;
    h = Array.from({ length: outputs }, (_, j) => {
      const z = inputs.reduce((sum, v, i) => sum + v * theta[at + i * outputs + j]!, 0) * scale;
      const biased = z + theta[at + inputs.length * outputs + j]!;
      return l < hidden.length ? FUNCTIONS[activation](biased) : biased;
    });
    at += (inputs.length + 1) * outputs;
  }
  return h[0]!;
}

/** Central differences of `f` at `theta`. */
export function numericalGradient(f: (theta: Float64Array) => number, theta: ArrayLike<number>) {
  const at = Float64Array.from(theta);
  return at.map((value, i) => {
    const h = 1e-5;
    at[i] = value + h;
    const up = f(at);
    at[i] = value - h;
    const down = f(at);
    at[i] = value;
    return (up - down) / (2 * h);
  });
}

/** Greatest |a − b|. */
export const distance = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

/** Solves the square system A x = b, A row-major, by elimination with pivots. */
export function solve(A: ArrayLike<number>, b: ArrayLike<number>): number[] {
  const n = b.length;
  const rows = Array.from({ length: n }, (_, i) => [
    ...Array.from({ length: n }, (_, j) => A[i * n + j]!),
    b[i]!,
  ]);
  for (let k = 0; k < n; k++) {
    const pivot = rows.slice(k).reduce((p, row, i) => {
      return Math.abs(row[k]!) > Math.abs(rows[p]![k]!) ? k + i : p;
    }, k);
    [rows[k], rows[pivot]] = [rows[pivot]!, rows[k]!];
    for (let i = 0; i < n; i++) {
      if (i === k) continue;
      const factor = rows[i]![k]! / rows[k]![k]!;
      for (let j = k; j <= n; j++) rows[i]![j]! -= factor * rows[k]![j]!;
    }
  }
  return rows.map((row, i) => row[n]! / row[i]!);
}

/**
 * Upper bound of Pearson's statistic with `degrees` of freedom that chance exceeds once in a million (Wilson and
 * Hilferty's approximation, z = 4.76).
 */
export const chiSquareBound = (degrees: number) =>
  degrees * (1 - 2 / (9 * degrees) + 4.76 * Math.sqrt(2 / (9 * degrees))) ** 3;
