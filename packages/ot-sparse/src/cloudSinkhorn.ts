/** Entropic transport between two clouds on the host: value, plan and derivatives. */
import { type CloudCostKind, type CostRows, cloudCost } from './cloudCost.js';
import { DenseRows } from './denseRows.js';
import {
  forEachPlanRow,
  type StreamingSettings,
  solveStreaming,
  solveSymmetric,
} from './streamingSinkhorn.js';

/** Up to so many pairs the costs are kept, 32 MB; beyond they are computed anew in each iteration. */
export const KEPT_PAIRS = 4e6;

/** Costs by rows, kept or not. */
export function rowsOf(
  kind: CloudCostKind,
  x: Float64Array,
  y: Float64Array,
  d: number,
  online: boolean | 'auto',
): CostRows {
  const rows = cloudCost(kind, x, y, d);
  const keep = online === 'auto' ? rows.m * rows.n <= KEPT_PAIRS : !online;
  return keep ? DenseRows.of(rows) : rows;
}

/** The solution of one entropic problem with its derivatives. */
export class CloudTransport {
  readonly f: Float64Array;
  readonly g: Float64Array;
  readonly iterations: number;
  readonly converged: boolean;
  readonly error: number;
  readonly value: number;

  /** Solves; `symmetric` where both clouds and their masses are one. */
  constructor(
    private readonly costs: CostRows,
    private readonly a: Float64Array,
    private readonly b: Float64Array,
    private readonly settings: StreamingSettings,
    symmetric = false,
    init?: { readonly f: Float64Array; readonly g: Float64Array },
  ) {
    const solution = symmetric
      ? solveSymmetric(costs, a, settings)
      : solveStreaming(costs, a, b, settings, init);
    this.f = solution.f;
    this.g = solution.g;
    this.iterations = solution.iterations;
    this.converged = solution.converged;
    this.error = solution.error;
    this.value = this.objective();
  }

  /**
   * With respect to the reference measure a ⊗ b: `⟨f, a⟩ + ⟨g, b⟩ − ε(ΣT − ΣaΣb)`, and with penalised marginals
   * `ρ(1 − e^{−f/ρ})` in the place of f (Séjourné et al. 2019, eq. for the dual).
   */
  private objective(): number {
    const { a, b, f, g } = this;
    const { epsilon, rho } = this.settings;
    const potential = (x: number) => (rho === Infinity ? x : -rho * Math.expm1(-x / rho));
    let [value, massA, massB, plan] = [0, 0, 0, 0];
    for (let i = 0; i < a.length; i++) {
      massA += a[i]!;
      if (a[i]! > 0) value += a[i]! * potential(f[i]!);
    }
    for (let j = 0; j < b.length; j++) {
      massB += b[j]!;
      if (b[j] === 0) continue;
      value += b[j]! * potential(g[j]!);
      plan += b[j]! * (rho === Infinity ? 1 : Math.exp(-g[j]! / rho));
    }
    return value - epsilon * (plan - massA * massB);
  }

  /** Derivative of the value by the masses of one side; up to a constant where masses must stay equal. */
  massGradient(side: 'a' | 'b'): Float64Array {
    const { epsilon, rho } = this.settings;
    const potential = side === 'a' ? this.f : this.g;
    if (rho === Infinity) return potential;
    const other = (side === 'a' ? this.b : this.a).reduce((total, x) => total + x, 0);
    return potential.map((x) => rho + epsilon * other - (rho + epsilon) * Math.exp(-x / rho));
  }

  /** Adds `scale · ∂value/∂points`. */
  addPointGradients(scale: number, dx: Float64Array, dy: Float64Array): void {
    this.forEachRow((i, row) => {
      for (let j = 0; j < row.length; j++) row[j]! *= scale;
      this.costs.addGradient(i, row, dx, dy);
    });
  }

  /** ⟨T, C⟩. */
  transportCost(): number {
    const costs = new Float64Array(this.b.length);
    let total = 0;
    this.forEachRow((i, row) => {
      this.costs.row(i, costs);
      for (let j = 0; j < row.length; j++) total += row[j]! * costs[j]!;
    });
    return total;
  }

  /** T · values, where values are `n × width` row-major; and the row sums of T. */
  apply(
    values: Float64Array,
    width: number,
  ): { readonly product: Float64Array; readonly sums: Float64Array } {
    const product = new Float64Array(this.a.length * width);
    const sums = new Float64Array(this.a.length);
    this.forEachRow((i, row) => {
      for (let j = 0; j < row.length; j++) {
        const mass = row[j]!;
        if (mass === 0) continue;
        sums[i]! += mass;
        for (let k = 0; k < width; k++) product[i * width + k]! += mass * values[j * width + k]!;
      }
    });
    return { product, sums };
  }

  private forEachRow(visit: (i: number, row: Float64Array) => void): void {
    const { costs, a, b, f, g } = this;
    forEachPlanRow(costs, a, b, f, g, this.settings.epsilon, visit);
  }
}
