import { checkInteger, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  concat,
  customGrad,
  div,
  eye,
  gather,
  matMul,
  mul,
  reshape,
  sub,
  sum,
  type Tensor,
  tensor1d,
  tidy,
  transpose,
  zeros,
} from '@tensorflow/tfjs-core';
import { linear } from './linear.js';

/**
 * Newton steps for `(I + QᵀQ)⁻¹`. Their error squares at each step and begins at `1 − 2 / (2 + ‖Q‖²/2)`: 18 steps reach
 * float32 rounding for norms up to 180, where rotations long stopped changing.
 */
const INVERSE_STEPS = 18;

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

const swap = (x: Tensor) => transpose(x, [0, 2, 1]);

/** Block size whose strict upper triangle has `entries` entries, or NaN. */
export function blockSizeOf(entries: number): number {
  const size = (1 + Math.sqrt(1 + 8 * entries)) / 2;
  return Number.isInteger(size) ? size : Number.NaN;
}

/** Skew-symmetric matrices from their strict upper triangles in row-major order: `[n, b (b − 1) / 2]` to `[n, b, b]`. */
function skewSymmetric(v: Tensor, b: number): Tensor {
  const n = v.shape[0]!;
  const entries = v.shape[1]!;
  // Entry (i, j) of the upper triangle, or the column of zeros behind the last entry.
  const upper = new Int32Array(b * b).fill(entries);
  const places = new Int32Array(entries);
  for (let i = 0, at = 0; i < b; i++) {
    for (let j = i + 1; j < b; j++, at++) {
      upper[i * b + j] = at;
      places[at] = i * b + j;
    }
  }
  const op = customGrad((input) => {
    const padded = concat([input as Tensor, zeros([n, 1])], 1);
    const U = reshape(gather(padded, tensor1d(upper, 'int32'), 1), [n, b, b]);
    return {
      value: sub(U, swap(U)),
      gradFunc: (dQ: Tensor) =>
        gather(reshape(sub(dQ, swap(dQ)), [n, b * b]), tensor1d(places, 'int32'), 1),
    };
  });
  return op(v);
}

/**
 * `(I − Q)(I + Q)⁻¹ = 2P − I`, `P = (I + Q)⁻¹ = (I − Q)(I + QᵀQ)⁻¹`, by products alone. Since `dR = −2 P dQ P`, its gradient is
 * `−2 Pᵀ dR Pᵀ`.
 */
function cayley(Q: Tensor, identity: Tensor): Tensor {
  const op = customGrad((input, save) => {
    const skew = input as Tensor;
    const P = tidy(() => {
      const M = add(identity, matMul(skew, skew, true, false));
      // Eigenvalues of M lie in [1, 1 + ‖Q‖²/2], as those of a skew matrix come in pairs.
      const bound = mul(sum(mul(skew, skew), [1, 2], true), 0.5);
      let X: Tensor = mul(identity, div(2, add(bound, 2)));
      for (let step = 0; step < INVERSE_STEPS; step++) {
        X = matMul(X, sub(mul(identity, 2), matMul(M, X)));
      }
      return matMul(sub(identity, skew), X);
    });
    (save as (tensors: Tensor[]) => void)([P]);
    return {
      value: tidy(() => sub(mul(P, 2), identity)),
      gradFunc: (dR: Tensor, saved: Tensor[]) => {
        const inverse = saved[0]!;
        return mul(matMul(matMul(inverse, dR, true, false), inverse, false, true), -2);
      },
    };
  });
  return op(Q);
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
  const b = blockSizeOf(v.shape[1]!);
  if (Number.isNaN(b)) {
    throw new RangeError(
      `oftRotation: v must have b (b - 1) / 2 entries a block, got shape [${v.shape}]`,
    );
  }
  return tidy(() => {
    const identity = add(zeros([v.shape[0]!, b, b]), eye(b));
    if (v.size === 0) return identity;
    const Q = skewSymmetric(v, b);
    return method === 'cayley' ? cayley(Q, identity) : neumann(Q, identity, terms);
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
