/**
 * Morphological dilation, `y[o] = max over taps of (x[o·stride + tap·dilation − pad] + w[tap])`, and its gradients.
 * tfjs's kernels have the same fault as its max pooling: windows whose sums are all negative came out wrong.
 */
import { backend_util, type KernelConfig, type TensorInfo } from '@tensorflow/tfjs-core';
import { floats, type KernelArguments, type WasmBackend, wasmKernel } from './heap.js';

interface Attributes {
  readonly strides: [number, number] | number;
  readonly pad: 'valid' | 'same';
  readonly dilations: [number, number] | number;
}

type Geometry = ReturnType<typeof backend_util.computeDilation2DInfo>;

/** Calls `visit` for each output element with the flat places in x and w that gave the maximum. */
function eachMaximum(
  g: Geometry,
  x: Float32Array | Int32Array | Uint8Array,
  w: Float32Array | Int32Array | Uint8Array,
  visit: (out: number, place: number, tap: number) => void,
): void {
  const { inChannels, inHeight, inWidth } = g;
  let out = 0;
  for (let image = 0; image < g.batchSize; image++) {
    for (let oy = 0; oy < g.outHeight; oy++) {
      for (let ox = 0; ox < g.outWidth; ox++) {
        for (let c = 0; c < inChannels; c++, out++) {
          let [place, tap, greatest] = [0, 0, Number.NEGATIVE_INFINITY];
          for (let i = 0; i < g.filterHeight; i++) {
            const y = oy * g.strideHeight - g.padInfo.top + i * g.dilationHeight;
            if (y < 0 || y >= inHeight) continue;
            for (let j = 0; j < g.filterWidth; j++) {
              const column = ox * g.strideWidth - g.padInfo.left + j * g.dilationWidth;
              if (column < 0 || column >= inWidth) continue;
              const from = ((image * inHeight + y) * inWidth + column) * inChannels + c;
              const by = (i * g.filterWidth + j) * inChannels + c;
              const value = x[from]! + w[by]!;
              if (value > greatest) [greatest, place, tap] = [value, from, by];
            }
          }
          visit(out, place, tap);
        }
      }
    }
  }
}

function setting({ inputs, attrs, backend }: KernelArguments<Attributes>) {
  const [x, filter] = [inputs.x!, inputs.filter!];
  const g = backend_util.computeDilation2DInfo(
    x.shape as [number, number, number, number],
    filter.shape as [number, number, number],
    attrs.strides,
    attrs.pad,
    'NHWC',
    attrs.dilations,
  );
  const views = (b: WasmBackend) =>
    [b.typedArrayFromHeap(x), b.typedArrayFromHeap(filter)] as const;
  return { x, filter, g, views, backend };
}

function dilation2d(args: KernelArguments<Attributes>): TensorInfo {
  const { x, g, views, backend } = setting(args);
  const out = backend.makeOutput(g.outShape, x.dtype);
  const [xs, ws] = views(backend);
  const to = backend.typedArrayFromHeap(out);
  eachMaximum(g, xs, ws, (index, place, tap) => {
    to[index] = xs[place]! + ws[tap]!;
  });
  return out;
}

/** Each output's gradient goes to the element of x, or of w, that gave it. */
const gradient =
  (of: 'x' | 'filter') =>
  (args: KernelArguments<Attributes>): TensorInfo => {
    const { x, filter, g, views, backend } = setting(args);
    const out = backend.makeOutput((of === 'x' ? x : filter).shape, 'float32');
    const [xs, ws] = views(backend);
    const dy = floats(backend, args.inputs.dy!);
    const sums = floats(backend, out).fill(0);
    eachMaximum(g, xs, ws, (index, place, tap) => {
      sums[of === 'x' ? place : tap]! += dy[index]!;
    });
    return out;
  };

/** The kernels of this file. */
export const dilationKernels = (): KernelConfig[] => [
  wasmKernel<Attributes>('Dilation2D', dilation2d),
  wasmKernel<Attributes>('Dilation2DBackpropInput', gradient('x')),
  wasmKernel<Attributes>('Dilation2DBackpropFilter', gradient('filter')),
];
