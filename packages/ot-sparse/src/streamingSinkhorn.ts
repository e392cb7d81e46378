/**
 * Sinkhorn's iterations on costs that are given row by row: O(m + n) memory, one exponential a pair and iteration.
 *
 *     T_ij = a_i b_j exp((f_i + g_j − C_ij)/ε),   f_i ← −ε log Σ_j b_j exp((g_j − C_ij)/ε),   g_j likewise
 *
 * A pass over the rows updates f and, from the same exponentials divided by their row's sum, gathers the column sums that
 * update g: two half-steps for one look at the costs (derived here). Penalised marginals damp both by λ = ρ/(ρ + ε).
 * Everything is relative to the row's largest exponent, so nothing overflows; what is below e^−45 of it is left out.
 */
import type { CostRows } from './cloudCost.js';
import { EXP_FLOOR, fastExp } from './fastExp.js';

/** Options of the solver, complete. */
export interface StreamingSettings {
  readonly epsilon: number;
  /** Marginal penalty on both sides; Infinity: balanced. */
  readonly rho: number;
  readonly tolerance: number;
  readonly maxIterations: number;
  /** Factor from a level of ε to the next; 1: none. */
  readonly scaling: number;
  /** First level. Default: the greatest cost */
  readonly start?: number;
  readonly acceleration: boolean;
}

/** Potentials and report. */
export interface StreamingSolution {
  readonly f: Float64Array;
  readonly g: Float64Array;
  readonly iterations: number;
  readonly converged: boolean;
  /** ‖Tᵀ1 − b‖₁ where rows are exact; unbalanced: the last change of the potentials by ε. */
  readonly error: number;
}

/** A column sum below this share of its mass is not trusted: what was left out may be missed. */
const TRUSTED = 1e-10;

/** Solves for two clouds. */
export function solveStreaming(
  costs: CostRows,
  a: Float64Array,
  b: Float64Array,
  settings: StreamingSettings,
  init?: { readonly f: Float64Array; readonly g: Float64Array },
): StreamingSolution {
  const solver = new Streaming(costs, a, b, settings.rho);
  if (init) {
    solver.f.set(init.f);
    solver.g.set(init.g);
  }
  return run(solver, costs, b, settings, init !== undefined);
}

/** Solves for a cloud and itself: `f = g`, by half-steps `f ← (f + T(f))/2`, which converge quickly. */
export function solveSymmetric(
  costs: CostRows,
  a: Float64Array,
  settings: StreamingSettings,
): StreamingSolution {
  const solver = new Streaming(costs, a, a, settings.rho);
  return run(solver, costs, a, { ...settings, acceleration: false }, false, true);
}

function run(
  solver: Streaming,
  costs: CostRows,
  b: Float64Array,
  { epsilon, tolerance, maxIterations, scaling, start, acceleration }: StreamingSettings,
  warm: boolean,
  symmetric = false,
): StreamingSolution {
  const balanced = solver.rho === Infinity;
  const mass = balanced ? b.reduce((s, x) => s + x, 0) : 1;
  let iterations = 0;
  if (scaling < 1 && !warm) {
    for (let level = start ?? costs.bound; level > epsilon; level *= scaling) {
      solver.iterate(level, 1, symmetric);
      iterations++;
    }
  }
  const relaxation = new Relaxation();
  let converged = false;
  let error = Infinity;
  while (iterations < maxIterations && !converged) {
    const factor = acceleration ? relaxation.factor : 1;
    error = solver.iterate(epsilon, factor, symmetric, tolerance * mass);
    iterations++;
    // Rows are exact after a plain step only.
    converged = factor === 1 && error <= tolerance * mass;
    if (acceleration) relaxation.observe(error / mass, tolerance);
  }
  if (!symmetric) solver.finish(epsilon);
  const { f, g } = solver;
  return { f, g: symmetric ? f : g, iterations, converged, error };
}

/** Contraction beyond which a larger step risks more than it gains. */
const RATE_CAP = 0.9975;
/** Growth of the error, above that of the last plain step, that ends over-relaxation: a transient one is usual. */
const GROWTH = 20;
/** Over-relaxation begins when the error is below this share of the mass. */
const NEAR = 0.2;

/**
 * Over-relaxation: with contraction θ of plain iterations, steps of ω = 2/(1 + √(1 − θ)) contract by ω − 1 (Lehmann et al.
 * 2021, "A note on overrelaxation in the Sinkhorn algorithm"). θ is measured once it has settled; plain steps come back
 * where the error grows instead.
 */
class Relaxation {
  factor = 1;
  private last = Number.NaN;
  private rate = Number.NaN;
  private limit = Infinity;
  private failures = 0;

  observe(error: number, tolerance: number): void {
    const rate = error / this.last;
    this.last = error;
    if (this.factor > 1) {
      const failed = !(error <= this.limit);
      if (failed) this.failures++;
      if (failed || error <= tolerance) {
        this.factor = 1;
        this.last = Number.NaN;
      }
      return;
    }
    if (error < NEAR && this.failures < 3 && rate < 1 && Math.abs(rate - this.rate) < 0.01) {
      this.factor = 2 / (1 + Math.sqrt(1 - Math.min(rate, RATE_CAP)));
      this.limit = GROWTH * error;
    }
    this.rate = rate;
  }
}

