import {
  checkBoolean,
  checkFinite as checkFiniteValues,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkTensor,
} from '@orth/backend';
import {
  abs,
  add,
  eye,
  gather,
  getBackend,
  matMul,
  max,
  reshape,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tensor2d,
  tidy,
  topk,
  transpose,
} from '@tensorflow/tfjs-core';
import { chooseTransform, DCT_TRANSFORMS, type DctTransform, dct } from './dct.js';
import { dctMatrix } from './dctMatrix.js';

/** Options of {@link selectColumns}. */
export interface SelectOptions {
  /** How many basis vectors to keep, integer in [1, min(R, C)]. */
  readonly rank: number;
  /**
   * The orthonormal basis of the shorter side: DCT-II vectors, DCT-III vectors, or a square orthogonal matrix whose
   * **rows** are the vectors, as `dctMatrix` gives them. Default `'dct2'`
   */
  readonly basis?: 'dct2' | 'dct3' | Tensor2D;
  /** `dctMatrix` of a named basis and the shorter side, if the caller keeps one: saves making it anew. */
  readonly table?: Tensor2D;
  /** Vectors are ranked by the 1-norm of their coordinates or by the 2-norm, which leaves the least error. Default 1 */
  readonly norm?: 1 | 2;
  /** How the named bases are applied; a tensor only by products. Default `'auto'`, see {@link DctOptions.transform} */
  readonly transform?: DctTransform;
  /** Whether to make sure that a tensor is orthogonal; reads one number back from the device. Default true */
  readonly checkBasis?: boolean;
  /** Whether to look for NaN and infinities in `a` first; reads it back from the device. Default false */
  readonly checkFinite?: boolean;
}

/** What {@link selectColumns} found; the caller disposes the tensors. */
export interface Selection {
  /** Chosen vectors, `[…, rank]` int32: by descending norm, ties to the lower index. */
  readonly indices: Tensor;
  /** The chosen vectors themselves, `[…, rank, k]`, `k = min(R, C)`. */
  readonly vectors: Tensor;
  /** Coordinates of `a`: `[…, R, rank]` if `R >= C`, else `[…, rank, C]`. */
  readonly low: Tensor;
  /**
   * From coordinates back to matrices `[…, R, C]`: `back(low)` is the orthogonal projection of `a` on the chosen vectors.
   * Works as long as `vectors` is not disposed.
   */
  readonly back: (low: Tensor) => Tensor;
}

/** Greatest deviation of `B Bᵀ` from the identity in an orthogonal basis. */
const ORTHOGONAL = 1e-3;

/**
 * Projects a matrix on the `rank` vectors of a fixed orthonormal basis in which it is largest: one product (or fast
 * transform) and a sort in place of an SVD, and the whole projection is known from the indices.
 *
 * `R >= C`: coordinates are `a Bᵀ`, the rows of `B` being the basis, and columns are chosen; else `B a`, and rows. With
 * `norm: 2` this is the best choice among the basis' vectors, and `‖a − back(low)‖² <= (1 − rank/k) ‖a‖²`. With NaN in `a`
 * the choice is undefined. Not differentiable.
 *
 * @param a - matrix or batch of matrices `[…, R, C]`, float32; not modified
 * @throws TypeError or RangeError for a bad tensor or option, a rank above min(R, C), a basis that is not square, of
 *   another size, or not orthogonal, `transform: 'fft'` with a tensor, or, with `checkFinite`, NaN or an infinity
 * @example
 * const { indices, low, back } = selectColumns(gradient, { rank: 16 });
 * const projected = back(low);
 * @see Modoranu et al. 2025, "SVD-Free Low-Rank Adaptive Gradient Optimization", arXiv 2505.17967, section 3
 */
