import { CandidateLists } from './candidateLists.js';
import { Selection, simplexThreshold } from './columnSelection.js';
import type { CompactProblem } from './compactProblem.js';

/** Up to here the k largest are kept in sorted slots, in one pass; beyond, the threshold comes first. */
const SLOTS = 32;

/** Receives the non-zeros of a column: the first `count` of `rows` and `values`, where values are masses. */
export type ColumnVisitor = (
  column: number,
  rows: Int32Array,
  values: Float64Array,
  count: number,
) => void;

/**
 * Columns of the regularised plan at given potentials, in time proportional to what can be non-zero.
 *
 * With scores `s_i = α_i − C_ij` the plan of a column is `max(s_i − θ, 0) / γ` on the k largest scores. θ is `−β_j` in the
 * dual; in the semi-dual it is solved so that the column's mass is b_j. Both objectives are then
 * `⟨α, a⟩ − ⟨θ, b⟩ − Q` with `Q = Σ (s − θ)² / 2γ` over the non-zeros.
 *
 * Screening, derived here: after a full pass at α₀ a column keeps the candidates with `s_i(α₀) >= cut`. At another α all
 * others have `s_i <= cut + max(α − α₀)`; while that is below the k-th largest candidate, or below θ, none of them can
 * be in the plan, and the column costs its candidates instead of m. A column that fails this test is computed in full.
 */
export class ColumnEvaluator {
  private readonly scores: Float64Array;
  private readonly selection: Selection;
  private readonly slots: Int32Array;
  private readonly masses: Float64Array;
  private readonly massRows: Int32Array;
  private kth = -Infinity;
  private readonly lists: CandidateLists;

  constructor(
    private readonly problem: CompactProblem,
    private readonly gamma: number,
    /** Most non-zeros of a column. */
    private readonly k: number,
  ) {
    const { m, n } = problem;
    this.scores = new Float64Array(m);
    this.selection = new Selection(m);
    this.slots = new Int32Array(SLOTS + 1);
    this.masses = new Float64Array(m);
    this.massRows = new Int32Array(m);
    this.lists = new CandidateLists(m, n);
  }

  /**
   * @param theta - thresholds; solved for and written when `solve`, otherwise given
   * @param rowSums - written: T1
   * @param columnSums - written: Tᵀ1
   * @param visitor - sees every column's non-zeros, where wanted
   * @returns Q
   */
  evaluate(
    alpha: Float64Array,
    theta: Float64Array,
    solve: boolean,
    rowSums: Float64Array,
    columnSums: Float64Array,
    visitor?: ColumnVisitor,
  ): number {
    const { lists, selection } = this;
    const { n } = this.problem;
    const inverse = 1 / this.gamma;
    rowSums.fill(0);
    lists.begin(alpha);
    let squares = 0;
    for (let j = 0; j < n; j++) {
      if (!this.fromList(j, alpha, theta, solve)) this.fromColumn(j, alpha, theta, solve);
      const { values, rows, length } = selection;
      const threshold = theta[j]!;
      let mass = 0;
      for (let e = 0; e < length; e++) {
        const excess = values[e]! - threshold;
        if (!(excess > 0)) continue;
        squares += excess * excess;
        mass += excess;
        rowSums[rows[e]!]! += excess * inverse;
      }
      columnSums[j] = mass * inverse;
      if (visitor) this.show(j, threshold, visitor);
    }
    lists.end();
    return 0.5 * inverse * squares;
  }

  /**
   * Visits the plan's columns, each computed in full.
   * @returns the least difference of the k-th and the next largest score, among columns that have k non-zeros; there a
   *   tie would make the plan ambiguous. `Infinity` where no column has k
   */
  visit(alpha: Float64Array, theta: Float64Array, solve: boolean, visitor: ColumnVisitor): number {
    const { k, scores } = this;
    const { m, n } = this.problem;
    let margin = Infinity;
    for (let j = 0; j < n; j++) {
      this.computeColumn(j, alpha, theta, solve);
      const { count, least } = this.show(j, theta[j]!, visitor);
      if (count < k || k >= m) continue;
      let next = -Infinity;
      let equal = 0;
      for (let i = 0; i < m; i++) {
        const score = scores[i]!;
        if (score < least) next = Math.max(next, score);
        else equal++;
      }
      margin = Math.min(margin, equal > k ? 0 : least - next);
    }
    return margin;
  }

