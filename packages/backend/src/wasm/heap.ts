/**
 * The part of tfjs's wasm backend that our kernels stand on: tensors are byte ranges of one WebAssembly memory, which
 * JavaScript sees through typed arrays.
 *
 * Growing the memory detaches every view made before, and any allocation may grow it. So each kernel here keeps one
 * order: outputs and scratch first, views after.
 */
import {
  getBackend,
  getKernel,
  type KernelBackend,
  type KernelConfig,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';

/** What the backend knows about a tensor's data. */
export interface HeapEntry {
  /** The number under which the compiled kernels know the data. */
  readonly id: number;
  /** Address of the first byte. */
  readonly memoryOffset: number;
  shape: number[];
  dtype: TensorInfo['dtype'];
}

/** The compiled module (Emscripten's object). */
export interface WasmModule {
  readonly HEAPU8: Uint8Array;
  /** Emscripten's exports, with the memory among them. */
  readonly asm?: Record<string, unknown>;
  readonly tfjs: {
    registerTensor(id: number, size: number, address: number): void;
    disposeData(id: number): void;
  };
  _malloc(bytes: number): number;
  _free(address: number): void;
  cwrap(name: string, returns: string | null, parameters: string[]): (...args: number[]) => void;
}

/** tfjs's wasm backend. */
export interface WasmBackend extends KernelBackend {
  readonly wasm: WasmModule;
  readonly dataIdMap: { get(dataId: object): HeapEntry };
  dataIdNextNumber: number;
  readSync(dataId: object, start?: number, end?: number): Float32Array | Int32Array | Uint8Array;
  makeOutput(shape: number[], dtype: TensorInfo['dtype']): TensorInfo;
  typedArrayFromHeap(info: TensorInfo): Float32Array | Int32Array | Uint8Array;
  incRef(dataId: object): void;
  disposeData(dataId: object, force?: boolean): boolean;
}

/** What a kernel is called with. */
export interface KernelArguments<Attributes = object> {
  readonly inputs: Record<string, TensorInfo>;
  readonly attrs: Attributes;
  readonly backend: WasmBackend;
}

type Kernel<Attributes> = (args: KernelArguments<Attributes>) => TensorInfo | TensorInfo[];

/** A kernel for tfjs's registry; `setup` runs whenever the backend becomes the active one. */
export function wasmKernel<Attributes>(
  kernelName: string,
  kernel: Kernel<Attributes>,
  setup?: (backend: WasmBackend) => void,
): KernelConfig {
  return {
    kernelName,
    backendName: 'wasm',
    kernelFunc: kernel as unknown as KernelConfig['kernelFunc'],
    ...(setup && { setupFunc: setup as unknown as KernelConfig['setupFunc'] }),
  };
}

/**
 * A kernel that takes over from one of tfjs's: `kernel` is given the original, to use it for what it does best.
 * @throws Error if tfjs has no such kernel
 */
export function overriddenKernel<Attributes>(
  kernelName: string,
  kernel: (
    args: KernelArguments<Attributes>,
    original: Kernel<Attributes>,
  ) => TensorInfo | TensorInfo[],
  setup?: (backend: WasmBackend) => void,
): KernelConfig {
  const original = getKernel(kernelName, 'wasm');
  if (!original)
    throw new Error(`registerWasmTrainingKernels: tfjs has no wasm kernel ${kernelName}`);
  const originalKernel = original.kernelFunc as unknown as Kernel<Attributes>;
  return wasmKernel<Attributes>(
    kernelName,
    (args) => kernel(args, originalKernel),
    (backend) => {
      original.setupFunc?.(backend);
      setup?.(backend);
    },
  );
}

/**
 * Runs another kernel of the active backend on tensor infos; the caller disposes the result's data. The active backend
 * may be one that took over wasm's kernels and replaced some by faster ones.
 */
export function callKernel(
  kernelName: string,
  inputs: Record<string, TensorInfo> | TensorInfo[],
  attrs: object,
  backend: WasmBackend,
): TensorInfo {
  const config = getKernel(kernelName, getBackend()) ?? getKernel(kernelName, 'wasm');
  const kernel = config.kernelFunc as unknown as (args: object) => TensorInfo;
  return kernel({ inputs, attrs, backend });
}

/** Live view of a float32 tensor (of an interleaved complex64 one: real and imaginary parts in turn). */
export function floats(backend: WasmBackend, info: TensorInfo): Float32Array {
  const { memoryOffset } = backend.dataIdMap.get(info.dataId);
  const length = util.sizeFromShape(info.shape) * (info.dtype === 'complex64' ? 2 : 1);
  return new Float32Array(backend.wasm.HEAPU8.buffer, memoryOffset, length);
}

/** Address of a tensor's first byte. */
export function addressOf(backend: WasmBackend, info: TensorInfo): number {
  return backend.dataIdMap.get(info.dataId).memoryOffset;
}

/**
 * Runs `work` with a scratch area of `count` float32 numbers and frees it afterwards.
 * @param work - given the area's address; views are to be made inside, after this allocation
 */
export function withScratch<T>(
  backend: WasmBackend,
  count: number,
  work: (address: number) => T,
): T {
  // `>>> 0`: addresses above 2 GiB come back as negative integers.
  const address = backend.wasm._malloc(Math.max(4 * count, 4)) >>> 0;
  if (address === 0) throw new Error(`wasm backend: out of memory for ${4 * count} bytes`);
  try {
    return work(address);
  } finally {
    backend.wasm._free(address);
  }
}

/** The same data under another shape and dtype, for as long as `info` lives. */
export function relabel(info: TensorInfo, shape: number[], dtype = info.dtype): TensorInfo {
  return { dataId: info.dataId, shape, dtype };
}
