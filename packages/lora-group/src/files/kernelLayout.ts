/** Weights between tfjs's layout and PyTorch's, which PEFT's files have. */
import { type FileTensor, permuteAxes } from './fileTensor.js';

/** `[in, out]` and `[…k, in, out]` as `[out, in]` and `[out, in, …k]`. */
export function toTorch(x: FileTensor): FileTensor {
  const rank = x.shape.length;
  if (rank < 2) return x;
  return permuteAxes(x, [rank - 1, rank - 2, ...Array.from({ length: rank - 2 }, (_, i) => i)]);
}

/** Inverse of {@link toTorch}. */
export function fromTorch(x: FileTensor): FileTensor {
  const rank = x.shape.length;
  if (rank < 2) return x;
  return permuteAxes(x, [...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1, 0]);
}
