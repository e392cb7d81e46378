/**
 * The graphs of convolutions. In all of them a row is one pixel of one image, `channels` numbers; `zeros` is the row that
 * padding reads, one an image.
 */
import type { OnnxGraph, OnnxNode, OnnxValue } from '../native/onnxModel.js';
import { type Epilogue, withEpilogue } from './activation.js';

const indices: OnnxValue = { name: 'indices', type: 'int32' };

/** `rows` of `x` by a list of indices, after appending the row of zeros if there is padding. */
function gather(x: string, padded: boolean): OnnxNode[] {
  const source = padded ? 'extended' : x;
  const append: OnnxNode = {
    operator: 'Concat',
    inputs: [x, 'zeros'],
    outputs: [source],
    attributes: { axis: 1 },
  };
  const take: OnnxNode = {
    operator: 'Gather',
    inputs: [source, 'indices'],
    outputs: ['gathered'],
    attributes: { axis: 1 },
  };
  return padded ? [append, take] : [take];
}

/** `[images, pixels, taps, channels]` as a matrix with a row a pixel. */
const flatten: OnnxNode = {
  operator: 'Flatten',
  inputs: ['gathered'],
  outputs: ['rows'],
  attributes: { axis: 2 },
};

const gathered = (padded: boolean): OnnxValue[] => ['x', indices, ...(padded ? ['zeros'] : [])];

/** Inputs `x [images, pixels, channels]`, indices, zeros, `w [taps·channels, out]`, and those of the epilogue. */
export function gatherProduct(padded: boolean, epilogue: Epilogue): OnnxGraph {
  return withEpilogue(
    {
      inputs: [...gathered(padded), 'w'],
      outputs: ['product'],
      nodes: [
        ...gather('x', padded),
        flatten,
        { operator: 'MatMul', inputs: ['rows', 'w'], outputs: ['product'] },
      ],
    },
    epilogue,
  );
}

/**
 * Gradient of the filter, `[taps·channels, out]`, for some images; `sum` is that of the images before, if there are any.
 * Inputs `x`, indices, zeros, `dy [images·pixels, out]`, `sum`.
 */
export function filterGradient(padded: boolean, first: boolean): OnnxGraph {
  return {
    inputs: [...gathered(padded), 'dy', ...(first ? [] : ['sum'])],
    outputs: ['dw'],
    nodes: [
      ...gather('x', padded),
      flatten,
      {
        operator: 'Gemm',
        inputs: ['rows', 'dy', ...(first ? [] : ['sum'])],
        outputs: ['dw'],
        attributes: { transA: 1 },
      },
    ],
  };
}

/** A filter `[taps, channels, out]` turned round, and from the output's channels to the input's. */
export const turnFilter: OnnxGraph = {
  inputs: ['w'],
  outputs: ['turned'],
  nodes: [
    { operator: 'Slice', inputs: ['w', 'last', 'none', 'taps', 'back'], outputs: ['reversed'] },
    {
      operator: 'Transpose',
      inputs: ['reversed'],
      outputs: ['turned'],
      attributes: { perm: [0, 2, 1] },
    },
  ],
  constants: [
    { name: 'last', type: 'int64', dims: [1], data: [-1] },
    // Beyond the first: an end that a step of −1 never reaches.
    { name: 'none', type: 'int64', dims: [1], data: [-(2 ** 40)] },
    { name: 'taps', type: 'int64', dims: [1], data: [0] },
    { name: 'back', type: 'int64', dims: [1], data: [-1] },
  ],
};

/**
 * Gradient of the input for any stride: every product of output gradient and filter, then for each input pixel the sum of
 * those that belong to it. Inputs `dy [images, pixels, out]`, `w [taps·channels, out]`, `shape` of
 * `[images, pixels·taps, channels]`, indices, zeros.
 */
export function scatterProduct(padded: boolean): OnnxGraph {
  return {
    inputs: ['dy', 'w', { name: 'shape', type: 'int64' }, indices, ...(padded ? ['zeros'] : [])],
    outputs: ['dx'],
    nodes: [
      {
        operator: 'FusedMatMul',
        domain: 'com.microsoft',
        inputs: ['dy', 'w'],
        outputs: ['products'],
        attributes: { transB: 1 },
      },
      { operator: 'Reshape', inputs: ['products', 'shape'], outputs: ['x'] },
      ...gather('x', padded),
      {
        operator: 'ReduceSum',
        inputs: ['gathered', 'axis'],
        outputs: ['dx'],
        attributes: { keepdims: 0 },
      },
    ],
    constants: [{ name: 'axis', type: 'int64', dims: [1], data: [2] }],
  };
}
