/**
 * Device memory, kept when tensors go and given to the next ones of like size: asking the driver takes a hundred times
 * longer and waits for the device. All work runs in one order, so a block may be used again at once.
 */
import type { CudaDriver } from './driver/cudaDriver.js';
import { CudaError, OUT_OF_MEMORY } from './driver/cudaError.js';

/** Device memory that this package holds; see `cudaMemory`. */
export interface CudaMemory {
  /** Bytes of living tensors, rounded up to whole blocks. */
  readonly used: number;
  /** Bytes taken from the device: those and what is kept for later. */
  readonly reserved: number;
  /** The most that was ever reserved. */
  readonly peak: number;
  /** The limit on `reserved` that was asked for, if any. */
  readonly limit: number | undefined;
  /** Bytes free on the device, for all processes. */
  readonly free: number;
  /** Bytes of the device. */
  readonly total: number;
}

/** A piece of device memory. */
export interface Block {
  readonly address: number;
  /** Its size, at least what was asked for. */
  readonly bytes: number;
}

/** Alignment that vector loads and cuBLAS's fast kernels want. */
const SMALLEST = 512;
const LARGE = 2 ** 20;

/** Sizes in steps of 1/8 of a power of two, so that at most an eighth is wasted and few sizes are in use. */
export function blockSize(bytes: number): number {
  if (bytes <= SMALLEST) return SMALLEST;
  const unit = Math.max(SMALLEST, 2 ** (Math.ceil(Math.log2(bytes)) - 4));
  return Math.ceil(bytes / unit) * unit;
}

const MiB = (bytes: number) => `${(bytes / LARGE).toFixed(1)} MiB`;

/** See the head of this file. */
export class MemoryPool {
  private readonly unused = new Map<number, number[]>();
  private readonly taken = new Map<number, number>();
  private used = 0;
  private reserved = 0;
  private peak = 0;

  constructor(
    private readonly driver: CudaDriver,
    private readonly limit?: number,
  ) {}

  /**
   * Takes a block of at least `bytes`.
   * @throws CudaError with the code of `CUDA_ERROR_OUT_OF_MEMORY` when the device, or the limit, has no more
   */
  allocate(bytes: number): Block {
    const size = blockSize(bytes);
    const address = this.unused.get(size)?.pop() ?? this.reserve(size);
    this.taken.set(address, size);
    this.used += size;
    return { address, bytes: size };
  }

  /** Keeps a block for later. */
  release({ address, bytes }: Block): void {
    if (!this.taken.delete(address)) return;
    this.used -= bytes;
    const list = this.unused.get(bytes);
    if (list) list.push(address);
    else this.unused.set(bytes, [address]);
  }

  private reserve(size: number): number {
    if (this.limit !== undefined && this.reserved + size > this.limit) {
      this.trim();
      if (this.reserved + size > this.limit) {
        throw this.exhausted(size, `memoryLimit is ${MiB(this.limit)}`);
      }
    }
    let address: number;
    try {
      address = this.driver.allocate(size);
    } catch (error) {
      if (!(error instanceof CudaError) || error.code !== OUT_OF_MEMORY) throw error;
      this.trim();
      try {
        address = this.driver.allocate(size);
      } catch (again) {
        if (!(again instanceof CudaError) || again.code !== OUT_OF_MEMORY) throw again;
        throw this.exhausted(size, again.message);
      }
    }
    this.reserved += size;
    this.peak = Math.max(this.peak, this.reserved);
    return address;
  }

  private exhausted(size: number, cause: string): CudaError {
    const held = `${MiB(this.used)} are in use by tensors`;
    return new CudaError(
      `cuda: out of memory: ${MiB(size)} cannot be allocated, ${held} (${cause}); dispose tensors or use smaller batches`,
      OUT_OF_MEMORY,
      'CUDA_ERROR_OUT_OF_MEMORY',
    );
  }

  /** Gives everything that is not in use back to the device. */
  trim(): void {
    for (const [size, addresses] of this.unused) {
      for (const address of addresses.splice(0)) {
        this.driver.release(address);
        this.reserved -= size;
      }
    }
  }

  /** Gives all memory back, also what is in use. */
  dispose(): void {
    for (const [address, bytes] of [...this.taken]) this.release({ address, bytes });
    this.trim();
  }

  /** Bytes of living tensors, and bytes taken from the device. */
  get held(): { readonly used: number; readonly reserved: number } {
    return { used: this.used, reserved: this.reserved };
  }

  /** The same and more; asks the device. */
  get statistics(): CudaMemory {
    const { used, reserved, peak, limit } = this;
    return { used, reserved, peak, limit, ...this.driver.memory() };
  }
}
