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
  /** `(F − D) / F`, 0 where F is 0. */
  readonly gap: number;
  /** Working sets solved. */
  readonly iterations: number;
  readonly converged: boolean;
}

/** Sweeps over one working set at most. */
const SWEEPS = 10_000;

/**
 * Minimises `½‖y − A x‖² + λ‖x‖₁` from `x`, which is changed in place.
 *
 * Each round takes the support of x and the columns that violate optimality most, and solves on them alone with their
 * Gram matrix, so that a sweep costs no product with A.
 */
export function coordinateDescent(
  A: Dictionary,
  y: ArrayLike<number>,
  lambda: number,
  x: Float64Array,
  tolerance: number,
  maxIterations: number,
): CoordinateDescentResult {
  const { rows, columns: N } = A;
  const r = new Float64Array(rows);
  const correlation = new Float64Array(N);
  let size = 0;
  let objective = 0;
  let gap = Infinity;
  for (let iterations = 0; ; iterations++) {
    let yy = 0;
    let l1 = 0;
    for (let i = 0; i < rows; i++) {
      r[i] = y[i]!;
      yy += r[i]! ** 2;
    }
    let support = 0;
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
    objective = rr / 2 + lambda * l1;
    const s = largest > lambda ? lambda / largest : 1;
    gap = objective > 0 ? Math.max(objective - s * (ry - (s * rr) / 2), 0) / objective : 0;
    // Without a penalty there is no dual point but 0; the gradient in units of ‖Aᵀy‖ stands in.
    if (lambda === 0) gap = largest === 0 ? 0 : largest / Math.max(maxAbsDot(A, y), largest);
    if (gap <= tolerance || iterations === maxIterations) {
      return { objective, gap, iterations, converged: gap <= tolerance };
    }
    size = Math.min(N, Math.max(10, 2 * support, size));
    const chosen = workingSet(A, x, correlation, lambda, size, support);
    // The gap may exceed what is left to gain by far, so each round is solved more exactly than the one before.
    const improvable = Math.max(gap * objective * 10 ** (-2 - iterations), 1e-26 * yy);
    solveOn(A.gram(chosen), chosen, A.squares, correlation, lambda, x, improvable);
  }
}

function maxAbsDot(A: Dictionary, y: ArrayLike<number>): number {
  const target = Float64Array.from(y);
  let largest = 0;
  for (let j = 0; j < A.columns; j++) largest = Math.max(largest, Math.abs(A.dot(j, target)));
  return largest;
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
  for (let j = 0; j < x.length; j++) {
    if (x[j] !== 0) chosen.push(j);
    else if (A.squares[j]! > 0) others.push(j);
  }
  const distance = (j: number) => (lambda - Math.abs(correlation[j]!)) / Math.sqrt(A.squares[j]!);
  const keys = new Float64Array(x.length);
  for (const j of others) keys[j] = distance(j);
  others.sort((i, j) => keys[i]! - keys[j]!);
  for (const j of others.slice(0, Math.max(size - support, 1))) chosen.push(j);
  return chosen;
}

/** Coordinate descent on a working set until no update would lower the objective by more than `least` in a sweep. */
function solveOn(
  G: Float64Array,
  chosen: readonly number[],
  squares: Float64Array,
  correlation: Float64Array,
  lambda: number,
  x: Float64Array,
  least: number,
): void {
  const n = chosen.length;
  const c = Float64Array.from(chosen, (j) => correlation[j]!);
  const z = Float64Array.from(chosen, (j) => x[j]!);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let lowered = 0;
    for (let p = 0; p < n; p++) {
      const d = squares[chosen[p]!]!;
      const u = c[p]! + d * z[p]!;
      const next = u > lambda ? (u - lambda) / d : u < -lambda ? (u + lambda) / d : 0;
      const delta = next - z[p]!;
      if (delta === 0) continue;
      z[p] = next;
      lowered += delta * delta * d;
      const at = p * n;
      for (let q = 0; q < n; q++) c[q]! -= delta * G[at + q]!;
    }
    if (lowered <= least) break;
  }
  for (let p = 0; p < n; p++) x[chosen[p]!] = z[p]!;
}
