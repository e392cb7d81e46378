/**
 * `Conv2D`, `FusedConv2D` and both gradients: each is a gather of pixels and a matrix product, in one native call for as
 * many images as keep the gathered pixels in the cache.
 */
import { backend_util, type KernelConfig, type TensorInfo } from '@tensorflow/tfjs-core';
import type { HeapBackend } from '../heap.js';
import type { Operand } from '../native/program.js';
import { type Activation, type Epilogue, epilogueKey, NO_EPILOGUE } from './activation.js';
import { filterGradient, gatherProduct, scatterProduct, turnFilter } from './convGraphs.js';
import { type KernelArguments, type NodeKernel, nativeKernel } from './kernel.js';
import { multiply } from './matMul.js';
import { operandsOf } from './operands.js';
import {
  forwardTaps,
  type Geometry,
  scatterTaps,
  type Taps,
  type Tile,
  tilesOf,
  transposedGeometry,
} from './taps.js';

type Info = backend_util.Conv2DInfo;

interface Attributes {
  readonly strides: [number, number] | number;
  readonly pad: 'valid' | 'same' | number | backend_util.ExplicitPadding;
  readonly dataFormat: 'NHWC' | 'NCHW';
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

interface ForwardAttributes extends Attributes {
  readonly dilations: [number, number] | number;
  readonly activation?: Activation;
  readonly leakyreluAlpha?: number;
}

/** Gathered numbers of one call: 1 MiB, so that what the gather writes is still in the cache for the product. */
const CHUNK = 2 ** 18;

/** Multiplications up to which a convolution, or a gradient of one, is left to the wasm kernel: measured. */
const SMALL = { forward: 2 ** 18, gradient: 2 ** 14 };

function convolution(
  xShape: number[],
  filterShape: number[],
  attrs: Attributes,
  dilations: ForwardAttributes['dilations'] = 1,
): Info {
  const { strides, pad, dimRoundingMode, dataFormat } = attrs;
  return backend_util.computeConv2DInfo(
    xShape as [number, number, number, number],
    filterShape as [number, number, number, number],
    strides,
    dilations,
    pad,
    dimRoundingMode,
    false,
    backend_util.convertConv2DDataFormat(dataFormat ?? 'NHWC'),
  );
}

function multiplications(info: Info): number {
  const taps = info.filterHeight * info.filterWidth * info.inChannels;
  return info.batchSize * info.outHeight * info.outWidth * taps * info.outChannels;
}

/** Whether the wasm kernel has to do it: other layouts, nothing to do, or too little to be worth a native call. */
function leaveToWasm(info: Info, pass: keyof typeof SMALL): boolean {
  return info.dataFormat !== 'channelsLast' || multiplications(info) <= SMALL[pass];
}

/** A filter of one pixel, without stride or padding: a matrix product. */
function isPointwise(info: Info): boolean {
  const { filterHeight, filterWidth, strideHeight, strideWidth, padInfo } = info;
  const { top, bottom, left, right } = padInfo;
  return (
    filterHeight * filterWidth * strideHeight * strideWidth === 1 &&
    top + bottom + left + right === 0
  );
}

/** All pixels of a pointwise convolution's input or output as rows of a matrix. */
const pixelRows = ({ batchSize, inHeight, inWidth }: Info, channels: number) => [
  batchSize * inHeight * inWidth,
  channels,
];
const matrixOf = ({ inChannels, outChannels }: Info) => [inChannels, outChannels];

const geometryOf = (info: Info): Geometry => ({
  inHeight: info.inHeight,
  inWidth: info.inWidth,
  outHeight: info.outHeight,
  outWidth: info.outWidth,
  filterHeight: info.filterHeight,
  filterWidth: info.filterWidth,
  strideHeight: info.strideHeight,
  strideWidth: info.strideWidth,
  dilationHeight: info.dilationHeight,
  dilationWidth: info.dilationWidth,
  padTop: info.padInfo.top,
  padLeft: info.padInfo.left,
});

/** Lists are made once a geometry; the oldest goes when there are many. */
const MOST_LISTS = 64;
const lists = new Map<string, Taps>();

function cachedTaps(kind: string, geometry: Geometry, make: (geometry: Geometry) => Taps): Taps {
  const key = `${kind}:${Object.values(geometry).join()}`;
  let list = lists.get(key);
  if (!list) {
    list = make(geometry);
    if (lists.size >= MOST_LISTS) lists.delete(lists.keys().next().value!);
    lists.set(key, list);
  }
  return list;
}

let zeroRows = new Float32Array(new ArrayBuffer(4096));

/** {@link operandsOf} with what convolutions add: lists of indices and rows of zeros. */
function operands(backend: HeapBackend) {
  const all = operandsOf(backend);
  return {
    ...all,
    indices: ({ indices, rows, columns }: Taps): Operand => all.array(indices, [rows, columns]),
    /** Rows of zeros, one for each of `images`. */
    zeros(images: number, channels: number): Operand {
      if (zeroRows.length < images * channels) {
        zeroRows = new Float32Array(new ArrayBuffer(8 * images * channels));
      }
      return all.array(zeroRows, [images, 1, channels]);
    },
  };
}

/** Calls `work(first, count)` for the images, as many at a time as gather about `CHUNK` numbers. */
function forChunks(images: number, perImage: number, work: (first: number, count: number) => void) {
  const size = Math.max(1, Math.min(images, Math.floor(CHUNK / perImage)));
  for (let first = 0; first < images; first += size) work(first, Math.min(size, images - first));
}

/** Calls `work` for several small images at a time, or for some rows of a large one. */
function forTiles(
  images: number,
  geometry: Geometry,
  channels: number,
  work: (first: number, count: number, tile: Tile, list: Taps) => void,
): void {
  const { outHeight, outWidth, filterHeight, filterWidth } = geometry;
  const perRow = outWidth * filterHeight * filterWidth * channels;
  const tiles = tilesOf(geometry, Math.max(1, Math.floor(CHUNK / perRow))).map((tile) => ({
    tile,
    list: cachedTaps('forward', tile.geometry, forwardTaps),
  }));
  forChunks(images, outHeight * perRow, (first, count) => {
    for (const { tile, list } of tiles) work(first, count, tile, list);
  });
}

/**
 * Gathers pixels of `x` and multiplies them by `w`: a convolution, or the input gradient of one with stride 1.
 * @param x - `[images, pixels, channels]`
 * @param out - `[images, output pixels, outChannels]`
 */
function runGatherProduct(
  backend: HeapBackend,
  geometry: Geometry,
  shape: { images: number; channels: number; outChannels: number },
  x: TensorInfo,
  w: TensorInfo,
  further: TensorInfo[],
  out: TensorInfo,
  epilogue: Epilogue,
): void {
  const { images, channels, outChannels } = shape;
  const { inHeight, inWidth, outHeight, outWidth, filterHeight, filterWidth } = geometry;
  const { onnx, tensor, indices, zeros } = operands(backend);
  const filter = tensor(w, [filterHeight * filterWidth * channels, outChannels]);
  const extras = further.map((info) => tensor(info, [outChannels]));
  forTiles(images, geometry, channels, (first, count, { geometry: tile, inRow, outRow }, list) => {
    const program = onnx.program(`gather${list.padded}${epilogueKey(epilogue)}`, () =>
      gatherProduct(list.padded, epilogue),
    );
    const pixels = tile.inHeight * inWidth;
    const source = (first * inHeight + inRow) * inWidth * channels;
    const target = (first * outHeight + outRow) * outWidth * outChannels;
    program(
      [
        tensor(x, [count, pixels, channels], source),
        indices(list),
        ...(list.padded ? [zeros(count, channels)] : []),
        filter,
        ...extras,
      ],
      [tensor(out, [count * list.rows, outChannels], target)],
    );
  });
}

function forward(
  args: KernelArguments<ForwardAttributes>,
  wasm: NodeKernel<ForwardAttributes>,
  epilogue: Epilogue,
): TensorInfo {
  const { inputs, attrs, backend } = args;
  const [x, filter] = [inputs.x!, inputs.filter!];
  const { bias, preluActivationWeights: slope } = inputs;
  const further = [
    epilogue.bias ? bias! : undefined,
    epilogue.activation === 'prelu' ? slope! : undefined,
  ].filter((info) => info !== undefined);
  const info = convolution(x.shape, filter.shape, attrs, attrs.dilations);
  const channelwise = further.every(({ shape }) => shape.join() === `${info.outChannels}`);
  if (leaveToWasm(info, 'forward') || !channelwise) return wasm(args);
  const out = backend.makeOutput(info.outShape, 'float32');
  if (isPointwise(info)) {
    const [aShape, bShape] = [pixelRows(info, info.inChannels), matrixOf(info)];
    multiply(backend, { a: x, aShape, b: filter, bShape, out, epilogue, further });
    return out;
  }
  const shape = {
    images: info.batchSize,
    channels: info.inChannels,
    outChannels: info.outChannels,
  };
  runGatherProduct(backend, geometryOf(info), shape, x, filter, further, out, epilogue);
  return out;
}

function conv2d(args: KernelArguments<ForwardAttributes>, wasm: NodeKernel<ForwardAttributes>) {
  return forward(args, wasm, NO_EPILOGUE);
}

function fusedConv2d(
  args: KernelArguments<ForwardAttributes>,
  wasm: NodeKernel<ForwardAttributes>,
) {
  const { activation = 'linear', leakyreluAlpha: alpha = 0 } = args.attrs;
  return forward(args, wasm, { bias: Boolean(args.inputs.bias), activation, alpha });
}

function backpropFilter(
  args: KernelArguments<Attributes & { filterShape: number[] }>,
  wasm: NodeKernel<Attributes & { filterShape: number[] }>,
): TensorInfo {
  const { inputs, attrs, backend } = args;
  const [x, dy] = [inputs.x!, inputs.dy!];
  const info = convolution(x.shape, attrs.filterShape, attrs);
  if (leaveToWasm(info, 'gradient')) return wasm(args);
  const out = backend.makeOutput(info.filterShape, 'float32');
  if (isPointwise(info)) {
    const [aShape, bShape] = [info.inChannels, info.outChannels].map((n) => pixelRows(info, n));
    multiply(backend, { a: x, aShape: aShape!, b: dy, bShape: bShape!, transposeA: true, out });
    return out;
  }
  const { onnx, tensor, indices, zeros } = operands(backend);
  const { inChannels: channels, outChannels, inHeight, inWidth, outHeight, outWidth } = info;
  const taps = info.filterHeight * info.filterWidth;
  const sum = tensor(out, [taps * channels, outChannels]);
  let started = false;
  forTiles(info.batchSize, geometryOf(info), channels, (first, count, tile, list) => {
    const program = onnx.program(`filterGradient${list.padded}${started}`, () =>
      filterGradient(list.padded, !started),
    );
    const pixels = tile.geometry.inHeight * inWidth;
    const source = (first * inHeight + tile.inRow) * inWidth * channels;
    const target = (first * outHeight + tile.outRow) * outWidth * outChannels;
    program(
      [
        tensor(x, [count, pixels, channels], source),
        indices(list),
        ...(list.padded ? [zeros(count, channels)] : []),
        tensor(dy, [count * list.rows, outChannels], target),
        ...(started ? [sum] : []),
      ],
      [sum],
    );
    started = true;
  });
  return out;
}

function backpropInput(
  args: KernelArguments<Attributes & { inputShape: number[] }>,
  wasm: NodeKernel<Attributes & { inputShape: number[] }>,
): TensorInfo {
  const { inputs, attrs, backend } = args;
  const [dy, filter] = [inputs.dy!, inputs.filter!];
  const info = convolution(attrs.inputShape, filter.shape, attrs);
  if (leaveToWasm(info, 'gradient')) return wasm(args);
  const out = backend.makeOutput(info.inShape, 'float32');
  if (isPointwise(info)) {
    const [aShape, bShape] = [pixelRows(info, info.outChannels), matrixOf(info)];
    multiply(backend, { a: dy, aShape, b: filter, bShape, transposeB: true, out });
  } else if (info.strideHeight * info.strideWidth === 1)
    inputGradientByGather(backend, info, dy, filter, out);
  else inputGradientByScatter(backend, info, dy, filter, out);
  return out;
}

function inputGradientByGather(
  backend: HeapBackend,
  info: Info,
  dy: TensorInfo,
  filter: TensorInfo,
  out: TensorInfo,
): void {
  const { inChannels, outChannels, batchSize: images } = info;
  const taps = info.filterHeight * info.filterWidth;
  const turned = backend.makeOutput([taps, outChannels, inChannels], 'float32');
  const { onnx, tensor } = operands(backend);
  onnx.program('turnFilter', () => turnFilter)(
    [tensor(filter, [taps, inChannels, outChannels])],
    [tensor(turned)],
  );
  const shape = { images, channels: outChannels, outChannels: inChannels };
  const geometry = transposedGeometry(geometryOf(info));
  runGatherProduct(backend, geometry, shape, dy, turned, [], out, NO_EPILOGUE);
  backend.disposeData(turned.dataId);
}

function inputGradientByScatter(
  backend: HeapBackend,
  info: Info,
  dy: TensorInfo,
  filter: TensorInfo,
  out: TensorInfo,
): void {
  const list = cachedTaps('scatter', geometryOf(info), scatterTaps);
  const { inChannels: channels, outChannels } = info;
  const { onnx, tensor, array, indices, zeros } = operands(backend);
  const program = onnx.program(`scatter${list.padded}`, () => scatterProduct(list.padded));
  const taps = info.filterHeight * info.filterWidth;
  const outPixels = info.outHeight * info.outWidth;
  const shape = new BigInt64Array(new ArrayBuffer(64), 0, 3);
  forChunks(info.batchSize, outPixels * taps * channels, (first, count) => {
    shape.set([count, outPixels * taps, channels].map(BigInt));
    program(
      [
        tensor(dy, [count, outPixels, outChannels], first * outPixels * outChannels),
        tensor(filter, [taps * channels, outChannels]),
        array(shape, [3]),
        indices(list),
        ...(list.padded ? [zeros(count, channels)] : []),
      ],
      [tensor(out, [count, list.rows, channels], first * list.rows * channels)],
    );
  });
}

/** The kernels of this file. */
export const conv2dKernels = (): KernelConfig[] => [
  nativeKernel('Conv2D', conv2d),
  nativeKernel('FusedConv2D', fusedConv2d),
  nativeKernel('Conv2DBackpropFilter', backpropFilter),
  nativeKernel('Conv2DBackpropInput', backpropInput),
];
