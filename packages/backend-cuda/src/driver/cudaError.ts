/**
 * An error that the CUDA driver, NVRTC or cuBLAS reported. The message names the kernel or the call, the error's name and
 * the library's own words.
 */
export class CudaError extends Error {
  override readonly name = 'CudaError';
  constructor(
    message: string,
    /** The library's number of the error; 0 where it comes from this package, as a pool's limit. */
    readonly code: number,
    /** Its name, e.g. `CUDA_ERROR_OUT_OF_MEMORY`. */
    readonly codeName: string,
    /** The kernel that was launched, compiled or ran last, where there is one. */
    readonly kernel?: string,
  ) {
    super(message);
  }
}

/** `CUDA_ERROR_OUT_OF_MEMORY` of cuda.h. */
export const OUT_OF_MEMORY = 2;

/** `CUDA_ERROR_NOT_READY`: no error, the work is not done yet. */
export const NOT_READY = 600;

/**
 * Errors of cuda.h after which a context is unusable: every later call answers the same, and the memory is lost.
 * Deinitialised, device unavailable, ECC, NVLink, contained; illegal address, timeout, context destroyed, assert, stack,
 * instruction, alignment, address space, program counter, launch failed; MPS client terminated.
 */
const FATAL = new Set([
  4, 46, 214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 810,
]);

/** Whether the context, and with it every tensor, is lost after an error of the driver. */
export const isFatal = (code: number): boolean => FATAL.has(code);

/** Names of cublasStatus_t, for cuBLAS before 11.4, which has no function that tells them. */
export const CUBLAS_STATUS: Readonly<Record<number, string>> = {
  1: 'CUBLAS_STATUS_NOT_INITIALIZED',
  3: 'CUBLAS_STATUS_ALLOC_FAILED',
  7: 'CUBLAS_STATUS_INVALID_VALUE',
  8: 'CUBLAS_STATUS_ARCH_MISMATCH',
  11: 'CUBLAS_STATUS_MAPPING_ERROR',
  13: 'CUBLAS_STATUS_EXECUTION_FAILED',
  14: 'CUBLAS_STATUS_INTERNAL_ERROR',
  15: 'CUBLAS_STATUS_NOT_SUPPORTED',
  16: 'CUBLAS_STATUS_LICENSE_ERROR',
};
