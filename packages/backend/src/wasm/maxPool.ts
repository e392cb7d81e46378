/**
 * Max pooling whose windows may hold only negative numbers: tfjs's kernels in `MaxPoolGrad`, `MaxPool3D` and
 * `MaxPool3DGrad` start their maximum at the least positive float, so such windows gave no gradient, or a wrong maximum
 * (found by finite differences). Two dimensions are three with a depth of one.
 */
import { backend_util, type KernelConfig, type TensorInfo } from '@tensorflow/tfjs-core';
import { floats, type KernelArguments, wasmKernel } from './heap.js';

type Triple = readonly [number, number, number];

interface Geometry {
  readonly batchSize: number;
  readonly channels: number;
  readonly inSize: Triple;
  readonly outSize: Triple;
  readonly outShape: number[];
  readonly window: Triple;
  readonly stride: Triple;
  readonly dilation: Triple;
  readonly pad: Triple;
}

interface Attributes {
  readonly filterSize: never;
  readonly strides: never;
  readonly pad: never;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
  readonly dataFormat?: 'NDHWC' | 'NCDHW';
}

function geometry2D(shape: number[], attrs: Attributes): Geometry {
  const { filterSize, strides, pad, dimRoundingMode } = attrs;
  const info = backend_util.computePool2DInfo(
    shape as [number, number, number, number],
    filterSize,
    strides,
    1,
    pad,
    dimRoundingMode,
  );
  return {
    batchSize: info.batchSize,
    channels: info.inChannels,
    inSize: [1, info.inHeight, info.inWidth],
    outSize: [1, info.outHeight, info.outWidth],
    outShape: info.outShape,
    window: [1, info.effectiveFilterHeight, info.effectiveFilterWidth],
    stride: [1, info.strideHeight, info.strideWidth],
    dilation: [1, info.dilationHeight, info.dilationWidth],
    pad: [0, info.padInfo.top, info.padInfo.left],
  };
}

function geometry3D(shape: number[], attrs: Attributes): Geometry {
  const { filterSize, strides, pad, dimRoundingMode, dataFormat } = attrs;
  const info = backend_util.computePool3DInfo(
    shape as [number, number, number, number, number],
    filterSize,
    strides,
    1,
    pad,
    dimRoundingMode,
    dataFormat,
  );
  return {
    batchSize: info.batchSize,
    channels: info.inChannels,
    inSize: [info.inDepth, info.inHeight, info.inWidth],
    outSize: [info.outDepth, info.outHeight, info.outWidth],
    outShape: info.outShape,
    window: [info.effectiveFilterDepth, info.effectiveFilterHeight, info.effectiveFilterWidth],
    stride: [info.strideDepth, info.strideHeight, info.strideWidth],
    dilation: [info.dilationDepth, info.dilationHeight, info.dilationWidth],
    pad: [info.padInfo.front, info.padInfo.top, info.padInfo.left],
  };
}

/**
 * Finds the place of each window's maximum, the first of equals, and calls `visit` for each output element with the
 * flat index of that place (−1 if the window lies wholly in the padding).
 */
function eachMaximum(
  g: Geometry,
  x: Float32Array | Int32Array | Uint8Array,
  visit: (out: number, place: number) => void,
): void {
  const [inDepth, inHeight, inWidth] = g.inSize;
  const [outDepth, outHeight, outWidth] = g.outSize;
  const { channels } = g;
  let out = 0;
  for (let image = 0; image < g.batchSize; image++) {
    for (let od = 0; od < outDepth; od++) {
      const d0 = od * g.stride[0] - g.pad[0];
      for (let oy = 0; oy < outHeight; oy++) {
        const y0 = oy * g.stride[1] - g.pad[1];
        for (let ox = 0; ox < outWidth; ox++) {
          const x0 = ox * g.stride[2] - g.pad[2];
          for (let c = 0; c < channels; c++, out++) {
            let [place, greatest] = [-1, Number.NEGATIVE_INFINITY];
            for (let i = 0; i < g.window[0]; i += g.dilation[0]) {
              const d = d0 + i;
              if (d < 0 || d >= inDepth) continue;
              for (let j = 0; j < g.window[1]; j += g.dilation[1]) {
                const y = y0 + j;
                if (y < 0 || y >= inHeight) continue;
                const line = ((image * inDepth + d) * inHeight + y) * inWidth;
                for (let k = 0; k < g.window[2]; k += g.dilation[2]) {
                  const column = x0 + k;
                  if (column < 0 || column >= inWidth) continue;
                  const index = (line + column) * channels + c;
                  const value = x[index]!;
                  // The second condition lets a window of −Infinity have a place, the third lets NaN through.
                  if (value > greatest || place < 0 || Number.isNaN(value)) {
                    if (Number.isNaN(greatest)) continue;
                    greatest = value;
                    place = index;
                  }
                }
              }
            }
            visit(out, place);
          }
        }
      }
    }
  }
}

function maxPool(g: Geometry, { inputs, backend }: KernelArguments<Attributes>): TensorInfo {
  const x = inputs.x!;
  const out = backend.makeOutput(g.outShape, x.dtype);
  const from = backend.typedArrayFromHeap(x);
  const to = backend.typedArrayFromHeap(out);
  eachMaximum(g, from, (index, place) => {
    to[index] = place < 0 ? Number.NEGATIVE_INFINITY : from[place]!;
  });
  return out;
}

function maxPoolGrad(g: Geometry, { inputs, backend }: KernelArguments<Attributes>): TensorInfo {
  const [dy, input] = [inputs.dy!, inputs.input!];
  const out = backend.makeOutput(input.shape, 'float32');
  const [x, dys] = [backend.typedArrayFromHeap(input), floats(backend, dy)];
  const dx = floats(backend, out).fill(0);
  eachMaximum(g, x, (index, place) => {
    if (place >= 0) dx[place]! += dys[index]!;
  });
  return out;
}

/** The kernels of this file. */
export const maxPoolKernels = (): KernelConfig[] => [
  wasmKernel<Attributes>('MaxPoolGrad', (args) =>
    maxPoolGrad(geometry2D(args.inputs.input!.shape, args.attrs), args),
  ),
  wasmKernel<Attributes>('MaxPool3D', (args) =>
    maxPool(geometry3D(args.inputs.x!.shape, args.attrs), args),
  ),
  wasmKernel<Attributes>('MaxPool3DGrad', (args) =>
    maxPoolGrad(geometry3D(args.inputs.input!.shape, args.attrs), args),
  ),
];
