/** Evaluations before lists are tried: two, to have seen a step. */
const WARM_UP = 2;
/** Lists that hold more of the matrix than this save nothing. */
const WORTHWHILE = 0.35;
/** Lists are made anew when failed columns have cost this part of a full pass … */
const PATIENCE = 0.5;
/** … or when reading long ones has cost so many full passes. */
const BOREDOM = 4;
/** Slack of the first lists, in steps like the last. */
const FIRST_REACH = 4;

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
  /** Distance of the cut to the threshold. */
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
    const read = this.size * this.age;
    const full = m * this.n;
    if (this.ready && (this.failures > PATIENCE * this.n || read > BOREDOM * full)) {
      // Wider lists last longer: the best have cost as much by being read as by being made.
      const made = full + this.failures * m;
      if (made > 2 * read) this.slack *= 2;
      else if (read > 2 * made) this.slack /= 2;
      this.ready = false;
      this.wait = 0;
    }
    if (!this.ready && this.wait <= 0 && this.evaluations > 0) {
      this.filling = true;
      if (this.slack === 0) this.slack = FIRST_REACH * (high - low);
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
    if (this.ready) return;
    this.wait = 3;
    this.slack /= 4;
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
