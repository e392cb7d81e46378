import type { CostRows } from './cloudCost.js';

/** Costs that are there, `m × n` row-major. */
export class DenseRows implements CostRows {
  constructor(
    private readonly costs: Float64Array,
    readonly m: number,
    readonly n: number,
    readonly bound: number,
    private readonly points: CostRows,
  ) {}

  /** The matrix of a cost that is given by rows. */
  static of(points: CostRows): DenseRows {
    const { m, n } = points;
    const costs = new Float64Array(m * n);
    let most = 0;
    for (let i = 0; i < m; i++) {
      const row = costs.subarray(i * n, (i + 1) * n);
      points.row(i, row);
      for (const c of row) most = Math.max(most, Math.abs(c));
    }
    return new DenseRows(costs, m, n, most, points);
  }

  /** The matrix itself. */
  get data(): Float64Array {
    return this.costs;
  }

  row(i: number, into: Float64Array): void {
    into.set(this.costs.subarray(i * this.n, (i + 1) * this.n));
  }

  transposed(): CostRows {
    return this.points.transposed();
  }

  addGradient(i: number, weights: Float64Array, dx: Float64Array, dy: Float64Array): void {
    this.points.addGradient(i, weights, dx, dy);
  }
}
