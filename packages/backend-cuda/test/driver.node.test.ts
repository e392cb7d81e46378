/** What NVIDIA's libraries are called with, against lists of calls; and every way in which they may fail. */
import { DeviceLostError } from '@orth/backend';
import { describe, expect, test } from 'vitest';
import type { CudaProduct } from '../src/driver/cudaDriver.js';
import { CudaError } from '../src/driver/cudaError.js';
import { libraryCandidates } from '../src/driver/libraries.js';
import { openNativeDriver } from '../src/driver/nativeDriver.js';
import { type Call, type FakeForeign, fakeForeign } from './fakeForeign.js';
import { answersOf, type FakeMachine, HANDLES } from './fakeMachine.js';

const PATHS = { device: 0, cudaPath: 'cuda', nvrtcPath: 'nvrtc', cublasPath: 'cublas' };
const KERNEL = { name: 'Add', signature: 'ippf', code: 'extern "C" __global__ void Add() {}' };

function open(machine: FakeMachine = {}) {
  const foreign = fakeForeign(answersOf(machine));
  const driver = openNativeDriver(foreign, PATHS);
  const opening = foreign.calls.splice(0);
  return { foreign, driver, opening };
}

const names = (calls: readonly Call[]) => calls.map(({ name }) => name);
const valuesOf = ({ calls }: FakeForeign, name: string) =>
  calls.find((call) => call.name === name)?.values;

function failure(work: () => unknown): Error & Partial<CudaError> {
  try {
    work();
  } catch (error) {
    return error as CudaError;
  }
  throw new Error('nothing was thrown');
}

