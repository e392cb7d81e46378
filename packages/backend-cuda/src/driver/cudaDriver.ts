/**
 * The one interface between this package and NVIDIA's libraries. `openNativeDriver` implements it over libcuda, NVRTC and
 * cuBLAS; everything above it is plain arithmetic on addresses.
 *
 * All work goes to the default stream, in the order of the calls: memory may be reused as soon as the last call that
 * uses it has been made.
 */

/** The GPU. */
export interface CudaDevice {
  /** Its number, as `CUDA_VISIBLE_DEVICES` leaves it. */
  readonly index: number;
  /** Its name, e.g. `NVIDIA H100 80GB HBM3`. */
  readonly name: string;
  /** Compute capability, e.g. `[9, 0]`. */
  readonly capability: readonly [major: number, minor: number];
  /** Bytes of its memory. */
  readonly bytes: number;
  readonly multiprocessors: number;
}

/** Versions of the libraries in use. */
export interface CudaVersions {
  /** CUDA version that the driver supports, e.g. `12.4`. */
  readonly driver: string;
  readonly nvrtc: string;
  readonly cublas: string;
}

/** A type in a kernel's signature: pointer, (unsigned) 32-bit integer, float32. */
export type ParameterType = 'p' | 'i' | 'f';

/** CUDA C++ of one kernel. */
export interface KernelSource {
  /** Name of the `extern "C"` function; names it in errors, and identifies it. */
  readonly name: string;
  /** One {@link ParameterType} a parameter. */
  readonly signature: string;
  readonly code: string;
}

/** A kernel on the device. */
export interface CudaKernel {
  readonly name: string;
  readonly signature: string;
  /** The driver's function. */
  readonly handle: number;
}

/** How many threads run a kernel. */
export interface Grid {
  readonly blocks: number;
  /** Threads of a block. */
  readonly threads: number;
}

/** Number formats of a product; sums are float32 in each. */
export type ProductPrecision = 'float32' | 'tf32' | 'bfloat16';

/**
 * Row-major `C = alpha · op(A) op(B) + beta · C` for each of `count` products. `A` and `B` are float32, or bfloat16 with
 * that precision, and then `C` is bfloat16 too. Strides count elements between two products; 0 repeats a factor.
 */
export interface CudaProduct {
  /** Names the product in errors. */
  readonly name: string;
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly alpha: number;
  readonly beta: number;
  readonly count: number;
  readonly strideA: number;
  readonly strideB: number;
  readonly strideC: number;
  readonly precision: ProductPrecision;
}

/** See the head of this file. Every method throws CudaError, or DeviceLostError once the context is unusable. */
export interface CudaDriver {
  readonly device: CudaDevice;
  readonly versions: CudaVersions;
  /** The architecture that kernels are compiled for, e.g. `sm_90`, or `compute_90` where the driver must finish the job. */
  readonly architecture: string;
  /** Whether the context is unusable, after an error that ended it. */
  readonly lost: boolean;

  /** Takes device memory. @throws CudaError with code OUT_OF_MEMORY */
  allocate(bytes: number): number;
  /** Gives it back. Waits for the device. */
  release(address: number): void;
  /** Bytes of device memory that are free, and in all, among all processes. */
  memory(): { readonly free: number; readonly total: number };

  /** Copies to the device; the source may change afterwards. */
  upload(address: number, source: ArrayBufferView): void;
  /** Waits for all work, and copies from the device. */
  download(address: number, bytes: number): ArrayBuffer;
  /** Copies within the device. */
  copy(to: number, from: number, bytes: number): void;
  /** Sets every byte, or every 32-bit word, to a value. */
  fill(address: number, value: number, count: number, unit: 'byte' | 'word'): void;

  /** Compiles to what {@link load} takes. @throws CudaError with the compiler's words */
  compile(source: KernelSource): Uint8Array;
  /** @throws CudaError if the image is damaged or for another device */
  load(source: KernelSource, image: Uint8Array): CudaKernel;
  /** Starts a kernel. */
  launch(kernel: CudaKernel, grid: Grid, values: readonly number[]): void;
  /** Starts products. */
  multiply(product: CudaProduct): void;

  /** A mark behind all work so far. */
  mark(): number;
  /** Whether the device has come past a mark; the mark is gone then. */
  passed(mark: number): boolean;
  /** Waits for all work. */
  synchronize(): void;
  /** Gives the device back; memory and kernels are lost. */
  close(): void;
}
