/** A transportation simplex on the host, in float64. */
import type { SpanningTree } from './spanningTree.js';
import { startingTree } from './startingTree.js';

/** An optimal basis, as {@link networkSimplex} leaves it. */
export interface SimplexSolution {
  /** The m + n − 1 arcs of the basis: rows, columns and what flows. */
  readonly rows: Int32Array;
  readonly columns: Int32Array;
  readonly flow: Float64Array;
  readonly u: Float64Array;
  readonly v: Float64Array;
  readonly pivots: number;
  /** False when `maxPivots` ended it. */
  readonly optimal: boolean;
}

/**
 * Transport of least cost between masses that are all positive and balance.
 *
 * @param costs - finite, row-major
 * @param tolerance - reduced costs above −tolerance count as 0
 * @param init - potentials of the columns that choose the first basis; a good guess saves pivots
 */
export function networkSimplex(
  costs: Float64Array,
  a: Float64Array,
  b: Float64Array,
  tolerance: number,
  maxPivots: number,
  init?: Float64Array,
): SimplexSolution {
  const [m, n] = [a.length, b.length];
  const tree = startingTree(costs, a, b, init);
  tree.price(costs);
  const search = new BlockSearch(costs, tree, tolerance);
  let pivots = 0;
  let optimal = true;
  while (search.next()) {
    if (pivots === maxPivots) {
      optimal = false;
      break;
    }
    pivots++;
    tree.pivot(search.row, search.column, search.reduced);
  }
  tree.balance(a, b);
  tree.price(costs);
  const arcs = m + n - 1;
  const rows = new Int32Array(arcs);
  const columns = new Int32Array(arcs);
  const flow = new Float64Array(arcs);
  let count = 0;
  for (const node of tree.order()) {
    const above = tree.parent[node]!;
    if (above < 0) continue;
    rows[count] = node < m ? node : above;
    columns[count] = (node < m ? above : node) - m;
    flow[count++] = tree.flow[node]!;
  }
  const u = tree.potential.slice(0, m);
  const v = tree.potential.slice(m).map((x) => 0 - x);
  return { rows, columns, flow, u, v, pivots, optimal };
}

/** Fewest arcs that are looked at for a pivot. */
const LEAST_BLOCK = 64;

/** Looks for an arc of negative reduced cost, block by block, and takes the lowest of its block. */
class BlockSearch {
  row = 0;
  column = 0;
  reduced = 0;
  private position = 0;
  private readonly block: number;

  constructor(
    private readonly costs: Float64Array,
    private readonly tree: SpanningTree,
    private readonly tolerance: number,
  ) {
    const size = costs.length;
    this.block = Math.min(size, Math.max(Math.ceil(Math.sqrt(size)), LEAST_BLOCK));
  }

  /** Whether there is such an arc; it is then in `row`, `column` and `reduced`. */
  next(): boolean {
    const { costs, tree, block } = this;
    const { potential, rows, columns } = tree;
    const size = costs.length;
    let start = this.position;
    let best = -this.tolerance;
    let at = -1;
    for (let seen = 0; seen < size; ) {
      let left = Math.min(block, size - seen);
      seen += left;
      while (left > 0) {
        const row = (start / columns) | 0;
        const offset = row * columns;
        const end = Math.min(start + left, offset + columns);
        const u = potential[row]!;
        const shift = rows - offset;
        let limit = best + u;
        for (let k = start; k < end; k++) {
          const reduced = costs[k]! + potential[shift + k]!;
          if (reduced < limit) {
            limit = reduced;
            at = k;
          }
        }
        best = limit - u;
        left -= end - start;
        start = end === size ? 0 : end;
      }
      if (at >= 0) {
        this.position = start;
        this.row = (at / columns) | 0;
        this.column = at - this.row * columns;
        this.reduced = costs[at]! - potential[this.row]! + potential[rows + this.column]!;
        return true;
      }
    }
    return false;
  }
}
