import { MAX_TAPS } from './cgKernels.js';
import type { CsrMatrix } from './csrMatrix.js';

/** Rows that have the same values at the same distances from the diagonal, as inside a grid. */
export interface RowKind {
  /** Column less row of each entry. */
  readonly offsets: readonly number[];
  readonly values: readonly number[];
  /** Runs of such rows: the first, and the one after the last. */
  readonly runs: (readonly [from: number, to: number])[];
}

/** Each kind costs a call a product. */
const MOST_KINDS = 256;
/** Shortest mean length of a run that pays. */
const WORTHWHILE = 16;

/**
 * The kinds of rows of a matrix, so that products need not read the matrix; undefined where runs would be short, kinds many,
 * or a row has more than nine entries or none.
 */
export function rowKinds(A: CsrMatrix): RowKind[] | undefined {
  const { rows, rowPointers, columnIndices, values } = A;
  const most = rows / WORTHWHILE;
  const likeTheLast = (i: number): boolean => {
    const [before, from, to] = [rowPointers[i - 1]!, rowPointers[i]!, rowPointers[i + 1]!];
    if (to - from !== from - before) return false;
    for (let e = from, f = before; e < to; e++, f++) {
      if (values[e] !== values[f] || columnIndices[e] !== columnIndices[f]! + 1) return false;
    }
    return true;
  };
  const kinds = new Map<string, RowKind>();
  let count = 0;
  let from = 0;
  for (let i = 1; i <= rows; i++) {
    if (i < rows && likeTheLast(i)) continue;
    const [start, end] = [rowPointers[from]!, rowPointers[from + 1]!];
    if (end === start || end - start > MAX_TAPS || ++count > most) return undefined;
    const offsets = Array.from(columnIndices.subarray(start, end), (column) => column - from);
    const own = Array.from(values.subarray(start, end));
    const key = `${offsets};${own}`;
    const kind = kinds.get(key) ?? { offsets, values: own, runs: [] };
    kind.runs.push([from, i]);
    kinds.set(key, kind);
    from = i;
  }
  return kinds.size <= MOST_KINDS ? [...kinds.values()] : undefined;
}
