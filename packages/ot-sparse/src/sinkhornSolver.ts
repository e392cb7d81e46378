/** Entropic transport of one dense problem: levels of ε, iterations, and the report. */
import type { InitialPotentials } from './initialPotentials.js';
import { type MarginalPenalty, marginalPenalty } from './marginalPenalty.js';
import { type DenseProblem, SinkhornIterations } from './sinkhornIterations.js';
import type { TransportProblem } from './transportArguments.js';
import type { PlanEntries, TransportSolution } from './transportResult.js';

/** Options of the solver, complete. */
export interface SinkhornSettings {
  /** NaN: `relativeEpsilon` times the standard deviation of the costs. */
  readonly epsilon: number;
  readonly relativeEpsilon: number;
  readonly tolerance: number;
  readonly maxIterations: number;
  /** NaN for `start`: the greatest cost. */
  readonly epsilonScaling: { readonly start: number; readonly factor: number } | undefined;
  readonly rhoA: number;
  readonly rhoB: number;
  readonly marginalPenalty: 'kl' | 'tv';
  readonly momentum: number;
  readonly domain: 'auto' | 'log';
}

/** Solution of one entropic problem: `alpha` is f, `beta` is g. */
export interface EntropicSolution extends TransportSolution {
  /** Regularisation used. */
  readonly epsilon: number;
  /** Mass of the plan; that of the sides where it is balanced. */
  readonly mass: number;
}

interface Potentials {
  readonly f: Float64Array;
  readonly g: Float64Array;
}

/** Beyond so many pairs (320 MB) the kernel is not kept. */
const LARGEST_KERNEL = 4e7;

/** Solves one problem. */
export function solveSinkhorn(
  problem: TransportProblem,
  settings: SinkhornSettings,
  init: InitialPotentials | undefined,
): EntropicSolution {
  const rows = indicesWithMass(problem.a);
  const columns = indicesWithMass(problem.b);
  const dense = denseProblem(problem, rows, columns);
  const { low, high, deviation } = costStatistics(dense.cost);
  // Costs that are all equal have no scale: any ε gives the product plan.
  const relative = settings.relativeEpsilon * (deviation || high || 1);
  const epsilon = Number.isNaN(settings.epsilon) ? relative : settings.epsilon;
  const penaltyA = marginalPenalty(settings.marginalPenalty, settings.rhoA);
  const penaltyB = marginalPenalty(settings.marginalPenalty, settings.rhoB);
  const scalings = settings.domain === 'auto' && dense.m * dense.n <= LARGEST_KERNEL;

  let state: Potentials = {
    f: Float64Array.from(rows, (i) => init?.alpha?.[i] ?? 0),
    g: Float64Array.from(columns, (j) => init?.beta?.[j] ?? 0),
  };
  let iterations = 0;
  if (settings.epsilonScaling) {
    const { factor } = settings.epsilonScaling;
    const start = settings.epsilonScaling.start;
    let level = Number.isNaN(start) ? Math.max(high, high - low) : start;
    for (; level > epsilon && iterations < settings.maxIterations; level *= factor) {
      const solver = new Sinkhorn(dense, level, penaltyA, penaltyB, false, state);
      solver.iterate();
      state = solver;
      iterations++;
    }
  }
  const solver = new Sinkhorn(dense, epsilon, penaltyA, penaltyB, scalings, state);
  if (init?.beta && !init.alpha && iterations === 0) solver.updateF(1);
  const run = solver.run(settings, iterations, problem.b);
  return finish(problem, rows, columns, solver, penaltyA, penaltyB, run);
}

interface Run {
  readonly iterations: number;
  readonly converged: boolean;
}

/** Sinkhorn's iteration at one ε, on a problem without zero masses. */
class Sinkhorn {
  readonly f: Float64Array;
  readonly g: Float64Array;
  /** ‖Tᵀ1 − b‖₁ when last measured, and the greatest change of a potential in the last iteration. */
  columnError = Infinity;
  change = Infinity;
  readonly iterations: SinkhornIterations;
  private readonly sums: Float64Array;
  /** b. */
  private readonly masses: Float64Array;

  constructor(
    readonly problem: DenseProblem,
    readonly epsilon: number,
    private readonly penaltyA: MarginalPenalty,
    private readonly penaltyB: MarginalPenalty,
    scalings: boolean,
    start: Potentials,
  ) {
    this.f = start.f;
    this.g = start.g;
    this.iterations = new SinkhornIterations(problem, epsilon, scalings);
    this.sums = new Float64Array(Math.max(problem.m, problem.n));
    this.masses = problem.logB.map(Math.exp);
    this.shift(this.iterations.F, this.f, problem.logA);
    this.shift(this.iterations.G, this.g, problem.logB);
  }

  /** One plain iteration, g and then f. */
  iterate(): void {
    this.measureColumns();
    this.updateG(1);
    this.updateF(1);
  }

