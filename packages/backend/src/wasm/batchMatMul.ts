/**
 * `BatchMatMul` and `_FusedMatMul` for training. tfjs sends to XNNPACK only one product without transposes; every
 * gradient of `matMul` has a transpose and every attention layer a batch, and those ran in a plain loop some 12 times
 * slower. Here factors are transposed explicitly and each product of a batch goes to XNNPACK.
 *
 * It also mends a wrong result: tfjs keeps XNNPACK's packing of a right factor under its data id alone, so a matrix
 * that was reshaped between two products was read under its first shape.
 */
import { broadcast_util, type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import {
  addressOf,
  callKernel,
  floats,
  type KernelArguments,
  overriddenKernel,
  relabel,
  type WasmBackend,
  withScratch,
} from './heap.js';
import { heapWords, rightFactor, transposeMatrices } from './matrixProduct.js';

interface Attributes {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** Measured nanoseconds: what decides between XNNPACK and tfjs's loop. */
const COST = { loop: 0.77, xnnpack: 0.065, transpose: 1.5, pack: 1.5, call: 3000 };

/** Shape in which XNNPACK's packing of a right factor is kept by tfjs, by data id. */
const packedShapes = new WeakMap<object, string>();

function plan({ a, b }: { a: TensorInfo; b: TensorInfo }, { transposeA, transposeB }: Attributes) {
  const [aRows, aColumns] = a.shape.slice(-2) as [number, number];
  const [bRows, bColumns] = b.shape.slice(-2) as [number, number];
  const [m, k] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const [kOfB, n] = transposeB ? [bColumns, bRows] : [bRows, bColumns];
  if (k !== kOfB) {
    throw new Error(
      `matMul: inner dimensions must agree, got shapes [${a.shape}] and [${b.shape}] with ` +
        `transposeA=${transposeA} and transposeB=${transposeB}`,
    );
  }
  const [aBatch, bBatch] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  const batch = broadcast_util.assertAndGetBroadcastShape(aBatch, bBatch);
  return { m, k, n, aBatch, bBatch, batch, count: util.sizeFromShape(batch) };
}

/** For each product of the broadcast batch, which matrix of an operand it takes. */
function slicesOf(operand: number[], batch: number[]): Int32Array {
  const indices = new Int32Array(util.sizeFromShape(batch));
  const padded = [...new Array(batch.length - operand.length).fill(1), ...operand];
  const strides = padded.map((n, i) => (n === 1 ? 0 : util.sizeFromShape(padded.slice(i + 1))));
  for (let index = 0; index < indices.length; index++) {
    let rest = index;
    for (let axis = batch.length - 1; axis >= 0; axis--) {
      indices[index]! += (rest % batch[axis]!) * strides[axis]!;
      rest = Math.floor(rest / batch[axis]!);
    }
  }
  return indices;
}

function batchMatMul(
  { inputs, attrs, backend }: KernelArguments<Attributes>,
  original: (args: KernelArguments<Attributes>) => TensorInfo | TensorInfo[],
): TensorInfo {
  const [a, b] = [inputs.a!, inputs.b!];
  if (a.dtype !== 'float32' || b.dtype !== 'float32') {
    throw new TypeError(
      `matMul: both factors must be float32 on wasm, got ${a.dtype} and ${b.dtype}`,
    );
  }
  const { transposeA, transposeB } = attrs;
  const { m, k, n, aBatch, bBatch, batch, count } = plan({ a, b }, attrs);
  const outShape = [...batch, m, n];
  if (count * m * n === 0 || k === 0) {
    const out = backend.makeOutput(outShape, 'float32');
    floats(backend, out).fill(0);
    return out;
  }
  const plain = !transposeA && !transposeB;
  const single = count === 1 && util.sizeFromShape(aBatch) === 1;
  // One product without transposes: XNNPACK with a packing that serves as long as the right factor lives.
  if (plain && single && keepsShape(b, k, n)) {
    return original({ inputs, attrs, backend }) as TensorInfo;
  }
  const loop = COST.loop * m * k * n;
  const xnnpack =
    COST.xnnpack * m * k * n +
    COST.transpose * ((transposeA ? m * k : 0) + (transposeB ? k * n : 0)) +
    COST.pack * k * n +
    COST.call;
  if (loop < xnnpack && !(plain && single) && util.arraysEqual(aBatch, bBatch)) {
    return original({ inputs, attrs, backend }) as TensorInfo;
  }

  const out = backend.makeOutput(outShape, 'float32');
  const aCount = util.sizeFromShape(aBatch);
  const bCount = util.sizeFromShape(bBatch);
  const aScratch = transposeA ? aCount * m * k : 0;
  const bScratch = transposeB ? bCount * k * n : 0;
  const run = (scratch: number) => {
    const heap = heapWords(backend);
    let [aAddress, bAddress] = [addressOf(backend, a), addressOf(backend, b)];
    if (transposeA) {
      transposeMatrices(heap, aAddress / 4, scratch / 4, aCount, k, m);
      aAddress = scratch;
    }
    if (transposeB) {
      transposeMatrices(heap, bAddress / 4, scratch / 4 + aScratch, bCount, n, k);
      bAddress = scratch + 4 * aScratch;
    }
    const outAddress = addressOf(backend, out);
    if (bCount === 1 && aCount === count) {
      // One right factor for all: the batch is one tall matrix.
      multiply(backend, aAddress, bAddress, outAddress, count * m, k, n);
      return;
    }
    const aSlices = slicesOf(aBatch, batch);
    const bSlices = slicesOf(bBatch, batch);
    for (let i = 0; i < count; i++) {
      const left = aAddress + 4 * aSlices[i]! * m * k;
      const right = bAddress + 4 * bSlices[i]! * k * n;
      multiply(backend, left, right, outAddress + 4 * i * m * n, m, k, n);
    }
  };
  if (aScratch + bScratch > 0) withScratch(backend, aScratch + bScratch, run);
  else run(0);
  return out;
}

function multiply(
  backend: WasmBackend,
  left: number,
  right: number,
  out: number,
  m: number,
  k: number,
  n: number,
): void {
  const factor = rightFactor(backend, right, k, n);
  factor.multiply(left, m, out);
  factor.release();
}

/** Whether tfjs may keep a packing of `b` as `[k, n]`: not if it already keeps one of another shape. */
function keepsShape(b: TensorInfo, k: number, n: number): boolean {
  const shape = `${k},${n}`;
  const kept = packedShapes.get(b.dataId);
  if (kept === undefined) packedShapes.set(b.dataId, shape);
  return kept === undefined || kept === shape;
}

interface FusedAttributes extends Attributes {
  readonly activation: string;
  readonly leakyreluAlpha?: number;
}

/** tfjs's names of the kernels behind fused activations. */
const ACTIVATIONS: Record<string, string> = {
  relu: 'Relu',
  relu6: 'Relu6',
  elu: 'Elu',
  sigmoid: 'Sigmoid',
  prelu: 'Prelu',
  leakyrelu: 'LeakyRelu',
};

function fusedMatMul(
  { inputs, attrs, backend }: KernelArguments<FusedAttributes>,
  original: (args: KernelArguments<FusedAttributes>) => TensorInfo | TensorInfo[],
): TensorInfo {
  const [a, b] = [inputs.a!, inputs.b!];
  const { bias, preluActivationWeights } = inputs;
  const { transposeA, transposeB, activation, leakyreluAlpha = 0 } = attrs;
  const { m, k, n, aBatch, count } = plan({ a, b }, attrs);
  const single = count === 1 && util.sizeFromShape(aBatch) === 1 && m * k * n > 0;
  const vectorBias = bias === undefined || bias === null || bias.shape.length === 1;
  if (!transposeA && !transposeB && single && vectorBias && keepsShape(b, k, n)) {
    return original({ inputs, attrs, backend }) as TensorInfo;
  }
  let out = callKernel('BatchMatMul', { a, b }, { transposeA, transposeB }, backend);
  const replaceBy = (next: TensorInfo) => {
    backend.disposeData(out.dataId);
    out = next;
  };
  if (bias) replaceBy(callKernel('Add', { a: out, b: bias }, {}, backend));
  if (activation && activation !== 'linear') {
    const kernel = ACTIVATIONS[activation];
    if (!kernel) throw new RangeError(`fused.matMul: unknown activation '${activation}'`);
    replaceBy(
      activation === 'prelu'
        ? callKernel(kernel, { x: out, alpha: preluActivationWeights! }, {}, backend)
        : callKernel(kernel, { x: out }, { alpha: leakyreluAlpha }, backend),
    );
  }
  return relabel(out, out.shape);
}

/** The kernels of this file, to be registered after tfjs's own. */
export const matMulKernels = (): KernelConfig[] => [
  overriddenKernel<Attributes>('BatchMatMul', batchMatMul),
  overriddenKernel<FusedAttributes>('_FusedMatMul', fusedMatMul),
];
