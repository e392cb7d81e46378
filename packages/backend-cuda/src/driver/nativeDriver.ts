import { Cublas } from './cublas.js';
import type {
  CudaDevice,
  CudaDriver,
  CudaKernel,
  CudaProduct,
  CudaVersions,
  Grid,
  KernelSource,
} from './cudaDriver.js';
import { NOT_READY } from './cudaError.js';
import type { Foreign } from './foreign.js';
import { LibCuda, versionText } from './libcuda.js';
import { loadLibrary } from './libraries.js';
import { Nvrtc } from './nvrtc.js';
import { Scratch } from './scratch.js';

/** The default stream, on which everything runs in order. */
const STREAM = 0;
const EVENT_DISABLE_TIMING = 2;
/** More than any kernel here has. */
const MOST_PARAMETERS = 64;

/** Which libraries and which device. */
export interface NativeDriverOptions {
  readonly device: number;
  readonly cudaPath?: string;
  readonly nvrtcPath?: string;
  readonly cublasPath?: string;
}

/**
 * Starts NVIDIA's driver, the compiler and the BLAS on a device.
 * @throws Error that says what is missing or too old
 */
export function openNativeDriver(foreign: Foreign, options: NativeDriverOptions): CudaDriver {
  const newest = Number.POSITIVE_INFINITY;
  const cuda = new LibCuda(foreign, loadLibrary(foreign, 'cuda', options.cudaPath, newest).library);
  const device = cuda.device(options.device);
  const major = Math.floor(cuda.version / 1000);
  const compiler = loadLibrary(foreign, 'nvrtc', options.nvrtcPath, major);
  const nvrtc = new Nvrtc(foreign, compiler.library, device);
  const blas = loadLibrary(foreign, 'cublas', options.cublasPath, major);
  cuda.call('opening the device', 'cuDevicePrimaryCtxRetain', cuda.scratch.address, device.handle);
  try {
    const context = cuda.scratch.size();
    cuda.call('opening the device', 'cuCtxSetCurrent', context);
    return new NativeDriver(foreign, cuda, nvrtc, new Cublas(foreign, blas.library), device);
  } catch (error) {
    cuda.releaseDevice(device.handle);
    throw error;
  }
}

class NativeDriver implements CudaDriver {
  readonly versions: CudaVersions;
  readonly architecture: string;
  /** One 8-byte slot a parameter, and behind them the array of their addresses, which never changes. */
  private readonly parameters: Scratch;
  private readonly modules: number[] = [];

  constructor(
    private readonly foreign: Foreign,
    private readonly cuda: LibCuda,
    private readonly nvrtc: Nvrtc,
    private readonly cublas: Cublas,
    readonly device: CudaDevice & { readonly handle: number },
  ) {
    this.versions = {
      driver: versionText(cuda.version),
      nvrtc: nvrtc.version,
      cublas: cublas.version,
    };
    this.architecture = nvrtc.architecture;
    this.parameters = new Scratch(foreign, 2 * 8 * MOST_PARAMETERS);
    for (let i = 0; i < MOST_PARAMETERS; i++) {
      this.parameters.setSize(8 * (MOST_PARAMETERS + i), this.parameters.address + 8 * i);
    }
  }

  get lost(): boolean {
    return this.cuda.isLost;
  }

  allocate(bytes: number): number {
    const { scratch } = this.cuda;
    this.cuda.call(`allocating ${bytes} bytes`, 'cuMemAlloc_v2', scratch.address, bytes);
    return scratch.size();
  }

  release(address: number): void {
    this.cuda.call('releasing memory', 'cuMemFree_v2', address);
  }

  memory() {
    const { scratch } = this.cuda;
    const { address } = scratch;
    this.cuda.call('asking for free memory', 'cuMemGetInfo_v2', address, address + 8);
    return { free: scratch.size(0), total: scratch.size(8) };
  }

