/**
 * Forward convolutions with the padding of each side stated, because XNNPACK and tfjs disagree about two ways to say it:
 *
 * - A padding given as one number: tfjs-core computes the output width from the filter's *height*, XNNPACK from its
 *   width, so with a filter that is not square it wrote beyond the tensor and corrupted the heap.
 * - `'same'` with a stride greater than the filter along one axis: XNNPACK's padding underflows and the result is 0.
 */
import { backend_util, type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { callKernel, overriddenKernel } from './heap.js';

interface Attributes {
  readonly strides: [number, number] | number;
  readonly pad: Parameters<typeof backend_util.computeConv2DInfo>[4];
  readonly dataFormat: 'NHWC' | 'NCHW';
  readonly dilations: [number, number] | number;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/** The padding of each side, and the shape that tfjs-core promises for the result. */
function explicit(x: number[], filter: number[], attrs: Attributes, depthwise: boolean) {
  const info = backend_util.computeConv2DInfo(
    x as [number, number, number, number],
    filter as [number, number, number, number],
    attrs.strides,
    attrs.dilations,
    attrs.pad,
    attrs.dimRoundingMode,
    depthwise,
    backend_util.convertConv2DDataFormat(attrs.dataFormat),
  );
  // What must follow the last element for exactly the promised number of outputs.
  const after = (out: number, stride: number, filterSize: number, size: number, before: number) =>
    Math.max(0, (out - 1) * stride + filterSize - size - before);
  const { padInfo } = info;
  const rows: [number, number] = [
    padInfo.top,
    after(
      info.outHeight,
      info.strideHeight,
      info.effectiveFilterHeight,
      info.inHeight,
      padInfo.top,
    ),
  ];
  const columns: [number, number] = [
    padInfo.left,
    after(info.outWidth, info.strideWidth, info.effectiveFilterWidth, info.inWidth, padInfo.left),
  ];
  const pad: Attributes['pad'] =
    attrs.dataFormat === 'NCHW' ? [[0, 0], [0, 0], rows, columns] : [[0, 0], rows, columns, [0, 0]];
  return { pad, outShape: info.outShape };
}

const guarded = (name: string, depthwise: boolean) =>
  overriddenKernel<Attributes>(name, (args, original) => {
    const { inputs, attrs, backend } = args;
    if (typeof attrs.pad !== 'number' && attrs.pad !== 'same') return original(args);
    const { dimRoundingMode: _, ...rest } = attrs;
    const { pad, outShape } = explicit(inputs.x!.shape, inputs.filter!.shape, attrs, depthwise);
    const out = original({ ...args, attrs: { ...rest, pad } }) as TensorInfo;
    if (util.arraysEqual(out.shape, outShape)) return out;
    // Even without padding at the end there are more outputs than promised: leave the last ones out.
    const begin = outShape.map(() => 0);
    const promised = callKernel('Slice', { x: out }, { begin, size: outShape }, backend);
    backend.disposeData(out.dataId);
    return promised;
  });

/** The kernels of this file, to be registered after tfjs's own. */
export const paddingKernels = (): KernelConfig[] => [
  guarded('Conv2D', false),
  guarded('FusedConv2D', false),
  guarded('DepthwiseConv2dNative', true),
  guarded('FusedDepthwiseConv2D', true),
];
