/**
 * Gradients of `conv2d` and `conv3d` as matrix products (im2col): with the patches of x as a matrix
 * `P [pixels, taps·inChannels]` the convolution is `y = P W`, so `dW = Pᵀ dy` and `dP = dy Wᵀ`. Patches are made a few
 * at a time, in bounded scratch. Two dimensions are three with a depth of one.
 *
 * tfjs's wasm backend lacks `Conv2DBackpropFilter`; its `Conv2DBackpropInput` is a scalar loop, and its two kernels for
 * `conv3d` give wrong numbers (found by finite differences).
 */
import { backend_util, type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { addressOf, floats, type KernelArguments, wasmKernel, withScratch } from './heap.js';
import { heapWords, rightFactor, transposeMatrices } from './matrixProduct.js';

/** Most float32 numbers of scratch that patches may take at a time: 4 MiB, so that they stay near the cache. */
const PATCH_NUMBERS = 1 << 20;

/** Sizes along depth, height and width. */
type Triple = readonly [number, number, number];

interface Geometry {
  readonly batchSize: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly inSize: Triple;
  readonly outSize: Triple;
  readonly filterSize: Triple;
  readonly stride: Triple;
  /** Padding before the first element. */
  readonly pad: Triple;
  readonly isChannelsLast: boolean;
  readonly inShape: number[];
  readonly filterShape: number[];
}

const volume = ([depth, height, width]: Triple) => depth * height * width;

type Pad = Parameters<typeof backend_util.computeConv2DInfo>[4];

interface Attributes2D {
  readonly strides: [number, number] | number;
  readonly pad: Pad;
  readonly dataFormat: 'NHWC' | 'NCHW';
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

function geometry2D(inShape: number[], filterShape: number[], attrs: Attributes2D): Geometry {
  const info = backend_util.computeConv2DInfo(
    inShape as [number, number, number, number],
    filterShape as [number, number, number, number],
    attrs.strides,
    1,
    attrs.pad,
    attrs.dimRoundingMode,
    false,
    backend_util.convertConv2DDataFormat(attrs.dataFormat),
  );
  return {
    ...info,
    inSize: [1, info.inHeight, info.inWidth],
    outSize: [1, info.outHeight, info.outWidth],
    filterSize: [1, info.filterHeight, info.filterWidth],
    stride: [1, info.strideHeight, info.strideWidth],
    pad: [0, info.padInfo.top, info.padInfo.left],
    isChannelsLast: info.dataFormat === 'channelsLast',
  };
}

interface Attributes3D {
  readonly strides: [number, number, number] | number;
  readonly pad: 'valid' | 'same';
}

function geometry3D(inShape: number[], filterShape: number[], attrs: Attributes3D): Geometry {
  const info = backend_util.computeConv3DInfo(
    inShape as [number, number, number, number, number],
    filterShape as [number, number, number, number, number],
    attrs.strides,
    1,
    attrs.pad,
  );
  return {
    ...info,
    inSize: [info.inDepth, info.inHeight, info.inWidth],
    outSize: [info.outDepth, info.outHeight, info.outWidth],
    filterSize: [info.filterDepth, info.filterHeight, info.filterWidth],
    stride: [info.strideDepth, info.strideHeight, info.strideWidth],
    pad: [info.padInfo.front, info.padInfo.top, info.padInfo.left],
    isChannelsLast: true,
  };
}

/**
 * One row of Pᵀ: what one filter tap sees of one channel, for all output pixels of all images.
 * @param heap - images channel by channel, and the result; `source` is the channel's start in the first image
 */
function patchRow(g: Geometry, heap: Float32Array, source: number, tap: Triple, target: number) {
  const [inDepth, inHeight, inWidth] = g.inSize;
  const [outDepth, outHeight, outWidth] = g.outSize;
  // Output columns [first, last) see a column of the image; the rest see padding.
  const shift = tap[2] - g.pad[2];
  const step = g.stride[2];
  const first = Math.min(Math.max(0, Math.ceil(-shift / step)), outWidth);
  const last = Math.max(first, Math.min(outWidth, Math.ceil((inWidth - shift) / step)));
  let line = target;
  for (let image = 0; image < g.batchSize; image++) {
    const start = source + image * g.inChannels * volume(g.inSize);
    for (let od = 0; od < outDepth; od++) {
      const d = od * g.stride[0] + tap[0] - g.pad[0];
      for (let oy = 0; oy < outHeight; oy++, line += outWidth) {
        const y = oy * g.stride[1] + tap[1] - g.pad[1];
        if (d < 0 || d >= inDepth || y < 0 || y >= inHeight) {
          heap.fill(0, line, line + outWidth);
          continue;
        }
        const row = start + (d * inHeight + y) * inWidth + shift;
        for (let x = 0; x < first; x++) heap[line + x] = 0;
        for (let x = first; x < last; x++) heap[line + x] = heap[row + x * step]!;
        for (let x = last; x < outWidth; x++) heap[line + x] = 0;
      }
    }
  }
}

/** Depth, row and column of a filter tap. */
const tapAt = ([, height, width]: Triple, index: number): Triple => [
  Math.floor(index / (height * width)),
  Math.floor(index / width) % height,
  index % width,
];

function backpropFilter(
  g: Geometry,
  { inputs, backend }: Pick<KernelArguments, 'inputs' | 'backend'>,
): TensorInfo {
  const [x, dy] = [inputs.x!, inputs.dy!];
  const { inChannels, outChannels, batchSize } = g;
  const [inPlane, outPlane] = [volume(g.inSize), volume(g.outSize)];
  const pixels = batchSize * outPlane;
  const rows = volume(g.filterSize) * inChannels;
  const out = backend.makeOutput(g.filterShape, 'float32');
  if (pixels * rows * outChannels === 0) {
    floats(backend, out).fill(0);
    return out;
  }
  const rowsAtOnce = Math.max(1, Math.min(rows, Math.floor(PATCH_NUMBERS / pixels)));
  const copies = util.sizeFromShape((g.isChannelsLast ? x : dy).shape);
  withScratch(backend, copies + rowsAtOnce * pixels, (scratch) => {
    // The product wants x channel by channel and dy pixel by pixel; one of the two is stored the other way.
    const words = heapWords(backend);
    let [xAddress, dyAddress] = [addressOf(backend, x), addressOf(backend, dy)];
    if (g.isChannelsLast) {
      transposeMatrices(words, xAddress / 4, scratch / 4, batchSize, inPlane, inChannels);
      xAddress = scratch;
    } else {
      transposeMatrices(words, dyAddress / 4, scratch / 4, batchSize, outChannels, outPlane);
      dyAddress = scratch;
    }
    const patches = scratch + 4 * copies;
    const gradient = rightFactor(backend, dyAddress, pixels, outChannels);
    for (let start = 0; start < rows; start += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, rows - start);
      const heap = new Float32Array(backend.wasm.HEAPU8.buffer);
      for (let i = 0; i < count; i++) {
        const tap = tapAt(g.filterSize, Math.floor((start + i) / inChannels));
        const channel = xAddress / 4 + ((start + i) % inChannels) * inPlane;
        patchRow(g, heap, channel, tap, patches / 4 + i * pixels);
      }
      gradient.multiply(patches, count, addressOf(backend, out) + 4 * start * outChannels);
    }
    gradient.release();
  });
  return out;
}

/** Adds the gradients of `count` pixels' patches to the elements of x that the patches were made of. */
function addPatches(
  g: Geometry,
  dx: Float32Array,
  patches: Float32Array,
  firstPixel: number,
  count: number,
): void {
  const { inChannels, isChannelsLast } = g;
  const [inDepth, inHeight, inWidth] = g.inSize;
  const [filterDepth, filterHeight, filterWidth] = g.filterSize;
  const outPlane = volume(g.outSize);
  const inPlane = volume(g.inSize);
  let source = 0;
  for (let pixel = firstPixel; pixel < firstPixel + count; pixel++) {
    const image = Math.floor(pixel / outPlane);
    const [od, oy, ox] = tapAt(g.outSize, pixel % outPlane);
    for (let i = 0; i < filterDepth; i++) {
      const d = od * g.stride[0] + i - g.pad[0];
      for (let j = 0; j < filterHeight; j++) {
        const y = oy * g.stride[1] + j - g.pad[1];
        for (let k = 0; k < filterWidth; k++, source += inChannels) {
          const x = ox * g.stride[2] + k - g.pad[2];
          if (d < 0 || d >= inDepth || y < 0 || y >= inHeight || x < 0 || x >= inWidth) continue;
          const place = (d * inHeight + y) * inWidth + x;
          if (isChannelsLast) {
            const target = (image * inPlane + place) * inChannels;
            for (let c = 0; c < inChannels; c++) dx[target + c]! += patches[source + c]!;
          } else {
            let target = image * inChannels * inPlane + place;
            for (let c = 0; c < inChannels; c++, target += inPlane) {
              dx[target]! += patches[source + c]!;
            }
          }
        }
      }
    }
  }
}

function backpropInput(
  g: Geometry,
  { inputs, backend }: Pick<KernelArguments, 'inputs' | 'backend'>,
): TensorInfo {
  const [dy, filter] = [inputs.dy!, inputs.filter!];
  const { inChannels, outChannels, batchSize } = g;
  const outPlane = volume(g.outSize);
  const pixels = batchSize * outPlane;
  const rows = volume(g.filterSize) * inChannels;
  const out = backend.makeOutput(g.inShape, 'float32');
  floats(backend, out).fill(0);
  if (pixels * rows * outChannels === 0) return out;
  const dyCopy = g.isChannelsLast ? 0 : pixels * outChannels;
  const filterCopy = rows * outChannels;
  const pixelsAtOnce = Math.max(1, Math.min(pixels, Math.floor(PATCH_NUMBERS / rows)));
  withScratch(backend, dyCopy + filterCopy + pixelsAtOnce * rows, (scratch) => {
    const words = heapWords(backend);
    let dyAddress = addressOf(backend, dy);
    if (!g.isChannelsLast) {
      transposeMatrices(words, dyAddress / 4, scratch / 4, batchSize, outChannels, outPlane);
      dyAddress = scratch;
    }
    const transposed = scratch + 4 * dyCopy;
    const filterAddress = addressOf(backend, filter);
    transposeMatrices(words, filterAddress / 4, transposed / 4, 1, rows, outChannels);
    const patches = transposed + 4 * filterCopy;
    const weights = rightFactor(backend, transposed, outChannels, rows);
    for (let start = 0; start < pixels; start += pixelsAtOnce) {
      const count = Math.min(pixelsAtOnce, pixels - start);
      weights.multiply(dyAddress + 4 * start * outChannels, count, patches);
      const values = new Float32Array(backend.wasm.HEAPU8.buffer, patches, count * rows);
      addPatches(g, floats(backend, out), values, start, count);
    }
    weights.release();
  });
  return out;
}

type WithFilterShape<A> = A & { readonly filterShape: number[] };
type WithInputShape<A> = A & { readonly inputShape: number[] };

/** The kernels of this file. */
export const convolutionKernels = (): KernelConfig[] => [
  wasmKernel<WithFilterShape<Attributes2D>>('Conv2DBackpropFilter', (args) =>
    backpropFilter(geometry2D(args.inputs.x!.shape, args.attrs.filterShape, args.attrs), args),
  ),
  wasmKernel<WithInputShape<Attributes2D>>('Conv2DBackpropInput', (args) =>
    backpropInput(geometry2D(args.attrs.inputShape, args.inputs.filter!.shape, args.attrs), args),
  ),
  wasmKernel<WithFilterShape<Attributes3D>>('Conv3DBackpropFilterV2', (args) =>
    backpropFilter(geometry3D(args.inputs.x!.shape, args.attrs.filterShape, args.attrs), args),
  ),
  wasmKernel<WithInputShape<Attributes3D>>('Conv3DBackpropInputV2', (args) =>
    backpropInput(geometry3D(args.attrs.inputShape, args.inputs.filter!.shape, args.attrs), args),
  ),
];
