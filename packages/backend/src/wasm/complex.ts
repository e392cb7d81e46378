/**
 * complex64 on the wasm heap: real and imaginary parts interleaved, 8 bytes an element, in one block under one data id.
 * So reference counts, `reshape`, `clone`, disposal and moves between backends work as for every other dtype, and
 * nothing else has to be kept alive. (tfjs's cpu backend keeps a pair of float32 tensors instead.)
 *
 * Kernels that move elements without looking at them take a complex tensor as a float32 one with a last axis of 2.
 */
import { broadcast_util, type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import {
  callKernel,
  floats,
  type KernelArguments,
  overriddenKernel,
  relabel,
  type WasmBackend,
  wasmKernel,
} from './heap.js';

const isComplex = (info: TensorInfo) => info.dtype === 'complex64';

const patched = new WeakSet<WasmBackend>();

/** Teaches the backend object to read complex64, which its own switch over dtypes leaves out. */
function readComplex(backend: WasmBackend): void {
  if (patched.has(backend)) return;
  patched.add(backend);
  const { readSync, typedArrayFromHeap } = backend;
  backend.readSync = (dataId, start, end) => {
    const { dtype, memoryOffset, shape } = backend.dataIdMap.get(dataId);
    if (dtype !== 'complex64') return readSync.call(backend, dataId, start, end);
    const [first, last] = [start || 0, end || util.sizeFromShape(shape)];
    const { buffer } = backend.wasm.HEAPU8;
    return new Float32Array(buffer, memoryOffset + 8 * first, 2 * (last - first)).slice();
  };
  backend.typedArrayFromHeap = (info) =>
    isComplex(info) ? floats(backend, info) : typedArrayFromHeap.call(backend, info);
}

function complex({ inputs, backend }: KernelArguments): TensorInfo {
  const [real, imag] = [inputs.real!, inputs.imag!];
  const out = backend.makeOutput(real.shape, 'complex64');
  // int32 parts are allowed by tf.complex; the views differ, the loop does not.
  const re = backend.typedArrayFromHeap(real);
  const im = backend.typedArrayFromHeap(imag);
  const z = floats(backend, out);
  for (let i = 0; i < re.length; i++) {
    z[2 * i] = re[i]!;
    z[2 * i + 1] = im[i]!;
  }
  return out;
}

/** `Real` (part 0) and `Imag` (part 1). */
const partOf =
  (part: 0 | 1) =>
  ({ inputs, backend }: KernelArguments): TensorInfo => {
    const input = inputs.input!;
    const out = backend.makeOutput(input.shape, 'float32');
    const z = floats(backend, input);
    const x = floats(backend, out);
    for (let i = 0; i < x.length; i++) x[i] = z[2 * i + part]!;
    return out;
  };

function complexAbs({ inputs, backend }: KernelArguments): TensorInfo {
  const z = inputs.x!;
  const out = backend.makeOutput(z.shape, 'float32');
  const parts = floats(backend, z);
  const x = floats(backend, out);
  // In float64 the squares of float32 numbers neither overflow nor vanish.
  for (let i = 0; i < x.length; i++) x[i] = Math.sqrt(parts[2 * i]! ** 2 + parts[2 * i + 1]! ** 2);
  return out;
}

type ComplexBinary = (
  out: Float32Array,
  o: number,
  a: Float32Array,
  i: number,
  b: Float32Array,
  j: number,
) => void;

const BINARY: Record<'Add' | 'Sub' | 'Multiply', ComplexBinary> = {
  Add(out, o, a, i, b, j) {
    out[o] = a[i]! + b[j]!;
    out[o + 1] = a[i + 1]! + b[j + 1]!;
  },
  Sub(out, o, a, i, b, j) {
    out[o] = a[i]! - b[j]!;
    out[o + 1] = a[i + 1]! - b[j + 1]!;
  },
  Multiply(out, o, a, i, b, j) {
    out[o] = a[i]! * b[j]! - a[i + 1]! * b[j + 1]!;
    out[o + 1] = a[i]! * b[j + 1]! + a[i + 1]! * b[j]!;
  },
};

/** An arithmetic kernel that takes complex operands too; one real operand is made complex. */
function binaryKernel(name: keyof typeof BINARY): KernelConfig {
  const combine = BINARY[name];
  return overriddenKernel(name, (args, original) => {
    const { backend } = args;
    const [a, b] = [args.inputs.a!, args.inputs.b!];
    if (!isComplex(a) && !isComplex(b)) return original(args);
    const shape = broadcast_util.assertAndGetBroadcastShape(a.shape, b.shape);
    const made: TensorInfo[] = [];
    const asComplex = (x: TensorInfo) => {
      if (isComplex(x)) return x;
      const z = callKernel('Cast', { x }, { dtype: 'complex64' }, backend);
      made.push(z);
      return z;
    };
    const [za, zb] = [asComplex(a), asComplex(b)];
    const out = backend.makeOutput(shape, 'complex64');
    const [va, vb, vo] = [floats(backend, za), floats(backend, zb), floats(backend, out)];
    const aStep = broadcastIndex(a.shape, shape);
    const bStep = broadcastIndex(b.shape, shape);
    for (let o = 0; 2 * o < vo.length; o++) combine(vo, 2 * o, va, 2 * aStep(o), vb, 2 * bStep(o));
    for (const z of made) backend.disposeData(z.dataId);
    return out;
  });
}

/** Maps a flat index of the broadcast result to the flat index of an operand. */
function broadcastIndex(operand: number[], result: number[]): (index: number) => number {
  if (util.arraysEqual(operand, result)) return (index) => index;
  if (util.sizeFromShape(operand) === 1) return () => 0;
  const axes = operand.map((n, axis) => ({
    size: n,
    stride: n === 1 ? 0 : util.sizeFromShape(operand.slice(axis + 1)),
    every: util.sizeFromShape(result.slice(result.length - operand.length + axis + 1)),
  }));
  return (index) =>
    axes.reduce(
      (sum, { size, stride, every }) => sum + (Math.floor(index / every) % size) * stride,
      0,
    );
}

/** A tensor's complex numbers as pairs: float32 with a last axis of 2, over the same data. */
const pairs = (z: TensorInfo) => relabel(z, [...z.shape, 2], 'float32');

/** Turns a kernel's float32 result `[…, 2]` into the complex64 tensor that it holds. */
function unpair(backend: WasmBackend, info: TensorInfo): TensorInfo {
  const shape = info.shape.slice(0, -1);
  const entry = backend.dataIdMap.get(info.dataId);
  entry.dtype = 'complex64';
  entry.shape = shape;
  return { dataId: info.dataId, shape, dtype: 'complex64' };
}

/**
 * Lets a kernel that only moves elements take complex tensors. `extend` adapts its attributes to the last axis of 2;
 * axes must have been counted from the front.
 */
function movingKernel<Attributes extends object>(
  name: string,
  extend: (attrs: Attributes, rank: number) => Attributes,
): KernelConfig {
  return overriddenKernel<Attributes>(name, (args, original) => {
    const list = Object.values(args.inputs);
    if (!list.some(isComplex)) return original(args);
    // Concat and Pack have arrays of inputs, the others one named input (and perhaps real indices).
    const inputs = (
      Array.isArray(args.inputs)
        ? args.inputs.map(pairs)
        : Object.fromEntries(
            Object.entries(args.inputs).map(([key, x]) => [key, isComplex(x) ? pairs(x) : x]),
          )
    ) as Record<string, TensorInfo>;
    const attrs = extend(args.attrs, list[0]!.shape.length);
    const out = original({ ...args, inputs, attrs });
    return Array.isArray(out) ? out.map((x) => unpair(args.backend, x)) : unpair(args.backend, out);
  });
}

type Axis = { axis: number };
const fromFront = <A extends Axis>(attrs: A, rank: number): A => ({
  ...attrs,
  axis: attrs.axis < 0 ? attrs.axis + rank : attrs.axis,
});

interface CastAttributes {
  readonly dtype: TensorInfo['dtype'];
}

function cast({ inputs, attrs, backend }: KernelArguments<CastAttributes>): TensorInfo {
  const x = inputs.x!;
  const { dtype } = attrs;
  if (x.dtype === dtype) {
    backend.incRef(x.dataId);
    return relabel(x, x.shape);
  }
  if (isComplex(x) && dtype !== 'complex64') {
    const real = partOf(0)({ inputs: { input: x }, attrs, backend });
    if (dtype === 'float32') return real;
    const out = cast({ inputs: { x: real }, attrs, backend });
    backend.disposeData(real.dataId);
    return out;
  }
  const out = backend.makeOutput(x.shape, dtype);
  const from = backend.typedArrayFromHeap(x);
  const to = backend.typedArrayFromHeap(out);
  if (dtype === 'complex64') {
    for (let i = 0; i < from.length; i++) {
      to[2 * i] = from[i]!;
      to[2 * i + 1] = 0;
    }
  } else if (dtype === 'bool') {
    // tfjs's kernel copies float32 into bytes, which makes 0.5 and 256 false.
    for (let i = 0; i < from.length; i++) to[i] = from[i] === 0 ? 0 : 1;
  } else {
    to.set(from);
  }
  return out;
}

function onesLike({ inputs, backend }: KernelArguments): TensorInfo {
  const x = inputs.x!;
  const out = backend.makeOutput(x.shape, x.dtype);
  const values = backend.typedArrayFromHeap(out).fill(1);
  if (isComplex(x)) for (let i = 1; i < values.length; i += 2) values[i] = 0;
  return out;
}

/** The kernels of this file, to be registered after tfjs's own (and after ours for moving elements). */
export const complexKernels = (): KernelConfig[] => [
  wasmKernel('Complex', complex, readComplex),
  wasmKernel('Real', partOf(0)),
  wasmKernel('Imag', partOf(1)),
  wasmKernel('ComplexAbs', complexAbs),
  wasmKernel('OnesLike', onesLike),
  wasmKernel<CastAttributes>('Cast', cast),
  binaryKernel('Add'),
  binaryKernel('Sub'),
  binaryKernel('Multiply'),
  movingKernel<Axis>('Concat', fromFront),
  movingKernel<Axis>('Pack', fromFront),
  movingKernel<Axis>('Unpack', fromFront),
  movingKernel<Axis>('SplitV', fromFront),
  movingKernel<{ perm: number[] }>('Transpose', ({ perm }, rank) => ({ perm: [...perm, rank] })),
  movingKernel<{ begin: number | number[]; size?: number | number[] }>('Slice', (attrs, rank) => {
    const full = (x: number | number[] | undefined, fill: number) => {
      const given = x === undefined ? [] : typeof x === 'number' ? [x] : x;
      return [...given, ...new Array(rank - given.length).fill(fill)];
    };
    return { begin: [...full(attrs.begin, 0), 0], size: [...full(attrs.size, -1), 2] };
  }),
];
