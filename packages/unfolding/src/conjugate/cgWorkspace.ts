import { type CgKernels, cgKernels } from './cgKernels.js';
import type { CsrMatrix } from './csrMatrix.js';
import type { CheckedOperator } from './operator.js';
import { type RowKind, rowKinds } from './rowKinds.js';
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

/** In WebAssembly; undefined where there is none, or the system is too large for its memory. */
export function wasmWorkspace(A: CsrMatrix, b: Float64Array): CgWorkspace | undefined {
  const n = A.rows;
  const kinds = rowKinds(A);
  const padded = Math.ceil(n / 4) * 4;
  const matrixBytes = kinds
    ? kinds.reduce((sum, { runs }) => sum + 8 * runs.length, 0)
    : 12 * A.entries + 4 * (n + 1);
  const bytes = 5 * 8 * padded + matrixBytes + 64;
  if (typeof WebAssembly === 'undefined' || bytes > MAX_BYTES) return undefined;
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / 2 ** 16) });
  const kernels = cgKernels(memory);
  if (!kernels) return undefined;

  const at = (k: number) => 8 * padded * k;
  const vector = (k: number) => new Float64Array(memory.buffer, at(k), n);
  const [x, r, p, Ap, z] = [0, 1, 2, 3, 4].map(vector) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const multiply = kinds
    ? kindsOfRows(kinds, memory, at(5), kernels)
    : compressedRows(A, memory, at(5), kernels);
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

/** Puts the runs into the memory, in bytes, and multiplies kind by kind. */
function kindsOfRows(
  kinds: readonly RowKind[],
  memory: WebAssembly.Memory,
  start: number,
  kernels: CgKernels,
): (from: number, to: number) => void {
  let table = start;
  const tables = kinds.map(({ runs }) => {
    const entries = runs.flat().map((row) => 8 * row);
    new Int32Array(memory.buffer, table, entries.length).set(entries);
    const from = table;
    table += 4 * entries.length;
    return { from, to: table };
  });
  return (from, to) => {
    for (const [i, { offsets, values }] of kinds.entries()) {
      const distances = offsets.map((offset) => from - to + 8 * offset);
      const { from: first, to: end } = tables[i]!;
      kernels.taps[values.length - 1]!(first, end, to, ...distances, ...values);
    }
  };
}

/** Puts the matrix into the memory, its pointers and indices as addresses and distances in bytes. */
function compressedRows(
  A: CsrMatrix,
  memory: WebAssembly.Memory,
  start: number,
  kernels: CgKernels,
): (from: number, to: number) => void {
  const indicesAt = start + 8 * A.entries;
  const pointersAt = indicesAt + 4 * A.entries;
  new Float64Array(memory.buffer, start, A.entries).set(A.values);
  new Int32Array(memory.buffer, indicesAt, A.entries).set(A.columnIndices.map((j) => 8 * j));
  new Int32Array(memory.buffer, pointersAt, A.rows + 1).set(
    A.rowPointers.map((e) => indicesAt + 4 * e),
  );
  const [first, end] = [pointersAt + 4, pointersAt + 4 * (A.rows + 1)];
  return (from, to) => kernels.csr(first, end, indicesAt, start, from, to);
}
