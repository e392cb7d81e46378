/**
 * One-to-one matching of rows and columns with the largest total, by shortest augmenting paths with potentials.
 *
 * @param gain - rows of one length
 * @returns the column of each row, or −1 for rows left over where there are fewer columns
 * @see Jonker and Volgenant 1987
 */
export function bestMatching(gain: readonly ArrayLike<number>[]): number[] {
  const rows = gain.length;
  const columns = gain[0]!.length;
  const size = Math.max(rows, columns);
  const cost = (i: number, j: number) => (i < rows && j < columns ? -gain[i]![j]! : 0);
  const rowPotential = new Float64Array(size);
  const columnPotential = new Float64Array(size);
  const rowOf = new Int32Array(size).fill(-1);
  for (let start = 0; start < size; start++) {
    const distance = new Float64Array(size).fill(Number.POSITIVE_INFINITY);
    const previous = new Int32Array(size).fill(-1);
    const seen = new Uint8Array(size);
    let row = start;
    let from = -1;
    let walked = 0;
    let end = -1;
    while (end < 0) {
      let next = -1;
      for (let j = 0; j < size; j++) {
        if (seen[j]) continue;
        const reach = walked + cost(row, j) - rowPotential[row]! - columnPotential[j]!;
        if (reach < distance[j]!) {
          distance[j] = reach;
          previous[j] = from;
        }
        if (next < 0 || distance[j]! < distance[next]!) next = j;
      }
      walked = distance[next]!;
      seen[next] = 1;
      from = next;
      if (rowOf[next]! < 0) end = next;
      else row = rowOf[next]!;
    }
    rowPotential[start]! += walked;
    for (let j = 0; j < size; j++) {
      if (!seen[j] || j === end) continue;
      columnPotential[j]! -= walked - distance[j]!;
      rowPotential[rowOf[j]!]! += walked - distance[j]!;
    }
    for (let j = end; j >= 0; ) {
      const before = previous[j]!;
      rowOf[j] = before < 0 ? start : rowOf[before]!;
      j = before;
    }
  }
  const match = new Array<number>(rows).fill(-1);
  rowOf.forEach((i, j) => {
    if (i < rows && j < columns) match[i] = j;
  });
  return match;
}
