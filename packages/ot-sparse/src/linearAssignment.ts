/** The linear assignment problem on the host, in float64 (Jonker and Volgenant 1987). */

/** An assignment of least cost, with the potentials that prove it. */
export interface AssignmentSolution {
  /** Column of each row; every row has one. */
  readonly columnOfRow: Int32Array;
  /** `u_i + v_j ≤ C_ij`, with equality on the pairs chosen; `v_j ≤ 0`, and 0 where column j is free, if m < n. */
  readonly u: Float64Array;
  readonly v: Float64Array;
  /** Reductions and augmenting paths, or pivots. */
  readonly iterations: number;
}

/** Share of free rows, after a reduction, from which on paths are expected to take too long. */
const HOPEFUL = 0.2;

/**
 * Assigns every row to a column of its own, for m ≤ n: a reduction of columns and rows, then a shortest augmenting path
 * for each row that is left. O(n³) at worst, near O(n²) on random costs.
 *
 * @param costs - row-major m × n; +∞ forbids a pair
 * @param budget - entries of the costs that the paths may look at
 * @returns undefined if the budget did not suffice, as with distances between points, or 'infeasible'
 */
export function shortestPathAssignment(
  costs: Float64Array,
  m: number,
  n: number,
  budget: number,
): AssignmentSolution | 'infeasible' | undefined {
  const columnOfRow = new Int32Array(m).fill(-1);
  const rowOfColumn = new Int32Array(n).fill(-1);
  const v = new Float64Array(n);
  const state = { costs, m, n, columnOfRow, rowOfColumn, v };
  // Lowering the potential of a column is sound only where all columns end up assigned.
  if (m === n) reduceColumns(state);
  const left = reduceRows(freeRows(columnOfRow), state);
  // Distances between points leave half of the rows free, and long paths to look for; random costs a few per cent.
  if (left.length > HOPEFUL * m && budget < Infinity) return undefined;
  reduceRows(left, state);
  const free = freeRows(columnOfRow);
  const outcome = augment(free, state, budget);
  if (outcome !== 'assigned') return outcome === 'infeasible' ? outcome : undefined;
  const u = new Float64Array(m);
  for (let i = 0; i < m; i++) {
    const j = columnOfRow[i]!;
    u[i] = costs[i * n + j]! - v[j]!;
  }
  return { columnOfRow, u, v, iterations: m + free.length };
}

interface State {
  readonly costs: Float64Array;
  readonly m: number;
  readonly n: number;
  readonly columnOfRow: Int32Array;
  readonly rowOfColumn: Int32Array;
  readonly v: Float64Array;
}

const freeRows = (columnOfRow: Int32Array): Int32Array =>
  Int32Array.from([...columnOfRow.keys()].filter((i) => columnOfRow[i]! < 0));

/** v becomes the least cost of each column, and a row takes the first column whose least cost it has. */
function reduceColumns({ costs, m, n, columnOfRow, rowOfColumn, v }: State): void {
  const rowOfLeast = new Int32Array(n);
  v.fill(Infinity);
  for (let i = 0; i < m; i++) {
    const offset = i * n;
    for (let j = 0; j < n; j++) {
      const c = costs[offset + j]!;
      if (c < v[j]!) {
        v[j] = c;
        rowOfLeast[j] = i;
      }
    }
  }
  for (let j = 0; j < n; j++) {
    if (v[j] === Infinity) v[j] = 0;
    else if (columnOfRow[rowOfLeast[j]!]! < 0) {
      columnOfRow[rowOfLeast[j]!] = j;
      rowOfColumn[j] = rowOfLeast[j]!;
    }
  }
  // A row's column falls in price until the row is about to prefer its second best.
  for (let i = 0; i < m; i++) {
    const taken = columnOfRow[i]!;
    if (taken < 0) continue;
    const offset = i * n;
    let second = Infinity;
    for (let j = 0; j < n; j++) {
      const reduced = costs[offset + j]! - v[j]!;
      if (reduced < second && j !== taken) second = reduced;
    }
    if (second < Infinity) v[taken]! -= second - (costs[offset + taken]! - v[taken]!);
  }
}

