/**
 * Convolutions as matrix products: the pixels under each window are laid out as a row, and `rows × filter` is the result.
 * A batch is cut so that the rows take no more than {@link MOST_BYTES}.
 */
import type { KernelConfig, TensorInfo } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../cudaBackend.js';
import { COLUMNS_TO_IMAGE, IMAGE_TO_COLUMNS } from '../sources/window.js';
import { type Activation, applyEpilogue } from './activation.js';
import { cudaKernel, withWorkspace } from './kernel.js';
import { multiply } from './matMul.js';
import { fill } from './movement.js';
import {
  type ConvolutionAttributes,
  type ConvolutionInfo,
  channelsLast,
  convolutionInfo,
  inFormat,
  lastShape,
  windowSizes,
  windowValues,
} from './window.js';

/** Scratch memory for the rows of one product. */
const MOST_BYTES = 2 ** 28;

interface Chunk {
  /** Images in this chunk, and before it. */
  readonly images: number;
  readonly before: number;
  /** Rows: output pixels of the chunk. */
  readonly rows: number;
  readonly columns: number;
  readonly first: boolean;
}

/** Sizes of the products; a filter of one pixel that misses none needs no rows: the images are the rows. */
function plan(info: ConvolutionInfo) {
  const { batchSize, inChannels, outChannels, filterHeight, filterWidth } = info;
  const pixels = info.outHeight * info.outWidth;
  const taps = filterHeight * filterWidth * inChannels;
  const { top, bottom, left, right } = info.padInfo;
  const direct =
    filterHeight * filterWidth * info.strideHeight * info.strideWidth === 1 &&
    top + bottom + left + right === 0;
  const perChunk = direct
    ? batchSize
    : Math.max(1, Math.min(batchSize, Math.floor(MOST_BYTES / (4 * Math.max(1, pixels * taps)))));
  const chunks: Chunk[] = [];
  for (let before = 0; before < batchSize; before += perChunk) {
    const images = Math.min(perChunk, batchSize - before);
    chunks.push({ images, before, rows: images * pixels, columns: taps, first: before === 0 });
  }
  const inSize = info.inHeight * info.inWidth * inChannels;
  return { chunks, direct, taps, inSize, outSize: pixels * outChannels, outChannels };
}

type Plan = ReturnType<typeof plan>;

/** Calls `work` for each chunk with the rows' address, which `fillRows` fills or `work` does. */
function eachChunk(
  backend: CudaBackend,
  { chunks, direct }: Plan,
  work: (chunk: Chunk, rows: number | undefined) => void,
): void {
  const largest = chunks[0];
  if (!largest) return;
  if (direct) {
    for (const chunk of chunks) work(chunk, undefined);
    return;
  }
  backend.withScratch([4 * largest.rows * largest.columns], (rows) => {
    for (const chunk of chunks) work(chunk, rows);
  });
}

function toRows(
  backend: CudaBackend,
  info: ConvolutionInfo,
  { inSize }: Plan,
  images: number,
  { rows, columns, before }: Chunk,
  target: number | undefined,
): number {
  const from = images + 4 * before * inSize;
  if (target === undefined) return from;
  const count = rows * columns;
  const sizes = windowValues(windowSizes(info));
  backend.runEach(IMAGE_TO_COLUMNS.name, () => IMAGE_TO_COLUMNS, count, [
    count,
    target,
    from,
    ...sizes,
    info.inChannels,
  ]);
  return target;
}

function forward(
  backend: CudaBackend,
  x: TensorInfo,
  filter: TensorInfo,
  info: ConvolutionInfo,
): TensorInfo {
  const { batchSize, outHeight, outWidth, outChannels } = info;
  const out = backend.makeOutput([batchSize, outHeight, outWidth, outChannels], 'float32');
  const planned = plan(info);
  const [images, weights, target] = [x, filter, out].map((t) => backend.address(t)) as [
    number,
    number,
    number,
  ];
  eachChunk(backend, planned, (chunk, scratch) => {
    if (chunk.rows * outChannels === 0) return;
    const a = toRows(backend, info, planned, images, chunk, scratch);
    const c = target + 4 * chunk.before * planned.outSize;
    const { rows: m, columns: k } = chunk;
    multiply(backend, { name: 'Conv2D', a, b: weights, c, m, n: outChannels, k });
  });
  return out;
}

/** `dFilter = rowsᵀ × dy`, summed over chunks. */
function filterGradient(
  backend: CudaBackend,
  x: TensorInfo,
  dy: TensorInfo,
  info: ConvolutionInfo,
): TensorInfo {
  const { filterHeight, filterWidth, inChannels, outChannels } = info;
  const shape = [filterHeight, filterWidth, inChannels, outChannels];
  const out = backend.makeOutput(shape, 'float32');
  const planned = plan(info);
  if (planned.chunks.length === 0 || planned.outSize === 0) fill(backend, out, 0);
  const [images, gradient, target] = [x, dy, out].map((t) => backend.address(t)) as [
    number,
    number,
    number,
  ];
  eachChunk(backend, planned, (chunk, scratch) => {
    if (chunk.rows * chunk.columns * outChannels === 0) return;
    const a = toRows(backend, info, planned, images, chunk, scratch);
    multiply(backend, {
      name: 'Conv2DBackpropFilter',
      a,
      b: gradient + 4 * chunk.before * planned.outSize,
      c: target,
      m: chunk.columns,
      n: outChannels,
      k: chunk.rows,
      transposeA: true,
      beta: chunk.first ? 0 : 1,
    });
  });
  return out;
}

