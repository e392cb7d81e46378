import { globalRegistry } from '@orth/backend';
import type { Blas } from './native/blas.js';
import type { Foreign } from './native/foreign.js';
import type { OnnxRuntime } from './native/onnxRuntime.js';

/** The native libraries that kernels call. */
export interface NativeRuntime {
  readonly foreign: Foreign;
  readonly onnx: OnnxRuntime;
  /** Multiplies matrices in place of ONNX Runtime, where it was asked for or is faster. */
  readonly blas?: Blas;
}

/** One a thread of JavaScript: workers have a `globalThis`, a heap and thus a runtime of their own. */
export const current = globalRegistry('node-runtime', () => ({
  runtime: undefined as NativeRuntime | undefined,
}));

/** The running libraries. */
export function nativeRuntime(): NativeRuntime {
  if (!current.runtime) {
    throw new Error("backend-node is not started: call await useBackend('node') first");
  }
  return current.runtime;
}
