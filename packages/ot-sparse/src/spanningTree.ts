/**
 * The basis of a transportation simplex: a spanning tree of the bipartite graph of `rows` sources and `columns` sinks,
 * with a flow on each of its arcs and a potential at each node. Node `i < rows` is row i, node `rows + j` column j.
 *
 * The tree is kept strongly feasible (Cunningham 1976): from every node a positive amount can be sent to the root along
 * the tree, so that an arc without flow leads from a child that is a row. With the matching rule for the arc that
 * leaves, no degenerate pivot can repeat.
 *
 * Nodes are threaded in preorder, so that a subtree is the run from its top to its last node.
 */
export class SpanningTree {
  readonly parent: Int32Array;
  /** Flow on the arc between a node and its parent. */
  readonly flow: Float64Array;
  /** u of the rows, then −v of the columns: `C_ij = u_i + v_j` on the arcs of the tree. */
  readonly potential: Float64Array;
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  private readonly last: Int32Array;
  private readonly size: Int32Array;

  constructor(
    readonly rows: number,
    readonly columns: number,
    readonly root: number,
  ) {
    const nodes = rows + columns;
    this.parent = new Int32Array(nodes).fill(-1);
    this.flow = new Float64Array(nodes);
    this.potential = new Float64Array(nodes);
    this.next = new Int32Array(nodes).fill(-1);
    this.previous = new Int32Array(nodes).fill(-1);
    this.last = Int32Array.from({ length: nodes }, (_, k) => k);
    this.size = new Int32Array(nodes).fill(1);
  }

  /** Hangs a node that has nothing below it, and no parent yet, under a node of the tree. */
  append(leaf: number, parent: number, flow: number): void {
    this.parent[leaf] = parent;
    this.flow[leaf] = flow;
    this.insert(leaf, parent);
    for (let k = parent; k >= 0; k = this.parent[k]!) this.size[k]! += 1;
  }

  /** Threads the run that begins at `top` behind `above`. */
  private insert(top: number, above: number): void {
    const { parent, next, previous, last } = this;
    const end = last[top]!;
    const behind = next[above]!;
    next[above] = top;
    previous[top] = above;
    next[end] = behind;
    if (behind >= 0) previous[behind] = end;
    for (let k = above; k >= 0 && last[k] === above; k = parent[k]!) last[k] = end;
  }

  /** Takes the run of a node out of the thread. */
  private remove(top: number): void {
    const { parent, next, previous, last } = this;
    const end = last[top]!;
    const before = previous[top]!;
    const behind = next[end]!;
    next[before] = behind;
    if (behind >= 0) previous[behind] = before;
    for (let k = parent[top]!; k >= 0 && last[k] === end; k = parent[k]!) last[k] = before;
  }

  /** Takes the arc from row `i` to column `j`, of reduced cost `reduced`, into the tree, and the arc it frees out. */
  pivot(i: number, j: number, reduced: number): void {
    const { parent, size, flow, rows } = this;
    const column = rows + j;
    let amount = Infinity;
    let leaving = -1;
    let rowSide = true;
    let x = i;
    let y = column;
    // Towards the apex of the cycle. Flow falls on arcs of rows on the row's side and of columns on the column's; of
    // equal ones the last of the cycle leaves, which is seen from the apex in the direction of the entering arc.
    while (x !== y) {
      if (size[x]! < size[y]!) {
        if (x < rows && flow[x]! < amount) {
          amount = flow[x]!;
          leaving = x;
          rowSide = true;
        }
        x = parent[x]!;
      } else {
        if (y >= rows && flow[y]! <= amount) {
          amount = flow[y]!;
          leaving = y;
          rowSide = false;
        }
        y = parent[y]!;
      }
    }
    if (amount > 0) {
      for (let k = i; k !== x; k = parent[k]!) flow[k]! += k < rows ? -amount : amount;
      for (let k = column; k !== x; k = parent[k]!) flow[k]! += k < rows ? amount : -amount;
    }
    const top = rowSide ? i : column;
    const above = rowSide ? column : i;
    const moved = size[leaving]!;
    for (let k = parent[leaving]!; k !== x; k = parent[k]!) size[k]! -= moved;
    for (let k = above; k !== x; k = parent[k]!) size[k]! += moved;
    this.remove(leaving);
    // Potentials matter up to a constant: the smaller part of the tree moves.
    const change = rowSide ? reduced : -reduced;
    const small = 2 * moved <= parent.length;
    if (!small) this.shift(this.root, -change);
    this.reroot(top, above, leaving, amount);
    if (small) this.shift(top, change);
    this.insert(top, above);
  }

  /** Turns a subtree that is out of the thread about, from `leaving` as its top to `top`, and puts it under `above`. */
  private reroot(top: number, above: number, leaving: number, amount: number): void {
    const { parent, flow, size, next, previous, last } = this;
    const whole = size[leaving]!;
    let node = top;
    let under = above;
    let carried = amount;
    let below = 0;
    // The new run is that of `top`, then of each node above it what its old run had before and behind the one below.
    let end = last[top]!;
    let before = previous[top]!;
    let final = end;
    let behind = next[end]!;
    for (;;) {
      const upper = parent[node]!;
      const oldFlow = flow[node]!;
      const oldSize = size[node]!;
      parent[node] = under;
      flow[node] = carried;
      size[node] = whole - below;
      if (node === leaving) break;
      const upperBefore = previous[upper]!;
      next[end] = upper;
      previous[upper] = end;
      end = before;
      before = upperBefore;
      if (last[upper] !== final) {
        next[end] = behind;
        previous[behind] = end;
        end = last[upper]!;
        final = end;
        behind = next[end]!;
      }
      below = oldSize;
      carried = oldFlow;
      under = node;
      node = upper;
    }
    for (let k = leaving; k !== above; k = parent[k]!) last[k] = end;
  }

  /** Adds a number to the potentials of a subtree. */
  private shift(top: number, change: number): void {
    const { next, potential } = this;
    const end = this.last[top]!;
    for (let k = top; ; k = next[k]!) {
      potential[k]! += change;
      if (k === end) return;
    }
  }

  /** All nodes, a parent before its children. */
  order(): Int32Array {
    const order = new Int32Array(this.parent.length);
    for (let k = 0, node = this.root; k < order.length; k++, node = this.next[node]!)
      order[k] = node;
    return order;
  }

  /** Computes the potentials from the costs, with 0 at the root. */
  price(costs: Float64Array): void {
    const { parent, potential, rows, columns } = this;
    for (const node of this.order()) {
      const above = parent[node]!;
      if (above < 0) potential[node] = 0;
      else if (node < rows) {
        potential[node] = costs[node * columns + above - rows]! + potential[above]!;
      } else potential[node] = potential[above]! - costs[above * columns + node - rows]!;
    }
  }

  /** Computes the flows from the masses, free of what pivots rounded; the root takes up what they do not balance. */
  balance(a: ArrayLike<number>, b: ArrayLike<number>): void {
    const { parent, flow, rows } = this;
    const order = this.order();
    const rest = Float64Array.from(order, (_, k) => (k < rows ? a[k]! : b[k - rows]!));
    for (let k = order.length - 1; k > 0; k--) {
      const node = order[k]!;
      const amount = Math.max(rest[node]!, 0);
      flow[node] = amount;
      rest[parent[node]!]! -= amount;
    }
  }
}
