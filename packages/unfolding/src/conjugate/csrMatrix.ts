import { checkInteger } from '@orth/backend';
import { checkVector, type HostVector } from './vectors.js';

/** An entry of a sparse matrix: row, column, value. */
export type Triplet = readonly [row: number, column: number, value: number];

/** What a {@link CsrMatrix} is made of. */
export interface CsrParts {
  readonly rows: number;
  /** Default `rows` */
  readonly columns?: number;
  /** Where each row begins among the entries, and where the last ends: `[rows + 1]`, from 0, never falling. */
  readonly rowPointers: ArrayLike<number>;
  /** Column of each entry. */
  readonly columnIndices: ArrayLike<number>;
  /** Value of each entry. */
  readonly values: HostVector;
  /** Points along each axis, where unknowns are points of a grid (row-major). */
  readonly grid?: readonly number[];
}

/**
 * A sparse matrix by compressed rows, float64 on the host. Columns of a row are kept in ascending order; entries of the
 * same place are added.
 *
 * @example
 * const A = new CsrMatrix({ rows: 2, rowPointers: [0, 2, 4], columnIndices: [0, 1, 0, 1], values: [2, -1, -1, 2] });
 */
export class CsrMatrix {
  readonly rows: number;
  readonly columns: number;
  /** `[rows + 1]` */
  readonly rowPointers: Int32Array;
  /** `[entries]` */
  readonly columnIndices: Int32Array;
  /** `[entries]`; not to be changed. */
  readonly values: Float64Array;
  /** Points along each axis, where unknowns are points of a grid. */
  readonly grid: readonly number[] | undefined;
  private asymmetryFound: number | undefined;

  /** @throws TypeError or RangeError that names the part at fault */
  constructor(parts: CsrParts) {
    const caller = 'CsrMatrix';
    const { rows, columns = rows, grid } = parts;
    checkInteger(caller, 'rows', rows, { min: 1 });
    checkInteger(caller, 'columns', columns, { min: 1 });
    const values = checkVector(caller, 'values', parts.values);
    const entries = values.length;
    const pointers = checkVector(caller, 'rowPointers', parts.rowPointers, rows + 1);
    const indices = checkVector(caller, 'columnIndices', parts.columnIndices, entries);
    for (let i = 0; i <= rows; i++) {
      const min = i === 0 ? 0 : pointers[i - 1]!;
      const exact = i === 0 ? 0 : i === rows ? entries : undefined;
      checkInteger(caller, `rowPointers[${i}]`, pointers[i], { min: exact ?? min, max: entries });
      if (exact !== undefined && pointers[i] !== exact) {
        throw new RangeError(`${caller}: rowPointers[${i}] must be ${exact}, got ${pointers[i]}`);
      }
    }
    for (let e = 0; e < entries; e++) {
      const column = indices[e]!;
      if (!Number.isInteger(column) || column < 0 || column >= columns) {
        throw new RangeError(
          `${caller}: columnIndices must be integers in [0, ${columns}), got ${column} at index ${e}`,
        );
      }
    }
    if (grid && grid.reduce((size, n) => size * n, 1) !== rows) {
      throw new RangeError(`${caller}: grid must have ${rows} points, got [${grid}]`);
    }
    this.rows = rows;
    this.columns = columns;
    this.grid = grid && [...grid];
    const sorted = ordered(Int32Array.from(pointers), Int32Array.from(indices), values);
    this.rowPointers = sorted.rowPointers;
    this.columnIndices = sorted.columnIndices;
    this.values = sorted.values;
  }

  /**
   * From entries in any order; those of the same place are added.
   * @throws TypeError or RangeError for an entry outside the matrix or a value that is not finite
   */
  static fromTriplets(rows: number, columns: number, triplets: readonly Triplet[]): CsrMatrix {
    const caller = 'CsrMatrix.fromTriplets';
    checkInteger(caller, 'rows', rows, { min: 1 });
    checkInteger(caller, 'columns', columns, { min: 1 });
    const pointers = new Int32Array(rows + 1);
    for (const [row] of triplets) {
      checkInteger(caller, 'row', row, { min: 0, max: rows - 1 });
      pointers[row + 1]!++;
    }
    for (let i = 0; i < rows; i++) pointers[i + 1]! += pointers[i]!;
    const next = pointers.slice();
    const columnIndices = new Int32Array(triplets.length);
    const values = new Float64Array(triplets.length);
    for (const [row, column, value] of triplets) {
      checkInteger(caller, 'column', column, { min: 0, max: columns - 1 });
      const at = next[row]!++;
      columnIndices[at] = column;
      values[at] = value;
    }
    return new CsrMatrix({ rows, columns, rowPointers: pointers, columnIndices, values });
  }

  /**
   * The entries of a dense matrix, row-major, that are not 0.
   * @throws TypeError or RangeError for another length or a value that is not finite
   */
  static fromDense(dense: HostVector, rows: number, columns = rows): CsrMatrix {
    const caller = 'CsrMatrix.fromDense';
    checkInteger(caller, 'rows', rows, { min: 1 });
    checkInteger(caller, 'columns', columns, { min: 1 });
    const flat = checkVector(caller, 'dense', dense, rows * columns);
    const triplets: Triplet[] = [];
    for (const [i, value] of flat.entries()) {
      if (value !== 0) triplets.push([Math.floor(i / columns), i % columns, value]);
    }
    return CsrMatrix.fromTriplets(rows, columns, triplets);
  }

