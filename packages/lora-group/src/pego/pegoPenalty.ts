import { checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  abs,
  add,
  clipByValue,
  concat,
  customGrad,
  gather,
  matMul,
  mul,
  reshape,
  type Scalar,
  scalar,
  slice,
  square,
  sum,
  type Tensor,
  tensor1d,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { isRecording } from '../adapters/target.js';

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

/** Products are taken so many entries at a time: enough for a GPU, few enough for a processor's cache. */
const ENTRIES_AT_ONCE = 2 ** 20;

/** A sum over entries, and the derivative of its terms; that of `|0|` is 0, as at the start all entries are 0. */
interface Measure {
  sum(x: Tensor): Tensor;
  slope(x: Tensor): Tensor;
}

const MEASURES: Readonly<Record<PegoNorm, Measure>> = {
  // The sign by clipping: tfjs's own takes ten times as long on wasm.
  l1: { sum: (x) => sum(abs(x)), slope: (x) => clipByValue(mul(x, HUGE), -1, 1) },
  fro2: { sum: (x) => sum(square(x)), slope: (x) => mul(x, 2) },
};

/**
 * A measure of all entries of a batch of products `X Y`, `[m, out, r] [m, r, out]`. The `out × out` entries of a product live only
 * until its part of the gradients is taken, which happens in the forward pass, as these are linear in the loss' gradient.
 */
function measureProducts(X: Tensor, Y: Tensor, measure: Measure): Tensor {
  const recording = isRecording();
  const [m, out] = X.shape as [number, number, number];
  const atOnce = Math.max(1, Math.floor(ENTRIES_AT_ONCE / (out * out)));
  const op = customGrad((left, right, save) => {
    const parts: Tensor[][] = [];
    for (let from = 0; from < m; from += atOnce) {
      const count = Math.min(atOnce, m - from);
      const part = (x: Tensor) => slice(x, [from, 0, 0], [count, -1, -1]);
      parts.push(
        tidy(() => {
          const [x, y] = [part(left as Tensor), part(right as Tensor)];
          const product = matMul(x, y);
          const value = measure.sum(product);
          if (!recording) return [value];
          const slope = measure.slope(product);
          // Only the small factor is transposed.
          return [value, matMul(slope, y, false, true), matMul(transpose(x, [0, 2, 1]), slope)];
        }),
      );
    }
    const joined = (i: number) => (m <= atOnce ? parts[0]![i]! : concat(parts.map((p) => p[i]!)));
    if (recording) (save as (tensors: Tensor[]) => void)([joined(1), joined(2)]);
    return {
      value: parts.map(([value]) => value!).reduce((total, value) => add(total, value)),
      gradFunc: (dy: Tensor, saved: Tensor[]) => saved.map((gradient) => mul(gradient, dy)),
    };
  });
  return op(X, Y);
}

/**
 * How far a group of low-rank updates `D_i = A_i B_i` is from reading other input directions than the pretrained weight
 * does (preserve) and than one another do (diversify). 0 with gradient 0 where all B are 0.
 *
 * `Wᵀ D_i` is computed as `(Wᵀ A_i) B_i` and `D_iᵀ D_j` as `B_iᵀ (A_iᵀ A_j) B_j`: `O(in out r + out² r)` operations each, for each of
 * the `n` updates and `n (n − 1) / 2` pairs. Differentiable once.
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
  const measure = MEASURES[norm];
  return tidy(() => {
    // One product for all updates: Wᵀ [A_1 … A_n].
    const flat = reshape(transpose(A, [1, 0, 2]), [inSize, n * r]);
    const read = reshape(matMul(W, flat, true, false), [outSize, n, r]);
    const preserve = measureProducts(transpose(read, [1, 0, 2]), B, measure);
    return {
      preserve: preserve as Scalar,
      diversify: (n === 1 ? scalar(0) : diversity(A, B, measure)) as Scalar,
    };
  });
}

function diversity(A: Tensor, B: Tensor, measure: Measure): Tensor {
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
  const left = transpose(pick(B, first), [0, 2, 1]);
  return measureProducts(left, matMul(overlap, pick(B, second)), measure);
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
