import { checkNumber, checkOptions } from '@orth/backend';
import { CsrMatrix } from './csrMatrix.js';
import { checkSquareMatrix, type Preconditioner } from './preconditioner.js';

/** Options of {@link incompleteCholesky}. */
export interface IncompleteCholeskyOptions {
  /** The diagonal is multiplied by 1 + shift first, >= 0: helps where a pivot is not positive. Default 0 */
  readonly shift?: number;
}

/** IC(0) of a matrix. */
export interface IncompleteCholesky extends Preconditioner {
  /** L, lower triangular, with the pattern of A's lower triangle: A ≈ L Lᵀ. */
  readonly factor: CsrMatrix;
}

/**
 * Incomplete Cholesky factorisation without fill-in, IC(0): L has the pattern of A's lower triangle, and `(L Lᵀ)` equals A
 * there. `solve` costs two triangular solves. For a tridiagonal A it is the exact factorisation.
 *
 * @param A - symmetric; its lower triangle is read
 * @throws TypeError for a matrix of another kind or an unknown option; RangeError if A is not square, or for a pivot that is
 *   not positive (which a positive definite A may have too: try a `shift` of 0.01 and more)
 * @example
 * pcg(A, b, { preconditioner: incompleteCholesky(A) });
 * @see Meijerink, van der Vorst 1977
 */
export function incompleteCholesky(
  A: CsrMatrix,
  options: IncompleteCholeskyOptions = {},
): IncompleteCholesky {
  const caller = 'incompleteCholesky';
  checkSquareMatrix(caller, A);
  checkOptions(caller, options, ['shift']);
  const { shift = 0 } = options;
  checkNumber(caller, 'shift', shift, { min: 0 });
  const factor = factorize(caller, A, shift);
  return { factor, solve: (r) => solveTriangles(factor, r) };
}

/** Row by row; the diagonal ends each row, since columns ascend. */
function factorize(caller: string, A: CsrMatrix, shift: number): CsrMatrix {
  const n = A.rows;
  const rowPointers = new Int32Array(n + 1);
  const columnIndices: number[] = [];
  const values: number[] = [];
  // Where in the row at hand each column stands, or −1.
  const place = new Int32Array(n).fill(-1);
  for (let i = 0; i < n; i++) {
    const from = values.length;
    for (let e = A.rowPointers[i]!; e < A.rowPointers[i + 1]!; e++) {
      const j = A.columnIndices[e]!;
      if (j > i) break;
      place[j] = values.length;
      columnIndices.push(j);
      values.push(j === i ? A.values[e]! * (1 + shift) : A.values[e]!);
    }
    const last = values.length - 1;
    if (last < from || columnIndices[last] !== i) {
      throw new RangeError(`${caller}: A must have a positive diagonal, got none in row ${i}`);
    }
    for (let e = from; e < last; e++) {
      const j = columnIndices[e]!;
      const end = rowPointers[j + 1]! - 1;
      let sum = values[e]!;
      for (let f = rowPointers[j]!; f < end; f++) {
        const at = place[columnIndices[f]!]!;
        // Later entries of this row are still those of A, but have columns beyond j.
        if (at >= 0) sum -= values[f]! * values[at]!;
      }
      values[e] = sum / values[end]!;
    }
    let pivot = values[last]!;
    for (let e = from; e < last; e++) pivot -= values[e]! ** 2;
    if (!(pivot > 0)) {
      throw new RangeError(
        `${caller}: pivots must be positive, got ${pivot} in row ${i}; a larger shift may help`,
      );
    }
    values[last] = Math.sqrt(pivot);
    for (let e = from; e <= last; e++) place[columnIndices[e]!] = -1;
    rowPointers[i + 1] = values.length;
  }
  return new CsrMatrix({ rows: n, rowPointers, columnIndices, values });
}

/** L y = r, then Lᵀ z = y. */
function solveTriangles(L: CsrMatrix, r: Float64Array): Float64Array {
  const { rows, rowPointers, columnIndices, values } = L;
  const z = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    const last = rowPointers[i + 1]! - 1;
    let sum = r[i]!;
    for (let e = rowPointers[i]!; e < last; e++) sum -= values[e]! * z[columnIndices[e]!]!;
    z[i] = sum / values[last]!;
  }
  for (let i = rows - 1; i >= 0; i--) {
    const last = rowPointers[i + 1]! - 1;
    const value = z[i]! / values[last]!;
    z[i] = value;
    for (let e = rowPointers[i]!; e < last; e++) z[columnIndices[e]!]! -= values[e]! * value;
  }
  return z;
}
