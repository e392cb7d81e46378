import {
  type CommonBackendOptions,
  checkBoolean,
  checkInteger,
  checkNumber,
  checkOneOf,
} from '@orth/backend';

/** Who runs the GPU; see {@link CudaOptions.provider}. */
export type CudaProviderName = 'auto' | 'driver' | 'tfjs-node-gpu';

/** Options that `useBackend('cuda', …)` takes beside its own. */
export interface CudaOptions {
  /**
   * Who runs the GPU. `'driver'`: this package, through NVIDIA's driver, NVRTC and cuBLAS. `'tfjs-node-gpu'`: tfjs's own
   * native package, if you installed it. `'auto'`: that one where it is installed and finds a GPU, else `'driver'`.
   * Default `'auto'`. The options below are for `'driver'`.
   */
  readonly provider?: CudaProviderName;
  /** Which GPU, integer >= 0, as `CUDA_VISIBLE_DEVICES` numbers them. Default 0 */
  readonly device?: number;
  /**
   * Most bytes of device memory that tensors and what is kept for later ones may take; beyond it an error says so.
   * Default: all that the device has
   */
  readonly memoryLimit?: number;
  /**
   * Whether matrix products and convolutions may round their factors to TF32: several times as fast, with 10 bits of
   * mantissa. Needs compute capability 8.0. Default false
   */
  readonly tf32?: boolean;
  /**
   * Number format of the fused orthogonalisation: `'bfloat16'`, as Muon's author uses it, keeps 8 bits of mantissa and
   * is fastest. It and `'tf32'` need compute capability 8.0. Default `'tf32'` where `tf32` is on, else `'float32'`
   */
  readonly orthogonalizePrecision?: 'float32' | 'tf32' | 'bfloat16';
  /** Folder where compiled kernels are kept for later processes; made if it is missing. Default: none */
  readonly cacheFolder?: string;
  /** File of NVIDIA's driver library to load instead of the system's. */
  readonly cudaPath?: string;
  /** File of NVRTC to load instead of the one that is found. */
  readonly nvrtcPath?: string;
  /** File of cuBLAS to load instead of the one that is found. */
  readonly cublasPath?: string;
}

declare module '@orth/backend' {
  interface BackendOptionsByName {
    cuda: CudaOptions & CommonBackendOptions;
  }
}

const PATHS = ['cacheFolder', 'cudaPath', 'nvrtcPath', 'cublasPath'] as const;

/** Names of {@link CudaOptions}. */
export const CUDA_OPTIONS = [
  'provider',
  'device',
  'memoryLimit',
  'tf32',
  'orthogonalizePrecision',
  ...PATHS,
] as const satisfies readonly (keyof CudaOptions)[];

/** Reads the options out of a request. */
export function checkCudaOptions(request: { readonly [name: string]: unknown }): CudaOptions {
  const caller = 'useBackend';
  const { provider, device, memoryLimit, tf32, orthogonalizePrecision } = request;
  if (provider !== undefined) {
    checkOneOf(caller, 'provider', provider, ['auto', 'driver', 'tfjs-node-gpu']);
  }
  if (device !== undefined) checkInteger(caller, 'device', device, { min: 0 });
  if (memoryLimit !== undefined) checkNumber(caller, 'memoryLimit', memoryLimit, { above: 0 });
  if (tf32 !== undefined) checkBoolean(caller, 'tf32', tf32);
  if (orthogonalizePrecision !== undefined) {
    const formats = ['float32', 'tf32', 'bfloat16'];
    checkOneOf(caller, 'orthogonalizePrecision', orthogonalizePrecision, formats);
  }
  for (const name of PATHS) {
    const path = request[name];
    if (path === undefined || (typeof path === 'string' && path.length > 0)) continue;
    throw new TypeError(`${caller}: ${name} must be a path, got ${JSON.stringify(path)}`);
  }
  return Object.fromEntries(
    CUDA_OPTIONS.filter((name) => request[name] !== undefined).map((name) => [name, request[name]]),
  );
}