describe('calls', () => {
  test('opening a device', () => {
    const { opening, driver, foreign } = open();
    expect(names(opening)).toEqual([
      'cuDriverGetVersion',
      'cuInit',
      'cuDeviceGetCount',
      'cuDeviceGet',
      'cuDeviceTotalMem_v2',
      'cuDeviceGetName',
      'cuDeviceGetAttribute',
      'cuDeviceGetAttribute',
      'cuDeviceGetAttribute',
      'nvrtcVersion',
      'nvrtcGetNumSupportedArchs',
      'nvrtcGetSupportedArchs',
      'cuDevicePrimaryCtxRetain',
      'cuCtxSetCurrent',
      'cublasCreate_v2',
      'cublasGetVersion_v2',
    ]);
    expect(opening.at(-3)).toEqual({ name: 'cuCtxSetCurrent', values: [HANDLES.context] });
    expect(opening.at(-1)!.values[0]).toBe(HANDLES.cublas);
    expect(foreign.loaded).toEqual(['cuda', 'nvrtc', 'cublas']);
    expect(driver.device).toMatchObject({
      name: 'NVIDIA H100',
      capability: [9, 0],
      bytes: 80 * 2 ** 30,
      multiprocessors: 132,
    });
    expect(driver.versions).toEqual({ driver: '12.4', nvrtc: '12.4', cublas: '12.4.5' });
    expect(driver.architecture).toBe('sm_90');
  });

  test('memory', () => {
    const { driver, foreign } = open();
    expect(driver.allocate(5 * 2 ** 30)).toBe(HANDLES.memory);
    const source = new Float32Array([9, 1, 2, 3]).subarray(1);
    driver.upload(HANDLES.memory, source);
    const downloaded = driver.download(HANDLES.memory, 12);
    driver.copy(HANDLES.memory + 512, HANDLES.memory, 12);
    driver.fill(HANDLES.memory, 1, 3, 'byte');
    driver.fill(HANDLES.memory, -1, 3, 'word');
    driver.release(HANDLES.memory);
    expect(driver.memory()).toEqual({ free: 70 * 2 ** 30, total: 80 * 2 ** 30 });
    const host = foreign.memory.addressOf(source.buffer) + 4;
    expect(foreign.calls.slice(1, 7)).toEqual([
      { name: 'cuMemcpyHtoDAsync_v2', values: [HANDLES.memory, host, 12, 0] },
      {
        name: 'cuMemcpyDtoH_v2',
        values: [foreign.memory.addressOf(downloaded), HANDLES.memory, 12],
      },
      { name: 'cuMemcpyDtoDAsync_v2', values: [HANDLES.memory + 512, HANDLES.memory, 12, 0] },
      { name: 'cuMemsetD8Async', values: [HANDLES.memory, 1, 3, 0] },
      { name: 'cuMemsetD32Async', values: [HANDLES.memory, 0xffff_ffff, 3, 0] },
      { name: 'cuMemFree_v2', values: [HANDLES.memory] },
    ]);
    expect(foreign.calls[0]!.values[1]).toBe(5 * 2 ** 30);
    expect([...new Float32Array(source)]).toEqual([1, 2, 3]);
  });

  test('compiling for the device, and loading', () => {
    const { driver, foreign } = open();
    const image = driver.compile(KERNEL);
    const kernel = driver.load(KERNEL, image);
    expect(new TextDecoder().decode(image)).toBe('ELF image\0');
    expect(names(foreign.calls)).toEqual([
      'nvrtcCreateProgram',
      'nvrtcCompileProgram',
      'nvrtcGetCUBINSize',
      'nvrtcGetCUBIN',
      'nvrtcDestroyProgram',
      'cuModuleLoadData',
      'cuModuleGetFunction',
    ]);
    const { memory } = foreign;
    expect(valuesOf(foreign, 'nvrtcCreateProgram')!.slice(1)).toEqual([
      KERNEL.code,
      'Add.cu',
      0,
      0,
      0,
    ]);
    const [program, count, list] = valuesOf(foreign, 'nvrtcCompileProgram') as number[];
    expect(program).toBe(HANDLES.program);
    const options = Array.from({ length: count! }, (_, i) =>
      memory.text(memory.pointer(list! + 8 * i)),
    );
    expect(options).toEqual(['--std=c++17', '--gpu-architecture=sm_90']);
    expect(memory.pointer(valuesOf(foreign, 'nvrtcDestroyProgram')![0] as number)).not.toBe(0);
    expect(memory.text(valuesOf(foreign, 'cuModuleLoadData')![1] as number)).toBe('ELF image');
    expect(valuesOf(foreign, 'cuModuleGetFunction')!.slice(1)).toEqual([HANDLES.module, 'Add']);
    expect(kernel).toEqual({ name: 'Add', signature: 'ippf', handle: HANDLES.kernel });
  });

  test('a device newer than the compiler gets PTX of the newest that it knows', () => {
    const { driver, foreign } = open({ capability: 120 });
    expect(driver.architecture).toBe('compute_90');
    expect(new TextDecoder().decode(driver.compile(KERNEL))).toBe('PTX text\0');
    expect(names(foreign.calls)).toContain('nvrtcGetPTX');
  });

  test('launching: each value in its own type, behind a pointer of its own', () => {
    const { driver, foreign } = open();
    const kernel = { name: 'Add', signature: 'ippf', handle: HANDLES.kernel };
    driver.launch(kernel, { blocks: 7, threads: 256 }, [-3, HANDLES.memory, 2 ** 47 - 8, 0.1]);
    const values = valuesOf(foreign, 'cuLaunchKernel') as number[];
    const pointers = values[9]!;
    expect(values).toEqual([HANDLES.kernel, 7, 1, 1, 256, 1, 1, 0, 0, pointers, 0]);
    const parameter = (i: number) => foreign.memory.at(foreign.memory.pointer(pointers + 8 * i));
    expect(parameter(0).getInt32(0, true)).toBe(-3);
    expect(Number(parameter(1).getBigUint64(0, true))).toBe(HANDLES.memory);
    expect(Number(parameter(2).getBigUint64(0, true))).toBe(2 ** 47 - 8);
    expect(parameter(3).getFloat32(0, true)).toBe(Math.fround(0.1));
    expect(() => driver.launch(kernel, { blocks: 1, threads: 32 }, [1])).toThrow(
      "kernel 'Add' takes 4 parameters, got 1",
    );
  });

  const PRODUCT: CudaProduct = {
    name: 'BatchMatMul',
    a: 0x1000,
    b: 0x2000,
    c: 0x3000,
    m: 2,
    n: 3,
    k: 5,
    transposeA: true,
    transposeB: false,
    alpha: 0.5,
    beta: -2,
    count: 1,
    strideA: 0,
    strideB: 0,
    strideC: 0,
    precision: 'float32',
  };

  test('a row-major product, the factors exchanged', () => {
    const { driver, foreign } = open();
    driver.multiply(PRODUCT);
    const values = valuesOf(foreign, 'cublasGemmEx') as number[];
    const [alpha, beta] = [values[6]!, values[13]!];
    // handle; operations on B and A; n, m, k; alpha; B, float32, columns; A, float32, columns; beta; C, float32, columns.
    expect(values).toEqual([
      ...[HANDLES.cublas, 0, 1, 3, 2, 5, alpha, 0x2000, 0, 3, 0x1000, 0, 2],
      ...[beta, 0x3000, 0, 3, 68, -1],
    ]);
    expect(foreign.memory.at(alpha).getFloat32(0, true)).toBe(0.5);
    expect(foreign.memory.at(beta).getFloat32(0, true)).toBe(-2);
  });

  test('products of a batch, in every format', () => {
    const { driver, foreign } = open();
    const batch = { ...PRODUCT, count: 4, strideA: 10, strideB: 0, strideC: 6, transposeB: true };
    driver.multiply({ ...batch, precision: 'bfloat16' });
    const values = valuesOf(foreign, 'cublasGemmStridedBatchedEx') as number[];
    expect(values).toEqual([
      ...[HANDLES.cublas, 1, 1, 3, 2, 5, values[6]!, 0x2000, 14, 5, 0, 0x1000, 14, 2, 10],
      ...[values[15]!, 0x3000, 14, 3, 6, 4, 68, -1],
    ]);
    foreign.calls.length = 0;
    driver.multiply({ ...batch, precision: 'tf32' });
    expect(valuesOf(foreign, 'cublasGemmStridedBatchedEx')!.slice(-2)).toEqual([77, -1]);
  });

  test('marks, waiting and closing', () => {
    const { driver, foreign } = open();
    const mark = driver.mark();
    expect(driver.passed(mark)).toBe(true);
    driver.load(KERNEL, new Uint8Array(3));
    driver.synchronize();
    driver.close();
    expect(foreign.calls.filter(({ name }) => name !== 'cuModuleLoadData')).toMatchObject([
      { name: 'cuEventCreate', values: [expect.anything(), 2] },
      { name: 'cuEventRecord', values: [HANDLES.event, 0] },
      { name: 'cuEventQuery', values: [HANDLES.event] },
      { name: 'cuEventDestroy_v2', values: [HANDLES.event] },
      { name: 'cuModuleGetFunction' },
      { name: 'cuCtxSynchronize' },
      { name: 'cuModuleUnload', values: [HANDLES.module] },
      { name: 'cublasDestroy_v2', values: [HANDLES.cublas] },
      { name: 'cuDevicePrimaryCtxRelease_v2', values: [0] },
    ]);
  });

  test('work that is not done yet is no error', () => {
    const { driver } = open({ failing: { cuEventQuery: 600 } });
    expect(driver.passed(driver.mark())).toBe(false);
  });
});

