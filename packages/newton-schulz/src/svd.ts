/**
 * Singular value decomposition of small matrices on the host, in float64, by one-sided Jacobi rotations.
 *
 * Why not a library: the one we would take (ml-matrix) weighs 18 KB gzip, three times this package, and everybody who
 * imports `orthogonalize` would carry it, since `method: 'exact'` must answer synchronously. One-sided Jacobi is forty
 * lines, and finds small singular values to higher relative accuracy than bidiagonalisation. The tests compare the two.
 */

/** `X = U diag(σ) Vᵀ` of a wide matrix, `k × l` with `k <= l`; all arrays row-major. */
export interface Svd {
  readonly k: number;
  readonly l: number;
  /** Singular values, descending, length k; below {@link Svd.rank} positive, from there on rounding or 0. */
  readonly values: Float64Array;
  /** `Uᵀ`, `k × k`: row i is the left vector of σ_i. */
  readonly left: Float64Array;
  /** `Vᵀ`, `k × l`: row i is the right vector of σ_i, or zeros from {@link Svd.rank} on. */
  readonly right: Float64Array;
  /** How many singular values exceed rounding, `σ_i > l · 2⁻⁵² · σ_0`. */
  readonly rank: number;
}

const EPSILON = 2 ** -52;
const MAX_SWEEPS = 60;

/**
 * Rotates pairs of rows of `W = J X` until all are orthogonal: then `W = diag(σ) Vᵀ` and `J = Uᵀ`.
 * Costs about 8 sweeps of `k²/2` rotations, each O(k + l): a second at 256 × 256.
 * @param X - `k × l`, row-major, `k <= l`; overwritten
 */
export function svd(X: Float64Array, k: number, l: number): Svd {
  const W = Array.from({ length: k }, (_, i) => X.subarray(i * l, (i + 1) * l));
  const J = Array.from({ length: k }, (_, i) => {
    const row = new Float64Array(k);
    row[i] = 1;
    return row;
  });
  const norms = W.map((row) => dot(row, row));
  for (let sweep = 0, rotated = true; rotated && sweep < MAX_SWEEPS; sweep++) {
    rotated = false;
    for (let p = 0; p < k - 1; p++) {
      for (let q = p + 1; q < k; q++) {
        const d = dot(W[p]!, W[q]!);
        const [a, b] = [norms[p]!, norms[q]!];
        if (!(Math.abs(d) > EPSILON * Math.sqrt(a) * Math.sqrt(b))) continue;
        rotated = true;
        // The smaller angle that makes the two rows orthogonal; the longer row comes first, which speeds convergence.
        const zeta = (b - a) / (2 * d);
        const t = (zeta >= 0 ? 1 : -1) / (Math.abs(zeta) + Math.hypot(1, zeta));
        const c = 1 / Math.hypot(1, t);
        const [cos, sin] = a >= b ? [c, c * t] : [c * t, -c];
        rotate(W[p]!, W[q]!, cos, sin);
        rotate(J[p]!, J[q]!, cos, sin);
        norms[p] = dot(W[p]!, W[p]!);
        norms[q] = dot(W[q]!, W[q]!);
      }
    }
  }
  const order = norms.map((_, i) => i).sort((i, j) => norms[j]! - norms[i]!);
  const values = Float64Array.from(order, (i) => Math.sqrt(norms[i]!));
  const floor = l * EPSILON * (values[0] ?? 0);
  const rank = values.filter((value) => value > floor).length;
  const left = new Float64Array(k * k);
  const right = new Float64Array(k * l);
  order.forEach((from, i) => {
    left.set(J[from]!, i * k);
    if (i < rank)
      right.set(
        W[from]!.map((w) => w / values[i]!),
        i * l,
      );
  });
  return { k, l, values, left, right, rank };
}

function dot(x: Float64Array, y: Float64Array): number {
  let total = 0;
  for (let i = 0; i < x.length; i++) total += x[i]! * y[i]!;
  return total;
}

/** `(x, y) ← (cos x − sin y, sin x + cos y)` */
function rotate(x: Float64Array, y: Float64Array, cos: number, sin: number): void {
  for (let i = 0; i < x.length; i++) {
    const [a, b] = [x[i]!, y[i]!];
    x[i] = cos * a - sin * b;
    y[i] = sin * a + cos * b;
  }
}
