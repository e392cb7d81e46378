/**
 * Gradients of `depthwiseConv2d` (NHWC): output channel `c·M + m` is input channel c under its own filter m. Separable
 * convolutions use them too.
 */
import { backend_util, type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { callKernel, floats, type KernelArguments, relabel, wasmKernel } from './heap.js';

type Pad = Parameters<typeof backend_util.computeConv2DInfo>[4];

interface Attributes {
  readonly strides: [number, number] | number;
  readonly dilations: [number, number] | number;
  readonly pad: Pad;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

type Geometry = backend_util.Conv2DInfo;

function geometryOf(inputShape: number[], filterShape: number[], attrs: Attributes): Geometry {
  const { strides, dilations, pad, dimRoundingMode } = attrs;
  return backend_util.computeConv2DInfo(
    inputShape as [number, number, number, number],
    filterShape as [number, number, number, number],
    strides,
    dilations,
    pad,
    dimRoundingMode,
    true,
  );
}

/** Output positions [first, last) that see an input element through a tap that lies `shift` from their start. */
function seen(shift: number, stride: number, inSize: number, outSize: number): [number, number] {
  const first = Math.min(Math.max(0, Math.ceil(-shift / stride)), outSize);
  return [first, Math.max(first, Math.min(outSize, Math.ceil((inSize - shift) / stride)))];
}

/** `dw[tap, c, m] = Σ x[o·stride + tap·dilation − pad, c] dy[o, cM + m]` over all outputs o of all images. */
function backpropFilter({
  inputs,
  attrs,
  backend,
}: KernelArguments<Attributes & { filterShape: number[] }>): TensorInfo {
  const [x, dy] = [inputs.x!, inputs.dy!];
  const g = geometryOf(x.shape, attrs.filterShape, attrs);
  const out = backend.makeOutput(g.filterShape, 'float32');
  const xs = floats(backend, x);
  const dys = floats(backend, dy);
  const { inChannels, outChannels, strideWidth, filterWidth } = g;
  const multiplier = outChannels / inChannels;
  // Sums over all pixels of the batch: kept in float64.
  const sums = new Float64Array(floats(backend, out).length);
  for (let image = 0; image < g.batchSize; image++) {
    for (let row = 0; row < g.filterHeight; row++) {
      const down = row * g.dilationHeight - g.padInfo.top;
      const [y0, y1] = seen(down, g.strideHeight, g.inHeight, g.outHeight);
      for (let oy = y0; oy < y1; oy++) {
        const inLine = (image * g.inHeight + oy * g.strideHeight + down) * g.inWidth;
        const outLine = (image * g.outHeight + oy) * g.outWidth;
        for (let column = 0; column < filterWidth; column++) {
          const right = column * g.dilationWidth - g.padInfo.left;
          const [x0, x1] = seen(right, strideWidth, g.inWidth, g.outWidth);
          const tap = (row * filterWidth + column) * outChannels;
          for (let o = 0; o < outChannels; o++) {
            const channel = multiplier === 1 ? o : Math.floor(o / multiplier);
            let i = (inLine + x0 * strideWidth + right) * inChannels + channel;
            let j = (outLine + x0) * outChannels + o;
            let sum = 0;
            for (let ox = x0; ox < x1; ox++) {
              sum += xs[i]! * dys[j]!;
              i += strideWidth * inChannels;
              j += outChannels;
            }
            sums[tap + o]! += sum;
          }
        }
      }
    }
  }
  floats(backend, out).set(sums);
  return out;
}

/**
 * The gradient with respect to x is a depthwise convolution itself, and XNNPACK's is some 30 times as fast as a loop:
 * of dy, with stride − 1 zeros between its elements, by the filter turned around. With M filters a channel it gives M
 * parts, which are added.
 */
function backpropInput({
  inputs,
  attrs,
  backend,
}: KernelArguments<Attributes & { inputShape: number[] }>): TensorInfo {
  const [dy, filter] = [inputs.dy!, inputs.filter!];
  const g = geometryOf(attrs.inputShape, filter.shape, attrs);
  const { inChannels, outChannels, strideHeight, strideWidth } = g;
  const made: TensorInfo[] = [];
  const make = (shape: number[]) => {
    const info = backend.makeOutput(shape, 'float32');
    made.push(info);
    return info;
  };
  const taps = g.filterHeight * g.filterWidth;
  const turned = make([g.filterHeight, g.filterWidth, outChannels, 1]);
  const spread =
    strideHeight * strideWidth === 1
      ? dy
      : make([
          g.batchSize,
          Math.max(0, (g.outHeight - 1) * strideHeight + 1),
          Math.max(0, (g.outWidth - 1) * strideWidth + 1),
          outChannels,
        ]);
  const weights = floats(backend, filter);
  const reversed = floats(backend, turned);
  for (let tap = 0; tap < taps; tap++) {
    const from = (taps - 1 - tap) * outChannels;
    reversed.set(weights.subarray(from, from + outChannels), tap * outChannels);
  }
  if (spread !== dy) spreadOut(g, floats(backend, dy), floats(backend, spread));

  // Padding that puts element 0 of x under the last tap that saw it, and after it whatever is left to inHeight.
  const [, height, width] = spread.shape as [number, number, number, number];
  const top = (g.filterHeight - 1) * g.dilationHeight - g.padInfo.top;
  const left = (g.filterWidth - 1) * g.dilationWidth - g.padInfo.left;
  const bottom = g.inHeight + g.padInfo.top - height;
  const right = g.inWidth + g.padInfo.left - width;
  // A padding below 0 leaves dy's outer elements out: those that saw nothing but padding.
  const crop = (n: number) => Math.max(0, -n);
  const begin = [0, crop(top), crop(left), 0];
  const size = [
    g.batchSize,
    height - crop(top) - crop(bottom),
    width - crop(left) - crop(right),
    outChannels,
  ];
  let visible = spread;
  if (!util.arraysEqual(size, spread.shape)) {
    visible = callKernel('Slice', { x: spread }, { begin, size }, backend);
    made.push(visible);
  }
  const rows = [Math.max(0, top), Math.max(0, bottom)];
  const columns = [Math.max(0, left), Math.max(0, right)];
  let dx = callKernel(
    'DepthwiseConv2dNative',
    { x: visible, filter: turned },
    {
      strides: [1, 1],
      dilations: [g.dilationHeight, g.dilationWidth],
      pad: [[0, 0], rows, columns, [0, 0]],
      dataFormat: 'NHWC',
    },
    backend,
  );
  if (outChannels !== inChannels) {
    const parts = relabel(dx, [...g.inShape, outChannels / inChannels]);
    made.push(dx);
    dx = callKernel('Sum', { x: parts }, { axis: [4], keepDims: false }, backend);
  }
  for (const info of made) backend.disposeData(info.dataId);
  return relabel(dx, g.inShape);
}

/** Puts dy's elements `stride` apart, with zeros between them. */
function spreadOut(g: Geometry, dy: Float32Array, to: Float32Array): void {
  to.fill(0);
  const { outChannels, outWidth, outHeight, strideWidth, strideHeight } = g;
  const width = (outWidth - 1) * strideWidth + 1;
  const height = (outHeight - 1) * strideHeight + 1;
  for (let line = 0; line < g.batchSize * outHeight; line++) {
    const image = Math.floor(line / outHeight);
    const y = image * height + (line % outHeight) * strideHeight;
    for (let x = 0; x < outWidth; x++) {
      const from = (line * outWidth + x) * outChannels;
      const target = (y * width + x * strideWidth) * outChannels;
      to.set(dy.subarray(from, from + outChannels), target);
    }
  }
}

/** The kernels of this file. */
export const depthwiseKernels = (): KernelConfig[] => [
  wasmKernel<Attributes & { filterShape: number[] }>(
    'DepthwiseConv2dNativeBackpropFilter',
    backpropFilter,
  ),
  wasmKernel<Attributes & { inputShape: number[] }>(
    'DepthwiseConv2dNativeBackpropInput',
    backpropInput,
  ),
];
