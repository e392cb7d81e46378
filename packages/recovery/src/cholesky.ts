/**
 * Inverse of a symmetric positive definite matrix on the host, by Cholesky factors.
 *
 * @param matrix - `n × n`, row-major; overwritten with the inverse
 * @throws RangeError if it is not positive definite
 */
export function invertPositive(caller: string, matrix: Float64Array, n: number): Float64Array {
  const L = matrix;
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let total = L[i * n + j]!;
      for (let k = 0; k < j; k++) total -= L[i * n + k]! * L[j * n + k]!;
      if (i > j) L[i * n + j] = total / L[j * n + j]!;
      else if (total > 0) L[j * n + j] = Math.sqrt(total);
      else throw new RangeError(`${caller}: lambda must be larger: the system is not definite`);
    }
  }
  // K = L⁻¹ in place, row by row from the bottom of each column; then Kᵀ K.
  for (let j = 0; j < n; j++) {
    L[j * n + j] = 1 / L[j * n + j]!;
    for (let i = j + 1; i < n; i++) {
      let total = 0;
      for (let k = j; k < i; k++) total -= L[i * n + k]! * L[k * n + j]!;
      L[i * n + j] = total / L[i * n + i]!;
    }
  }
  const out = new Float64Array(n * n);
  for (let k = 0; k < n; k++) {
    for (let i = 0; i <= k; i++) {
      const factor = L[k * n + i]!;
      for (let j = 0; j <= i; j++) out[i * n + j]! += factor * L[k * n + j]!;
    }
  }
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) out[j * n + i] = out[i * n + j]!;
  }
  return out;
}
