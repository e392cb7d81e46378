import { MAX_TAPS } from './cgKernels.js';
import type { CsrMatrix } from './csrMatrix.js';

/** Entries that may be stored for each one there is: zeros fill the diagonals up. */
const MOST_FILL = 1.3;

/** A matrix by diagonals. */
export interface Diagonals {
  /** Column less row of each diagonal, ascending. */
  readonly offsets: readonly number[];
  /** Writes the diagonals one after another, `stride` numbers from one to the next, by row; 0 where there is no entry. */
  write(into: Float64Array, stride: number): void;
}

/** The diagonals of a matrix that has few, well filled: of any grid whose coefficients vary; undefined for others. */
export function diagonals(A: CsrMatrix): Diagonals | undefined {
  const places = new Map<number, number>();
  for (let i = 0; i < A.rows; i++) {
    for (let e = A.rowPointers[i]!; e < A.rowPointers[i + 1]!; e++) {
      const offset = A.columnIndices[e]! - i;
      if (places.has(offset)) continue;
      if (places.size === MAX_TAPS) return undefined;
      places.set(offset, 0);
    }
  }
  if (places.size === 0 || places.size * A.rows > MOST_FILL * A.entries) return undefined;
  const offsets = [...places.keys()].sort((a, b) => a - b);
  for (const [k, offset] of offsets.entries()) places.set(offset, k);
  return {
    offsets,
    write(into, stride) {
      A.forEach((i, j, value) => {
        into[places.get(j - i)! * stride + i] = value;
      });
    },
  };
}