  /** Entries that are stored. */
  get entries(): number {
    return this.values.length;
  }

  /** Number of unknowns of a square matrix: its rows. */
  get size(): number {
    return this.rows;
  }

  /**
   * A x.
   * @param x - `[columns]`
   * @param into - `[rows]`, overwritten. Default a new array
   */
  multiply(x: Float64Array, into: Float64Array = new Float64Array(this.rows)): Float64Array {
    const { rows, rowPointers, columnIndices, values } = this;
    for (let i = 0; i < rows; i++) {
      const end = rowPointers[i + 1]!;
      let sum = 0;
      for (let e = rowPointers[i]!; e < end; e++) sum += values[e]! * x[columnIndices[e]!]!;
      into[i] = sum;
    }
    return into;
  }

  /** The diagonal, `[min(rows, columns)]`; 0 where nothing is stored. */
  diagonal(): Float64Array {
    const diagonal = new Float64Array(Math.min(this.rows, this.columns));
    this.forEach((i, j, value) => {
      if (i === j) diagonal[i] = value;
    });
    return diagonal;
  }

  /** Calls back for each entry, row by row. */
  forEach(callback: (row: number, column: number, value: number) => void): void {
    for (let i = 0; i < this.rows; i++) {
      for (let e = this.rowPointers[i]!; e < this.rowPointers[i + 1]!; e++) {
        callback(i, this.columnIndices[e]!, this.values[e]!);
      }
    }
  }

  /** Aᵀ */
  transpose(): CsrMatrix {
    const { rows, columns, entries } = this;
    const rowPointers = new Int32Array(columns + 1);
    for (const j of this.columnIndices) rowPointers[j + 1]!++;
    for (let j = 0; j < columns; j++) rowPointers[j + 1]! += rowPointers[j]!;
    const next = rowPointers.slice();
    const columnIndices = new Int32Array(entries);
    const values = new Float64Array(entries);
    this.forEach((i, j, value) => {
      const at = next[j]!++;
      columnIndices[at] = i;
      values[at] = value;
    });
    return new CsrMatrix({ rows: columns, columns: rows, rowPointers, columnIndices, values });
  }

  /** The same as a dense matrix, `[rows · columns]`, row-major. */
  toDense(): Float64Array {
    const dense = new Float64Array(this.rows * this.columns);
    this.forEach((i, j, value) => {
      dense[i * this.columns + j] = value;
    });
    return dense;
  }

  /** Greatest |A − Aᵀ| relative to the greatest |A|; Infinity if not square. Computed once. */
  asymmetry(): number {
    this.asymmetryFound ??= this.rows === this.columns ? asymmetry(this) : Infinity;
    return this.asymmetryFound;
  }
}

function asymmetry(A: CsrMatrix): number {
  const T = A.transpose();
  const row = new Float64Array(A.columns);
  let [worst, largest] = [0, 0];
  for (let i = 0; i < A.rows; i++) {
    const [from, to] = [A.rowPointers[i]!, A.rowPointers[i + 1]!];
    for (let e = from; e < to; e++) {
      row[A.columnIndices[e]!] = A.values[e]!;
      largest = Math.max(largest, Math.abs(A.values[e]!));
    }
    for (let e = T.rowPointers[i]!; e < T.rowPointers[i + 1]!; e++) {
      row[T.columnIndices[e]!]! -= T.values[e]!;
      worst = Math.max(worst, Math.abs(row[T.columnIndices[e]!]!));
      row[T.columnIndices[e]!] = 0;
    }
    // What is left has no counterpart in the transpose.
    for (let e = from; e < to; e++) {
      worst = Math.max(worst, Math.abs(row[A.columnIndices[e]!]!));
      row[A.columnIndices[e]!] = 0;
    }
  }
  return largest > 0 ? worst / largest : 0;
}

/** Ascending columns, each once. */
function ordered(rowPointers: Int32Array, columnIndices: Int32Array, values: Float64Array) {
  const given = { rowPointers, columnIndices, values };
  const rows = rowPointers.length - 1;
  const ascends = (i: number) => {
    for (let e = rowPointers[i]! + 1; e < rowPointers[i + 1]!; e++) {
      if (columnIndices[e]! <= columnIndices[e - 1]!) return false;
    }
    return true;
  };
  let sorted = true;
  for (let i = 0; i < rows && sorted; i++) sorted = ascends(i);
  if (sorted) return given;
  const pointers = new Int32Array(rows + 1);
  const indices = new Int32Array(values.length);
  const sums = new Float64Array(values.length);
  let at = 0;
  for (let i = 0; i < rows; i++) {
    const places = Array.from(
      { length: rowPointers[i + 1]! - rowPointers[i]! },
      (_, k) => rowPointers[i]! + k,
    ).sort((e, f) => columnIndices[e]! - columnIndices[f]!);
    for (const e of places) {
      const column = columnIndices[e]!;
      if (at > pointers[i]! && indices[at - 1] === column) sums[at - 1]! += values[e]!;
      else {
        indices[at] = column;
        sums[at++] = values[e]!;
      }
    }
    pointers[i + 1] = at;
  }
  return {
    rowPointers: pointers,
    columnIndices: indices.slice(0, at),
    values: sums.slice(0, at),
  };
}
