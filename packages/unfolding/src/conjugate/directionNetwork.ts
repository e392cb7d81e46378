import {
  add,
  avgPool,
  concat,
  fused,
  matMul,
  pad,
  reshape,
  slice,
  type Tensor,
  type Tensor2D,
  type Tensor4D,
  tidy,
} from '@tensorflow/tfjs-core';

/** Weights of a direction network, in order of use. */
export interface DirectionWeights {
  /** `[3, 3, in, out]` in two dimensions, `[3, 3, 3, in, out]` in three. */
  readonly kernels: readonly Tensor[];
  /** `[out]` each. */
  readonly biases: readonly Tensor[];
  /** `[filters, 1]` */
  readonly denseKernel: Tensor;
  /** `[1]` */
  readonly denseBias: Tensor;
}

/** Residual pairs before pooling, on the coarse grid, and after up-sampling. */
export const RESIDUAL_PAIRS = { small: [1, 3, 2], large: [2, 4, 3] } as const;

/** How many residual pairs a network has: the authors' for grids of 64 or of 128 points. */
export type DirectionLevels = 'small' | 'large';

/** Convolutions of a network: 15 or 21. */
export const convolutionCount = (levels: DirectionLevels): number =>
  3 + 2 * RESIDUAL_PAIRS[levels].reduce((sum, pairs) => sum + pairs, 0);

/**
 * Convolution by 3 points an axis, zeros beyond the border, with bias. In three dimensions the neighbours in depth are laid
 * side by side as channels and one planar convolution does the rest: that runs, and trains, on every backend.
 */
function convolve(x: Tensor, kernel: Tensor, bias: Tensor, activation: 'relu' | 'linear'): Tensor {
  const channels = kernel.shape.at(-1)!;
  if (x.rank === 4) {
    const filter = kernel as Tensor4D;
    return fused.conv2d({ x: x as Tensor4D, filter, bias, strides: 1, pad: 'same', activation });
  }
  const [batch, depth, height, width, inner] = x.shape as [number, number, number, number, number];
  // Of rank 3 and 2, which slice and pad of every backend take.
  const layers = pad(reshape(x, [batch, depth, height * width * inner]), [
    [0, 0],
    [1, 1],
    [0, 0],
  ]);
  const shape = [batch * depth, height, width, inner];
  const beside = [0, 1, 2].map((at) => reshape(slice(layers, [0, at, 0], [-1, depth, -1]), shape));
  const planes = concat(beside, 3) as Tensor4D;
  // [3, 3, 3, in, out] to [3, 3, 3·in, out].
  const flat = reshape(kernel, [3, -1]);
  const taps = concat(
    [0, 1, 2].map((at) => reshape(slice(flat, [at, 0], [1, -1]), kernel.shape.slice(1))),
    2,
  );
  const filter = taps as Tensor4D;
  const y = fused.conv2d({ x: planes, filter, bias, strides: 1, pad: 'same', activation });
  return reshape(y, [batch, depth, height, width, channels]);
}

/** Mean over blocks of 2 points an axis. */
function halve(x: Tensor): Tensor {
  if (x.rank === 4) return avgPool(x as Tensor4D, 2, 2, 'valid');
  const [batch, depth, height, width, channels] = x.shape as [
    number,
    number,
    number,
    number,
    number,
  ];
  const planes = reshape(x, [batch * depth, height, width, channels]) as Tensor4D;
  const flat = avgPool(planes, 2, 2, 'valid');
  // Depth becomes the height of a picture that is as wide as a plane has points.
  const area = (height * width) / 4;
  const stacked = reshape(flat, [batch, depth, area, channels]) as Tensor4D;
  const y = avgPool(stacked, [2, 1], [2, 1], 'valid');
  return reshape(y, [batch, depth / 2, height / 2, width / 2, channels]);
}

/** Every point twice along each axis. */
function double(x: Tensor): Tensor {
  const [batch, ...rest] = x.shape as [number, ...number[]];
  const channels = rest.at(-1)!;
  const grid = rest.slice(0, -1);
  let y = x;
  let before = batch;
  for (const [axis, length] of grid.entries()) {
    const after = grid.slice(axis + 1).reduce((size, points) => size * points, 1) * channels;
    const rows = reshape(y, [before * length, 1, after]);
    y = concat([rows, rows], 1);
    before *= 2 * length;
  }
  return reshape(y, [batch, ...grid.map((length) => 2 * length), channels]);
}

/**
 * The network of the paper on a grid, as a pure function of its weights: two levels, residual pairs whose sums come after
 * the ReLU, no ReLU on the first convolution and on the last layer.
 *
 * @param x - `[batch, …grid]`, even lengths
 * @returns same shape
 */
export function directionNetwork(
  { kernels, biases, denseKernel, denseBias }: DirectionWeights,
  levels: DirectionLevels,
  x: Tensor,
): Tensor {
  return tidy(() => {
    let at = 0;
    const next = (h: Tensor, activation: 'relu' | 'linear' = 'relu') => {
      const y = convolve(h, kernels[at]!, biases[at]!, activation);
      at++;
      return y;
    };
    const pairs = (h: Tensor, count: number) => {
      let y = h;
      for (let i = 0; i < count; i++) y = add(next(next(y)), y);
      return y;
    };
    const [before, coarse, after] = RESIDUAL_PAIRS[levels];
    const input = reshape(x, [...x.shape, 1]);
    const fine = next(pairs(next(next(input, 'linear')), before));
    const up = add(double(pairs(halve(fine), coarse)), fine);
    const h = pairs(up, after);
    const filters = h.shape.at(-1)!;
    const flat = matMul(reshape(h, [-1, filters]) as Tensor2D, denseKernel as Tensor2D);
    return reshape(add(flat, denseBias), x.shape);
  });
}