  /**
   * Iterates until the stopping rule is met. Where both marginals are exact the column sums are known before each update
   * of g, and rows are exact after one of f; otherwise potentials must settle.
   */
  run(
    { tolerance, maxIterations, momentum }: SinkhornSettings,
    done: number,
    b: Float64Array,
  ): Run {
    const { epsilon, penaltyA, penaltyB } = this;
    const exact = penaltyA.exact && penaltyB.exact;
    const limit = exact ? tolerance * b.reduce((total, mass) => total + mass, 0) : tolerance;
    const rate = penaltyA.contraction(epsilon) * penaltyB.contraction(epsilon);
    let iterations = done;
    let factor = momentum;
    let plain = false;
    for (;;) {
      this.measureColumns();
      // The last update of f made the rows exact, and the columns are exact enough.
      if (exact && plain && this.columnError <= limit) return { iterations, converged: true };
      if (iterations >= maxIterations) return { iterations, converged: false };
      this.change = 0;
      plain = factor === 1;
      this.updateG(factor);
      this.updateF(factor);
      iterations++;
      const remaining = this.change / epsilon / (rate < 1 ? 1 - rate : 1);
      if (!exact && remaining <= limit) return { iterations, converged: true };
      // Over-relaxed updates leave both sides inexact: end with plain ones.
      factor = exact && this.columnError <= limit ? 1 : momentum;
    }
  }

  /** f ← the half-step, over-relaxed by `momentum`. */
  updateF(momentum: number): void {
    const { f, sums, epsilon, penaltyA, problem, iterations } = this;
    iterations.rows(sums);
    for (let i = 0; i < f.length; i++) {
      const next = penaltyA.step(-epsilon * sums[i]!, epsilon);
      const step = momentum * (next - f[i]!);
      this.change = Math.max(this.change, Math.abs(step));
      f[i]! += step;
    }
    this.shift(iterations.F, f, problem.logA);
  }

  /** The sums that the next update of g needs, and with them the columns' error now. */
  private measureColumns(): void {
    const { g, sums, epsilon, masses, iterations } = this;
    iterations.columns(sums);
    let error = 0;
    for (let j = 0; j < g.length; j++) {
      error += Math.abs(Math.exp(sums[j]! + iterations.G[j]! / epsilon) - masses[j]!);
    }
    this.columnError = error;
  }

  /** g ← the half-step from the sums just measured, over-relaxed by `momentum`. */
  private updateG(momentum: number): void {
    const { g, sums, epsilon, penaltyB, problem, iterations } = this;
    for (let j = 0; j < g.length; j++) {
      const next = penaltyB.step(-epsilon * sums[j]!, epsilon);
      const step = momentum * (next - g[j]!);
      this.change = Math.max(this.change, Math.abs(step));
      g[j]! += step;
    }
    this.shift(iterations.G, g, problem.logB);
  }

  private shift(out: Float64Array, potential: Float64Array, log: Float64Array): void {
    for (let i = 0; i < out.length; i++) out[i] = potential[i]! + this.epsilon * log[i]!;
  }
}

function finish(
  problem: TransportProblem,
  rows: Int32Array,
  columns: Int32Array,
  solver: Sinkhorn,
  penaltyA: MarginalPenalty,
  penaltyB: MarginalPenalty,
  { iterations, converged }: Run,
): EntropicSolution {
  const { a, b, cost } = problem;
  const { epsilon, f, g } = solver;
  const [m, n] = [rows.length, columns.length];
  const columnSums = new Float64Array(n);
  const rowSums = new Float64Array(m);
  let transportCost = 0;
  solver.iterations.visitPlan((i, row) => {
    const offset = rows[i]! * problem.n;
    for (let j = 0; j < n; j++) {
      const t = row[j]!;
      if (t === 0) continue;
      rowSums[i]! += t;
      columnSums[j]! += t;
      transportCost += t * cost[offset + columns[j]!]!;
    }
  });
  const sum = (x: Float64Array) => x.reduce((total, value) => total + value, 0);
  const [massA, massB, mass] = [sum(a), sum(b), sum(rowSums)];
  // −ε Σ a_i b_j (exp((f_i + g_j − C_ij)/ε) − 1)
  let dual = -epsilon * (mass - massA * massB);
  let primal = dual;
  let [rowError, columnError] = [0, 0];
  for (let i = 0; i < m; i++) {
    const weight = a[rows[i]!]!;
    dual += weight * penaltyA.dual(f[i]!);
    primal += rowSums[i]! * f[i]! + penaltyA.primal(rowSums[i]!, weight);
    rowError += Math.abs(rowSums[i]! - weight);
  }
  for (let j = 0; j < n; j++) {
    const weight = b[columns[j]!]!;
    dual += weight * penaltyB.dual(g[j]!);
    primal += columnSums[j]! * g[j]! + penaltyB.primal(columnSums[j]!, weight);
    columnError += Math.abs(columnSums[j]! - weight);
  }
  const alpha = fullPotential(problem, rows, columns, f, g, epsilon, penaltyA, true);
  const beta = fullPotential(problem, rows, columns, f, g, epsilon, penaltyB, false);
  const exact = penaltyA.exact && penaltyB.exact;
  const rule = exact ? 'marginals within the tolerance' : 'potentials settled to the tolerance';
  return {
    objective: dual,
    transportCost,
    alpha: alpha.potential,
    beta: beta.potential,
    gradientA: alpha.gradient(rowSums, massB),
    gradientB: beta.gradient(columnSums, massA),
    iterations,
    converged,
    reason: converged ? rule : 'maxIterations reached',
    residuals: { rows: rowError, columns: columnError, gap: primal - dual },
    epsilon,
    mass,
    entries: () => planEntries(solver.iterations, rows, columns),
    writePlan: (into) => {
      solver.iterations.visitPlan((i, row) => {
        for (let j = 0; j < n; j++) into[rows[i]! * problem.n + columns[j]!] = row[j]!;
      });
    },
  };
}

