import { getKernel, type KernelConfig, type TensorInfo } from '@tensorflow/tfjs-core';
import type { HeapBackend } from '../heap.js';

/** tfjs name of this backend. */
export const BACKEND = 'node';

/** What a kernel is called with. */
export interface KernelArguments<Attributes = object> {
  readonly inputs: Readonly<Record<string, TensorInfo | undefined>>;
  readonly attrs: Attributes;
  readonly backend: HeapBackend;
}

/** A kernel of this backend. */
export type NodeKernel<Attributes> = (args: KernelArguments<Attributes>) => TensorInfo;

/** A native kernel, given the wasm kernel of the same name for what that one does faster, or alone can. */
export function nativeKernel<Attributes>(
  kernelName: string,
  kernel: (args: KernelArguments<Attributes>, wasm: NodeKernel<Attributes>) => TensorInfo,
): KernelConfig {
  const original = getKernel(kernelName, 'wasm');
  const wasm = original.kernelFunc as unknown as NodeKernel<Attributes>;
  const kernelFunc = (args: KernelArguments<Attributes>) => kernel(args, wasm);
  return {
    kernelName,
    backendName: BACKEND,
    kernelFunc: kernelFunc as unknown as KernelConfig['kernelFunc'],
    ...(original.setupFunc && { setupFunc: original.setupFunc }),
  };
}

/** The same data under another shape. */
export function relabel(info: TensorInfo, shape: number[]): TensorInfo {
  return { dataId: info.dataId, shape, dtype: info.dtype };
}
