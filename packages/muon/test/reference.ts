/** Muon and AdamW in plain JavaScript, in float64 and without tensors: what the optimizers are tested against. */

export type Matrix = number[][];

export const toMatrix = (data: ArrayLike<number>, rows: number, columns: number): Matrix =>
  Array.from({ length: rows }, (_, i) =>
    Array.from({ length: columns }, (_, j) => data[i * columns + j]!),
  );

const transpose = (x: Matrix): Matrix => x[0]!.map((_, j) => x.map((row) => row[j]!));

const multiply = (x: Matrix, y: Matrix): Matrix => {
  const columns = transpose(y);
  return x.map((row) =>
    columns.map((column) => row.reduce((sum, value, k) => sum + value * column[k]!, 0)),
  );
};

const combine = (a: number, x: Matrix, b: number, y: Matrix): Matrix =>
  x.map((row, i) => row.map((value, j) => a * value + b * y[i]![j]!));

/** Five steps of `a X + (b A + c A²) X` with `A = X Xᵀ`, on the short side. */
export function newtonSchulz(x: Matrix): Matrix {
  if (x.length > x[0]!.length) return transpose(newtonSchulz(transpose(x)));
  const norm = Math.hypot(...x.flat()) + 1e-7;
  let X = x.map((row) => row.map((value) => value / norm));
  for (let step = 0; step < 5; step++) {
    const A = multiply(X, transpose(X));
    X = combine(3.4445, X, 1, multiply(combine(-4.775, A, 2.0315, multiply(A, A)), X));
  }
  return X;
}

/** One step of Muon on a matrix `[in, out]`. */
export function muonReference(
  weights: Matrix,
  gradient: Matrix,
  momentum: Matrix,
  { learningRate = 0.02, mu = 0.95, weightDecay = 0, nesterov = true } = {},
): { weights: Matrix; momentum: Matrix } {
  const M = combine(mu, momentum, 1 - mu, gradient);
  const O = newtonSchulz(nesterov ? combine(mu, M, 1 - mu, gradient) : M);
  const scale = Math.sqrt(Math.max(1, weights[0]!.length / weights.length));
  const next = combine(1 - learningRate * weightDecay, weights, -learningRate * scale, O);
  return { weights: next, momentum: M };
}

/** One step of AdamW, the `t`-th counted from 1. */
export function adamWReference(
  weights: readonly number[],
  gradient: readonly number[],
  m: readonly number[],
  v: readonly number[],
  t: number,
  { learningRate = 3e-4, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-10, weightDecay = 0 } = {},
): { weights: number[]; m: number[]; v: number[] } {
  const m1 = m.map((value, i) => beta1 * value + (1 - beta1) * gradient[i]!);
  const v1 = v.map((value, i) => beta2 * value + (1 - beta2) * gradient[i]! ** 2);
  const next = weights.map((w, i) => {
    const first = m1[i]! / (1 - beta1 ** t);
    const second = v1[i]! / (1 - beta2 ** t);
    return (
      w * (1 - learningRate * weightDecay) - (learningRate * first) / (Math.sqrt(second) + epsilon)
    );
  });
  return { weights: next, m: m1, v: v1 };
}
