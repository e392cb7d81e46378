import { CsrMatrix } from './csrMatrix.js';

/** A B of sparse matrices, row by row. */
export function sparseProduct(A: CsrMatrix, B: CsrMatrix): CsrMatrix {
  const sums = new Float64Array(B.columns);
  const seen = new Int32Array(B.columns).fill(-1);
  const rowPointers = new Int32Array(A.rows + 1);
  const columnIndices: number[] = [];
  const values: number[] = [];
  for (let i = 0; i < A.rows; i++) {
    const from = columnIndices.length;
    for (let e = A.rowPointers[i]!; e < A.rowPointers[i + 1]!; e++) {
      const k = A.columnIndices[e]!;
      for (let f = B.rowPointers[k]!; f < B.rowPointers[k + 1]!; f++) {
        const j = B.columnIndices[f]!;
        if (seen[j] !== i) {
          seen[j] = i;
          sums[j] = 0;
          columnIndices.push(j);
        }
        sums[j]! += A.values[e]! * B.values[f]!;
      }
    }
    for (let e = from; e < columnIndices.length; e++) values.push(sums[columnIndices[e]!]!);
    rowPointers[i + 1] = columnIndices.length;
  }
  return new CsrMatrix({ rows: A.rows, columns: B.columns, rowPointers, columnIndices, values });
}
