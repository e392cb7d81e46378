/**
 * `BatchMatMul` and `_FusedMatMul`: every transposition, batch and epilogue in one native call on the heap.
 */
import { broadcast_util, type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { floats, type HeapBackend, heapAddress, offsetOf } from '../heap.js';
import type { OnnxGraph } from '../native/onnxModel.js';
import type { Operand } from '../native/program.js';
import { nativeRuntime } from '../runtime.js';
import {
  type Activation,
  type Epilogue,
  epilogueKey,
  hasEpilogue,
  withEpilogue,
} from './activation.js';
import { type KernelArguments, type NodeKernel, nativeKernel } from './kernel.js';

/** Multiplications up to which one untransposed product is left to XNNPACK on wasm: measured, see the README. */
const SMALL = 16 ** 3;

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

const NOTHING: Epilogue = { bias: false, activation: 'linear', alpha: 0 };

/** Runs a planned product into `out`; `further` are the epilogue's inputs. */
function run(
  backend: HeapBackend,
  [a, b, ...further]: TensorInfo[],
  out: TensorInfo,
  planned: Plan,
  epilogue: Epilogue,
): void {
  const { transposeA, transposeB, aShape, bShape, m, k, n } = planned;
  const { foreign, onnx, blas } = nativeRuntime();
  const base = heapAddress(foreign, backend);
  const operand = (info: TensorInfo, shape: readonly number[] = info.shape): Operand => ({
    address: base + offsetOf(backend, info),
    shape,
  });
  const [left, right] = [operand(a!, aShape), operand(b!, bShape)];
  const flat = aShape.length === 2 && bShape.length === 2;
  const rows = transposeA ? m : aShape[0]!;
  const result = operand(out, flat ? [rows, n] : out.shape);
  if (blas && flat && !hasEpilogue(epilogue)) {
    blas.multiply({
      transposeA,
      transposeB,
      m: rows,
      n,
      k,
      a: left.address,
      b: right.address,
      c: result.address,
    });
    return;
  }
  const form = `${Number(transposeA)}${Number(transposeB)}`;
  const program = onnx.program(`matMul${form}${epilogueKey(epilogue)}`, () =>
    withEpilogue(graph(transposeA, transposeB), epilogue),
  );
  program([left, right, ...further.map((info) => operand(info))], [result]);
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

function batchMatMul(args: KernelArguments<Attributes>, wasm: NodeKernel<Attributes>): TensorInfo {
  const { inputs, attrs, backend } = args;
  const [a, b] = float32Factors('matMul', inputs);
  const planned = plan(a, b, attrs);
  const { m, k, n, batch, count } = planned;
  const small = count * m * k * n <= SMALL;
  if (small && !attrs.transposeA && !attrs.transposeB && count === 1) return wasm(args);
  const out = backend.makeOutput([...batch, m, n], 'float32');
  if (count * m * n === 0) return out;
  if (k === 0) floats(backend, out).fill(0);
  else run(backend, [a, b], out, planned, NOTHING);
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
  run(backend, [a, b, ...further], out, shaped, epilogue);
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
