/**
 * Eigenvalues and eigenvectors of a symmetric tridiagonal matrix by the implicit QL iteration with Wilkinson's shift, in
 * float64.
 *
 * @param diagonal - `[m]`
 * @param offDiagonal - `[m − 1]`
 * @returns values in ascending order and, `vectors[j]` for `values[j]`, unit vectors whose first entry that is not 0 (to
 *   rounding) is positive
 * @throws Error if an eigenvalue does not converge in 100 sweeps
 * @see Bowdler, Martin, Reinsch, Wilkinson 1968
 */
export function tridiagonalEigen(
  diagonal: Float64Array,
  offDiagonal: Float64Array,
): { values: Float64Array; vectors: Float64Array[] } {
  const m = diagonal.length;
  const d = diagonal.slice();
  const e = new Float64Array(m);
  e.set(offDiagonal);
  // Column j of the rotations' product, as an array of its own: each rotation mixes two of them.
  const Z = Array.from({ length: m }, (_, j) => {
    const unit = new Float64Array(m);
    unit[j] = 1;
    return unit;
  });
  for (let l = 0; l < m; l++) {
    for (let sweep = 0; ; sweep++) {
      let end = l;
      for (; end < m - 1; end++) {
        const scale = Math.abs(d[end]!) + Math.abs(d[end + 1]!);
        if (Math.abs(e[end]!) <= Number.EPSILON * scale) break;
      }
      if (end === l) break;
      if (sweep === 100) throw new Error('tridiagonalEigen: no convergence in 100 sweeps');
      let g = (d[l + 1]! - d[l]!) / (2 * e[l]!);
      g = d[end]! - d[l]! + e[l]! / (g + Math.sign(g || 1) * Math.hypot(g, 1));
      let [s, c, p] = [1, 1, 0];
      let i = end - 1;
      for (; i >= l; i--) {
        const f = s * e[i]!;
        const h = c * e[i]!;
        const radius = Math.hypot(f, g);
        e[i + 1] = radius;
        if (radius === 0) {
          d[i + 1]! -= p;
          e[end] = 0;
          break;
        }
        s = f / radius;
        c = g / radius;
        g = d[i + 1]! - p;
        const t = (d[i]! - g) * s + 2 * c * h;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - h;
        rotate(Z[i]!, Z[i + 1]!, c, s);
      }
      if (i >= l) continue;
      d[l]! -= p;
      e[l] = g;
      e[end] = 0;
    }
  }
  const order = Array.from(d.keys()).sort((i, j) => d[i]! - d[j]!);
  return {
    values: Float64Array.from(order, (j) => d[j]!),
    vectors: order.map((j) => {
      const first = Z[j]!.find((entry) => Math.abs(entry) > 1e-13) ?? 1;
      return first < 0 ? Z[j]!.map((entry) => -entry) : Z[j]!;
    }),
  };
}

function rotate(a: Float64Array, b: Float64Array, c: number, s: number): void {
  for (let k = 0; k < a.length; k++) {
    const next = b[k]!;
    b[k] = s * a[k]! + c * next;
    a[k] = c * a[k]! - s * next;
  }
}
