/** `BatchMatMul` and `_FusedMatMul` by cuBLAS, in every transposition and batch form. */
import { broadcast_util, type KernelConfig, type TensorInfo } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import { type Activation, applyEpilogue } from './activation.js';
import { onHost } from './hostFallback.js';
import {
  cudaKernel,
  type KernelArguments,
  sizeOf,
  type Workspace,
  withWorkspace,
} from './kernel.js';
import { broadcastTo, fill } from './movement.js';

interface Attributes {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

interface FusedAttributes extends Attributes {
  readonly activation?: Activation;
  readonly leakyreluAlpha?: number;
}

/** A row-major product of plain matrices on the device. */
export interface MatrixProduct {
  readonly name: string;
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  /** Of what `c` held before. Default 0 */
  readonly beta?: number;
}

/** One float32 product, in TF32 where that was asked for. */
export function multiply(backend: CudaBackend, product: MatrixProduct): void {
  backend.driver.multiply({
    transposeA: false,
    transposeB: false,
    beta: 0,
    ...product,
    alpha: 1,
    count: 1,
    strideA: 0,
    strideB: 0,
    strideC: 0,
    precision: backend.options.tf32 ? 'tf32' : 'float32',
  });
}

/** A factor's matrices one after the other, or one for all. */
function strided(
  backend: CudaBackend,
  space: Workspace,
  x: TensorInfo,
  batch: readonly number[],
): { address: number; stride: number } {
  const own = x.shape.slice(0, -2);
  const matrix = x.shape.slice(-2);
  const count = sizeOf(own);
  const size = sizeOf(matrix);
  if (count === 1) return { address: backend.address(x), stride: 0 };
  if (count === sizeOf(batch)) return { address: backend.address(x), stride: size };
  const wide = space.keep(broadcastTo(backend, x, [...batch, ...matrix]));
  return { address: backend.address(wide), stride: size };
}

/** Products of two float32 tensors `[…, m, k]` and `[…, k, n]`. */
export function product(
  backend: CudaBackend,
  name: string,
  a: TensorInfo,
  b: TensorInfo,
  { transposeA, transposeB }: Attributes,
): TensorInfo {
  const [aRows, aColumns] = a.shape.slice(-2) as [number, number];
  const [bRows, bColumns] = b.shape.slice(-2) as [number, number];
  const [m, k] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const [kOfB, n] = transposeB ? [bColumns, bRows] : [bRows, bColumns];
  if (k !== kOfB) {
    throw new RangeError(
      `matMul: inner dimensions must agree, got shapes [${a.shape}] and [${b.shape}] with ` +
        `transposeA=${transposeA} and transposeB=${transposeB}`,
    );
  }
  const batch = broadcast_util.assertAndGetBroadcastShape(
    a.shape.slice(0, -2),
    b.shape.slice(0, -2),
  );
  const out = backend.makeOutput([...batch, m, n], 'float32');
  const count = sizeOf(batch);
  if (count * m * n === 0) return out;
  if (k === 0) {
    fill(backend, out, 0);
    return out;
  }
  // A batch that meets one right factor is one tall matrix.
  const tall = !transposeA && sizeOf(b.shape) === k * n;
  withWorkspace(backend, (space) => {
    const left = strided(backend, space, a, batch);
    const right = strided(backend, space, b, batch);
    const merged = tall && sizeOf(a.shape) === count * m * k;
    backend.driver.multiply({
      name,
      a: left.address,
      b: right.address,
      c: backend.address(out),
      m: merged ? count * m : m,
      n,
      k,
      transposeA,
      transposeB,
      alpha: 1,
      beta: 0,
      count: merged ? 1 : count,
      strideA: left.stride,
      strideB: right.stride,
      strideC: m * n,
      precision: backend.options.tf32 ? 'tf32' : 'float32',
    });
  });
  return out;
}

/** cuBLAS multiplies float32 only. */
const isFloat = ({ inputs }: KernelArguments<Attributes>) =>
  inputs.a!.dtype === 'float32' && inputs.b!.dtype === 'float32';

/** The kernels of this file. */
export const matMulKernels = (): KernelConfig[] => [
  cudaKernel<Attributes>('BatchMatMul', (args) => {
    if (!isFloat(args)) return onHost('BatchMatMul', args);
    const { inputs, attrs, backend } = args;
    return product(backend, 'BatchMatMul', inputs.a!, inputs.b!, attrs);
  }),
  cudaKernel<FusedAttributes>('_FusedMatMul', (args) => {
    if (!isFloat(args)) return onHost('_FusedMatMul', args);
    const { inputs, attrs, backend } = args;
    const out = product(backend, '_FusedMatMul', inputs.a!, inputs.b!, attrs);
    applyEpilogue(backend, out, {
      bias: inputs.bias,
      slope: inputs.preluActivationWeights,
      alpha: attrs.leakyreluAlpha,
      ...(attrs.activation && { activation: attrs.activation }),
    });
    return out;
  }),
];
