/**
 * `BatchMatMul` and `_FusedMatMul`: every transposition, batch and epilogue in one native call on the heap.
 */
import { broadcast_util, type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { floats, type HeapBackend, heapAddress, offsetOf } from '../heap.js';
import type { OnnxGraph } from '../native/onnxModel.js';
import { nativeRuntime } from '../runtime.js';
import {
  type Activation,
  type Epilogue,
  epilogueKey,
  hasEpilogue,
  NO_EPILOGUE,
  withEpilogue,
} from './activation.js';
import { type KernelArguments, type NodeKernel, nativeKernel } from './kernel.js';

/**
 * Multiplications up to which a product is left to the wasm kernel, because a native call costs 2 µs more: measured, see
 * the README. XNNPACK takes one untransposed product at a time; the rest runs in slower code there.
 */
const SMALL = { plain: 32 ** 3, other: 12 ** 3 };

interface Attributes {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

interface FusedAttributes extends Attributes {
  readonly activation?: Activation;
  readonly leakyreluAlpha?: number;
}

interface Plan extends Attributes {
  readonly m: number;
  readonly k: number;
  readonly n: number;
  /** Shapes as the product sees them: a batch that meets one right factor is one tall matrix. */
  readonly aShape: readonly number[];
  readonly bShape: readonly number[];
  /** The batch of the result, and the number of products in it. */
  readonly batch: readonly number[];
  readonly count: number;
}

function plan(a: TensorInfo, b: TensorInfo, { transposeA, transposeB }: Attributes): Plan {
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
  const aBatch = a.shape.slice(0, -2);
  const bBatch = b.shape.slice(0, -2);
  const batch = broadcast_util.assertAndGetBroadcastShape(aBatch, bBatch);
  const count = util.sizeFromShape(batch);
  const shared = util.sizeFromShape(bBatch) === 1;
  const tall = shared && (!transposeA || count === 1);
  return {
    transposeA,
    transposeB,
    m,
    k,
    n,
    aShape: tall ? [(count * m * k) / aColumns, aColumns] : a.shape,
    bShape: tall ? [bRows, bColumns] : b.shape,
    batch,
    count,
  };
}

function graph(transposeA: boolean, transposeB: boolean): OnnxGraph {
  return {
    inputs: ['a', 'b'],
    outputs: ['product'],
    nodes: [
      {
        operator: 'FusedMatMul',
        domain: 'com.microsoft',
        inputs: ['a', 'b'],
        outputs: ['product'],
        attributes: { transA: Number(transposeA), transB: Number(transposeB) },
      },
    ],
  };
}

/** A product on the heap: shapes are those of the factors as stored, two-dimensional or with batches. */
export interface Product {
  readonly a: TensorInfo;
  readonly aShape: readonly number[];
  readonly b: TensorInfo;
  readonly bShape: readonly number[];
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly out: TensorInfo;
  /** Bias and activation; their tensors follow in `further`. */
  readonly epilogue?: Epilogue;
  readonly further?: readonly TensorInfo[];
}

/** Computes a product into `out`, whose tensors all exist: nothing is allocated here. */
export function multiply(backend: HeapBackend, product: Product): void {
  const { a, aShape, b, bShape, transposeA = false, transposeB = false, out } = product;
  const { epilogue = NO_EPILOGUE, further = [] } = product;
  const { foreign, onnx, blas } = nativeRuntime();
  const base = heapAddress(foreign, backend);
  const address = (info: TensorInfo) => base + offsetOf(backend, info);
  const left = { address: address(a), shape: aShape };
  const right = { address: address(b), shape: bShape };
  const flat = aShape.length === 2 && bShape.length === 2;
  const m = aShape.at(transposeA ? -1 : -2)!;
  const k = aShape.at(transposeA ? -2 : -1)!;
  const n = bShape.at(transposeB ? -2 : -1)!;
  const result = { address: address(out), shape: flat ? [m, n] : out.shape };
  if (blas && flat && !hasEpilogue(epilogue)) {
    const [pa, pb, pc] = [left.address, right.address, result.address];
    blas.multiply({ transposeA, transposeB, m, n, k, a: pa, b: pb, c: pc });
    return;
  }
  const form = `${Number(transposeA)}${Number(transposeB)}`;
  const program = onnx.program(`matMul${form}${epilogueKey(epilogue)}`, () =>
    withEpilogue(graph(transposeA, transposeB), epilogue),
  );
  const extras = further.map((info) => ({ address: address(info), shape: info.shape }));
  program([left, right, ...extras], [result]);
}

function float32Factors(
  caller: string,
  { a, b }: KernelArguments<Attributes>['inputs'],
): [TensorInfo, TensorInfo] {
  if (a!.dtype !== 'float32' || b!.dtype !== 'float32') {
    throw new TypeError(`${caller}: both factors must be float32, got ${a!.dtype} and ${b!.dtype}`);
  }
  return [a!, b!];
}

/** Decided before anything is planned, since planning is a good part of what a small product costs. */
function isSmallMatrixProduct(a: number[], b: number[], attrs: Attributes): boolean {
  if (a.length !== 2 || b.length !== 2 || attrs.transposeA || attrs.transposeB) return false;
  return a[1] === b[0] && a[0]! * a[1]! * b[1]! <= SMALL.plain;
}

function batchMatMul(args: KernelArguments<Attributes>, wasm: NodeKernel<Attributes>): TensorInfo {
  const { inputs, attrs, backend } = args;
  const [a, b] = float32Factors('matMul', inputs);
  if (isSmallMatrixProduct(a.shape, b.shape, attrs)) return wasm(args);
  const planned = plan(a, b, attrs);
  const { m, k, n, batch, count } = planned;
  if (count * m * k * n <= SMALL.other) return wasm(args);
  const out = backend.makeOutput([...batch, m, n], 'float32');
  if (count * m * n === 0) return out;
  if (k === 0) floats(backend, out).fill(0);
  else multiply(backend, { a, b, out, ...planned });
  return out;
}

function fusedMatMul(args: KernelArguments<FusedAttributes>): TensorInfo {
  const { inputs, attrs, backend } = args;
  const [a, b] = float32Factors('fused.matMul', inputs);
  const { bias, preluActivationWeights: slope } = inputs;
  const { activation = 'linear', leakyreluAlpha: alpha = 0 } = attrs;
  const planned = plan(a, b, attrs);
  const { m, k, n, batch, count } = planned;
  if (k === 0 && count * m * n > 0) return withZeroProduct(args, [...batch, m, 1], [1, n]);
  const epilogue: Epilogue = { bias: Boolean(bias), activation, alpha };
  const out = backend.makeOutput([...batch, m, n], 'float32');
  if (count * m * n === 0) return out;
  const further = [bias, activation === 'prelu' ? slope : undefined].filter((x) => x != null);
  // A bias or slope with more axes than one follows the result's own shape, not the tall one.
  const wide = further.some(({ shape }) => shape.length > 1);
  const shaped = wide ? { ...planned, aShape: a.shape, bShape: b.shape } : planned;
  multiply(backend, { a, b, out, ...shaped, epilogue, further });
  return out;
}

/** Nothing to sum over: ONNX Runtime would leave the product unwritten, so it gets zeros to multiply. */
function withZeroProduct(
  { inputs, attrs, backend }: KernelArguments<FusedAttributes>,
  aShape: number[],
  bShape: number[],
): TensorInfo {
  const [a, b] = [aShape, bShape].map((shape) => backend.makeOutput(shape, 'float32'));
  for (const zeros of [a!, b!]) floats(backend, zeros).fill(0);
  const plain = { ...attrs, transposeA: false, transposeB: false };
  const out = fusedMatMul({ inputs: { ...inputs, a, b }, attrs: plain, backend });
  for (const zeros of [a!, b!]) backend.disposeData(zeros.dataId);
  return out;
}

/** The kernels of this file. */
export const matMulKernels = (): KernelConfig[] => [
  nativeKernel<Attributes>('BatchMatMul', batchMatMul),
  nativeKernel<FusedAttributes>('_FusedMatMul', fusedMatMul),
];
