/** Soft and hard thresholding: the proximal operators of the l1 norm and of the number of non-zeros. */
import { checkNumber, checkTensor } from '@orth/backend';
import {
  type Tensor as AnyTensor,
  customGrad,
  div,
  mul,
  neg,
  relu,
  scalar,
  step,
  sub,
  sum,
  Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { type Field, fieldOf, magnitude, pack, radius, unpack } from './packedComplex.js';

/** `max(|z| − s, 0) · sign(z)` of packed numbers; differentiable in both. `s` broadcasts against the packed tensor. */
export function softPacked(z: Tensor, s: Tensor | number, field: Field): Tensor {
  // Not by tfjs's abs, whose gradient at 0 is −1.
  if (field === 'real') return sub(relu(sub(z, s)), relu(sub(neg(z), s)));
  const op = customGrad((...args) => {
    const save = args.pop() as unknown as (tensors: Tensor[]) => void;
    const [z, s] = args as [Tensor, Tensor];
    const r = radius(z);
    const factor = div(relu(sub(r, s)), r);
    save([z, s]);
    const gradFunc = (dy: Tensor, saved: Tensor[]) => {
      const [z, s] = saved as [Tensor, Tensor];
      const r = radius(z);
      const mask = step(sub(r, s));
      const along = div(sum(mul(z, dy), 0, true), r);
      const dz = mul(mask, sub(dy, mul(div(s, r), sub(dy, mul(div(along, r), z)))));
      const ds = neg(mul(mask, along));
      return [dz, s.rank === 0 ? sum(ds) : ds];
    };
    return { value: mul(z, factor), gradFunc };
  });
  const threshold = typeof s === 'number' ? scalar(s) : s;
  return op(z, threshold);
}

/** `z` where `|z| > s`, else 0; the mask carries no gradient. */
export function hardPacked(z: Tensor, s: Tensor | number, field: Field): Tensor {
  return mul(z, maskAbove(z, s, field));
}

/** 1 where `|z| > s`, else 0; no gradient passes. */
export function maskAbove(z: Tensor, s: Tensor | number, field: Field): Tensor {
  // tf.greater has no gradient function and throws on a tape; that of tf.step is 0.
  const r = field === 'real' ? magnitude(z, field) : radius(z);
  return step(sub(r, s));
}

function check(caller: string, z: unknown, s: unknown): void {
  checkTensor(caller, 'z', z, { dtype: ['float32', 'complex64'], allowEmpty: true });
  if (s instanceof Tensor) {
    const complex = (z as AnyTensor).dtype === 'complex64';
    checkTensor(caller, 'threshold', s, complex ? { rank: 0 } : {});
  } else checkNumber(caller, 'threshold', s, { min: 0 });
}

/**
 * Shrinks every entry towards 0 by `threshold`: `sign(z) max(|z| − s, 0)`, the proximal operator of `s‖·‖₁`.
 * Complex numbers keep their phase.
 *
 * @param z - float32 or complex64, any shape
 * @param threshold - number >= 0, or a tensor that broadcasts against `z` (a scalar for complex `z`); differentiable,
 *   as `z` is
 * @returns shape and dtype of `z`
 * @throws TypeError or RangeError for a wrong argument
 * @example
 * softThreshold(tensor1d([-2, 0.5, 3]), 1); // -1, 0, 2
 */
export function softThreshold<T extends Tensor>(z: T, threshold: number | Tensor): T {
  check('softThreshold', z, threshold);
  const field = fieldOf(z);
  return tidy(() => unpack(softPacked(pack(z), threshold, field), field) as T);
}

/**
 * Keeps entries with `|z| > threshold` and sets the others to 0: with `s = √(2λ)` the proximal operator of `λ‖·‖₀`.
 * Where it keeps an entry its derivative is 1; the threshold gets none.
 *
 * @param z - float32 or complex64, any shape
 * @param threshold - number >= 0, or a tensor that broadcasts against `z` (a scalar for complex `z`)
 * @returns shape and dtype of `z`
 * @throws TypeError or RangeError for a wrong argument
 */
export function hardThreshold<T extends Tensor>(z: T, threshold: number | Tensor): T {
  check('hardThreshold', z, threshold);
  const field = fieldOf(z);
  return tidy(() => unpack(hardPacked(pack(z), threshold, field), field) as T);
}