describe('what may be missing', () => {
  const without = (library: string) => () =>
    openNativeDriver(
      fakeForeign(answersOf(), (path) => !path.includes(library)),
      { device: 0 },
    );

  test.runIf(process.platform === 'linux')('each library, with where it was looked for', () => {
    expect(without('libcuda')).toThrow(
      "NVIDIA's driver is not installed, or this container was started without its GPUs (looked for libcuda.so.1, libcuda.so), or pass its path as cudaPath",
    );
    // A driver of CUDA 12 runs no libraries of CUDA 13.
    expect(without('nvrtc')).toThrow(
      /runtime compiler \(NVRTC\) is not installed.*looked for libnvrtc\.so\.12, .*libnvrtc\.so\.11\.2.*nvrtcPath/,
    );
    expect(without('cublas')).toThrow(/cuBLAS is not installed.*libcublas\.so\.12.*cublasPath/);
  });

  test('a library that was named', () => {
    const nothing = fakeForeign(answersOf(), () => false);
    expect(() => openNativeDriver(nothing, PATHS)).toThrow(
      /^cuda could not be loaded from cuda: cuda: cannot open shared object file$/,
    );
  });

  test('a function, because it is another library', () => {
    expect(() => open({ missing: ['cuLaunchKernel'] })).toThrow('cuLaunchKernel');
    expect(() => open({ missing: ['nvrtcGetCUBIN'] })).toThrow('nvrtcGetCUBIN');
    expect(() => open({ missing: ['cublasGemmEx'] })).toThrow('cublasGemmEx');
  });

  test('a device', () => {
    expect(() => open({ devices: 0 })).toThrow('the NVIDIA driver runs, but finds no GPU');
    expect(() => open({ failing: { cuInit: 100 } })).toThrow(
      'cuda: starting the driver failed: CUDA_ERROR_NO_DEVICE (no CUDA-capable device is detected)',
    );
    const two = fakeForeign(answersOf({ devices: 2 }));
    expect(() => openNativeDriver(two, { ...PATHS, device: 2 })).toThrow(
      'there is no device 2: the driver finds 2, numbered from 0',
    );
  });

  test('a new enough driver', () => {
    expect(() => open({ driver: 10_020 })).toThrow(
      'the NVIDIA driver is too old: it supports CUDA 10.2, and 11.2 or later is needed; update the driver',
    );
  });

  test('an old enough compiler', () => {
    expect(() => open({ capability: 61, architectures: [75, 80, 90] })).toThrow(
      'NVRTC 12.4 compiles for compute capability 7.5 and later, and NVIDIA H100 has 6.1: install an older CUDA toolkit',
    );
  });

  test('names of libraries on each platform', () => {
    const on = (platform: NodeJS.Platform) => ({ platform, env: {} });
    expect(libraryCandidates('nvrtc', 12, on('win32'))).toEqual([
      'nvrtc64_120_0.dll',
      'nvrtc64_112_0.dll',
    ]);
    expect(libraryCandidates('cublas', 13, on('win32'))).toEqual([
      'cublas64_13.dll',
      'cublas64_12.dll',
      'cublas64_11.dll',
    ]);
    expect(libraryCandidates('cuda', 13, on('win32'))).toEqual(['nvcuda.dll']);
    expect(libraryCandidates('cuda', 13, on('darwin'))).toEqual([]);
  });
});

