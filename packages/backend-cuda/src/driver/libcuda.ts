import { DeviceLostError } from '@orth/backend';
import type { CudaDevice } from './cudaDriver.js';
import { CudaError, isFatal } from './cudaError.js';
import type { CType, Foreign, ForeignFunction, ForeignLibrary } from './foreign.js';
import { Scratch } from './scratch.js';

/**
 * Functions of cuda.h that are called, with their parameters. The suffixed names are the 64-bit versions, which the
 * header maps the plain names to.
 */
const FUNCTIONS = {
  cuInit: ['unsigned'],
  cuDriverGetVersion: ['address'],
  cuDeviceGetCount: ['address'],
  cuDeviceGet: ['address', 'int'],
  cuDeviceGetName: ['address', 'int', 'int'],
  cuDeviceGetAttribute: ['address', 'int', 'int'],
  cuDeviceTotalMem_v2: ['address', 'int'],
  cuDevicePrimaryCtxRetain: ['address', 'int'],
  cuDevicePrimaryCtxRelease_v2: ['int'],
  cuCtxSetCurrent: ['address'],
  cuCtxSynchronize: [],
  cuMemGetInfo_v2: ['address', 'address'],
  cuMemAlloc_v2: ['address', 'size'],
  cuMemFree_v2: ['address'],
  cuMemcpyHtoDAsync_v2: ['address', 'address', 'size', 'address'],
  cuMemcpyDtoH_v2: ['address', 'address', 'size'],
  cuMemcpyDtoDAsync_v2: ['address', 'address', 'size', 'address'],
  cuMemsetD8Async: ['address', 'unsigned', 'size', 'address'],
  cuMemsetD32Async: ['address', 'unsigned', 'size', 'address'],
  cuModuleLoadData: ['address', 'address'],
  cuModuleGetFunction: ['address', 'address', 'string'],
  cuModuleUnload: ['address'],
  cuLaunchKernel: ['address', ...Array<CType>(7).fill('unsigned'), 'address', 'address', 'address'],
  cuEventCreate: ['address', 'unsigned'],
  cuEventRecord: ['address', 'address'],
  cuEventQuery: ['address'],
  cuEventDestroy_v2: ['address'],
  cuGetErrorName: ['int', 'address'],
  cuGetErrorString: ['int', 'address'],
} as const satisfies Record<string, readonly CType[]>;

type FunctionName = keyof typeof FUNCTIONS;

/** Attributes of CUdevice_attribute. */
const MULTIPROCESSOR_COUNT = 16;
const CAPABILITY_MAJOR = 75;
const CAPABILITY_MINOR = 76;

/** 11.2: the first whose NVRTC makes code for a device by itself. */
const OLDEST_DRIVER = 11_020;
const NAME_BYTES = 256;

