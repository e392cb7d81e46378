/** Bilinear shrinking of images by an even factor, without antialiasing, from ops that can be differentiated twice. */
import { concat, mean, mul, pad, reshape, slice, type Tensor } from '@tensorflow/tfjs-core';

/**
 * Shrinks `[B, H, W, C]` by `factor`, as bilinear interpolation with half-pixel centres does: each new pixel is the mean
 * of the middle 2×2 of a block. tfjs's own resizing has no second derivative, and a wrong first one.
 */
export function shrinkImage(x: Tensor, factor: number): Tensor {
  if (factor === 1) return x;
  const [B, H, W, C] = x.shape as [number, number, number, number];
  const [h, w] = [H / factor, W / factor];
  const rows = middleMean(reshape(x, [B * h, factor, W * C]));
  const pixels = middleMean(reshape(rows, [B * h * w, factor, C]));
  return reshape(pixels, [B, h, w, C]);
}

/** Transpose of {@link shrinkImage}. */
export function spreadImage(x: Tensor, factor: number): Tensor {
  if (factor === 1) return x;
  const [B, h, w, C] = x.shape as [number, number, number, number];
  const rows = middleSpread(reshape(x, [B * h * w, 1, C]), factor);
  const image = middleSpread(reshape(rows, [B * h, 1, w * factor * C]), factor);
  return reshape(image, [B, h * factor, w * factor, C]);
}

function middleMean(x: Tensor): Tensor {
  const [n, factor, k] = x.shape as [number, number, number];
  return mean(slice(x, [0, factor / 2 - 1, 0], [n, 2, k]), 1);
}

function middleSpread(x: Tensor, factor: number): Tensor {
  const half = mul(x, 0.5);
  const edge = factor / 2 - 1;
  return pad(concat([half, half], 1), [
    [0, 0],
    [edge, edge],
    [0, 0],
  ]);
}