class Streaming {
  readonly f: Float64Array;
  readonly g: Float64Array;
  private readonly logA: Float64Array;
  private readonly logB: Float64Array;
  /** g/ε + log b. */
  private readonly weights: Float64Array;
  private readonly exponents: Float64Array;
  private readonly columnSums: Float64Array;
  private readonly kept: Int32Array;

  constructor(
    private readonly costs: CostRows,
    private readonly a: Float64Array,
    private readonly b: Float64Array,
    readonly rho: number,
  ) {
    const { m, n } = costs;
    this.f = new Float64Array(m);
    this.g = new Float64Array(n);
    this.logA = a.map(Math.log);
    this.logB = b.map(Math.log);
    this.weights = new Float64Array(n);
    this.exponents = new Float64Array(n);
    this.columnSums = new Float64Array(n);
    this.kept = new Int32Array(n);
  }

  private damping(epsilon: number): number {
    return this.rho === Infinity ? 1 : this.rho / (this.rho + epsilon);
  }

  /**
   * One iteration.
   * @param factor - over-relaxation, 1 for none
   * @param enough - error at which g is left as it is, so that the rows stay exact
   * @returns the error
   */
  iterate(epsilon: number, factor: number, symmetric: boolean, enough = -1): number {
    const { f, g, a, b, logA, logB, weights, exponents, columnSums, kept, costs } = this;
    const { m, n } = costs;
    const damping = this.damping(epsilon);
    const balanced = this.rho === Infinity;
    const inverse = 1 / epsilon;
    const to = symmetric ? f : g;
    // Locals: where imports are looked up at each use, as in some test runners, the loop would be several times slower.
    const [exp, floor] = [fastExp, EXP_FLOOR];
    for (let j = 0; j < n; j++) weights[j] = to[j]! * inverse + logB[j]!;
    columnSums.fill(0);
    let error = 0;
    for (let i = 0; i < m; i++) {
      costs.row(i, exponents);
      let most = -Infinity;
      for (let j = 0; j < n; j++) {
        const exponent = weights[j]! - exponents[j]! * inverse;
        exponents[j] = exponent;
        if (exponent > most) most = exponent;
      }
      let count = 0;
      let total = 0;
      for (let j = 0; j < n; j++) {
        const exponent = exponents[j]! - most;
        if (exponent < floor) continue;
        const value = exp(exponent);
        total += value;
        exponents[count] = value;
        kept[count++] = j;
      }
      const full = -epsilon * damping * (most + Math.log(total));
      const before = f[i]!;
      if (symmetric) {
        if (balanced) error += a[i]! * Math.abs(Math.expm1((before - full) * inverse));
        else error = Math.max(error, Math.abs(full - before) * inverse);
        f[i] = 0.5 * (before + full);
        continue;
      }
      const next = before + factor * (full - before);
      if (!balanced) error = Math.max(error, Math.abs(next - before) * inverse);
      f[i] = next;
      const scale = Math.exp(logA[i]! + next * inverse + most);
      for (let e = 0; e < count; e++) columnSums[kept[e]!]! += scale * exponents[e]!;
    }
    if (symmetric) return error;
    if (balanced) {
      for (let j = 0; j < n; j++) error += Math.abs(columnSums[j]! - b[j]!);
      if (factor === 1 && error <= enough) return error;
    }
    const untrusted: number[] = [];
    for (let j = 0; j < n; j++) {
      if (b[j] === 0) continue;
      const share = columnSums[j]! / b[j]!;
      if (!(share > TRUSTED)) {
        untrusted.push(j);
        continue;
      }
      const before = g[j]!;
      const change = damping * (before - epsilon * Math.log(share)) - before;
      if (!balanced) error = Math.max(error, Math.abs(change) * inverse);
      g[j] = before + factor * change;
    }
    if (untrusted.length > 0) this.updateColumns(untrusted, epsilon);
    return error;
  }

  /** Updates single entries of g from f in full. */
  private updateColumns(columns: readonly number[], epsilon: number): void {
    const { f, g, logA } = this;
    const { m } = this.costs;
    const byColumns = this.costs.transposed();
    const row = new Float64Array(m);
    for (const j of columns) {
      byColumns.row(j, row);
      let most = -Infinity;
      for (let i = 0; i < m; i++) {
        row[i] = (f[i]! - row[i]!) / epsilon + logA[i]!;
        if (row[i]! > most) most = row[i]!;
      }
      let total = 0;
      for (let i = 0; i < m; i++) total += Math.exp(row[i]! - most);
      g[j] = -epsilon * this.damping(epsilon) * (most + Math.log(total));
    }
  }

  /** Potentials of columns without mass, which the iterations leave out. */
  finish(epsilon: number): void {
    const empty = [...this.b.keys()].filter((j) => this.b[j] === 0);
    if (empty.length > 0) this.updateColumns(empty, epsilon);
  }
}

/** Calls `visit` with each row of the plan; the array is reused. */
export function forEachPlanRow(
  costs: CostRows,
  a: Float64Array,
  b: Float64Array,
  f: Float64Array,
  g: Float64Array,
  epsilon: number,
  visit: (i: number, row: Float64Array) => void,
): void {
  const { m, n } = costs;
  const row = new Float64Array(n);
  for (let i = 0; i < m; i++) {
    costs.row(i, row);
    for (let j = 0; j < n; j++) {
      row[j] = a[i]! * b[j]! * Math.exp((f[i]! + g[j]! - row[j]!) / epsilon);
    }
    visit(i, row);
  }
}