describe('what may fail', () => {
  test('memory runs out', () => {
    const { driver } = open({ failing: { cuMemAlloc_v2: 2 } });
    const error = failure(() => driver.allocate(12));
    expect(error).toBeInstanceOf(CudaError);
    expect(error).toMatchObject({ code: 2, codeName: 'CUDA_ERROR_OUT_OF_MEMORY' });
    expect(error.message).toBe(
      'cuda: allocating 12 bytes failed: CUDA_ERROR_OUT_OF_MEMORY (out of memory)',
    );
  });

  test('a launch: by the name of the kernel', () => {
    const { driver } = open({ failing: { cuLaunchKernel: 701 } });
    const kernel = { name: 'Add', signature: 'i', handle: 1 };
    const error = failure(() => driver.launch(kernel, { blocks: 1, threads: 32 }, [1]));
    expect(error).toMatchObject({ code: 701, kernel: 'Add' });
    expect(error.message).toBe(
      "cuda: kernel 'Add' failed: CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES (too many resources requested for launch)",
    );
    expect(driver.lost).toBe(false);
  });

  test('a kernel, later: the read says which ran last, and the device is lost', () => {
    const { driver, foreign } = open({ failing: { cuMemcpyDtoH_v2: 700 } });
    driver.launch({ name: 'gather', signature: 'i', handle: 1 }, { blocks: 1, threads: 32 }, [1]);
    const error = failure(() => driver.download(HANDLES.memory, 4));
    expect(error).toBeInstanceOf(DeviceLostError);
    expect(error).toMatchObject({
      backend: 'cuda',
      reason: 'CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered',
    });
    expect(error.message).toContain(
      "cuda: reading a tensor failed, after kernel 'gather': CUDA_ERROR_ILLEGAL_ADDRESS",
    );
    expect(driver.lost).toBe(true);
    // Every later call says the same without asking the driver, and closing still gives the device back.
    foreign.calls.length = 0;
    expect(failure(() => driver.allocate(4))).toBe(error);
    driver.close();
    expect(names(foreign.calls)).toEqual(['cublasDestroy_v2', 'cuDevicePrimaryCtxRelease_v2']);
  });

  test('work behind a mark', () => {
    const { driver } = open({ failing: { cuEventQuery: 700 } });
    expect(() => driver.passed(driver.mark())).toThrow(DeviceLostError);
  });

  test('a compilation, with the compiler’s words; the program is freed', () => {
    const { driver, foreign } = open({ failing: { nvrtcCompileProgram: 6 } });
    const error = failure(() => driver.compile(KERNEL));
    expect(error.message).toBe(
      'cuda: kernel \'Add\' could not be compiled: NVRTC_ERROR_COMPILATION\nkernel.cu(1): error: expected a ";"',
    );
    expect(error).toMatchObject({ code: 6, kernel: 'Add' });
    expect(names(foreign.calls).at(-1)).toBe('nvrtcDestroyProgram');
  });

  test('loading what a newer compiler made', () => {
    const { driver } = open({ failing: { cuModuleLoadData: 222 } });
    expect(() => driver.load(KERNEL, new Uint8Array(3))).toThrow(
      "cuda: loading kernel 'Add' failed: CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
    );
  });

  test('a product', () => {
    const product: CudaProduct = {
      ...{ name: 'Conv2D', a: 1, b: 2, c: 3, m: 1, n: 1, k: 1, transposeA: false },
      ...{ transposeB: false, alpha: 1, beta: 0, count: 1, strideA: 0, strideB: 0, strideC: 0 },
      precision: 'float32',
    };
    const described = open({ failing: { cublasGemmEx: 13 } });
    expect(failure(() => described.driver.multiply(product)).message).toBe(
      "cuda: kernel 'Conv2D' failed: CUBLAS_STATUS_EXECUTION_FAILED (the GPU program failed to execute)",
    );
    // cuBLAS before 11.4 describes nothing.
    const old = {
      failing: { cublasGemmEx: 3 },
      missing: ['cublasGetStatusName', 'cublasGetStatusString'],
    };
    expect(failure(() => open(old).driver.multiply(product)).message).toBe(
      "cuda: kernel 'Conv2D' failed: CUBLAS_STATUS_ALLOC_FAILED",
    );
  });

  test('an error that the driver has no name for', () => {
    const { driver } = open({ failing: { cuCtxSynchronize: 12_345 } });
    expect(() => driver.synchronize()).toThrow(
      'cuda: waiting for the device failed: CUDA error 12345 (no description)',
    );
  });

  test('cuBLAS does not start: the device is given back', () => {
    const foreign = fakeForeign(answersOf({ failing: { cublasCreate_v2: 1 } }));
    expect(() => openNativeDriver(foreign, PATHS)).toThrow('cuda: starting cuBLAS failed');
    expect(names(foreign.calls).at(-1)).toBe('cuDevicePrimaryCtxRelease_v2');
  });
});