/**
 * Potentials of one side with those of rows or columns without mass, which the half-step defines all the same, and the
 * derivative of the objective with respect to its masses.
 */
function fullPotential(
  { n: width, m: height, cost, a, b }: TransportProblem,
  rows: Int32Array,
  columns: Int32Array,
  f: Float64Array,
  g: Float64Array,
  epsilon: number,
  penalty: MarginalPenalty,
  ofRows: boolean,
) {
  const [own, other] = ofRows ? [rows, columns] : [columns, rows];
  const [known, across] = ofRows ? [f, g] : [g, f];
  const [masses, weights] = ofRows ? [a, b] : [b, a];
  const potential = new Float64Array(ofRows ? height : width);
  /** exp of the potential less that of the balanced half-step, by ε: the plan's marginal by the mass. */
  const ratio = new Float64Array(potential.length).fill(Number.NaN);
  own.forEach((index, i) => {
    potential[index] = known[i]!;
  });
  for (let i = 0; i < potential.length; i++) {
    if (masses[i]! > 0) continue;
    const exponents = Float64Array.from(other, (j, e) => {
      const c = ofRows ? cost[i * width + j]! : cost[j * width + i]!;
      return (across[e]! - c) / epsilon + Math.log(weights[j]!);
    });
    const most = exponents.reduce((x, y) => Math.max(x, y), -Infinity);
    // All pairs forbidden: no mass can ever go there.
    if (most === -Infinity) continue;
    const sum = exponents.reduce((total, x) => total + Math.exp(x - most), 0);
    const half = -epsilon * (most + Math.log(sum));
    potential[i] = penalty.step(half, epsilon);
    ratio[i] = Math.exp((potential[i]! - half) / epsilon);
  }
  return {
    potential,
    gradient: (sums: Float64Array, otherMass: number) => {
      own.forEach((index, i) => {
        ratio[index] = sums[i]! / masses[index]!;
      });
      return potential.map((value, i) =>
        Number.isNaN(ratio[i]!) ? 0 : penalty.dual(value) - epsilon * (ratio[i]! - otherMass),
      );
    },
  };
}

function planEntries(
  iterations: SinkhornIterations,
  rows: Int32Array,
  columns: Int32Array,
): PlanEntries {
  const size = rows.length * columns.length;
  const all = {
    rows: new Int32Array(size),
    columns: new Int32Array(size),
    values: new Float64Array(size),
  };
  let length = 0;
  iterations.visitPlan((i, row) => {
    for (let j = 0; j < columns.length; j++) {
      if (row[j] === 0) continue;
      all.rows[length] = rows[i]!;
      all.columns[length] = columns[j]!;
      all.values[length++] = row[j]!;
    }
  });
  if (length === size) return all;
  return {
    rows: all.rows.slice(0, length),
    columns: all.columns.slice(0, length),
    values: all.values.slice(0, length),
  };
}

function indicesWithMass(weights: Float64Array): Int32Array {
  return Int32Array.from([...weights.keys()].filter((i) => weights[i]! > 0));
}

function denseProblem(
  { m, n, cost, a, b }: TransportProblem,
  rows: Int32Array,
  columns: Int32Array,
): DenseProblem {
  const logA = Float64Array.from(rows, (i) => Math.log(a[i]!));
  const logB = Float64Array.from(columns, (j) => Math.log(b[j]!));
  if (rows.length === m && columns.length === n) return { m, n, cost, logA, logB };
  const kept = new Float64Array(rows.length * columns.length);
  let at = 0;
  for (const i of rows) for (const j of columns) kept[at++] = cost[i * n + j]!;
  return { m: rows.length, n: columns.length, cost: kept, logA, logB };
}

/** Of the finite costs. */
function costStatistics(costs: Float64Array) {
  let [low, high, count, total] = [Infinity, -Infinity, 0, 0];
  for (let i = 0; i < costs.length; i++) {
    const c = costs[i]!;
    if (c === Infinity) continue;
    if (c < low) low = c;
    if (c > high) high = c;
    count++;
    total += c;
  }
  const mean = total / count;
  let squares = 0;
  for (let i = 0; i < costs.length; i++) {
    if (costs[i] !== Infinity) squares += (costs[i]! - mean) ** 2;
  }
  return { low, high, deviation: Math.sqrt(squares / count) };
}
