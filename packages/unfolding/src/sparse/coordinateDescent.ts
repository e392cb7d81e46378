/** The l1 problem on the host in float64: coordinate descent on small working sets, certified by the duality gap. */

/** A dictionary with what coordinate descent needs of it: columns one after another, and products of pairs, made once. */
export class Dictionary {
  readonly rows: number;
  readonly columns: number;
  private readonly data: Float64Array;
  /** Squared norm of each column. */
  readonly squares: Float64Array;
  /** Position of a column among those that were ever active, or −1. */
  private readonly place: Int32Array;
  private readonly members: number[] = [];
  /** Products of active columns: row p holds those with the columns 0 … p of `members`. */
  private readonly products: Float64Array[] = [];

  /** @param a - `[rows, columns]`, row-major */
  constructor(a: ArrayLike<number>, rows: number, columns: number) {
    this.rows = rows;
    this.columns = columns;
    this.data = new Float64Array(rows * columns);
    this.squares = new Float64Array(columns);
    this.place = new Int32Array(columns).fill(-1);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        const v = a[r * columns + c]!;
        this.data[c * rows + r] = v;
        this.squares[c]! += v * v;
      }
    }
  }

  /** `⟨a_j, r⟩`. */
  dot(j: number, r: Float64Array): number {
    const { data, rows } = this;
    const at = j * rows;
    // Four sums, so that additions need not wait for one another.
    let [s0, s1, s2, s3] = [0, 0, 0, 0];
    let i = 0;
    for (; i + 3 < rows; i += 4) {
      s0 += data[at + i]! * r[i]!;
      s1 += data[at + i + 1]! * r[i + 1]!;
      s2 += data[at + i + 2]! * r[i + 2]!;
      s3 += data[at + i + 3]! * r[i + 3]!;
    }
    for (; i < rows; i++) s0 += data[at + i]! * r[i]!;
    return s0 + s1 + (s2 + s3);
  }

  /** `r ← r + factor a_j`. */
  addTo(r: Float64Array, j: number, factor: number): void {
    const { data, rows } = this;
    const at = j * rows;
    for (let i = 0; i < rows; i++) r[i]! += factor * data[at + i]!;
  }

  /** Gram matrix of some columns, row-major. */
  gram(list: readonly number[]): Float64Array {
    for (const j of list) {
      if (this.place[j]! >= 0) continue;
      this.place[j] = this.members.length;
      this.members.push(j);
      const own = this.data.subarray(j * this.rows, (j + 1) * this.rows);
      this.products.push(Float64Array.from(this.members, (k) => this.dot(k, own)));
    }
    const size = list.length;
    const G = new Float64Array(size * size);
    for (let p = 0; p < size; p++) {
      const a = this.place[list[p]!]!;
      for (let q = 0; q <= p; q++) {
        const b = this.place[list[q]!]!;
        const value = a >= b ? this.products[a]![b]! : this.products[b]![a]!;
        G[p * size + q] = value;
        G[q * size + p] = value;
      }
    }
    return G;
  }
}

/** What coordinate descent found. */
export interface CoordinateDescentResult {
  readonly objective: number;
  /** `(F − D) / F(0)`; F(0) = ½‖y‖². */
  readonly gap: number;
  /** Working sets solved. */
  readonly iterations: number;
  readonly converged: boolean;
}

/** Sweeps over one working set at most, and between two looks at its gap. */
const SWEEPS = 20_000;
const LOOK_EVERY = 4;

/** Products of the columns with y: `Aᵀy`. */
export function correlations(A: Dictionary, y: ArrayLike<number>): Float64Array {
  const target = Float64Array.from(y);
  return Float64Array.from({ length: A.columns }, (_, j) => A.dot(j, target));
}

/**
 * Minimises `½‖y − A x‖² + λ‖x‖₁` from `x`, which is changed in place.
 *
 * Each round takes the support of x and the columns that violate optimality most, and solves on them alone with their
 * Gram matrix, so that a sweep costs no product with A.
 *
 * @param q - `Aᵀy`, see {@link correlations}
 */
