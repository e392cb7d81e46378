import { bandsKernel, type CgKernels, cgKernels, tapsKernel } from './cgKernels.js';
import type { CsrMatrix } from './csrMatrix.js';
import { diagonals } from './diagonals.js';
import type { CheckedOperator } from './operator.js';
import { rowKinds } from './rowKinds.js';
import { addScaled, dot, norm } from './vectors.js';

/** The vectors of conjugate gradients and the passes over them. */
export interface CgWorkspace {
  readonly x: Float64Array;
  readonly r: Float64Array;
  readonly p: Float64Array;
  readonly Ap: Float64Array;
  /** r = b − A x; gives its norm. */
  trueResidual(): number;
  /** p = z + β p */
  turn(z: Float64Array, beta: number): void;
  /** Ap = A p; gives pᵀAp. */
  multiplyDirection(): number;
  /** x += α p, r −= α Ap; gives ‖r‖. */
  advance(alpha: number): number;
}

/** Addresses are 32-bit; a memory of more than this is not asked for. */
const MAX_BYTES = 2 ** 31 - 2 ** 16;

/** Vectors for a system: in WebAssembly for a matrix, where that can be had, in plain loops otherwise. */
export function cgWorkspace(operator: CheckedOperator, b: Float64Array): CgWorkspace {
  return (operator.matrix && wasmWorkspace(operator.matrix, b)) ?? plainWorkspace(operator, b);
}

/** In plain loops. */
export function plainWorkspace({ n, multiply }: CheckedOperator, b: Float64Array): CgWorkspace {
  const make = () => new Float64Array(n);
  const [x, r, p, Ap] = [make(), make(), make(), make()];
  return {
    x,
    r,
    p,
    Ap,
    trueResidual() {
      multiply(x, r);
      for (let i = 0; i < n; i++) r[i] = b[i]! - r[i]!;
      return norm(r);
    },
    turn(z, beta) {
      for (let i = 0; i < n; i++) p[i] = z[i]! + beta * p[i]!;
    },
    multiplyDirection() {
      multiply(p, Ap);
      return dot(p, Ap);
    },
    advance(alpha) {
      addScaled(x, alpha, p);
      addScaled(r, -alpha, Ap);
      return norm(r);
    },
  };
}

/** A product y = A x in a memory, by the addresses of x and y; undefined where it has no kernel. */
type Multiply = (x: number, y: number) => void;

/** A way to keep a matrix: bytes that it takes, and the product once it is written at an address. */
interface Layout {
  readonly bytes: number;
  place(memory: WebAssembly.Memory, start: number, kernels: CgKernels): Multiply | undefined;
}

/** In WebAssembly; undefined where there is none, or the system is too large for its memory. */
export function wasmWorkspace(A: CsrMatrix, b: Float64Array): CgWorkspace | undefined {
  const n = A.rows;
  const padded = Math.ceil(n / 4) * 4;
  const layout = kindsOfRows(A) ?? bandsOf(A, padded) ?? compressedRows(A);
  // Ahead of x as much room as it takes, into which diagonals reach: their entries there are 0.
  const at = (k: number) => 8 * padded * (k + 1);
  const bytes = at(5) + layout.bytes + 64;
  if (typeof WebAssembly === 'undefined' || bytes > MAX_BYTES) return undefined;
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / 2 ** 16) });
  const kernels = cgKernels(memory);
  const multiply = kernels && layout.place(memory, at(5), kernels);
  if (!multiply) return undefined;

  const vector = (k: number) => new Float64Array(memory.buffer, at(k), n);
  const [x, r, p, Ap, z] = [vector(0), vector(1), vector(2), vector(3), vector(4)];
  return {
    x,
    r,
    p,
    Ap,
    trueResidual() {
      multiply(at(0), at(1));
      for (let i = 0; i < n; i++) r[i] = b[i]! - r[i]!;
      return norm(r);
    },
    turn(direction, beta) {
      if (direction !== r) z.set(direction);
      kernels.turn(at(2), at(3), direction === r ? at(1) : at(4), beta);
    },
    multiplyDirection() {
      multiply(at(2), at(3));
      return kernels.dot(at(2), at(3), at(3));
    },
    advance: (alpha) => Math.sqrt(kernels.advance(at(0), at(1), at(2), at(1), at(3), alpha)),
  };
}

/** Rows of few kinds: nothing but where their runs begin and end, in bytes. */
function kindsOfRows(A: CsrMatrix): Layout | undefined {
  const kinds = rowKinds(A);
  return (
    kinds && {
      bytes: kinds.reduce((sum, { runs }) => sum + 8 * runs.length, 0),
      place(memory, start) {
        let table = start;
        const passes: ((x: number, y: number) => void)[] = [];
        for (const { offsets, values, runs } of kinds) {
          const kernel = tapsKernel(memory, values.length);
          if (!kernel) return undefined;
          const entries = runs.flat().map((row) => 8 * row);
          new Int32Array(memory.buffer, table, entries.length).set(entries);
          const from = table;
          const to = from + 4 * entries.length;
          table = to;
          passes.push((x, y) =>
            kernel(from, to, y, ...offsets.map((offset) => x - y + 8 * offset), ...values),
          );
        }
        return (x, y) => {
          for (const pass of passes) pass(x, y);
        };
      },
    }
  );
}

/** Diagonal after diagonal. */
function bandsOf(A: CsrMatrix, padded: number): Layout | undefined {
  const bands = diagonals(A);
  return (
    bands && {
      bytes: 8 * padded * bands.offsets.length,
      place(memory, start) {
        const { offsets } = bands;
        const kernel = bandsKernel(memory, offsets.length);
        if (!kernel) return undefined;
        bands.write(new Float64Array(memory.buffer, start, padded * offsets.length), padded);
        return (x, y) =>
          kernel(
            y,
            y + 8 * padded,
            ...offsets.map((_, k) => start + 8 * padded * k - y),
            ...offsets.map((offset) => x - y + 8 * offset),
          );
      },
    }
  );
}

/** The matrix as it is, its pointers and indices as addresses and distances in bytes. */
function compressedRows(A: CsrMatrix): Layout {
  return {
    bytes: 12 * A.entries + 4 * (A.rows + 1),
    place(memory, start, kernels) {
      const indicesAt = start + 8 * A.entries;
      const pointersAt = indicesAt + 4 * A.entries;
      new Float64Array(memory.buffer, start, A.entries).set(A.values);
      new Int32Array(memory.buffer, indicesAt, A.entries).set(A.columnIndices.map((j) => 8 * j));
      new Int32Array(memory.buffer, pointersAt, A.rows + 1).set(
        A.rowPointers.map((e) => indicesAt + 4 * e),
      );
      const [first, end] = [pointersAt + 4, pointersAt + 4 * (A.rows + 1)];
      return (x, y) => kernels.csr(first, end, indicesAt, start, x, y);
    },
  };
}
