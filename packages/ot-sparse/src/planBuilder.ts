import type { PlanEntries } from './transportResult.js';

/** Collects a plan column by column, translating rows and columns to those of the original problem. */
export class PlanBuilder {
  private rows = new Int32Array(64);
  private columns = new Int32Array(64);
  private values = new Float64Array(64);
  private length = 0;

  constructor(
    private readonly rowIndex: Int32Array,
    private readonly columnIndex: Int32Array,
  ) {}

  /** Adds the first `count` entries of a column, rows in any order. */
  addColumn(
    column: number,
    rows: ArrayLike<number>,
    values: ArrayLike<number>,
    count: number,
  ): void {
    this.reserve(count);
    const order = Array.from({ length: count }, (_, e) => e).sort((e, f) => rows[e]! - rows[f]!);
    for (const e of order) {
      this.rows[this.length] = this.rowIndex[rows[e]!]!;
      this.columns[this.length] = this.columnIndex[column]!;
      this.values[this.length++] = values[e]!;
    }
  }

  finish(): PlanEntries {
    const { length } = this;
    return {
      rows: this.rows.slice(0, length),
      columns: this.columns.slice(0, length),
      values: this.values.slice(0, length),
    };
  }

  private reserve(count: number): void {
    if (this.length + count <= this.values.length) return;
    const capacity = Math.max(this.length + count, 2 * this.values.length);
    const grown = <A extends Int32Array | Float64Array>(old: A, next: A): A => {
      next.set(old as never);
      return next;
    };
    this.rows = grown(this.rows, new Int32Array(capacity));
    this.columns = grown(this.columns, new Int32Array(capacity));
    this.values = grown(this.values, new Float64Array(capacity));
  }
}
