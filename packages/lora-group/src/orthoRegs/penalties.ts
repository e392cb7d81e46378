import {
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkTensor,
  seededRandom,
} from '@orth/backend';
import {
  abs,
  add,
  argMax,
  cast,
  clipByValue,
  customGrad,
  div,
  eye,
  matMul,
  max,
  maximum,
  mul,
  oneHot,
  reshape,
  type Scalar,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { type GramSide, gramDeviation, normOfDeviation, usesRows } from './deviation.js';

/** A measure of how far a matrix is from orthogonal; see {@link orthoPenalty}. */
export type OrthoPenaltyKind =
  | 'soft'
  | 'softNorm'
  | 'double'
  | 'mutualCoherence'
  | 'srip'
  | 'offDiagonalCosine';

/** A factor, fixed or by step: Bansal et al. lower it over training. */
export type PenaltyWeight = number | ((step: number) => number);

/** Options of {@link orthoPenalty}. */
export interface OrthoPenaltyOptions {
  /** Default `'soft'` */
  readonly kind?: OrthoPenaltyKind;
  /** Factor, >= 0, or a function of `step` with such values. Default 1e-2 */
  readonly weight?: PenaltyWeight;
  /**
   * Whose Gram matrix: `'rows'`, `'columns'`, or `'auto'`, the smaller side's, for which 0 can be reached. Of
   * `'offDiagonalCosine'` `'auto'` means columns; `'double'` takes both. Default `'auto'`
   */
  readonly side?: GramSide;
  /** `'mean'` divides `'offDiagonalCosine'` by the number of pairs, as Keras does; the others have no use for it. Default `'sum'` */
  readonly reduction?: 'sum' | 'mean';
  /** Step of training, integer >= 0: argument of `weight`, and part of the seed of `'srip'`. Default 0 */
  readonly step?: number;
  /** Seed of the start vectors of `'srip'`. Default 0 */
  readonly seed?: number;
  /** Start vector of `'srip'`, shape `[k, 1]` for a Gram matrix `k × k`, instead of a random one. */
  readonly start?: Tensor;
}

/** Names of {@link OrthoPenaltyOptions}. */
export const PENALTY_OPTIONS: readonly (keyof OrthoPenaltyOptions)[] = [
  'kind',
  'weight',
  'side',
  'reduction',
  'step',
  'seed',
  'start',
];

const KINDS: readonly OrthoPenaltyKind[] = [
  'soft',
  'softNorm',
  'double',
  'mutualCoherence',
  'srip',
  'offDiagonalCosine',
];

/** Below this, squares vanish in float32. */
const TINY = 1e-18;

/** A number whose product with anything normal is beyond ±1, and with 0 is 0. */
const HUGE = 1e38;

const asMatrix = (kernel: Tensor): Tensor =>
  kernel.rank === 2 ? kernel : reshape(kernel, [-1, kernel.shape[kernel.rank - 1]!]);

/**
 * Sum of a measure of non-orthogonality over kernels, times a weight, to be added to a loss. With `G` the Gram matrix of the
 * smaller side (or of `side`) and `M = G − I`:
 *
 * - `'soft'`: `‖M‖_F²`, the sum of `(σ² − 1)²` over singular values
 * - `'softNorm'`: `‖M‖_F`
 * - `'double'`: `‖KᵀK − I‖_F² + ‖KKᵀ − I‖_F²`, at least `|in − out|`
 * - `'mutualCoherence'`: `max |M|`; the gradient is that of the first greatest entry
 * - `'srip'`: `‖M v₂‖²` with `v₂ = M v₀ / ‖M v₀‖`: two steps of a power iteration towards `σ_max(M)²`, from a uniform `v₀` that
 *   differs from step to step; the gradient flows through `v₂`
 * - `'offDiagonalCosine'`: sum over i ≠ j of `|cos(column i, column j)|`: decorrelates, without a demand on norms
 *
 * All are 0 with gradient 0 where the side's vectors are orthonormal (`'double'`: for square matrices). Differentiable on
 * every backend. On a convolution's kernel this makes the `[kh·kw·in, out]` matrix orthogonal, not the layer: see `lorth`.
 *
 * @param kernels - one or several, `[in, out]`, or `[…, in, out]` of a convolution (rank 3 to 5), viewed as `[… · in, out]`
 * @returns a scalar
 * @throws TypeError or RangeError for a kernel of rank 1, a wrong option, or a start vector that does not fit
 * @example
 * const loss = () => add(task(), orthoPenalty([W1, W2], { kind: 'srip', weight: 0.1, step }));
 * @see Bansal, Chen, Wang 2018, "Can We Gain More from Orthogonality Regularizations in Training Deep CNNs?"; `'srip'` as
 *   in its code, which squares the norm and starts from uniform vectors
 */
export function orthoPenalty(
  kernels: Tensor | readonly Tensor[],
  options: OrthoPenaltyOptions = {},
): Scalar {
  const list: readonly Tensor[] = Array.isArray(kernels) ? kernels : [kernels];
  checkPenaltyOptions('orthoPenalty', options);
  if (list.length === 0) throw new RangeError('orthoPenalty: kernels must not be empty, got []');
  for (const kernel of list) {
    checkTensor('orthoPenalty', 'kernels', kernel, { minRank: 2 });
    if (kernel.rank <= 5) continue;
    const got = `got shape [${kernel.shape}]`;
    throw new RangeError(`orthoPenalty: kernels must have rank 2 to 5, ${got}`);
  }
  const { weight = 1e-2, step = 0 } = options;
  const factor = typeof weight === 'function' ? weight(step) : weight;
  checkNumber('orthoPenalty', 'weight', factor, { min: 0 });
  return tidy(() => {
    const parts = list.map((kernel, index) => penaltyOf(asMatrix(kernel), options, index));
    return mul(
      parts.reduce((total, part) => add(total, part)),
      factor,
    ) as Scalar;
  });
}

/** Demands options that {@link orthoPenalty} knows, with values that it can take. */
export function checkPenaltyOptions(caller: string, options: OrthoPenaltyOptions): void {
  checkOptions(caller, options, PENALTY_OPTIONS);
  const { kind = 'soft', weight = 1e-2, side = 'auto', reduction = 'sum' } = options;
  checkOneOf(caller, 'kind', kind, KINDS);
  checkOneOf(caller, 'side', side, ['auto', 'rows', 'columns']);
  checkOneOf(caller, 'reduction', reduction, ['sum', 'mean']);
  if (typeof weight !== 'function') checkNumber(caller, 'weight', weight, { min: 0 });
  checkInteger(caller, 'step', options.step ?? 0, { min: 0 });
  checkInteger(caller, 'seed', options.seed ?? 0);
  if (options.start !== undefined) {
    checkTensor(caller, 'start', options.start, { shape: [null, 1] });
  }
}

function penaltyOf(K: Tensor, options: OrthoPenaltyOptions, index: number): Tensor {
  const { kind = 'soft', side = 'auto', reduction = 'sum' } = options;
  switch (kind) {
    case 'soft':
      return sum(square(gramDeviation(K, side)));
    case 'softNorm':
      return normOfDeviation(K, side);
    case 'double':
      return add(sum(square(gramDeviation(K, 'columns'))), sum(square(gramDeviation(K, 'rows'))));
    case 'mutualCoherence':
      return largestEntry(gramDeviation(K, side));
    case 'srip':
      return srip(gramDeviation(K, side), options, index);
    case 'offDiagonalCosine':
      return cosines(K, side === 'rows', reduction);
  }
}

/** `max |M|`, whose gradient goes to the first entry that reaches it, and is 0 if that is 0. */
function largestEntry(M: Tensor): Tensor {
  const op = customGrad((input, save) => {
    const x = input as Tensor;
    (save as (tensors: Tensor[]) => void)([x]);
    return {
      value: max(abs(x)),
      gradFunc: (dy: Tensor, saved: Tensor[]) =>
        tidy(() => {
          const flat = reshape(saved[0]!, [-1]);
          const place = cast(oneHot(argMax(abs(flat)), flat.size), 'float32');
          const sign = clipByValue(mul(flat, HUGE), -1, 1);
          return mul(reshape(mul(place, sign), x.shape), dy);
        }),
    };
  });
  return op(M);
}

function srip(M: Tensor, options: OrthoPenaltyOptions, index: number): Tensor {
  const k = M.shape[0]!;
  const { start, seed = 0, step = 0 } = options;
  if (start && start.shape[0] !== k) {
    throw new RangeError(`orthoPenalty: start must have shape [${k},1], got [${start.shape}]`);
  }
  const v0 = start ?? seededRandom(seed).fork(step).fork(index).uniformTensor([k, 1]);
  const v1 = matMul(M, v0);
  // sqrt has no finite derivative at 0; with the addition M v₂ is 0 there, and so is its gradient.
  const v2 = div(v1, sqrt(add(sum(square(v1)), TINY)));
  return sum(square(matMul(M, v2)));
}

function cosines(K: Tensor, rows: boolean, reduction: 'sum' | 'mean'): Tensor {
  const n = K.shape[rows ? 0 : 1]!;
  if (n === 1) return mul(sum(K), 0);
  const lengths = sqrt(maximum(sum(square(K), rows ? 1 : 0, true), TINY));
  const unit = div(K, lengths);
  const off = mul(matMul(unit, unit, !rows, rows), sub(1, eye(n)));
  const total = sum(magnitude(off));
  // Keras divides by the number of unordered pairs, and counts each once.
  return reduction === 'mean' ? div(total, n * (n - 1)) : total;
}

/** `|x|` with gradient 0 at 0, where tfjs's is −1. */
function magnitude(x: Tensor): Tensor {
  const op = customGrad((input, save) => {
    (save as (tensors: Tensor[]) => void)([input as Tensor]);
    return {
      value: abs(input as Tensor),
      gradFunc: (dy: Tensor, saved: Tensor[]) =>
        tidy(() => mul(dy, clipByValue(mul(saved[0]!, HUGE), -1, 1))),
    };
  });
  return op(x);
}

/** For the reader of a penalty's value: the size of its Gram matrix. */
export const gramSize = (shape: readonly number[], side: GramSide): number =>
  usesRows(shape, side) ? shape[0]! : shape[1]!;
