import { checkInteger, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  eye,
  matMul,
  mul,
  reshape,
  type Tensor,
  tidy,
  transpose,
  zeros,
} from '@tensorflow/tfjs-core';
import { cayleyBlocks } from '../orthoRegs/cayley.js';
import { skewBlocks, triangleSize } from '../orthoRegs/skewSymmetric.js';
import { linear } from './linear.js';

/** Options of {@link oftRotation}. */
export interface OftOptions {
  /**
   * `'cayley'` (default): `(I − Q)(I + Q)⁻¹`, orthogonal for every Q. `'neumann'`: PEFT's default, a cut-off series, which
   * approximates the *transpose* of the former and is orthogonal for small Q only.
   */
  readonly method?: 'cayley' | 'neumann';
  /** Terms of the series, as PEFT counts them: 5 has powers up to 4, and 3 is the same as 4. Default 5 */
  readonly terms?: number;
}

/** `I + 2Q + 2Q² + … + Qᵏ` as PEFT sums it. */
function neumann(Q: Tensor, identity: Tensor, terms: number): Tensor {
  if (terms === 1) return identity;
  let R = add(identity, mul(Q, 2));
  if (terms === 2) return R;
  let power = matMul(Q, Q);
  R = add(R, mul(power, 2));
  for (let i = 3; i < terms - 1; i++) {
    power = matMul(power, Q);
    R = add(R, mul(power, 2));
  }
  return add(R, matMul(power, Q));
}

/**
 * Rotations of blocks from skew-symmetric matrices `Q`, by the Cayley transform. Differentiable.
 *
 * @param v - the strict upper triangles of the `Q`, row by row, shape `[blocks, b (b − 1) / 2]`
 * @returns shape `[blocks, b, b]`; the identity for `v = 0`, exactly
 * @throws TypeError or RangeError if the second axis of `v` is no number of the form `b (b − 1) / 2`, or an option is wrong
 * @see Qiu et al. 2023, "Controlling Text-to-Image Diffusion by Orthogonal Finetuning", section 3.2
 */
export function oftRotation(v: Tensor, options: OftOptions = {}): Tensor {
  checkOptions('oftRotation', options, ['method', 'terms']);
  const { method = 'cayley', terms = 5 } = options;
  checkTensor('oftRotation', 'v', v, { rank: 2, allowEmpty: true });
  checkOneOf('oftRotation', 'method', method, ['cayley', 'neumann']);
  checkInteger('oftRotation', 'terms', terms, { min: 1 });
  const b = triangleSize(v.shape[1]!);
  if (Number.isNaN(b)) {
    throw new RangeError(
      `oftRotation: v must have b (b - 1) / 2 entries a block, got shape [${v.shape}]`,
    );
  }
  return tidy(() => {
    const identity = add(zeros([v.shape[0]!, b, b]), eye(b));
    if (v.size === 0) return identity;
    const Q = skewBlocks(v, b);
    return method === 'cayley' ? cayleyBlocks(Q, identity) : neumann(Q, identity, terms);
  });
}

/**
 * `blockdiag(R) W`: the weight whose inputs are rotated.
 * @param R - shape `[blocks, b, b]`
 * @param W - shape `[blocks · b, out]`
 * @returns shape `[blocks · b, out]`
 * @throws TypeError or RangeError if the shapes do not fit
 */
export function oftWeight(R: Tensor, W: Tensor): Tensor {
  checkTensor('oftWeight', 'R', R, { rank: 3 });
  const [blocks, b] = R.shape as [number, number, number];
  checkTensor('oftWeight', 'R', R, { shape: [blocks, b, b] });
  checkTensor('oftWeight', 'W', W, { shape: [blocks * b, null] });
  return tidy(() => reshape(matMul(R, reshape(W, [blocks, b, W.shape[1]!])), W.shape));
}

/**
 * `y = (x blockdiag(R)) W`.
 * @param x - shape `[…, in]`, `in = blocks · b`
 * @param R - shape `[blocks, b, b]`, of {@link oftRotation}
 * @param W - shape `[in, out]`
 * @returns shape `[…, out]`
 * @throws TypeError or RangeError if the shapes do not fit
 */
export function oftForward(x: Tensor, R: Tensor, W: Tensor): Tensor {
  checkTensor('oftForward', 'R', R, { rank: 3 });
  const [blocks, b] = R.shape as [number, number, number];
  checkTensor('oftForward', 'W', W, { shape: [blocks * b, null] });
  checkTensor('oftForward', 'x', x, {
    shape: [...x.shape.slice(0, -1).map(() => null), blocks * b],
    allowEmpty: true,
  });
  return tidy(() => {
    const rows = transpose(reshape(x, [-1, blocks, b]), [1, 0, 2]);
    const rotated = transpose(matMul(rows, R), [1, 0, 2]);
    return linear(reshape(rotated, x.shape), W);
  });
}
