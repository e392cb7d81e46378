import { CsrMatrix } from './csrMatrix.js';

/** An approximate inverse M of A, symmetric positive definite, as {@link pcg} takes it. */
export interface Preconditioner {
  /** M r, a new array `[n]`; `r` is not changed. */
  solve(r: Float64Array): Float64Array;
  /** What to add to the start, given the residual there; {@link deflation} needs it. */
  correction?(r: Float64Array): Float64Array;
}

/** @throws TypeError if `A` is no CsrMatrix; RangeError if it is not square */
export function checkSquareMatrix(caller: string, A: unknown): asserts A is CsrMatrix {
  if (!(A instanceof CsrMatrix)) {
    throw new TypeError(`${caller}: A must be a CsrMatrix, got ${typeof A}`);
  }
  if (A.rows !== A.columns) {
    throw new RangeError(
      `${caller}: A must be square, got ${A.rows} rows and ${A.columns} columns`,
    );
  }
}

/**
 * Jacobi's preconditioner: division by the diagonal. Entries where it is 0 are left as they are.
 *
 * @throws TypeError if `A` is no CsrMatrix; RangeError if it is not square or a diagonal entry is negative
 * @example
 * pcg(A, b, { preconditioner: jacobi(A) });
 */
export function jacobi(A: CsrMatrix): Preconditioner {
  checkSquareMatrix('jacobi', A);
  const inverse = A.diagonal().map((value, i) => {
    if (value < 0) {
      throw new RangeError(`jacobi: the diagonal must be >= 0, got ${value} in row ${i}`);
    }
    return value === 0 ? 1 : 1 / value;
  });
  return { solve: (r) => r.map((value, i) => value * inverse[i]!) };
}
