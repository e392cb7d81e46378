/** Gradients of kernels that move elements, which tfjs-core has wrong or lacks, for every backend. */
import {
  add,
  cast,
  conv3d,
  engine,
  eye,
  type GradConfig,
  gatherND,
  getGradient,
  mul,
  range,
  registerGradient,
  reshape,
  scatterND,
  sum,
  type Tensor,
  type Tensor5D,
  tensorScatterUpdate,
  transpose,
  unsortedSegmentSum,
  util,
  zeros,
  zerosLike,
} from '@tensorflow/tfjs-core';

type Attributes = Record<string, never>;

/** tfjs's needs chained ops for `batchDims` 1 and knows no more; here one segment sum does every case. */
const gatherGradient: GradConfig = {
  kernelName: 'GatherV2',
  inputsToSave: ['x', 'indices'],
  gradFunc: (dy, saved, attrs) => {
    const [x, indices] = saved as [Tensor, Tensor];
    const { axis, batchDims } = attrs as unknown as { axis: number; batchDims: number };
    return {
      x: () => {
        const at = util.parseAxisParam(axis, x.shape)[0]!;
        const size = (from: number, to?: number) => util.sizeFromShape(x.shape.slice(from, to));
        const [batch, outer, inner] = [size(0, batchDims), size(batchDims, at), size(at + 1)];
        const length = x.shape[at]!;
        const picked = indices.size / batch;
        const rows = reshape(
          transpose(reshape(dy as Tensor, [batch, outer, picked, inner]), [0, 2, 1, 3]),
          [batch * picked, outer * inner],
        );
        const flat = reshape(cast(indices, 'int32'), [batch, picked]);
        // Each batch entry owns `length` segments of its own.
        const offsets = reshape(range(0, batch * length, length, 'int32'), [batch, 1]);
        const ids = reshape(batch === 1 ? flat : add(flat, offsets), [-1]);
        const sums = unsortedSegmentSum(rows, ids as never, batch * length);
        return reshape(
          transpose(reshape(sums, [batch, length, outer, inner]), [0, 2, 1, 3]),
          x.shape,
        );
      },
      indices: () => zeros(indices.shape),
    };
  },
};

const gatherNdGradient: GradConfig = {
  kernelName: 'GatherNd',
  inputsToSave: ['params', 'indices'],
  gradFunc: (dy, saved) => {
    const [params, indices] = saved as [Tensor, Tensor];
    return {
      params: () => scatterND(indices, dy as Tensor, params.shape as never),
      indices: () => zeros(indices.shape),
    };
  },
};

const scatterNdGradient: GradConfig = {
  kernelName: 'ScatterNd',
  inputsToSave: ['indices'],
  gradFunc: (dy, saved) => {
    const [indices] = saved as [Tensor];
    return { updates: () => gatherND(dy as Tensor, indices), indices: () => zeros(indices.shape) };
  },
};

const tensorScatterUpdateGradient: GradConfig = {
  kernelName: 'TensorScatterUpdate',
  inputsToSave: ['indices', 'updates'],
  gradFunc: (dy, saved) => {
    const [indices, updates] = saved as [Tensor, Tensor];
    return {
      // A copy of dy: tfjs's cpu kernel writes into the tensor it is given.
      tensor: () => tensorScatterUpdate(add(dy as Tensor, 0), indices, zerosLike(updates)),
      updates: () => gatherND(dy as Tensor, indices),
      indices: () => zeros(indices.shape),
    };
  },
};

/** For a single output the tape hands over the gradient itself, and tfjs's functions expect an array. */
function singleOutput(kernelName: string): GradConfig {
  const original = getGradient(kernelName);
  return {
    ...original,
    gradFunc: (dy, saved, attrs) =>
      original.gradFunc((Array.isArray(dy) ? dy : [dy]) as Tensor[], saved, attrs),
  };
}

/** Slicing the element numbers in the same way tells where each element of the result came from. */
const stridedSliceGradient: GradConfig = {
  kernelName: 'StridedSlice',
  inputsToSave: ['x'],
  gradFunc: (dy, saved, attrs) => {
    const [x] = saved as [Tensor];
    return {
      x: () => {
        const numbers = reshape(range(0, x.size, 1, 'int32'), x.shape);
        const places = engine().runKernel('StridedSlice', { x: numbers }, attrs) as Tensor;
        const flat = scatterND(reshape(places, [-1, 1]), reshape(dy as Tensor, [-1]), [x.size]);
        return reshape(flat, x.shape);
      },
    };
  },
};

const diagGradient: GradConfig = {
  kernelName: 'Diag',
  inputsToSave: ['x'],
  gradFunc: (dy, saved) => {
    const [x] = saved as [Tensor];
    return {
      x: () => reshape(sum(mul(reshape(dy as Tensor, [x.size, x.size]), eye(x.size)), 1), x.shape),
    };
  },
};

/** The inverse rearrangement: blocks of pixels back into channels. */
const depthToSpaceGradient: GradConfig = {
  kernelName: 'DepthToSpace',
  inputsToSave: ['x'],
  gradFunc: (dy, saved, attrs) => {
    const [x] = saved as [Tensor];
    const { blockSize: s, dataFormat } = attrs as unknown as {
      blockSize: number;
      dataFormat: 'NHWC' | 'NCHW';
    };
    return {
      x: () => {
        if (dataFormat === 'NHWC') {
          const [n, h, w, c] = x.shape as [number, number, number, number];
          const blocks = reshape(dy as Tensor, [n, h, s, w, s, c / (s * s)]);
          return reshape(transpose(blocks, [0, 1, 3, 2, 4, 5]), x.shape);
        }
        const [n, c, h, w] = x.shape as [number, number, number, number];
        const blocks = reshape(dy as Tensor, [n, c / (s * s), h, s, w, s]);
        return reshape(transpose(blocks, [0, 3, 5, 1, 2, 4]), x.shape);
      },
    };
  },
};

/** `conv3dTranspose`: its gradients are the convolution itself and that convolution's filter gradient. */
const conv3dTransposeGradient: GradConfig = {
  kernelName: 'Conv3DBackpropInputV2',
  inputsToSave: ['dy', 'filter'],
  gradFunc: (ddx, saved, attrs) => {
    const [dy, filter] = saved as [Tensor, Tensor];
    const { strides, pad } = attrs as unknown as {
      strides: [number, number, number];
      pad: 'valid' | 'same';
    };
    return {
      dy: () => conv3d(ddx as Tensor5D, filter as Tensor5D, strides, pad),
      filter: () =>
        engine().runKernel('Conv3DBackpropFilterV2', { x: ddx as Tensor, dy }, {
          strides,
          pad,
          filterShape: filter.shape,
        } as unknown as Attributes) as Tensor,
    };
  },
};

/** Registers this file's gradients. */
export function registerMovingGradients(): void {
  for (const name of ['Unpack', 'SplitV']) registerGradient(singleOutput(name));
  for (const gradient of [
    gatherGradient,
    gatherNdGradient,
    scatterNdGradient,
    tensorScatterUpdateGradient,
    stridedSliceGradient,
    diagGradient,
    depthToSpaceGradient,
    conv3dTransposeGradient,
  ]) {
    registerGradient(gradient);
  }
}
