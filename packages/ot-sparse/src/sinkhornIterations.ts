/**
 * Half-steps of Sinkhorn's iteration on a dense cost, safe at any ε and fast where potentials move little.
 *
 * With F = f + ε log a and G = g + ε log b the plan is `T_ij = exp((F_i + G_j − C_ij)/ε)`, and the half-steps need the
 * column sums `Σ_i exp((F_i − C_ij)/ε)` and the row sums likewise. They are products with the kernel
 * `K = exp((F⁰ + G⁰ − C)/ε)` at the reference potentials, which costs no exponentials, as long as F and G are near F⁰
 * and G⁰; else the kernel is made anew (absorption), and where sums underflow, at first or at tiny ε, a half-step takes
 * the logarithms of sums relative to their largest term, which never under- or overflow.
 *
 * @see Schmitzer 2019, "Stabilized sparse scaling algorithms for entropy regularized transport problems", section 3
 */

/** Greatest distance from the reference, in units of ε. */
const NEAR = 50;
/**
 * Smaller exponents make 0 in the kernel: 1e−260, below 1e−210 in any sum at that distance, and far from subnormal
 * numbers, with which processors are many times slower.
 */
const FLOOR = -600;
/** A smaller sum has lost terms. */
const UNDERFLOW = 1e-200;

/** A dense problem without zero masses. */
export interface DenseProblem {
  readonly m: number;
  readonly n: number;
  /** `m × n` row-major, `Infinity` forbids. */
  readonly cost: Float64Array;
  readonly logA: Float64Array;
  readonly logB: Float64Array;
}

/** Half-steps at one ε; `F` and `G` are the state, which the caller changes. */
export class SinkhornIterations {
  readonly F: Float64Array;
  readonly G: Float64Array;
  /** F⁰, G⁰ and K; K is empty in the log domain. */
  private readonly F0: Float64Array;
  private readonly G0: Float64Array;
  private kernel: Float64Array | undefined;
  private ready = false;
  private readonly factors: Float64Array;
  private readonly sums: Float64Array;
  private readonly tops: Float64Array;

  /**
   * @param scalings - whether to keep a kernel, which takes as much memory as the cost
   */
  constructor(
    private readonly problem: DenseProblem,
    private readonly epsilon: number,
    private readonly scalings: boolean,
  ) {
    const { m, n } = problem;
    this.F = new Float64Array(m);
    this.G = new Float64Array(n);
    this.F0 = new Float64Array(m);
    this.G0 = new Float64Array(n);
    this.factors = new Float64Array(Math.max(m, n));
    this.sums = new Float64Array(Math.max(m, n));
    this.tops = new Float64Array(Math.max(m, n));
  }

  /** out_j ← log Σ_i exp((F_i − C_ij)/ε). */
  columns(out: Float64Array): void {
    const { epsilon, G0, sums, factors } = this;
    const { m, n } = this.problem;
    if (this.near()) {
      const K = this.kernel!;
      for (let i = 0; i < m; i++) factors[i] = Math.exp((this.F[i]! - this.F0[i]!) / epsilon);
      sums.fill(0, 0, n);
      multiplyTransposed(K, m, n, factors, sums);
      if (allAbove(sums, n, UNDERFLOW)) {
        for (let j = 0; j < n; j++) out[j] = Math.log(sums[j]!) - G0[j]! / epsilon;
        return;
      }
      this.ready = false;
    }
    this.logColumns(out);
  }

  /** out_i ← log Σ_j exp((G_j − C_ij)/ε). */
  rows(out: Float64Array): void {
    const { epsilon, F0, sums, factors } = this;
    const { m, n } = this.problem;
    if (this.near()) {
      const K = this.kernel!;
      for (let j = 0; j < n; j++) factors[j] = Math.exp((this.G[j]! - this.G0[j]!) / epsilon);
      multiply(K, m, n, factors, sums);
      if (allAbove(sums, m, UNDERFLOW)) {
        for (let i = 0; i < m; i++) out[i] = Math.log(sums[i]!) - F0[i]! / epsilon;
        return;
      }
      this.ready = false;
    }
    this.logRows(out);
  }

