/**
 * The memory of the backend: the heap of tfjs's wasm backend, whose kernels do all that is not native. Native libraries
 * work on it in place.
 *
 * The heap may grow at any allocation, and then lie elsewhere. So a kernel allocates all it needs first, and takes
 * addresses after; none is kept between two kernels.
 */
import { globalRegistry } from '@orth/backend';
import type { DataType, KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import type { Foreign } from './native/foreign.js';

/** Emscripten's module object. */
interface WasmModule {
  readonly HEAPU8: Uint8Array;
  _malloc(bytes: number): number;
  _free(address: number): void;
}

/** tfjs's wasm backend, as far as kernels use it. */
export interface HeapBackend extends KernelBackend {
  readonly wasm: WasmModule;
  readonly dataIdMap: { get(dataId: object): { readonly memoryOffset: number } };
  makeOutput(shape: number[], dtype: DataType): TensorInfo;
  disposeData(dataId: object, force?: boolean): boolean;
  incRef(dataId: object): void;
}

const base = globalRegistry('node-heap-base', () => ({
  buffer: undefined as ArrayBufferLike | undefined,
  address: 0,
}));

/** Where the heap's first byte lies now; asks again only when the heap has grown. */
export function heapAddress(foreign: Foreign, backend: HeapBackend): number {
  const { buffer } = backend.wasm.HEAPU8;
  if (buffer !== base.buffer) {
    base.address = foreign.addressOf(buffer);
    base.buffer = buffer;
  }
  return base.address;
}

/** Offset of a tensor's first byte in the heap. */
export function offsetOf(backend: HeapBackend, { dataId }: TensorInfo): number {
  return backend.dataIdMap.get(dataId).memoryOffset;
}

/** Live view of a float32 tensor, valid until the next allocation. */
export function floats(backend: HeapBackend, info: TensorInfo): Float32Array {
  const size = info.shape.reduce((product, n) => product * n, 1);
  return new Float32Array(backend.wasm.HEAPU8.buffer, offsetOf(backend, info), size);
}

const guarded = new WeakSet<object>();

/**
 * tfjs takes an allocation's address as it comes, and 0, which is a failure, as the address of a tensor: the next
 * kernel would write over the program's own data. Here it becomes an error, before anything is written.
 */
export function guardAllocations(backend: HeapBackend): void {
  const module = backend.wasm;
  if (guarded.has(module)) return;
  guarded.add(module);
  // Emscripten replaces this function by the compiled one at its first call, and would replace ours.
  module._free(module._malloc(4));
  const allocate = module._malloc;
  module._malloc = (bytes) => {
    const address = allocate(bytes);
    if (address !== 0 || bytes === 0) return address;
    const [want, have] = [bytes, module.HEAPU8.length].map(
      (n) => `${(n / 2 ** 20).toFixed(1)} MiB`,
    );
    throw new Error(
      `out of memory: ${want} cannot be allocated on the WebAssembly heap, which holds ${have} and ends at 4 GiB; dispose tensors or use smaller batches`,
    );
  };
}
