/** Answers of a machine with one GPU, for {@link fakeForeign}. */
import type { Answer, FakeMemory } from './fakeForeign.js';

/** What differs from a working H100 with CUDA 12.4. */
export interface FakeMachine {
  readonly driver?: number;
  readonly devices?: number;
  readonly capability?: number;
  readonly architectures?: readonly number[];
  /** Error codes by function. */
  readonly failing?: Readonly<Record<string, number>>;
  /** Functions that the libraries lack. */
  readonly missing?: readonly string[];
}

const NAMES: Record<number, [name: string, words: string]> = {
  2: ['CUDA_ERROR_OUT_OF_MEMORY', 'out of memory'],
  34: ['CUDA_ERROR_STUB_LIBRARY', 'CUDA driver is a stub library'],
  100: ['CUDA_ERROR_NO_DEVICE', 'no CUDA-capable device is detected'],
  222: [
    'CUDA_ERROR_UNSUPPORTED_PTX_VERSION',
    'the provided PTX was compiled with an unsupported toolchain.',
  ],
  700: ['CUDA_ERROR_ILLEGAL_ADDRESS', 'an illegal memory access was encountered'],
  701: ['CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES', 'too many resources requested for launch'],
};

/** Handles that are longer than 32 bits, as the driver's are. */
export const HANDLES = {
  context: 0x7f00_0000_1000,
  module: 0x7f00_0000_2000,
  kernel: 0x7f00_0000_3000,
  cublas: 0x7f00_0000_4000,
  event: 0x7f00_0000_5000,
  program: 0x7f00_0000_6000,
  memory: 0x7f12_3456_7800,
} as const;
const IMAGE = 'ELF image';
const LOG = 'kernel.cu(1): error: expected a ";"';

const text = (memory: FakeMemory, code: number, into: number, which: 0 | 1): number => {
  const known = NAMES[code];
  memory.setPointer(into, known ? memory.keep(known[which]) : 0);
  return known ? 0 : 1;
};

const write = (memory: FakeMemory, into: number, value: string): number => {
  const bytes = new TextEncoder().encode(`${value}\0`);
  const view = memory.at(into);
  bytes.forEach((byte, i) => {
    view.setUint8(i, byte);
  });
  return 0;
};

/** Every function that the package calls. */
export function answersOf(machine: FakeMachine = {}): Record<string, Answer> {
  const { driver = 12_040, devices = 1, capability = 90, architectures = [50, 80, 90] } = machine;
  const ok = () => 0;
  const pointer =
    (value: number): Answer =>
    (memory, into) => {
      memory.setPointer(into as number, value);
      return 0;
    };
  const int =
    (value: number): Answer =>
    (memory, into) => {
      memory.setInt(into as number, value);
      return 0;
    };
  const size =
    (value: string): Answer =>
    (memory, _, into) => {
      memory.setPointer(into as number, value.length + 1);
      return 0;
    };
  const content =
    (value: string): Answer =>
    (memory, _, into) =>
      write(memory, into as number, value);
  const answers: Record<string, Answer> = {
    cuInit: ok,
    cuDriverGetVersion: int(driver),
    cuDeviceGetCount: int(devices),
    cuDeviceGet: int(0),
    cuDeviceGetName: (memory, into) => write(memory, into as number, 'NVIDIA H100'),
    cuDeviceGetAttribute: (memory, into, which) => {
      const values: Record<number, number> = {
        16: 132,
        75: Math.floor(capability / 10),
        76: capability % 10,
      };
      memory.setInt(into as number, values[which as number]!);
      return 0;
    },
    cuDeviceTotalMem_v2: pointer(80 * 2 ** 30),
    cuDevicePrimaryCtxRetain: pointer(HANDLES.context),
    cuMemGetInfo_v2: (memory, free, total) => {
      memory.setPointer(free as number, 70 * 2 ** 30);
      memory.setPointer(total as number, 80 * 2 ** 30);
      return 0;
    },
    cuMemAlloc_v2: pointer(HANDLES.memory),
    cuModuleLoadData: pointer(HANDLES.module),
    cuModuleGetFunction: pointer(HANDLES.kernel),
    cuEventCreate: pointer(HANDLES.event),
    cuGetErrorName: (memory, code, into) => text(memory, code as number, into as number, 0),
    cuGetErrorString: (memory, code, into) => text(memory, code as number, into as number, 1),
    nvrtcGetErrorString: (_, code) => `NVRTC_ERROR_${code === 6 ? 'COMPILATION' : code}`,
    nvrtcVersion: (memory, major, minor) => {
      memory.setInt(major as number, 12);
      memory.setInt(minor as number, 4);
      return 0;
    },
    nvrtcGetNumSupportedArchs: int(architectures.length),
    nvrtcGetSupportedArchs: (memory, into) => {
      architectures.forEach((n, i) => {
        memory.setInt((into as number) + 4 * i, n);
      });
      return 0;
    },
    nvrtcCreateProgram: pointer(HANDLES.program),
    nvrtcGetProgramLogSize: size(LOG),
    nvrtcGetProgramLog: content(LOG),
    nvrtcGetCUBINSize: size(IMAGE),
    nvrtcGetCUBIN: content(IMAGE),
    nvrtcGetPTXSize: size('PTX text'),
    nvrtcGetPTX: content('PTX text'),
    cublasGetStatusName: () => 'CUBLAS_STATUS_EXECUTION_FAILED',
    cublasGetStatusString: () => 'the GPU program failed to execute',
    cublasCreate_v2: pointer(HANDLES.cublas),
    cublasGetVersion_v2: (memory, _, into) => int(120_405)(memory, into!),
    ...Object.fromEntries(
      [
        'cuDevicePrimaryCtxRelease_v2',
        'cuCtxSetCurrent',
        'cuCtxSynchronize',
        'cuMemFree_v2',
        'cuMemcpyHtoDAsync_v2',
        'cuMemcpyDtoH_v2',
        'cuMemcpyDtoDAsync_v2',
        'cuMemsetD8Async',
        'cuMemsetD32Async',
        'cuModuleUnload',
        'cuLaunchKernel',
        'cuEventRecord',
        'cuEventQuery',
        'cuEventDestroy_v2',
        'nvrtcCompileProgram',
        'nvrtcDestroyProgram',
        'cublasDestroy_v2',
        'cublasGemmEx',
        'cublasGemmStridedBatchedEx',
      ].map((name) => [name, ok]),
    ),
  };
  for (const [name, code] of Object.entries(machine.failing ?? {})) answers[name] = () => code;
  for (const name of machine.missing ?? []) delete answers[name];
  return answers;
}
