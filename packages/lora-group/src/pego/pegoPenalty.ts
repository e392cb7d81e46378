import { checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  abs,
  add,
  clipByValue,
  customGrad,
  gather,
  matMul,
  mul,
  reshape,
  type Scalar,
  scalar,
  square,
  sum,
  type Tensor,
  tensor1d,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';

/** Entrywise measure of a product: sum of absolute values, or of squares. */
export type PegoNorm = 'l1' | 'fro2';

/** Options of {@link pegoPenalty}. */
export interface PegoPenaltyOptions {
  /** `'l1'` (default), as the authors' code runs; `'fro2'`, the squared Frobenius norm. */
  readonly norm?: PegoNorm;
}

/** Both penalties of one weight, scalars. */
export interface PegoPenalty {
  /** `Σ_i ‖Wᵀ D_i‖`, `D_i = A_i B_i`. */
  readonly preserve: Scalar;
  /** `Σ_{i<j} ‖D_iᵀ D_j‖`. */
  readonly diversify: Scalar;
}

/** A number whose product with anything normal is beyond ±1, and with 0 is 0. */
const HUGE = 1e38;

/**
 * `Σ |X Y|` over a batch of products, with the gradient of `|0|` taken as 0: at the start all of B is 0, and with it every
 * entry. The sign is found by clipping, and only small factors are transposed and scaled, since these are what is slow on
 * wasm where `out × out` entries are concerned.
 */
function sumOfAbs(X: Tensor, Y: Tensor): Tensor {
  const op = customGrad((left, right, save) => {
    const product = matMul(left as Tensor, right as Tensor);
    (save as (tensors: Tensor[]) => void)([left as Tensor, right as Tensor, product]);
    return {
      value: sum(abs(product)),
      gradFunc: (dy: Tensor, saved: Tensor[]) => {
        const [x, y, p] = saved as [Tensor, Tensor, Tensor];
        const sign = clipByValue(mul(p, HUGE), -1, 1);
        return [
          mul(matMul(sign, y, false, true), dy),
          mul(matMul(transpose(x, [0, 2, 1]), sign), dy),
        ];
      },
    };
  });
  return op(X, Y);
}

const sumOfSquares = (X: Tensor, Y: Tensor): Tensor => sum(square(matMul(X, Y)));

/**
 * How far a group of low-rank updates `D_i = A_i B_i` is from reading other input directions than the pretrained weight
 * does (preserve) and than one another do (diversify). Differentiable; 0 with gradient 0 where all B are 0.
 *
 * `Wᵀ D_i` is computed as `(Wᵀ A_i) B_i` and `D_iᵀ D_j` as `B_iᵀ (A_iᵀ A_j) B_j`: `O(in out r + out² r)` operations each, but
 * `out²` numbers of memory for each of the `n` updates and `n (n − 1) / 2` pairs.
 *
 * @param W - the pretrained weight, shape `[in, out]`; no gradient needs to flow to it
 * @param A - shape `[n, in, r]`
 * @param B - shape `[n, r, out]`
 * @throws TypeError or RangeError if the shapes do not fit or an option is wrong
 * @see Hu et al. 2024, "Learn to Preserve and Diversify", and its code, whose sums over L1 norms these are
 */
export function pegoPenalty(
  W: Tensor,
  A: Tensor,
  B: Tensor,
  options: PegoPenaltyOptions = {},
): PegoPenalty {
  checkOptions('pegoPenalty', options, ['norm']);
  const { norm = 'l1' } = options;
  checkOneOf('pegoPenalty', 'norm', norm, ['l1', 'fro2']);
  checkTensor('pegoPenalty', 'W', W, { rank: 2 });
  const [inSize, outSize] = W.shape as [number, number];
  checkTensor('pegoPenalty', 'A', A, { shape: [null, inSize, null] });
  const [n, , r] = A.shape as [number, number, number];
  checkTensor('pegoPenalty', 'B', B, { shape: [n, r, outSize] });
  const measure = norm === 'l1' ? sumOfAbs : sumOfSquares;
  return tidy(() => {
    // One product for all updates: Wᵀ [A_1 … A_n].
    const flat = reshape(transpose(A, [1, 0, 2]), [inSize, n * r]);
    const read = reshape(matMul(W, flat, true, false), [outSize, n, r]);
    const preserve = measure(transpose(read, [1, 0, 2]), B);
    return {
      preserve: preserve as Scalar,
      diversify: (n === 1 ? scalar(0) : diversity(A, B, measure)) as Scalar,
    };
  });
}

function diversity(A: Tensor, B: Tensor, measure: (X: Tensor, Y: Tensor) => Tensor): Tensor {
  const n = A.shape[0]!;
  const first: number[] = [];
  const second: number[] = [];
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      first.push(i);
      second.push(j);
    }
  }
  const pick = (x: Tensor, indices: number[]) => gather(x, tensor1d(indices, 'int32'));
  const overlap = matMul(pick(A, first), pick(A, second), true, false);
  return measure(transpose(pick(B, first), [0, 2, 1]), matMul(overlap, pick(B, second)));
}

/** Weights of the two penalties. */
export interface PegoWeights {
  /** Factor of the whole, >= 0. Default 1e-3 */
  readonly lambda?: number;
  /** Factor of the preserve penalty, >= 0. Default 1 */
  readonly preserve?: number;
  /** Factor of the diversify penalty, >= 0. Default 1 */
  readonly diversify?: number;
}

/** `λ Σ (preserve + diversify)` over weights, checked already. */
export function weighPenalties(penalties: readonly PegoPenalty[], weights: PegoWeights): Scalar {
  const { lambda = 1e-3, preserve = 1, diversify = 1 } = weights;
  return tidy(() => {
    const total = penalties
      .map((each) => add(mul(each.preserve, preserve), mul(each.diversify, diversify)))
      .reduce((left, right) => add(left, right), scalar(0) as Tensor);
    return mul(total, lambda) as Scalar;
  });
}

/** Demands factors >= 0. */
export function checkPegoWeights(caller: string, weights: PegoWeights): void {
  for (const name of ['lambda', 'preserve', 'diversify'] as const) {
    if (weights[name] !== undefined) checkNumber(caller, name, weights[name], { min: 0 });
  }
}
