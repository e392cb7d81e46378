import type { DataType, KernelConfig, TensorInfo } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';

/** tfjs name of this backend. */
export const BACKEND = 'cuda';

/** What a kernel is called with. */
export interface KernelArguments<Attributes = object> {
  readonly inputs: Readonly<Record<string, TensorInfo>>;
  readonly attrs: Attributes;
  readonly backend: CudaBackend;
}

/** A kernel of this backend. */
export type CudaKernelFunction<Attributes> = (
  args: KernelArguments<Attributes>,
) => TensorInfo | TensorInfo[];

/** A kernel for tfjs's registry; when it throws, nothing that it made is left behind. */
export function cudaKernel<Attributes>(
  kernelName: string,
  kernel: CudaKernelFunction<Attributes>,
): KernelConfig {
  const kernelFunc = (args: KernelArguments<Attributes>) =>
    args.backend.atomically(() => kernel(args));
  return {
    kernelName,
    backendName: BACKEND,
    kernelFunc: kernelFunc as unknown as KernelConfig['kernelFunc'],
  };
}

/** The same data under another shape. */
export function relabel(
  { dataId, dtype }: TensorInfo,
  shape: readonly number[],
  as: DataType = dtype,
): TensorInfo {
  return { dataId, shape: [...shape], dtype: as };
}

/** The same data as a tensor of its own. */
export function share(
  backend: CudaBackend,
  info: TensorInfo,
  shape: readonly number[] = info.shape,
): TensorInfo {
  backend.incRef(info.dataId);
  return relabel(info, shape);
}

/** complex64 as pairs of float32: a last axis of 2 over the same data. */
export const pairs = (z: TensorInfo): TensorInfo =>
  z.dtype === 'complex64' ? relabel(z, [...z.shape, 2], 'float32') : z;

/** Temporary tensors of one kernel, all disposed at its end but the one that it returns. */
export class Workspace {
  private readonly made: TensorInfo[] = [];
  constructor(private readonly backend: CudaBackend) {}

  /** Remembers a tensor. */
  keep(info: TensorInfo): TensorInfo {
    this.made.push(info);
    return info;
  }

  /** Disposes all that was kept. */
  dispose(): void {
    for (const { dataId } of this.made) this.backend.disposeData(dataId);
  }
}

/** Runs a kernel that makes temporary tensors, which go at its end, also when it throws. */
export function withWorkspace<T>(backend: CudaBackend, work: (space: Workspace) => T): T {
  const space = new Workspace(backend);
  try {
    return work(space);
  } finally {
    space.dispose();
  }
}

/** Number of elements. */
export const sizeOf = (shape: readonly number[]): number =>
  shape.reduce((product, n) => product * n, 1);