export function coordinateDescent(
  A: Dictionary,
  y: ArrayLike<number>,
  q: Float64Array,
  lambda: number,
  x: Float64Array,
  tolerance: number,
  maxIterations: number,
): CoordinateDescentResult {
  const { rows, columns: N } = A;
  const r = new Float64Array(rows);
  const correlation = new Float64Array(N);
  const top = q.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  let size = 0;
  for (let iterations = 0; ; iterations++) {
    let yy = 0;
    for (let i = 0; i < rows; i++) {
      r[i] = y[i]!;
      yy += r[i]! ** 2;
    }
    let support = 0;
    let l1 = 0;
    for (let j = 0; j < N; j++) {
      if (x[j] === 0) continue;
      support += 1;
      l1 += Math.abs(x[j]!);
      A.addTo(r, j, -x[j]!);
    }
    let [rr, ry, largest] = [0, 0, 0];
    for (let i = 0; i < rows; i++) {
      rr += r[i]! ** 2;
      ry += r[i]! * y[i]!;
    }
    for (let j = 0; j < N; j++) {
      correlation[j] = A.dot(j, r);
      largest = Math.max(largest, Math.abs(correlation[j]!));
    }
    const objective = rr / 2 + lambda * l1;
    const gap = relativeGap(rr, ry, l1, largest, lambda, yy, top);
    if (gap <= tolerance || iterations === maxIterations) {
      return { objective, gap, iterations, converged: gap <= tolerance };
    }
    size = Math.min(N, Math.max(10, 2 * support, size));
    const chosen = workingSet(A, x, correlation, lambda, size, support);
    // Solving a working set far more exactly than the others are would be in vain.
    const target = Math.max(0.3 * tolerance, 0.03 * gap);
    solveOn({ A, chosen, q, correlation, lambda, x, yy, top, target });
  }
}

/**
 * `(F − D) / F(0)` at the dual point `min(1, λ/‖Aᵀr‖∞) r`. Without a penalty there is no dual point but 0; the gradient in units
 * of `‖Aᵀy‖∞` stands in.
 */
function relativeGap(
  rr: number,
  ry: number,
  l1: number,
  largest: number,
  lambda: number,
  yy: number,
  top: number,
): number {
  if (lambda === 0) return largest === 0 ? 0 : largest / Math.max(top, largest);
  const s = largest > lambda ? lambda / largest : 1;
  const gap = rr / 2 + lambda * l1 - s * (ry - (s * rr) / 2);
  return yy > 0 ? Math.max((2 * gap) / yy, 0) : 0;
}

/** The support, and columns by how near they are to the boundary |⟨a, r⟩| = λ, in units of their norms. */
function workingSet(
  A: Dictionary,
  x: Float64Array,
  correlation: Float64Array,
  lambda: number,
  size: number,
  support: number,
): number[] {
  const chosen: number[] = [];
  const others: number[] = [];
  const distance = new Float64Array(x.length);
  for (let j = 0; j < x.length; j++) {
    if (x[j] !== 0) chosen.push(j);
    else if (A.squares[j]! > 0) {
      others.push(j);
      distance[j] = (lambda - Math.abs(correlation[j]!)) / Math.sqrt(A.squares[j]!);
    }
  }
  others.sort((i, j) => distance[i]! - distance[j]!);
  for (const j of others.slice(0, Math.max(size - support, 1))) chosen.push(j);
  return chosen;
}

interface Subproblem {
  readonly A: Dictionary;
  readonly chosen: readonly number[];
  readonly q: Float64Array;
  /** `Aᵀr` at the start. */
  readonly correlation: Float64Array;
  readonly lambda: number;
  readonly x: Float64Array;
  readonly yy: number;
  readonly top: number;
  /** Relative gap at which the working set counts as solved. */
  readonly target: number;
}

/** Coordinate descent on a working set. */
function solveOn({ A, chosen, q, correlation, lambda, x, yy, top, target }: Subproblem): void {
  const n = chosen.length;
  const G = A.gram(chosen);
  const c = Float64Array.from(chosen, (j) => correlation[j]!);
  const z = Float64Array.from(chosen, (j) => x[j]!);
  const d = Float64Array.from(chosen, (j) => A.squares[j]!);
  for (let sweep = 1; sweep <= SWEEPS; sweep++) {
    let moved = 0;
    for (let p = 0; p < n; p++) {
      const u = c[p]! + d[p]! * z[p]!;
      const next = u > lambda ? (u - lambda) / d[p]! : u < -lambda ? (u + lambda) / d[p]! : 0;
      const delta = next - z[p]!;
      if (delta === 0) continue;
      z[p] = next;
      moved += delta * delta * d[p]!;
      const at = p * n;
      for (let k = 0; k < n; k++) c[k]! -= delta * G[at + k]!;
    }
    // Rounding is all that is left.
    if (moved <= 1e-28 * yy) break;
    if (sweep % LOOK_EVERY !== 0) continue;
    let [l1, largest, zq, zc] = [0, 0, 0, 0];
    for (let p = 0; p < n; p++) {
      l1 += Math.abs(z[p]!);
      largest = Math.max(largest, Math.abs(c[p]!));
      zq += z[p]! * q[chosen[p]!]!;
      zc += z[p]! * c[p]!;
    }
    // ⟨r, y⟩ = ‖y‖² − ⟨z, Aᵀy⟩ and ‖r‖² = ⟨r, y⟩ − ⟨z, Aᵀr⟩.
    const ry = yy - zq;
    if (relativeGap(Math.max(ry - zc, 0), ry, l1, largest, lambda, yy, top) <= target) break;
  }
  for (let p = 0; p < n; p++) x[chosen[p]!] = z[p]!;
}
