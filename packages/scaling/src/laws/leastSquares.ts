/** Least squares with few non-negative coefficients. */

/** The best coefficients >= 0 and the weighted sum of squares they leave. */
export interface NonNegativeFit {
  readonly coefficients: number[];
  readonly squares: number;
}

/** Solves a small dense system by elimination with pivots; undefined if it is singular. */
function solveSmall(A: number[][], b: number[]): number[] | undefined {
  const n = b.length;
  const M = A.map((row, i) => [...row, b[i]!]);
  for (let c = 0; c < n; c++) {
    let pivot = c;
    for (let r = c + 1; r < n; r++) if (Math.abs(M[r]![c]!) > Math.abs(M[pivot]![c]!)) pivot = r;
    [M[c], M[pivot]] = [M[pivot]!, M[c]!];
    const head = M[c]![c]!;
    if (!(Math.abs(head) > 0)) return undefined;
    for (let r = 0; r < n; r++) {
      if (r === c) continue;
      const factor = M[r]![c]! / head;
      for (let j = c; j <= n; j++) M[r]![j]! -= factor * M[c]![j]!;
    }
  }
  return M.map((row, i) => row[n]! / row[i]!);
}

/**
 * Minimises Σ w (y − Σ c_j basis_j)² over c >= 0, by trying every set of positive coefficients: exact, for up to three.
 * Sums are taken about the weighted means where the last basis function is constant, so that a large asymptote costs no
 * digits.
 */
export function nonNegativeFit(
  basis: readonly ArrayLike<number>[],
  y: ArrayLike<number>,
  weights: ArrayLike<number> | undefined,
): NonNegativeFit {
  const size = basis.length;
  const points = y.length;
  let best: NonNegativeFit | undefined;
  for (let set = (1 << size) - 1; set >= 0; set--) {
    const active = Array.from({ length: size }, (_, j) => j).filter((j) => set & (1 << j));
    const coefficients = restricted(basis, y, weights, active);
    if (!coefficients || coefficients.some((c) => !(c >= 0))) continue;
    let squares = 0;
    for (let i = 0; i < points; i++) {
      let r = y[i]!;
      for (let j = 0; j < size; j++) r -= coefficients[j]! * basis[j]![i]!;
      squares += (weights?.[i] ?? 1) * r * r;
    }
    if (!best || squares < best.squares) best = { coefficients, squares };
    // Without a bound in the way nothing smaller can be better.
    if (set === (1 << size) - 1) break;
  }
  return best!;
}

function restricted(
  basis: readonly ArrayLike<number>[],
  y: ArrayLike<number>,
  weights: ArrayLike<number> | undefined,
  active: readonly number[],
): number[] | undefined {
  const size = basis.length;
  const coefficients = new Array<number>(size).fill(0);
  const last = size - 1;
  const centred = active.includes(last);
  const free = active.filter((j) => j !== last);
  let total = 0;
  let meanY = 0;
  const means = free.map(() => 0);
  for (let i = 0; i < y.length; i++) {
    const w = weights?.[i] ?? 1;
    total += w;
    meanY += w * y[i]!;
    free.forEach((j, a) => {
      means[a]! += w * basis[j]![i]!;
    });
  }
  const shiftY = centred ? meanY / total : 0;
  const shifts = means.map((m) => (centred ? m / total : 0));
  const A = free.map(() => free.map(() => 0));
  const b = free.map(() => 0);
  for (let i = 0; i < y.length; i++) {
    const w = weights?.[i] ?? 1;
    for (let a = 0; a < free.length; a++) {
      const h = basis[free[a]!]![i]! - shifts[a]!;
      b[a]! += w * h * (y[i]! - shiftY);
      for (let c = 0; c <= a; c++) {
        A[a]![c]! += w * h * (basis[free[c]!]![i]! - shifts[c]!);
        A[c]![a] = A[a]![c]!;
      }
    }
  }
  const solution = solveSmall(A, b);
  if (!solution) return undefined;
  free.forEach((j, a) => {
    coefficients[j] = solution[a]!;
  });
  if (centred) coefficients[last] = shiftY - solution.reduce((s, c, a) => s + c * shifts[a]!, 0);
  return coefficients;
}