  /** Calls `visit` with each row of the plan; the array is reused. */
  visitPlan(visit: (i: number, row: Float64Array) => void): void {
    const { epsilon, F, G } = this;
    const { m, n, cost } = this.problem;
    const row = new Float64Array(n);
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        row[j] = Math.exp((F[i]! + G[j]! - cost[i * n + j]!) / epsilon);
      }
      visit(i, row);
    }
  }

  /** Makes the kernel at the present potentials: one exponential a pair. */
  private absorb(): void {
    const { epsilon, F, G, F0, G0 } = this;
    const { m, n, cost } = this.problem;
    this.kernel ??= new Float64Array(m * n);
    const { kernel } = this;
    F0.set(F);
    G0.set(G);
    const inverse = 1 / epsilon;
    for (let i = 0; i < m; i++) {
      const offset = i * n;
      for (let j = 0; j < n; j++) {
        const exponent = (F0[i]! + G0[j]! - cost[offset + j]!) * inverse;
        kernel[offset + j] = exponent < FLOOR ? 0 : Math.exp(exponent);
      }
    }
    this.ready = true;
  }

  /** Whether the kernel can be used, made anew where that is worth it. */
  private near(): boolean {
    if (!this.scalings) return false;
    const { epsilon, F, G, F0, G0 } = this;
    if (this.ready && !(distance(F, F0) <= NEAR * epsilon && distance(G, G0) <= NEAR * epsilon)) {
      this.ready = false;
    }
    if (!this.ready) this.absorb();
    return true;
  }

  private logRows(out: Float64Array): void {
    const { epsilon, G } = this;
    const { m, n, cost } = this.problem;
    const inverse = 1 / epsilon;
    for (let i = 0; i < m; i++) {
      const offset = i * n;
      let most = -Infinity;
      for (let j = 0; j < n; j++) {
        const x = G[j]! - cost[offset + j]!;
        if (x > most) most = x;
      }
      let total = 0;
      for (let j = 0; j < n; j++) total += Math.exp((G[j]! - cost[offset + j]! - most) * inverse);
      out[i] = most * inverse + Math.log(total);
    }
  }

  private logColumns(out: Float64Array): void {
    const { epsilon, F, tops, sums } = this;
    const { m, n, cost } = this.problem;
    const inverse = 1 / epsilon;
    tops.fill(-Infinity, 0, n);
    sums.fill(0, 0, n);
    for (let i = 0; i < m; i++) {
      const offset = i * n;
      for (let j = 0; j < n; j++) {
        const x = F[i]! - cost[offset + j]!;
        if (x > tops[j]!) tops[j] = x;
      }
    }
    for (let i = 0; i < m; i++) {
      const offset = i * n;
      for (let j = 0; j < n; j++) {
        sums[j]! += Math.exp((F[i]! - cost[offset + j]! - tops[j]!) * inverse);
      }
    }
    for (let j = 0; j < n; j++) out[j] = tops[j]! * inverse + Math.log(sums[j]!);
  }
}

/** out ← K v; four sums at a time, for additions that do not wait for each other. */
function multiply(K: Float64Array, m: number, n: number, v: Float64Array, out: Float64Array): void {
  const whole = n - (n % 4);
  for (let i = 0; i < m; i++) {
    let [s0, s1, s2, s3] = [0, 0, 0, 0];
    const offset = i * n;
    for (let j = 0; j < whole; j += 4) {
      s0 += K[offset + j]! * v[j]!;
      s1 += K[offset + j + 1]! * v[j + 1]!;
      s2 += K[offset + j + 2]! * v[j + 2]!;
      s3 += K[offset + j + 3]! * v[j + 3]!;
    }
    for (let j = whole; j < n; j++) s0 += K[offset + j]! * v[j]!;
    out[i] = s0 + s1 + (s2 + s3);
  }
}

/** out ← out + Kᵀ u, four rows at a time. */
function multiplyTransposed(
  K: Float64Array,
  m: number,
  n: number,
  u: Float64Array,
  out: Float64Array,
): void {
  let i = 0;
  for (; i + 4 <= m; i += 4) {
    const [o0, o1, o2, o3] = [i * n, (i + 1) * n, (i + 2) * n, (i + 3) * n];
    const [u0, u1, u2, u3] = [u[i]!, u[i + 1]!, u[i + 2]!, u[i + 3]!];
    for (let j = 0; j < n; j++) {
      out[j]! += u0 * K[o0 + j]! + u1 * K[o1 + j]! + (u2 * K[o2 + j]! + u3 * K[o3 + j]!);
    }
  }
  for (; i < m; i++) {
    const offset = i * n;
    for (let j = 0; j < n; j++) out[j]! += u[i]! * K[offset + j]!;
  }
}

function distance(x: Float64Array, y: Float64Array): number {
  let most = 0;
  for (let i = 0; i < x.length; i++) most = Math.max(most, Math.abs(x[i]! - y[i]!));
  return most;
}

function allAbove(x: Float64Array, length: number, least: number): boolean {
  for (let i = 0; i < length; i++) if (!(x[i]! > least)) return false;
  return true;
}