  upload(address: number, source: ArrayBufferView): void {
    const from = this.foreign.addressOf(source.buffer) + source.byteOffset;
    const bytes = source.byteLength;
    this.cuda.call('writing a tensor', 'cuMemcpyHtoDAsync_v2', address, from, bytes, STREAM);
  }

  download(address: number, bytes: number): ArrayBuffer {
    const target = new ArrayBuffer(bytes);
    if (bytes === 0) return target;
    this.cuda.call(
      'reading a tensor',
      'cuMemcpyDtoH_v2',
      this.foreign.addressOf(target),
      address,
      bytes,
    );
    return target;
  }

  copy(to: number, from: number, bytes: number): void {
    this.cuda.call('copying a tensor', 'cuMemcpyDtoDAsync_v2', to, from, bytes, STREAM);
  }

  fill(address: number, value: number, count: number, unit: 'byte' | 'word'): void {
    const name = unit === 'byte' ? 'cuMemsetD8Async' : 'cuMemsetD32Async';
    this.cuda.call('filling a tensor', name, address, value >>> 0, count, STREAM);
  }

  compile(source: KernelSource): Uint8Array {
    return this.nvrtc.compile(source);
  }

  load({ name, signature }: KernelSource, image: Uint8Array): CudaKernel {
    const { cuda, foreign } = this;
    const what = `loading kernel '${name}'`;
    // Text must end in a zero byte, which both of NVRTC's forms do; and it must lie outside V8's heap.
    const buffer = new ArrayBuffer(image.length + 1);
    new Uint8Array(buffer).set(image);
    const { address } = cuda.scratch;
    cuda.call(what, 'cuModuleLoadData', address, foreign.addressOf(buffer));
    const module = cuda.scratch.size();
    this.modules.push(module);
    cuda.call(what, 'cuModuleGetFunction', address, module, name);
    return { name, signature, handle: cuda.scratch.size() };
  }

  launch({ name, signature, handle }: CudaKernel, grid: Grid, values: readonly number[]): void {
    if (values.length !== signature.length || values.length > MOST_PARAMETERS) {
      throw new Error(
        `kernel '${name}' takes ${signature.length} parameters, got ${values.length}`,
      );
    }
    const { parameters, cuda } = this;
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      const type = signature[i];
      if (type === 'p') parameters.setSize(8 * i, value);
      else if (type === 'f') parameters.setFloat(8 * i, value);
      else parameters.setInt(8 * i, value);
    }
    const pointers = parameters.address + 8 * MOST_PARAMETERS;
    cuda.lastKernel = name;
    const { blocks, threads } = grid;
    cuda.call(
      `kernel '${name}'`,
      'cuLaunchKernel',
      ...[handle, blocks, 1, 1, threads, 1, 1, 0, STREAM, pointers, 0],
    );
  }

  multiply(product: CudaProduct): void {
    this.cuda.lastKernel = product.name;
    this.cublas.multiply(product);
  }

  mark(): number {
    const { cuda } = this;
    cuda.call('marking a place', 'cuEventCreate', cuda.scratch.address, EVENT_DISABLE_TIMING);
    const event = cuda.scratch.size();
    cuda.call('marking a place', 'cuEventRecord', event, STREAM);
    return event;
  }

  passed(mark: number): boolean {
    const code = this.cuda.attempt('cuEventQuery', mark);
    if (code === NOT_READY) return false;
    this.cuda.attempt('cuEventDestroy_v2', mark);
    if (code !== 0) this.cuda.fail('reading a tensor', code);
    return true;
  }

  synchronize(): void {
    this.cuda.call('waiting for the device', 'cuCtxSynchronize');
  }

  close(): void {
    try {
      for (const module of this.modules) this.cuda.attempt('cuModuleUnload', module);
      this.cublas.close();
    } catch {
      // The device is lost: there is nothing left to unload.
    }
    // The context is shared by all threads of the process and ends with its last user.
    this.cuda.releaseDevice(this.device.handle);
  }
}