/** `12040` → `12.4`. */
export const versionText = (version: number): string =>
  `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;

/** The driver's functions, each of which throws when it fails. */
export class LibCuda {
  /** Where functions write their results. */
  readonly scratch: Scratch;
  /** The CUDA version that the driver supports, as 1000 · major + 10 · minor. */
  readonly version: number;
  /** Name of the kernel that was started last: an error may come from it, whichever call reports it. */
  lastKernel: string | undefined;
  private readonly functions: Record<FunctionName, ForeignFunction>;
  private lost: DeviceLostError | undefined;

  /** @throws Error if this is no driver, an old one, or it does not start */
  constructor(
    private readonly foreign: Foreign,
    library: ForeignLibrary,
  ) {
    this.scratch = new Scratch(foreign);
    this.functions = Object.fromEntries(
      Object.entries(FUNCTIONS).map(([name, parameters]) => [
        name,
        library.function(name, 'int', parameters),
      ]),
    ) as Record<FunctionName, ForeignFunction>;
    // Also answers where no device is, so that an old driver is named as such.
    this.version =
      this.functions.cuDriverGetVersion(this.scratch.address) === 0 ? this.scratch.int() : 0;
    if (this.version > 0 && this.version < OLDEST_DRIVER) {
      throw new Error(
        `the NVIDIA driver is too old: it supports CUDA ${versionText(this.version)}, and ` +
          `${versionText(OLDEST_DRIVER)} or later is needed; update the driver`,
      );
    }
    this.call('starting the driver', 'cuInit', 0);
  }

  /**
   * Calls a function.
   * @param what - names the work in an error, e.g. `kernel 'Add'` or `allocating 12 bytes`
   * @throws CudaError; DeviceLostError if the context is lost
   */
  call(what: string, name: FunctionName, ...values: (number | string)[]): void {
    if (this.lost) throw this.lost;
    const code = this.functions[name](...values);
    if (code !== 0) this.fail(what, code);
  }

  /** Calls a function and returns its error code, for callers that expect one. */
  attempt(name: FunctionName, ...values: (number | string)[]): number {
    if (this.lost) throw this.lost;
    return this.functions[name](...values);
  }

  /** Whether every further call would fail. */
  get isLost(): boolean {
    return this.lost !== undefined;
  }

  /** Gives a device back, in whatever state it is. */
  releaseDevice(handle: number): void {
    this.functions.cuDevicePrimaryCtxRelease_v2(handle);
  }

  /** @throws CudaError or DeviceLostError, always */
  fail(what: string, code: number): never {
    const codeName = this.describe('cuGetErrorName', code) ?? `CUDA error ${code}`;
    const words = this.describe('cuGetErrorString', code) ?? 'no description';
    const last = this.lastKernel;
    const named = last !== undefined && what.includes(`'${last}'`);
    // Kernels run behind the program's back: what ends the context is found by a later call.
    const after = isFatal(code) && last !== undefined && !named ? `, after kernel '${last}'` : '';
    const message = `cuda: ${what} failed${after}: ${codeName} (${words})`;
    if (!isFatal(code)) throw new CudaError(message, code, codeName, named ? last : undefined);
    this.lost = new DeviceLostError(
      `${message}. The device's memory is lost, and all tensors with it; await useBackend('cuda') starts anew`,
      'cuda',
      `${codeName}: ${words}`,
    );
    throw this.lost;
  }

  private describe(name: 'cuGetErrorName' | 'cuGetErrorString', code: number) {
    const { scratch, functions, foreign } = this;
    const known = functions[name](code, scratch.address) === 0 && scratch.size() !== 0;
    return known ? foreign.stringAt(scratch.address) : undefined;
  }

  /** Finds a device. @throws Error if there is none of that number */
  device(index: number): CudaDevice & { readonly handle: number } {
    const { scratch } = this;
    this.call('counting devices', 'cuDeviceGetCount', scratch.address);
    const count = scratch.int();
    if (index >= count) {
      throw new Error(
        count === 0
          ? 'the NVIDIA driver runs, but finds no GPU'
          : `there is no device ${index}: the driver finds ${count}, numbered from 0`,
      );
    }
    this.call('finding the device', 'cuDeviceGet', scratch.address, index);
    const handle = scratch.int();
    const attribute = (which: number) => {
      this.call('reading an attribute', 'cuDeviceGetAttribute', scratch.address, which, handle);
      return scratch.int();
    };
    this.call('reading the size', 'cuDeviceTotalMem_v2', scratch.address, handle);
    const bytes = scratch.size();
    return {
      handle,
      index,
      name: this.deviceName(handle),
      capability: [attribute(CAPABILITY_MAJOR), attribute(CAPABILITY_MINOR)],
      bytes,
      multiprocessors: attribute(MULTIPROCESSOR_COUNT),
    };
  }

  private deviceName(handle: number): string {
    const text = new ArrayBuffer(NAME_BYTES);
    this.call(
      'reading the name',
      'cuDeviceGetName',
      this.foreign.addressOf(text),
      NAME_BYTES,
      handle,
    );
    const bytes = new Uint8Array(text);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0))).trim();
  }
}
