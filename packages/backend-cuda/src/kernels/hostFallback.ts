/**
 * Kernels that no model trains through (strings, boxes, sparse formats, image resizing, …) run on tfjs's cpu backend:
 * inputs are read from the device, and results written to it. So every operation of tfjs works, if slowly.
 */
import {
  findBackend,
  getKernel,
  getKernelsForBackend,
  type KernelBackend,
  type KernelConfig,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import { cudaKernel, type KernelArguments } from './kernel.js';

type HostKernel = (args: object) => TensorInfo | TensorInfo[];

function toHost(cuda: CudaBackend, host: KernelBackend, info: TensorInfo): TensorInfo {
  const values = cuda.readSync(info.dataId);
  const { shape, dtype } = info;
  if (dtype !== 'complex64') return { dataId: host.write(values, shape, dtype), shape, dtype };
  const numbers = values as Float32Array;
  const part = (offset: number) => {
    const half = Float32Array.from(
      { length: numbers.length / 2 },
      (_, i) => numbers[2 * i + offset]!,
    );
    return { dataId: host.write(half, shape, 'float32'), shape, dtype: 'float32' };
  };
  const inputs = { real: part(0), imag: part(1) };
  const kernel = getKernel('Complex', 'cpu').kernelFunc as unknown as HostKernel;
  const made = kernel({ inputs, attrs: {}, backend: host }) as TensorInfo;
  for (const { dataId } of Object.values(inputs)) host.disposeData(dataId);
  return made;
}

/** Runs a kernel of tfjs's cpu backend on tensors of the device. */
export function onHost<Attributes>(
  name: string,
  { inputs, attrs, backend }: KernelArguments<Attributes>,
): TensorInfo | TensorInfo[] {
  const host = findBackend('cpu');
  const kernel = getKernel(name, 'cpu').kernelFunc as unknown as HostKernel;
  const moved = Object.entries(inputs)
    .filter(([, info]) => info != null)
    .map(([key, info]) => [key, toHost(backend, host, info)] as const);
  const results: TensorInfo[] = [];
  try {
    const given = Array.isArray(inputs) ? moved.map(([, info]) => info) : Object.fromEntries(moved);
    const result = kernel({ inputs: given, attrs, backend: host });
    results.push(...(Array.isArray(result) ? result : [result]));
    const taken = results.map(({ dataId, shape, dtype }) =>
      backend.makeTensor(shape, dtype, host.readSync(dataId)),
    );
    return Array.isArray(result) ? taken : taken[0]!;
  } finally {
    for (const { dataId } of [...results, ...moved.map(([, info]) => info)]) {
      host.disposeData(dataId);
    }
  }
}

/** A kernel for everything that the cpu backend has and `ours` lacks. */
export function hostKernels(ours: readonly KernelConfig[]): KernelConfig[] {
  const known = new Set(ours.map(({ kernelName }) => kernelName));
  return getKernelsForBackend('cpu')
    .filter(({ kernelName }) => !known.has(kernelName))
    .map(({ kernelName }) => cudaKernel(kernelName, (args) => onHost(kernelName, args)));
}
