import {
  type BackendValues,
  DataStorage,
  type DataType,
  engine,
  KernelBackend,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import type { CudaDriver, Grid, KernelSource } from './driver/cudaDriver.js';
import { KernelCache } from './kernelCache.js';
import { type Block, MemoryPool } from './memoryPool.js';

type Values = Float32Array | Int32Array | Uint8Array;

/** A tensor's data: on the device, on the host, or both. */
interface Entry {
  dtype: DataType;
  /** Numbers: of complex64 twice as many as elements. */
  readonly length: number;
  refCount: number;
  block?: Block;
  /** Kept for strings, which never leave the host, and for small tensors, which are put on the device when needed. */
  values?: Values | Uint8Array[];
}

/** Tensors up to this many numbers keep their values on the host: scalars become parameters of kernels. */
const SMALL = 16;
const THREADS = 256;
/** Each thread works on several elements where there are more; enough blocks to fill the largest device. */
const MOST_BLOCKS = 65_535;
const MOST_ELEMENTS = 2 ** 31 - 1;
/** A read asks this often without a pause, for short waits, and then every millisecond. */
const EAGER_POLLS = 100;
const POLL_MS = 1;

/** Bytes of one number. */
export const bytesOf = (dtype: DataType): number => (dtype === 'bool' ? 1 : 4);

const numbersOf = (shape: readonly number[], dtype: DataType) =>
  util.sizeFromShape(shape as number[]) * (dtype === 'complex64' ? 2 : 1);

/** A copy of `values` in the array type of `dtype`. */
function toTyped(values: BackendValues | readonly number[], dtype: DataType): Values {
  const list = values as ArrayLike<number>;
  if (dtype === 'int32') return Int32Array.from(list);
  if (dtype === 'bool') return Uint8Array.from(list);
  return Float32Array.from(list);
}

function fromBytes(buffer: ArrayBuffer, dtype: DataType): Values {
  if (dtype === 'int32') return new Int32Array(buffer);
  if (dtype === 'bool') return new Uint8Array(buffer);
  return new Float32Array(buffer);
}

/** What a backend needs beside a driver. */
export interface CudaBackendOptions {
  readonly memoryLimit?: number;
  readonly cacheFolder?: string;
  /** Whether products may round their factors to TF32. */
  readonly tf32: boolean;
  /** Number format of orthogonalisation. */
  readonly orthogonalizePrecision: 'float32' | 'tf32' | 'bfloat16';
}

/**
 * A tfjs backend whose tensors live on the device. complex64 is real and imaginary parts interleaved, in one block.
 */
export class CudaBackend extends KernelBackend {
  readonly pool: MemoryPool;
  readonly kernels: KernelCache;
  private readonly data: DataStorage<Entry>;
  /** What the running kernel has made so far. */
  private made: object[] | undefined;

  constructor(
    readonly driver: CudaDriver,
    readonly options: CudaBackendOptions,
  ) {
    super();
    this.pool = new MemoryPool(driver, options.memoryLimit);
    this.kernels = new KernelCache(driver, options.cacheFolder);
    this.data = new DataStorage<Entry>(this, engine());
  }

  // Tensors.

  override write(values: BackendValues | null, shape: number[], dtype: DataType): object {
    const dataId = {};
    this.store(dataId, values, shape, dtype, 1);
    return dataId;
  }

  override move(
    dataId: object,
    values: BackendValues,
    shape: number[],
    dtype: DataType,
    refCount: number,
  ): void {
    this.store(dataId, values, shape, dtype, refCount);
  }

  private store(
    dataId: object,
    values: BackendValues | null,
    shape: number[],
    dtype: DataType,
    refCount: number,
  ): void {
    const length = numbersOf(shape, dtype);
    const entry: Entry = { dtype, length, refCount };
    if (dtype === 'string') {
      entry.values = values as Uint8Array[];
    } else if (values != null && length <= SMALL) {
      entry.values = toTyped(values, dtype);
    } else {
      this.checkSize(length);
      const block = this.pool.allocate(length * bytesOf(dtype));
      try {
        if (values != null) this.driver.upload(block.address, asTyped(values, dtype));
      } catch (error) {
        this.pool.release(block);
        throw error;
      }
      entry.block = block;
    }
    this.data.set(dataId, entry);
    this.made?.push(dataId);
  }

  private checkSize(length: number): void {
    if (length <= MOST_ELEMENTS) return;
    throw new RangeError(`cuda: a tensor must have at most 2^31 − 1 numbers, got ${length}`);
  }

  /** A tensor of unknown contents. */
  makeOutput(shape: readonly number[], dtype: DataType): TensorInfo {
    const length = numbersOf(shape, dtype);
    this.checkSize(length);
    const dataId = {};
    const block = this.pool.allocate(length * bytesOf(dtype));
    this.data.set(dataId, { dtype, length, refCount: 1, block });
    this.made?.push(dataId);
    return { dataId, shape: [...shape], dtype };
  }

  /** A tensor of values from the host. */
  makeTensor(shape: readonly number[], dtype: DataType, values: BackendValues): TensorInfo {
    return { dataId: this.write(values, [...shape], dtype), shape: [...shape], dtype };
  }

  /** Where a tensor lies on the device; it is put there first if only the host has it. */
  address({ dataId }: { readonly dataId: object }): number {
    const entry = this.data.get(dataId);
    if (!entry.block) {
      if (entry.dtype === 'string') throw new TypeError('cuda: strings are not on the device');
      const block = this.pool.allocate(entry.length * bytesOf(entry.dtype));
      try {
        if (entry.length > 0) this.driver.upload(block.address, entry.values as Values);
      } catch (error) {
        this.pool.release(block);
        throw error;
      }
      entry.block = block;
    }
    return entry.block.address;
  }

  /** Gives a tensor's numbers another type of the same size, as pairs of floats to complex64. */
  retype(dataId: object, dtype: DataType): void {
    this.data.get(dataId).dtype = dtype;
  }

  /** The number of a one-element tensor, where the host knows it without asking the device. */
  knownScalar({ dataId, dtype }: TensorInfo): number | undefined {
    const entry = this.data.get(dataId);
    if (entry.length !== 1 || !entry.values || dtype === 'string') return undefined;
    return (entry.values as Values)[0];
  }

  override readSync(dataId: object): BackendValues {
    const { values, block, dtype, length } = this.data.get(dataId);
    if (values) return (dtype === 'string' ? values : values.slice()) as BackendValues;
    if (length === 0) return toTyped([], dtype);
    return fromBytes(this.driver.download(block!.address, length * bytesOf(dtype)), dtype);
  }

  /** Lets the program go on while the device works towards the tensor. */
  override async read(dataId: object): Promise<BackendValues> {
    const entry = this.data.get(dataId);
    if (entry.values) return this.readSync(dataId);
    // The tensor may be disposed meanwhile.
    entry.refCount++;
    try {
      const mark = this.driver.mark();
      for (let polls = 0; !this.driver.passed(mark); polls++) {
        await new Promise<void>((resolve) => {
          if (polls < EAGER_POLLS) setImmediate(resolve);
          else setTimeout(resolve, POLL_MS);
        });
      }
      return this.readSync(dataId);
    } finally {
      this.disposeData(dataId);
    }
  }

  override refCount(dataId: object): number {
    return this.data.has(dataId) ? this.data.get(dataId).refCount : 0;
  }

  override incRef(dataId: object): void {
    this.data.get(dataId).refCount++;
  }

  override disposeData(dataId: object, force = false): boolean {
    if (!this.data.has(dataId)) return true;
    const entry = this.data.get(dataId);
    entry.refCount--;
    if (!force && entry.refCount > 0) return false;
    if (entry.block) this.pool.release(entry.block);
    this.data.delete(dataId);
    return true;
  }

  override numDataIds(): number {
    return this.data.numDataIds();
  }

  /** Runs `work`, and disposes what it made if it throws. */
  atomically<T>(work: () => T): T {
    const outer = this.made;
    const made: object[] = [];
    this.made = made;
    try {
      const result = work();
      outer?.push(...made);
      return result;
    } catch (error) {
      for (const dataId of made) this.disposeData(dataId, true);
      throw error;
    } finally {
      this.made = outer;
    }
  }

  /** Runs `work` with scratch memory, which is free again afterwards. */
  withScratch<T>(bytes: readonly number[], work: (...addresses: number[]) => T): T {
    const blocks: Block[] = [];
    try {
      for (const size of bytes) blocks.push(this.pool.allocate(size));
      return work(...blocks.map(({ address }) => address));
    } finally {
      for (const block of blocks) this.pool.release(block);
    }
  }

  // Kernels.

  /** Starts a kernel with a thread for each of `count` elements. */
  runEach(
    name: string,
    source: () => KernelSource,
    count: number,
    values: readonly number[],
  ): void {
    if (count === 0) return;
    const blocks = Math.min(MOST_BLOCKS, Math.ceil(count / THREADS));
    this.run(name, source, { blocks, threads: THREADS }, values);
  }

  /** Starts a kernel with a block of threads for each of `count` rows. */
  runRows(
    name: string,
    source: () => KernelSource,
    count: number,
    length: number,
    values: readonly number[],
  ): void {
    if (count === 0) return;
    const threads = Math.min(THREADS, Math.max(32, 2 ** Math.ceil(Math.log2(Math.max(1, length)))));
    this.run(name, source, { blocks: Math.min(MOST_BLOCKS, count), threads }, values);
  }

  private run(
    name: string,
    source: () => KernelSource,
    grid: Grid,
    values: readonly number[],
  ): void {
    this.driver.launch(this.kernels.get(name, source), grid, values);
  }

  // The rest of tfjs's interface.

  override memory() {
    const { used, reserved } = this.pool.held;
    return { unreliable: false, numBytesInGPU: used, numBytesInGPUAllocated: reserved };
  }

  override timerAvailable(): boolean {
    return true;
  }

  override async time(work: () => void) {
    this.driver.synchronize();
    const start = performance.now();
    work();
    this.driver.synchronize();
    return { kernelMs: performance.now() - start };
  }

  override floatPrecision(): 16 | 32 {
    return 32;
  }

  override dispose(): void {
    try {
      this.pool.dispose();
    } catch {
      // The device is lost, and its memory with it.
    }
  }
}

function asTyped(values: BackendValues, dtype: DataType): Values {
  const wanted = dtype === 'int32' ? Int32Array : dtype === 'bool' ? Uint8Array : Float32Array;
  return values instanceof wanted ? (values as Values) : toTyped(values, dtype);
}
