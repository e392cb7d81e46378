/**
 * Matrix products on the heap through XNNPACK, which tfjs compiles in but reaches only for one untransposed product.
 *
 * XNNPACK packs the right factor and tfjs keeps that packing under the right factor's id until the id is disposed.
 * Hence every right factor gets an id of its own here, and gives it back: no packing outlives the call, and none is
 * ever taken for another matrix.
 */
import type { WasmBackend } from './heap.js';

interface Compiled {
  readonly multiply: (...args: number[]) => void;
  /** Address of six int32: the shapes of both factors. */
  readonly shapes: number;
  readonly leftId: number;
  readonly outId: number;
}

const compiled = new WeakMap<WasmBackend, Compiled>();

function compiledFor(backend: WasmBackend): Compiled {
  let entry = compiled.get(backend);
  if (!entry) {
    entry = {
      multiply: backend.wasm.cwrap('BatchMatMul', null, new Array(9).fill('number')),
      shapes: backend.wasm._malloc(24) >>> 0,
      leftId: backend.dataIdNextNumber++,
      outId: backend.dataIdNextNumber++,
    };
    compiled.set(backend, entry);
  }
  return entry;
}

/** A right factor, packed once for any number of products. */
export interface RightFactor {
  /** out[m, n] = left[m, k] · right[k, n], all row-major float32 at these addresses. */
  multiply(left: number, rows: number, out: number): void;
  /** Frees the packing; the matrix itself is the caller's. */
  release(): void;
}

/** Prepares the row-major float32 matrix `[k, n]` at `address` as a right factor; k, n >= 1. */
export function rightFactor(
  backend: WasmBackend,
  address: number,
  k: number,
  n: number,
): RightFactor {
  const { multiply, shapes, leftId, outId } = compiledFor(backend);
  const { registerTensor, disposeData } = backend.wasm.tfjs;
  const rightId = backend.dataIdNextNumber++;
  registerTensor(rightId, k * n, address);
  return {
    multiply(left, rows, out) {
      // The view is made anew for each product: packing may have grown the memory.
      new Int32Array(backend.wasm.HEAPU8.buffer, shapes, 6).set([1, rows, k, 1, k, n]);
      registerTensor(leftId, rows * k, left);
      registerTensor(outId, rows * n, out);
      multiply(leftId, shapes, 3, rightId, shapes + 12, 3, 0, 0, outId);
      disposeData(leftId);
      disposeData(outId);
    },
    release: () => disposeData(rightId),
  };
}

/** Side of the square blocks in which matrices are transposed: 16 floats are one cache line. */
const BLOCK = 16;

/**
 * Transposes `count` matrices `[rows, columns]` that lie one after the other.
 * @param heap - view of the whole memory, or any array of 4-byte words
 * @param from - index in `heap` of the first matrix
 * @param to - index of the first result; must not overlap
 */
export function transposeMatrices(
  heap: Int32Array,
  from: number,
  to: number,
  count: number,
  rows: number,
  columns: number,
): void {
  const size = rows * columns;
  for (let matrix = 0; matrix < count; matrix++) {
    const source = from + matrix * size;
    const target = to + matrix * size;
    for (let i0 = 0; i0 < rows; i0 += BLOCK) {
      const i1 = Math.min(i0 + BLOCK, rows);
      for (let j0 = 0; j0 < columns; j0 += BLOCK) {
        const j1 = Math.min(j0 + BLOCK, columns);
        for (let j = j0; j < j1; j++) {
          let s = source + i0 * columns + j;
          const end = target + j * rows + i1;
          for (let t = target + j * rows + i0; t < end; t++) {
            heap[t] = heap[s]!;
            s += columns;
          }
        }
      }
    }
  }
}

/** View of the whole memory as 4-byte words; index = address / 4. Detached by the next allocation. */
export function heapWords(backend: WasmBackend): Int32Array {
  return new Int32Array(backend.wasm.HEAPU8.buffer);
}
