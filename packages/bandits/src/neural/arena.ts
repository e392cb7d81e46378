/** One heap of float32 for all that a network computes with, so that WebAssembly can reach it. */
import { type Kernels, plainKernels } from './kernels.js';
import { simdKernels } from './simdKernels.js';

/** A piece of the heap. */
export interface Block {
  /** Offset in the heap. */
  readonly at: number;
  readonly view: Float32Array;
}

/** Heap and kernels; its size is fixed at the start, as growth would move it. */
export class Arena {
  readonly kernels: Kernels;
  readonly heap: Float32Array;
  private used = 0;

  /** @param simd - false takes the plain kernels even where WebAssembly could run. Default true */
  constructor(floats: number, simd = true) {
    const wasm = simd ? simdKernels(4 * floats) : undefined;
    this.heap = wasm ? new Float32Array(wasm.buffer) : new Float32Array(floats);
    this.kernels = wasm?.kernels ?? plainKernels(this.heap);
  }

  /** Floats that {@link take} uses for `count`: pieces begin at multiples of 16 bytes. */
  static room(count: number): number {
    return 4 * Math.ceil(count / 4);
  }

  /** `count` zeros. */
  take(count: number): Block {
    const at = this.used;
    this.used += Arena.room(count);
    return { at, view: this.heap.subarray(at, at + count) };
  }
}