export function selectColumns(a: Tensor, options: SelectOptions): Selection {
  const caller = 'selectColumns';
  checkOptions(caller, options, [
    'rank',
    'basis',
    'table',
    'norm',
    'transform',
    'checkBasis',
    'checkFinite',
  ]);
  checkTensor(caller, 'a', a, { minRank: 2 });
  const { rank, basis = 'dct2', norm = 1, transform = 'auto' } = options;
  const { checkBasis = true, checkFinite = false } = options;
  const [R, C] = a.shape.slice(-2) as [number, number];
  const k = Math.min(R, C);
  checkInteger(caller, 'rank', rank, { min: 1, max: k });
  checkOneOf(caller, 'norm', norm, [1, 2]);
  checkOneOf(caller, 'transform', transform, DCT_TRANSFORMS);
  checkBoolean(caller, 'checkBasis', checkBasis);
  checkBoolean(caller, 'checkFinite', checkFinite);
  if (typeof basis === 'string') {
    checkOneOf(caller, 'basis', basis, ['dct2', 'dct3']);
    if (options.table) checkTensor(caller, 'table', options.table, { shape: [k, k] });
  } else {
    checkTensor(caller, 'basis', basis, { shape: [k, k] });
    if (transform === 'fft') {
      throw new RangeError(`${caller}: transform must not be "fft" with a basis of one's own`);
    }
    if (checkBasis) checkOrthogonal(caller, basis);
  }
  if (checkFinite) checkFiniteValues(caller, 'a', a);

  const right = R >= C;
  const batch = a.shape.slice(0, -2);
  const count = a.size / (R * C);
  const { indices, vectors, low } = tidy(() => {
    const matrices = reshape(a, [count, R, C]);
    const fast = typeof basis === 'string' && chooseTransform(transform, k) === 'fft';
    const type = basis === 'dct2' ? 2 : 3;
    const table = typeof basis === 'string' ? (options.table ?? dctMatrix(k, type)) : basis;
    const T = fast
      ? shortFirst(dct(matrices, { axis: right ? 2 : 1, type, transform: 'fft' }), right)
      : coordinates(matrices, table, right);
    const scores = sum(norm === 1 ? abs(T) : square(T), 2);
    const best = topk(scores, rank, true).indices;
    const kept = gatherRows(T, best);
    const chosen = gather(table, reshape(best, [count * rank]));
    return {
      indices: reshape(best, [...batch, rank]),
      vectors: reshape(chosen, [...batch, rank, k]),
      low: reshape(right ? transpose(kept, [0, 2, 1]) : kept, [
        ...batch,
        ...(right ? [R, rank] : [rank, C]),
      ]),
    };
  });
  const back = (x: Tensor) => {
    checkTensor('back', 'low', x, { shape: low.shape });
    return right ? matMul(x, vectors) : matMul(vectors, x, true, false);
  };
  return { indices, vectors, low, back };
}

/** Coordinates with the chosen side first, `[b, k, l]`. */
function coordinates(matrices: Tensor, table: Tensor, right: boolean): Tensor {
  const [count, R, C] = matrices.shape as [number, number, number];
  if (!right) return matMul(table, matrices);
  // One product over all rows of the batch.
  const S = matMul(reshape(matrices, [count * R, C]), table, false, true);
  return transpose(reshape(S, [count, R, C]), [0, 2, 1]);
}

const shortFirst = (S: Tensor, right: boolean) => (right ? transpose(S, [0, 2, 1]) : S);

/** Rows `indices [b, r]` of each matrix of `T [b, k, l]`. */
function gatherRows(T: Tensor, indices: Tensor): Tensor {
  const [count, k, l] = T.shape as [number, number, number];
  const r = indices.shape[1]!;
  const first = Int32Array.from({ length: count }, (_, i) => i * k);
  const flat = add(indices, tensor2d(first, [count, 1], 'int32'));
  return reshape(gather(reshape(T, [count * k, l]), reshape(flat, [count * r])), [count, r, l]);
}

function checkOrthogonal(caller: string, basis: Tensor2D): void {
  const worst = tidy(() => {
    const error = max(abs(sub(matMul(basis, basis, false, true), eye(basis.shape[0]))));
    try {
      return error.dataSync()[0]!;
    } catch (cause) {
      const message = `${caller}: backend ${getBackend()} cannot be read synchronously here; set checkBasis to false`;
      throw new Error(message, { cause });
    }
  });
  if (worst <= ORTHOGONAL) return;
  throw new RangeError(
    `${caller}: basis must be orthogonal, got a matrix B with |B Bᵀ − I| up to ${worst}`,
  );
}
