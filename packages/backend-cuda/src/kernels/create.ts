/** Kernels that make tensors out of numbers. */
import type { DataType, KernelConfig } from '@tensorflow/tfjs-core';
import { oneHotSource, rangeSource } from '../sources/indexed.js';
import { storageOf } from '../sources/types.js';
import { cudaKernel, relabel, sizeOf } from './kernel.js';
import { filled } from './movement.js';

interface FillAttributes {
  readonly shape: number[];
  readonly value: number | string | boolean;
  readonly dtype?: DataType;
}

interface RangeAttributes {
  readonly start: number;
  readonly stop: number;
  readonly step: number;
  readonly dtype: DataType;
}

interface OneHotAttributes {
  readonly depth: number;
  readonly onValue: number;
  readonly offValue: number;
  readonly dtype: DataType;
}

/** The kernels of this file. */
export const createKernels = (): KernelConfig[] => [
  cudaKernel<FillAttributes>('Fill', ({ attrs, backend }) => {
    const { shape, value } = attrs;
    const dtype = attrs.dtype ?? (typeof value === 'string' ? 'string' : 'float32');
    if (dtype === 'string') {
      const text = new TextEncoder().encode(String(value));
      return backend.makeTensor(shape, dtype, new Array<Uint8Array>(sizeOf(shape)).fill(text));
    }
    return filled(backend, shape, dtype, Number(value));
  }),
  cudaKernel('ZerosLike', ({ inputs, backend }) => {
    const { shape, dtype } = inputs.x!;
    if (dtype !== 'string') return filled(backend, shape, dtype, 0);
    return backend.makeTensor(
      shape,
      dtype,
      new Array<Uint8Array>(sizeOf(shape)).fill(new Uint8Array()),
    );
  }),
  cudaKernel('OnesLike', ({ inputs, backend }) => {
    const { shape, dtype } = inputs.x!;
    if (dtype !== 'complex64') return filled(backend, shape, dtype, 1);
    const values = Float32Array.from({ length: 2 * sizeOf(shape) }, (_, i) => 1 - (i % 2));
    return backend.makeTensor(shape, dtype, values);
  }),
  cudaKernel<RangeAttributes>('Range', ({ attrs, backend }) => {
    const { start, stop, step, dtype } = attrs;
    const count = Math.max(0, Math.ceil((stop - start) / step));
    const out = backend.makeOutput([count], dtype);
    const storage = storageOf(dtype);
    const source = rangeSource(storage);
    const [from, by] = dtype === 'int32' ? [Math.trunc(start), Math.trunc(step)] : [start, step];
    backend.runEach(source.name, () => source, count, [count, backend.address(out), from, by]);
    return out;
  }),
  cudaKernel<{ start: number; stop: number; num: number }>('LinSpace', ({ attrs, backend }) => {
    const { start, stop, num } = attrs;
    const step = num > 1 ? (stop - start) / (num - 1) : 0;
    const values = Float32Array.from({ length: num }, (_, i) => start + i * step);
    return backend.makeTensor([num], 'float32', values);
  }),
  cudaKernel<OneHotAttributes>('OneHot', ({ inputs, attrs, backend }) => {
    const ids = inputs.indices!;
    const { depth, onValue, offValue, dtype } = attrs;
    const flat = relabel(ids, [sizeOf(ids.shape)]);
    const out = backend.makeOutput([...ids.shape, depth], dtype);
    const source = oneHotSource(storageOf(dtype));
    const count = sizeOf(out.shape);
    const values = [count, backend.address(out), backend.address(flat), depth, onValue, offValue];
    backend.runEach(source.name, () => source, count, values);
    return out;
  }),
];
