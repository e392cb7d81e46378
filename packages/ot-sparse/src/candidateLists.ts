/** Evaluations before lists are tried: two, to have seen a step. */
const WARM_UP = 2;
/** Lists that hold more of the matrix than this save nothing. */
const WORTHWHILE = 0.35;
/** Lists are made anew when failed columns have cost this part of a full pass. */
const PATIENCE = 0.5;

/**
 * Candidate rows of every column, made in a full pass at a reference α₀, and the decision when to make them anew. See
 * `ColumnEvaluator`.
 */
export class CandidateLists {
  /** Candidates of all columns one after the other, with their costs. */
  rows: Int32Array;
  costs: Float64Array;
  /** Whether this evaluation makes lists. */
  filling = false;

  private readonly starts: Int32Array;
  private readonly cuts: Float64Array;
  private readonly reference: Float64Array;
  private readonly previous: Float64Array;
  /** max(α − α₀) of this evaluation. */
  private drift = 0;
  /** Whether lists are there. */
  private ready = false;
  private evaluations = 0;
  private age = 0;
  private wait = WARM_UP;
  private failures = 0;
  /** Distance of the cut to the threshold, in steps like the last. */
  private reach = 4;
  private slack = 0;
  private size = 0;

  constructor(
    private readonly m: number,
    private readonly n: number,
  ) {
    this.starts = new Int32Array(n + 1);
    this.cuts = new Float64Array(n);
    this.reference = new Float64Array(m);
    this.previous = new Float64Array(m);
    this.rows = new Int32Array(8 * n);
    this.costs = new Float64Array(8 * n);
  }

  /** Start of an evaluation: measures how far α moved, and decides. */
  begin(alpha: Float64Array): void {
    const { m, reference, previous } = this;
    let [low, high, drift] = [Infinity, -Infinity, -Infinity];
    for (let i = 0; i < m; i++) {
      const value = alpha[i]!;
      const step = value - previous[i]!;
      if (step < low) low = step;
      if (step > high) high = step;
      if (value - reference[i]! > drift) drift = value - reference[i]!;
      previous[i] = value;
    }
    this.drift = drift;
    this.filling = false;
    if (this.ready && this.failures > PATIENCE * this.n) {
      // Lists that lasted long were wide enough; those that did not were not.
      if (this.age < 4) this.reach = Math.min(64, this.reach * 2);
      else if (this.age > 16) this.reach = Math.max(1, this.reach / 1.5);
      this.ready = false;
      this.wait = 0;
    }
    if (!this.ready && this.wait <= 0 && this.evaluations > 0) {
      this.filling = true;
      this.slack = this.reach * (high - low);
      this.size = 0;
      reference.set(alpha);
    }
    this.wait--;
    this.evaluations++;
    this.age++;
  }

  /** End of an evaluation: lists just made are kept where they are short. */
  end(): void {
    if (!this.filling) return;
    this.filling = false;
    this.starts[this.n] = this.size;
    this.ready = this.size <= WORTHWHILE * this.m * this.n;
    this.failures = 0;
    this.age = 0;
    if (!this.ready) this.wait = 6;
  }

  /** Adds column j, columns in ascending order: the candidates are the scores from threshold − slack up. */
  add(
    j: number,
    scores: Float64Array,
    threshold: number,
    columns: Float64Array,
    offset: number,
  ): void {
    const { m } = this;
    const cut = threshold - this.slack;
    this.starts[j] = this.size;
    this.cuts[j] = cut;
    if (this.size > WORTHWHILE * m * this.n) return;
    if (this.size + m > this.rows.length) this.grow(this.size + m);
    const { rows, costs } = this;
    let size = this.size;
    for (let i = 0; i < m; i++) {
      if (scores[i]! < cut) continue;
      rows[size] = i;
      costs[size++] = columns[offset + i]!;
    }
    this.size = size;
  }

  /** Position of column j's first candidate, −1 where there are no lists. */
  first(j: number): number {
    return this.ready ? this.starts[j]! : -1;
  }

  length(j: number): number {
    return this.starts[j + 1]! - this.starts[j]!;
  }

  /** No row outside column j's list has a greater score than this. */
  bound(j: number): number {
    return this.length(j) === this.m ? -Infinity : this.cuts[j]! + this.drift;
  }

  /** A column's list did not suffice. */
  fail(): void {
    this.failures++;
  }

  private grow(size: number): void {
    const capacity = Math.max(size, 2 * this.rows.length);
    const rows = new Int32Array(capacity);
    const costs = new Float64Array(capacity);
    rows.set(this.rows);
    costs.set(this.costs);
    this.rows = rows;
    this.costs = costs;
  }
}