/** `rows = dy × filterᵀ`, each pixel then the sum of its copies. */
function inputGradient(
  backend: CudaBackend,
  dy: TensorInfo,
  filter: TensorInfo,
  info: ConvolutionInfo,
): TensorInfo {
  const { batchSize, inHeight, inWidth, inChannels, outChannels } = info;
  const out = backend.makeOutput([batchSize, inHeight, inWidth, inChannels], 'float32');
  const planned = plan(info);
  if (planned.outSize === 0) fill(backend, out, 0);
  const [gradient, weights, target] = [dy, filter, out].map((t) => backend.address(t)) as [
    number,
    number,
    number,
  ];
  const sizes = windowValues(windowSizes(info));
  eachChunk(backend, planned, (chunk, scratch) => {
    if (chunk.rows * chunk.columns * outChannels === 0) return;
    const pixels = target + 4 * chunk.before * planned.inSize;
    multiply(backend, {
      name: 'Conv2DBackpropInput',
      a: gradient + 4 * chunk.before * planned.outSize,
      b: weights,
      c: scratch ?? pixels,
      m: chunk.rows,
      n: chunk.columns,
      k: outChannels,
      transposeB: true,
    });
    if (scratch === undefined) return;
    const count = chunk.images * planned.inSize;
    backend.runEach(COLUMNS_TO_IMAGE.name, () => COLUMNS_TO_IMAGE, count, [
      count,
      pixels,
      scratch,
      ...sizes,
      inChannels,
    ]);
  });
  return out;
}

interface FusedAttributes extends ConvolutionAttributes {
  readonly activation?: Activation;
  readonly leakyreluAlpha?: number;
}

/** A bias or slope with one number a channel lies along the channels' axis, which is the second in NCHW order. */
function alongChannels(x: TensorInfo | undefined, dataFormat: string | undefined) {
  if (!x || dataFormat !== 'NCHW') return x;
  if (x.shape.length === 1) return x;
  return x.shape.length === 3 ? { ...x, shape: [x.shape[1]!, x.shape[2]!, x.shape[0]!] } : x;
}

/** The kernels of this file. */
export const conv2dKernels = (): KernelConfig[] => [
  cudaKernel<ConvolutionAttributes>('Conv2D', ({ inputs, attrs, backend }) =>
    withWorkspace(backend, (space) => {
      const { dataFormat } = attrs;
      const x = channelsLast(backend, space, inputs.x!, dataFormat);
      const info = convolutionInfo(x.shape, inputs.filter!.shape, attrs, false);
      return inFormat(backend, space, forward(backend, x, inputs.filter!, info), dataFormat);
    }),
  ),
  cudaKernel<ConvolutionAttributes & { filterShape: number[] }>(
    'Conv2DBackpropFilter',
    ({ inputs, attrs, backend }) =>
      withWorkspace(backend, (space) => {
        const { dataFormat, filterShape } = attrs;
        const x = channelsLast(backend, space, inputs.x!, dataFormat);
        const dy = channelsLast(backend, space, inputs.dy!, dataFormat);
        return filterGradient(backend, x, dy, convolutionInfo(x.shape, filterShape, attrs, false));
      }),
  ),
  cudaKernel<ConvolutionAttributes & { inputShape: number[] }>(
    'Conv2DBackpropInput',
    ({ inputs, attrs, backend }) =>
      withWorkspace(backend, (space) => {
        const { dataFormat, inputShape } = attrs;
        const filter = inputs.filter!;
        const dy = channelsLast(backend, space, inputs.dy!, dataFormat);
        const images = lastShape(inputShape, dataFormat);
        const info = convolutionInfo(images, filter.shape, attrs, false);
        return inFormat(backend, space, inputGradient(backend, dy, filter, info), dataFormat);
      }),
  ),
  cudaKernel<FusedAttributes>('FusedConv2D', ({ inputs, attrs, backend }) =>
    withWorkspace(backend, (space) => {
      const { dataFormat, activation } = attrs;
      const x = channelsLast(backend, space, inputs.x!, dataFormat);
      const info = convolutionInfo(x.shape, inputs.filter!.shape, attrs, false);
      const out = forward(backend, x, inputs.filter!, info);
      applyEpilogue(backend, out, {
        bias: alongChannels(inputs.bias, dataFormat),
        slope: alongChannels(inputs.preluActivationWeights, dataFormat),
        alpha: attrs.leakyreluAlpha,
        ...(activation && { activation }),
      });
      return inFormat(backend, space, out, dataFormat);
    }),
  ),
];
