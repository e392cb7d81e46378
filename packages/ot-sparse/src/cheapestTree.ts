/**
 * The spanning tree of least reduced costs `C_ij − u_i − v_j`, where u is the greatest that is feasible beside v, by Prim's
 * algorithm on the dense bipartite graph: O(mn).
 *
 * @param v - potentials of the columns
 * @returns the m + n − 1 arcs
 */
export function cheapestTree(
  costs: Float64Array,
  m: number,
  n: number,
  v: Float64Array,
): { readonly rows: Int32Array; readonly columns: Int32Array } {
  const u = new Float64Array(m).fill(Infinity);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) u[i] = Math.min(u[i]!, costs[i * n + j]! - v[j]!);
  }
  const arcs = m + n - 1;
  const rows = new Int32Array(arcs);
  const columns = new Int32Array(arcs);
  // Of each node outside: the least reduced cost to the tree, and where that arc ends.
  const distance = new Float64Array(m + n).fill(Infinity);
  const nearest = new Int32Array(m + n);
  const outside = Int32Array.from({ length: m + n }, (_, node) => node);
  let node = m + n - 1;
  for (let count = 0; count < arcs; count++) {
    const left = arcs - count;
    // `node` has just joined; it is at the end of `outside`, which shrinks.
    let least = Infinity;
    let at = 0;
    for (let k = 0; k < left; k++) {
      const other = outside[k]!;
      if (node < m !== other < m) {
        const [i, j] = node < m ? [node, other - m] : [other, node - m];
        const reduced = costs[i * n + j]! - u[i]! - v[j]!;
        if (reduced < distance[other]!) {
          distance[other] = reduced;
          nearest[other] = node;
        }
      }
      if (distance[other]! < least) {
        least = distance[other]!;
        at = k;
      }
    }
    node = outside[at]!;
    outside[at] = outside[left - 1]!;
    outside[left - 1] = node;
    const to = nearest[node]!;
    rows[count] = node < m ? node : to;
    columns[count] = (node < m ? to : node) - m;
  }
  return { rows, columns };
}
