/** A first basis for the transportation simplex. */
import { cheapestTree } from './cheapestTree.js';
import { SpanningTree } from './spanningTree.js';

/**
 * A strongly feasible spanning tree.
 *
 * Masses are compared as if every row had an infinitesimal amount more and every column as much less, but for the last
 * column, which has what balances that: then a row and a column are never exhausted at once, and the tree comes out
 * strongly feasible with the last column as its root.
 *
 * Without potentials, rows take turns in filling up their cheapest open column. With potentials, mass first moves along the
 * spanning tree of least reduced costs, leaf by leaf: if they are optimal and the solution is unique that gives its plan.
 *
 * @param init - potentials of the columns
 */
export function startingTree(
  costs: Float64Array,
  a: Float64Array,
  b: Float64Array,
  init?: Float64Array,
): SpanningTree {
  const filling = new Filling(a, b);
  if (init) fillAlongTree(filling, cheapestTree(costs, a.length, b.length, init));
  fillByRows(filling, costs, init ?? new Float64Array(b.length));
  return filling.tree();
}

/** Masses that are still to be matched, and the arcs that matched the others. */
class Filling {
  readonly rowOpen: Uint8Array;
  readonly columnOpen: Uint8Array;
  openRows: number;
  openColumns: number;
  private readonly supply: Float64Array;
  private readonly demand: Float64Array;
  /** Multiples of the infinitesimal. */
  private readonly extraSupply: Int32Array;
  private readonly extraDemand: Int32Array;
  private readonly rows: number[] = [];
  private readonly columns: number[] = [];
  private readonly flows: number[] = [];

  constructor(
    readonly a: Float64Array,
    readonly b: Float64Array,
  ) {
    const [m, n] = [a.length, b.length];
    [this.openRows, this.openColumns] = [m, n];
    this.rowOpen = new Uint8Array(m).fill(1);
    this.columnOpen = new Uint8Array(n).fill(1);
    this.supply = a.slice();
    this.demand = b.slice();
    this.extraSupply = new Int32Array(m).fill(1);
    this.extraDemand = new Int32Array(n).fill(-1);
    this.extraDemand[n - 1] = m + n - 1;
  }

  /** Moves what it can from a row to a column, and closes the one that this exhausts; true for the column. */
  move(row: number, column: number): boolean {
    const { supply, demand, extraSupply, extraDemand } = this;
    const s = supply[row]!;
    const d = demand[column]!;
    const fills = d < s || (d === s && extraDemand[column]! < extraSupply[row]!);
    // Rounding must not close the last row before the last column.
    const closesColumn = this.openColumns > 1 && (fills || this.openRows === 1);
    this.rows.push(row);
    this.columns.push(column);
    this.flows.push(closesColumn ? d : s);
    if (closesColumn) {
      supply[row] = Math.max(s - d, 0);
      extraSupply[row]! -= extraDemand[column]!;
      this.columnOpen[column] = 0;
      this.openColumns--;
    } else {
      demand[column] = Math.max(d - s, 0);
      extraDemand[column]! -= extraSupply[row]!;
      this.rowOpen[row] = 0;
      this.openRows--;
    }
    return closesColumn;
  }

  /** The arcs as a tree. */
  tree(): SpanningTree {
    const { rows, columns, flows } = this;
    const [m, n] = [this.a.length, this.b.length];
    const root = m + n - 1;
    const tree = new SpanningTree(m, n, root);
    const { first, next } = incidence(m, n, rows, columns);
    const stack = [root];
    while (stack.length > 0) {
      const node = stack.pop()!;
      for (let k = first[node]!; k >= 0; k = next[k]!) {
        const arc = k >> 1;
        const other = node < m ? m + columns[arc]! : rows[arc]!;
        if (other === tree.parent[node]) continue;
        tree.append(other, node, flows[arc]!);
        stack.push(other);
      }
    }
    return tree;
  }
}

/** Lists of the arcs at each node: arc e is entry 2e at its row and 2e + 1 at its column. */
function incidence(m: number, n: number, rows: ArrayLike<number>, columns: ArrayLike<number>) {
  const first = new Int32Array(m + n).fill(-1);
  const next = new Int32Array(2 * rows.length);
  for (let e = 0; e < rows.length; e++) {
    next[2 * e] = first[rows[e]!]!;
    first[rows[e]!] = 2 * e;
    next[2 * e + 1] = first[m + columns[e]!]!;
    first[m + columns[e]!] = 2 * e + 1;
  }
  return { first, next };
}

/** Rows take turns; each fills up its cheapest open column or is used up by it. */
function fillByRows(filling: Filling, costs: Float64Array, v: Float64Array): void {
  const n = v.length;
  const open = Int32Array.from(filling.columnOpen.keys()).filter((j) => filling.columnOpen[j]!);
  const rows = Int32Array.from(filling.rowOpen.keys()).filter((i) => filling.rowOpen[i]!);
  while (filling.openRows > 0) {
    const count = filling.openRows;
    let kept = 0;
    for (let r = 0; r < count; r++) {
      const row = rows[r]!;
      const offset = row * n;
      let at = 0;
      let least = Infinity;
      for (let c = 0; c < filling.openColumns; c++) {
        const j = open[c]!;
        const reduced = costs[offset + j]! - v[j]!;
        if (reduced < least) {
          least = reduced;
          at = c;
        }
      }
      if (!filling.move(row, open[at]!)) continue;
      open[at] = open[filling.openColumns]!;
      rows[kept++] = row;
    }
  }
}

/** Moves mass along a spanning tree, from its leaves inwards; what a leaf cannot pass on stays open. */
function fillAlongTree(
  filling: Filling,
  { rows, columns }: { readonly rows: Int32Array; readonly columns: Int32Array },
): void {
  const [m, n] = [filling.a.length, filling.b.length];
  const { first, next } = incidence(m, n, rows, columns);
  const used = new Uint8Array(rows.length);
  const degree = new Int32Array(m + n);
  for (let e = 0; e < rows.length; e++) {
    degree[rows[e]!]!++;
    degree[m + columns[e]!]!++;
  }
  const leaves: number[] = [];
  for (let node = 0; node < m + n; node++) if (degree[node] === 1) leaves.push(node);
  const drop = (arc: number) => {
    used[arc] = 1;
    for (const node of [rows[arc]!, m + columns[arc]!]) {
      if (--degree[node]! === 1) leaves.push(node);
    }
  };
  while (leaves.length > 0 && filling.openRows > 0) {
    const leaf = leaves.pop()!;
    if (degree[leaf] !== 1) continue;
    let k = first[leaf]!;
    while (used[k >> 1]) k = next[k]!;
    const arc = k >> 1;
    const [row, column] = [rows[arc]!, columns[arc]!];
    const closed = filling.move(row, column) ? m + column : row;
    drop(arc);
    for (let l = first[closed]!; l >= 0; l = next[l]!) if (!used[l >> 1]) drop(l >> 1);
  }
}
