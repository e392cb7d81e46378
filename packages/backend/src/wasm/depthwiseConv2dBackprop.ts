/**
 * Gradients of `depthwiseConv2d` (NHWC): output channel `c·M + m` is input channel c under its own filter m, so both
 * gradients are sums of elementwise products, channels innermost. Separable convolutions use them too.
 */
import { backend_util, type KernelConfig, type TensorInfo } from '@tensorflow/tfjs-core';
import { floats, type KernelArguments, wasmKernel } from './heap.js';

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

/** Calls `visit` with the flat starts of every (input pixel, filter tap, output pixel) that meet. */
function eachMeeting(
  g: Geometry,
  visit: (xStart: number, tapStart: number, yStart: number) => void,
): void {
  const { inChannels, outChannels, inHeight, inWidth, outHeight, outWidth } = g;
  for (let image = 0; image < g.batchSize; image++) {
    for (let oy = 0; oy < outHeight; oy++) {
      for (let row = 0; row < g.filterHeight; row++) {
        const y = oy * g.strideHeight + row * g.dilationHeight - g.padInfo.top;
        if (y < 0 || y >= inHeight) continue;
        const inLine = (image * inHeight + y) * inWidth;
        const outLine = (image * outHeight + oy) * outWidth;
        for (let column = 0; column < g.filterWidth; column++) {
          const tapStart = (row * g.filterWidth + column) * outChannels;
          const shift = column * g.dilationWidth - g.padInfo.left;
          for (let ox = 0; ox < outWidth; ox++) {
            const x = ox * g.strideWidth + shift;
            if (x < 0 || x >= inWidth) continue;
            visit((inLine + x) * inChannels, tapStart, (outLine + ox) * outChannels);
          }
        }
      }
    }
  }
}

function backpropFilter({
  inputs,
  attrs,
  backend,
}: KernelArguments<Attributes & { filterShape: number[] }>): TensorInfo {
  const [x, dy] = [inputs.x!, inputs.dy!];
  const g = geometryOf(x.shape, attrs.filterShape, attrs);
  const out = backend.makeOutput(g.filterShape, 'float32');
  const [xs, dys] = [floats(backend, x), floats(backend, dy)];
  const multiplier = g.outChannels / g.inChannels;
  // A sum over all pixels of the batch: kept in float64.
  const sums = new Float64Array(floats(backend, out).length);
  eachMeeting(g, (xStart, tapStart, yStart) => {
    for (let c = 0, o = 0; c < g.inChannels; c++) {
      const value = xs[xStart + c]!;
      for (let m = 0; m < multiplier; m++, o++) sums[tapStart + o]! += value * dys[yStart + o]!;
    }
  });
  floats(backend, out).set(sums);
  return out;
}

function backpropInput({
  inputs,
  attrs,
  backend,
}: KernelArguments<Attributes & { inputShape: number[] }>): TensorInfo {
  const [dy, filter] = [inputs.dy!, inputs.filter!];
  const g = geometryOf(attrs.inputShape, filter.shape, attrs);
  const out = backend.makeOutput(g.inShape, 'float32');
  const [dys, weights] = [floats(backend, dy), floats(backend, filter)];
  const dx = floats(backend, out).fill(0);
  const multiplier = g.outChannels / g.inChannels;
  eachMeeting(g, (xStart, tapStart, yStart) => {
    for (let c = 0, o = 0; c < g.inChannels; c++) {
      let sum = 0;
      for (let m = 0; m < multiplier; m++, o++) sum += weights[tapStart + o]! * dys[yStart + o]!;
      dx[xStart + c]! += sum;
    }
  });
  return out;
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
