/** Gradients of scans and reductions that tfjs-core has wrong or lacks, for every backend. */
import {
  cast,
  cumprod,
  cumsum,
  expandDims,
  type GradConfig,
  mul,
  oneHot,
  registerGradient,
  reshape,
  sum,
  type Tensor,
  transpose,
  util,
} from '@tensorflow/tfjs-core';

/** tfjs transposes the result when the axis is not the last one, so shapes disagree. */
const cumsumGradient: GradConfig = {
  kernelName: 'Cumsum',
  gradFunc: (dy, _saved, attrs) => {
    const { axis, exclusive, reverse } = attrs as unknown as {
      axis: number;
      exclusive: boolean;
      reverse: boolean;
    };
    return { x: () => cumsum(dy as Tensor, axis, exclusive, !reverse) };
  },
};

/** ∂(Π x)/∂xᵢ = product of all before i times product of all after i: right also where x is 0. */
const prodGradient: GradConfig = {
  kernelName: 'Prod',
  inputsToSave: ['x'],
  gradFunc: (dy, saved, attrs) => {
    const [x] = saved as [Tensor];
    const axes = util.parseAxisParam((attrs as { axis: number[] }).axis, x.shape);
    return {
      x: () => {
        const kept = x.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
        const order = [...kept, ...axes];
        const inOrder = transpose(x, order);
        const outer = util.sizeFromShape(kept.map((axis) => x.shape[axis]!));
        const rows = reshape(inOrder, [outer, x.size / Math.max(outer, 1)]);
        const others = mul(cumprod(rows, 1, true, false), cumprod(rows, 1, true, true));
        const gradient = reshape(mul(reshape(dy as Tensor, [outer, 1]), others), inOrder.shape);
        return transpose(
          gradient,
          order.map((_, axis) => order.indexOf(axis)),
        );
      },
    };
  },
};

const topKGradient: GradConfig = {
  kernelName: 'TopK',
  inputsToSave: ['x'],
  outputsToSave: [false, true],
  gradFunc: (dy, saved) => {
    const [x, indices] = saved as [Tensor, Tensor];
    const [values] = dy as unknown as [Tensor, Tensor];
    const places = oneHot(indices, x.shape[x.rank - 1]!);
    return { x: () => sum(mul(expandDims(values, -1), cast(places, 'float32')), -2) };
  },
};

/** Registers this file's gradients. */
export function registerReductionGradients(): void {
  for (const gradient of [cumsumGradient, prodGradient, topKGradient]) registerGradient(gradient);
}
