import type { TensorInfo } from '@tensorflow/tfjs-core';
import { type HeapBackend, heapAddress, offsetOf } from '../heap.js';
import type { OnnxRuntime } from '../native/onnxRuntime.js';
import type { Operand } from '../native/program.js';
import { nativeRuntime } from '../runtime.js';

/** Tensors as native code sees them, valid until the next allocation on the heap. */
export interface Operands {
  readonly onnx: OnnxRuntime;
  /** A tensor, under another shape or from a later element on if asked for. */
  tensor(info: TensorInfo, shape?: readonly number[], skip?: number): Operand;
  /** An array of ours. Its buffer must be of 64 bytes or more, see `Foreign.addressOf`. */
  array(values: { readonly buffer: ArrayBufferLike }, shape: readonly number[]): Operand;
}

/** Addresses for one kernel. Call it when all tensors of the kernel exist. */
export function operandsOf(backend: HeapBackend): Operands {
  const { foreign, onnx } = nativeRuntime();
  const base = heapAddress(foreign, backend);
  return {
    onnx,
    tensor: (info, shape = info.shape, skip = 0) => ({
      address: base + offsetOf(backend, info) + 4 * skip,
      shape,
    }),
    array: ({ buffer }, shape) => ({ address: foreign.addressOf(buffer), shape }),
  };
}
