/** Small dense Cholesky factors in float64, row-major. */

/** Lower `L` with `L Lᵀ = A`, for a symmetric positive definite A `[n, n]`. */
export function choleskyFactor(A: Float64Array, n: number): Float64Array {
  const L = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = A[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= L[i * n + k]! * L[j * n + k]!;
      // Rounding must not take the root of a negative number; λ keeps true pivots far above this.
      L[i * n + j] = i === j ? Math.sqrt(Math.max(sum, Number.MIN_VALUE)) : sum / L[j * n + j]!;
    }
  }
  return L;
}

/** `(L Lᵀ)⁻¹` into `out`. */
export function inverseFromFactor(L: Float64Array, n: number, out: Float64Array): void {
  // M = L⁻¹ by rows, then out = MᵀM.
  const M = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    M[i * n + i] = 1 / L[i * n + i]!;
    for (let k = 0; k < i; k++) {
      const factor = L[i * n + k]! / L[i * n + i]!;
      for (let j = 0; j <= k; j++) M[i * n + j]! -= factor * M[k * n + j]!;
    }
  }
  out.fill(0);
  for (let k = 0; k < n; k++) {
    for (let i = 0; i <= k; i++) {
      const mi = M[k * n + i]!;
      for (let j = 0; j <= i; j++) out[i * n + j]! += mi * M[k * n + j]!;
    }
  }
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) out[j * n + i] = out[i * n + j]!;
}

/** Changes `L` to the factor of `L Lᵀ + w x xᵀ`, w ≥ 0, by Givens rotations: O(n²). */
export function choleskyUpdate(
  L: Float64Array,
  n: number,
  x: Float64Array,
  at: number,
  w: number,
): void {
  const root = Math.sqrt(w);
  const v = new Float64Array(n);
  for (let i = 0; i < n; i++) v[i] = root * x[at + i]!;
  for (let k = 0; k < n; k++) {
    const old = L[k * n + k]!;
    const r = Math.sqrt(old * old + v[k]! * v[k]!);
    const c = r / old;
    const s = v[k]! / old;
    L[k * n + k] = r;
    for (let i = k + 1; i < n; i++) {
      const entry = (L[i * n + k]! + s * v[i]!) / c;
      v[i] = c * v[i]! - s * entry;
      L[i * n + k] = entry;
    }
  }
}

/** Solves `Lᵀ y = z` in place: z ~ N(0, I) becomes y ~ N(0, (L Lᵀ)⁻¹). */
export function solveTransposed(L: Float64Array, n: number, z: Float64Array): void {
  for (let i = n - 1; i >= 0; i--) {
    z[i]! /= L[i * n + i]!;
    const zi = z[i]!;
    for (let j = 0; j < i; j++) z[j]! -= L[i * n + j]! * zi;
  }
}