  /** Hands the selection's masses to a visitor. */
  private show(
    j: number,
    threshold: number,
    visitor: ColumnVisitor,
  ): { count: number; least: number } {
    const { selection, masses, massRows } = this;
    let count = 0;
    let least = Infinity;
    for (let e = 0; e < selection.length; e++) {
      const value = selection.values[e]!;
      if (!(value > threshold)) continue;
      least = Math.min(least, value);
      massRows[count] = selection.rows[e]!;
      masses[count++] = (value - threshold) / this.gamma;
    }
    visitor(j, massRows, masses, count);
    return { count, least };
  }

  /** The column's selection from its candidates; false where others might belong to it. */
  private fromList(j: number, alpha: Float64Array, theta: Float64Array, solve: boolean): boolean {
    const { lists, scores } = this;
    const from = lists.first(j);
    if (from < 0) return false;
    const { rows, costs } = lists;
    const count = lists.length(j);
    for (let e = 0; e < count; e++) scores[e] = alpha[rows[from + e]!]! - costs[from + e]!;
    const before = theta[j]!;
    this.select(j, count, theta, solve);
    if (!(lists.bound(j) < Math.max(this.kth, theta[j]!))) {
      theta[j] = before;
      lists.fail();
      return false;
    }
    const { selection } = this;
    for (let e = 0; e < selection.length; e++) {
      selection.rows[e] = rows[from + selection.rows[e]!]!;
    }
    return true;
  }

  private fromColumn(j: number, alpha: Float64Array, theta: Float64Array, solve: boolean): void {
    this.computeColumn(j, alpha, theta, solve);
    if (!this.lists.filling) return;
    const { m, columns } = this.problem;
    this.lists.add(j, this.scores, Math.max(this.kth, theta[j]!), columns, j * m);
  }

  private computeColumn(j: number, alpha: Float64Array, theta: Float64Array, solve: boolean): void {
    const { scores } = this;
    const { m, columns } = this.problem;
    const offset = j * m;
    for (let i = 0; i < m; i++) scores[i] = alpha[i]! - columns[offset + i]!;
    this.select(j, m, theta, solve);
  }

  /**
   * From the first `count` scores: the selection (with positions for rows), θ, and the k-th largest score where more
   * than k compete, −Infinity otherwise.
   */
  private select(j: number, count: number, theta: Float64Array, solve: boolean): void {
    const { selection, scores, k } = this;
    const z = this.gamma * this.problem.b[j]!;
    this.kth = -Infinity;
    if (solve && k < count && k <= SLOTS) {
      this.selectSlots(count);
      theta[j] = simplexThreshold(selection.values, selection.length, z, theta[j]!);
      return;
    }
    if (solve) theta[j] = simplexThreshold(scores, count, z, theta[j]!);
    const threshold = theta[j]!;
    let length = 0;
    for (let i = 0; i < count; i++) {
      const score = scores[i]!;
      if (score > threshold) {
        selection.values[length] = score;
        selection.rows[length++] = i;
      }
    }
    selection.length = length;
    if (length <= k) return;
    this.kth = selection.keepLargest(k);
    if (solve) theta[j] = simplexThreshold(selection.values, k, z, threshold);
  }

  /** The k largest scores, largest first, by insertion; of equal ones the first. */
  private selectSlots(count: number): void {
    const { scores, k, slots } = this;
    const { values, rows } = this.selection;
    let length = 0;
    let last = -Infinity;
    for (let i = 0; i < count; i++) {
      const score = scores[i]!;
      if (!(score > last)) continue;
      let at = length < k ? length++ : k - 1;
      while (at > 0 && values[at - 1]! < score) {
        values[at] = values[at - 1]!;
        slots[at] = slots[at - 1]!;
        at--;
      }
      values[at] = score;
      slots[at] = i;
      if (length === k) last = values[k - 1]!;
    }
    for (let e = 0; e < length; e++) rows[e] = slots[e]!;
    this.selection.length = length;
    this.kth = length === k ? last : -Infinity;
  }
}