/** Every free row takes its best column, at a price that makes it indifferent to the second; who had it is free. */
function reduceRows(
  free: Int32Array,
  { costs, n, columnOfRow, rowOfColumn, v }: State,
): Int32Array {
  const left: number[] = [];
  let next = 0;
  // Rows that only trade columns of equal price could do so for ever.
  let trades = 4 * free.length + n;
  while (next < free.length && trades-- > 0) {
    const row = free[next++]!;
    const offset = row * n;
    let least = Infinity;
    let second = Infinity;
    let column = -1;
    let other = -1;
    for (let j = 0; j < n; j++) {
      const reduced = costs[offset + j]! - v[j]!;
      if (reduced >= second) continue;
      if (reduced < least) {
        second = least;
        other = column;
        least = reduced;
        column = j;
      } else {
        second = reduced;
        other = j;
      }
    }
    if (second === Infinity) {
      left.push(row);
      continue;
    }
    const falls = second > least;
    if (falls) v[column]! -= second - least;
    else if (rowOfColumn[column]! >= 0) column = other;
    const evicted = rowOfColumn[column]!;
    rowOfColumn[column] = row;
    columnOfRow[row] = column;
    if (evicted < 0) continue;
    columnOfRow[evicted] = -1;
    if (falls) free[--next] = evicted;
    else left.push(evicted);
  }
  for (; next < free.length; next++) left.push(free[next]!);
  return Int32Array.from(left);
}

/** Shortest augmenting paths from the free rows, until all are assigned, one cannot be, or the budget is spent. */
function augment(
  free: Int32Array,
  { costs, n, columnOfRow, rowOfColumn, v }: State,
  budget: number,
): 'assigned' | 'infeasible' | 'spent' {
  let work = 0;
  const distance = new Float64Array(n);
  const pathRow = new Int32Array(n);
  // Columns in the order: settled, at the least distance and to be scanned, not reached yet.
  const order = Int32Array.from({ length: n }, (_, j) => j);
  for (const start of free) {
    if (work > budget) return 'spent';
    const offset = start * n;
    for (let j = 0; j < n; j++) {
      distance[j] = costs[offset + j]! - v[j]!;
      pathRow[j] = start;
    }
    let settled = 0;
    let scanned = 0;
    let reached = 0;
    let least = 0;
    let end = -1;
    while (end < 0) {
      if (scanned === reached) {
        settled = scanned;
        least = Infinity;
        for (let k = reached; k < n; k++) {
          const j = order[k]!;
          const d = distance[j]!;
          if (d > least) continue;
          if (d < least) {
            least = d;
            reached = settled;
          }
          order[k] = order[reached]!;
          order[reached++] = j;
        }
        if (least === Infinity) return 'infeasible';
        for (let k = settled; k < reached; k++) {
          if (rowOfColumn[order[k]!]! < 0) {
            end = order[k]!;
            break;
          }
        }
        if (end >= 0) break;
      }
      work += n - reached;
      const j0 = order[scanned++]!;
      const row = rowOfColumn[j0]!;
      const base = row * n;
      const shift = least - (costs[base + j0]! - v[j0]!);
      for (let k = reached; k < n; k++) {
        const j = order[k]!;
        const d = costs[base + j]! - v[j]! + shift;
        if (d < distance[j]!) {
          distance[j] = d;
          pathRow[j] = row;
          if (d <= least) {
            if (rowOfColumn[j]! < 0) {
              end = j;
              break;
            }
            order[k] = order[reached]!;
            order[reached++] = j;
          }
        }
      }
    }
    for (let k = 0; k < settled; k++) {
      const j = order[k]!;
      v[j]! += distance[j]! - least;
    }
    for (let j = end; j >= 0; ) {
      const row = pathRow[j]!;
      const before = columnOfRow[row]!;
      rowOfColumn[j] = row;
      columnOfRow[row] = j;
      j = row === start ? -1 : before;
    }
  }
  return 'assigned';
}
