/**
 * Complex tensors as real ones, `[2, …]` with real and imaginary part: only float32 passes tfjs's tape, so the networks
 * and solvers of this folder compute on these and convert at their doors. Real tensors stay as they are.
 */
import {
  abs,
  complex,
  customGrad,
  div,
  imag,
  maximum,
  mul,
  real,
  reshape,
  sign,
  slice,
  sqrt,
  square,
  stack,
  step,
  sum,
  type Tensor,
} from '@tensorflow/tfjs-core';

/** Whether numbers are real or complex. */
export type Field = 'real' | 'complex';

/** Smallest magnitude that is divided by. */
const TINY = 1e-30;

export const fieldOf = (x: Tensor): Field => (x.dtype === 'complex64' ? 'complex' : 'real');

/** float32 `[…]` as it is; complex64 `[…]` as float32 `[2, …]`. */
export const pack = (x: Tensor): Tensor =>
  fieldOf(x) === 'complex' ? stack([real(x), imag(x)]) : x;

/** Inverse of {@link pack}. */
export function unpack(x: Tensor, field: Field): Tensor {
  if (field === 'real') return x;
  const shape = x.shape.slice(1);
  const part = (i: number) =>
    reshape(slice(x, [i, ...shape.map(() => 0)], [1, ...shape]), shape) as Tensor;
  return complex(part(0), part(1));
}

/** Shape of what a packed tensor stands for. */
export const unpackedShape = (x: Tensor, field: Field): number[] =>
  field === 'complex' ? x.shape.slice(1) : [...x.shape];

/** |x| of packed complex numbers, `[1, …]`, never 0. */
export const radius = (x: Tensor): Tensor => maximum(sqrt(sum(square(x), 0, true)), TINY);

/** |x| entry by entry, shape without the packed axis; its gradient at 0 is 0, where that of tfjs's `abs` is −1. */
export function magnitude(x: Tensor, field: Field): Tensor {
  const op = customGrad((v, save) => {
    const x = v as Tensor;
    const value = field === 'real' ? abs(x) : sqrt(sum(square(x), 0));
    (save as unknown as (tensors: Tensor[]) => void)([x]);
    const gradFunc = (dy: Tensor, saved: Tensor[]) => {
      const x = saved[0]!;
      if (field === 'real') return mul(dy, sign(x));
      const r = radius(x);
      return mul(reshape(dy, [1, ...dy.shape]), mul(div(x, r), step(r)));
    };
    return { value, gradFunc };
  });
  return op(x);
}

/** Sums over all but the batch axis; the packed axis, if any, is summed too. */
export function sumSamples(x: Tensor, field: Field): Tensor {
  const first = field === 'complex' ? 1 : 0;
  return sum(
    x,
    x.shape.map((_, axis) => axis).filter((axis) => axis !== first),
  );
}
