import {
  abs,
  add,
  customGrad,
  div,
  matMul,
  max,
  maximum,
  mul,
  pow,
  reshape,
  rsqrt,
  sqrt,
  square,
  step,
  sub,
  sum,
  type Tensor,
  tidy,
  zerosLike,
} from '@tensorflow/tfjs-core';
import type { Normalization } from './schedules.js';

/** How epsilon enters the division; see {@link OrthogonalizeOptions.epsilonMode}. */
export type EpsilonMode = 'relative' | 'add' | 'clamp';

/** How a matrix is scaled before the first step: the options of {@link orthogonalize}, all given. */
export interface NormalizeOptions {
  /** Which norm, or which scaling. */
  readonly normalization: Normalization;
  /** Factor on the norm, >= 1; not for `'aol'` and `'none'`. */
  readonly safety: number;
  /** Keeps the division finite, >= 0; not for `'aol'` and `'none'`. */
  readonly epsilon: number;
  /** In which units epsilon is, and whether it is added. */
  readonly epsilonMode: EpsilonMode;
}

/** A normalised batch. */
export interface Normalized {
  /** The scaled matrices, `[b, m, n]`. */
  readonly X: Tensor;
  /** Their Gram matrices on the short side, `[b, k, k]`, where the normalisation computed them anyway. */
  readonly gram?: Tensor;
}

const MATRIX = [1, 2];

/** `X Yᵀ` of wide matrices, `Xᵀ Y` of tall ones: a product as small as the short side. */
export function shortProduct(X: Tensor, Y: Tensor): Tensor {
  const [m, n] = X.shape.slice(-2) as [number, number];
  return m > n ? matMul(X, Y, true, false) : matMul(X, Y, false, true);
}

/** The Gram matrix of the short side: `X Xᵀ` of a wide matrix, `Xᵀ X` of a tall one. */
export const shortGram = (X: Tensor): Tensor => shortProduct(X, X);

/** 1 where `x` is 0, else 0, for `x >= 0`: turns a zero divisor into 1 without a branch. */
const isZero = (x: Tensor) => sub(1, step(x));

/**
 * `max |g|` of each matrix, `[b, 1, 1]`, as a constant to differentiation: every normalisation is invariant to scale, so
 * the derivative with respect to this factor is 0.
 */
const largestEntry = customGrad((g) => ({
  value: max(abs(g as Tensor), MATRIX, true),
  gradFunc: () => zerosLike(g as Tensor),
}));

/**
 * Scales each matrix of `G [b, m, n]` so that its singular values lie in [0, 1].
 *
 * Entries are first divided by the largest: squares of 1e20 or 1e−20 do not fit float32. A zero matrix stays zero.
 *
 * - `frobenius`: `X = G / ‖G‖_F`
 * - `schatten4`: `X = G / ‖G Gᵀ‖_F^½`, between the spectral and the Frobenius norm
 * - `aol`: `X = diag(r) G` with `r_i = (Σ_j |G Gᵀ|_ij)^(−½)` on the short side; changes the polar factor
 * - `spectral`: `X = G / s` with `‖G‖₂ <= s <= k^(1/256) ‖G‖₂`
 */
export function normalize(G: Tensor, options: NormalizeOptions): Normalized {
  const { normalization } = options;
  if (normalization === 'none') return { X: G };
  const largest = largestEntry(G);
  const empty = isZero(largest);
  const scale = add(largest, empty);
  const X = div(G, scale);
  if (normalization === 'frobenius') {
    const norm = frobenius(X, empty);
    return { X: div(X, divisor(norm, scale, options)) };
  }
  const A = shortGram(X);
  if (normalization === 'aol') return scaleShortSide(X, A);
  const norm = normalization === 'schatten4' ? schatten4(A, empty) : spectral(A, empty);
  const s = divisor(norm, scale, options);
  return { X: div(X, s), gram: div(A, square(s)) };
}

/** The divisor for entries already divided by `scale`; an absolute epsilon shrinks with them. */
function divisor(
  norm: Tensor,
  scale: Tensor,
  { safety, epsilon, epsilonMode }: NormalizeOptions,
): Tensor {
  const safe = safety === 1 ? norm : mul(norm, safety);
  if (epsilonMode === 'relative') return add(safe, epsilon);
  const absolute = div(epsilon, scale);
  return epsilonMode === 'add' ? add(safe, absolute) : maximum(safe, absolute);
}

/**
 * Almost-orthogonal scaling: `r_i = (Σ_j |A_ij|)^(−½)` of a Gram matrix `A [b, k, k]`, shape `[b, k, 1]`. By Gershgorin
 * `‖diag(r) A diag(r)‖₂ <= 1`. A zero row is left alone.
 * (Prach and Lampert 2022; Boissin et al. 2025, arXiv 2512.04632)
 */
export function aolScale(A: Tensor): Tensor {
  const total = sum(abs(A), [2], true);
  return rsqrt(add(total, isZero(total)));
}

function scaleShortSide(X: Tensor, A: Tensor): Normalized {
  const column = aolScale(A);
  const row = reshape(column, [A.shape[0]!, 1, A.shape[1]!]);
  const tall = X.shape[1]! > X.shape[2]!;
  return { X: mul(X, tall ? row : column), gram: mul(mul(A, column), row) };
}

/** `‖A‖_F` of each matrix, 1 for zero matrices; a scope of its own, since the squares are as large as `A`. */
const frobenius = (A: Tensor, empty: Tensor | number) =>
  tidy(() => sqrt(add(sum(square(A), MATRIX, true), empty)));

/** `‖G Gᵀ‖_F^½ = (Σ σ⁴)^¼` from the Gram matrix; `empty` is 1 for a zero matrix. */
export function schatten4(A: Tensor, empty: Tensor | number = 0): Tensor {
  return sqrt(frobenius(A, empty));
}

const SQUARINGS = 6;

/**
 * Power iteration on all vectors at once: `‖A^q‖_F^(1/q)` with `q = 2^6` falls to the largest eigenvalue of `A` from
 * above, unlike the iteration on one vector, whose estimate is too small and depends on the start.
 */
function spectral(A: Tensor, empty: Tensor): Tensor {
  let eigenvalue = frobenius(A, empty);
  let power = div(A, eigenvalue);
  for (let k = 1; k <= SQUARINGS; k++) {
    power = matMul(power, power);
    const norm = frobenius(power, empty);
    power = div(power, norm);
    eigenvalue = mul(eigenvalue, pow(norm, 2 ** -k));
  }
  return sqrt(eigenvalue);
}
