import { checkInteger, checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import { orthogonalize } from '@orth/newton-schulz';
import {
  abs,
  add,
  cosh,
  div,
  mean,
  minimum,
  mul,
  norm,
  type Scalar,
  sqrt,
  square,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';

/** Which of AuON's two published rules: that of the paper, or that of the author's repository today. */
export type AuonVariant = 'paper' | 'repository';

/** Options of {@link auonDirection}. */
export interface AuonDirectionOptions {
  /** Default `'paper'` */
  readonly variant?: AuonVariant;
  /** Factor on the entries inside the cosh, > 0. Default 1, for `'repository'` 1.5 */
  readonly gamma?: number;
  /** Newton–Schulz steps before the rescaling, integer >= 0; 1 is Hybrid-AuON. Default 0 */
  readonly hybridSteps?: number;
}

/** Gamma where none is given. */
export const auonGamma = (variant: AuonVariant) => (variant === 'paper' ? 1 : 1.5);

const NORM_EPSILON = 1e-7;
const EPSILON = 1e-8;
/** cosh overflows float32 at 88; entries are at most 1, so this matters for gamma > 40 only. */
const LARGEST = 40;

/**
 * `r = √mean(cosh(γ u / (‖u‖ + 1e−7))²)` over all entries: what AuON divides by. For N entries it lies within
 * `[cosh(γ/√N), √(1 + sinh²(γ)/N)]`, so for any real layer it is 1 to four digits.
 *
 * @param u - any shape, float32; not modified
 * @param gamma - > 0. Default 1
 * @throws TypeError or RangeError for a wrong tensor or gamma
 * @see Maity 2025, "AuON", arXiv 2509.24320, algorithm 1
 */
export function coshRms(u: Tensor, gamma = 1): Scalar {
  checkTensor('coshRms', 'u', u);
  checkNumber('coshRms', 'gamma', gamma, { above: 0 });
  return tidy(() => coshRmsOf(unit(u), gamma, undefined)) as Scalar;
}

/**
 * AuON's update direction: a scalar multiple of the momentum, `D ∥ u`. No orthogonalisation takes place unless
 * `hybridSteps` > 0, and no matrix product.
 *
 * - `'paper'`: `D = X / (r + 1e−8)` with `X = u / (‖u‖ + 1e−7)`: SGD normalised to unit length, to four digits
 * - `'repository'`: `D = u / (r + 1e−8)`: the momentum itself, to four digits
 * - with `hybridSteps`: `u` is replaced by that many Newton–Schulz steps of it; the paper's r is then taken of the
 *   result without normalising it
 *
 * @param u - any shape, rank >= 2 with `hybridSteps`; not modified
 * @returns the shape of `u`; zeros for zeros
 * @throws TypeError or RangeError for a wrong tensor or option
 * @see Maity 2025, "AuON", arXiv 2509.24320; ryyzn9/AuON
 */
export function auonDirection(u: Tensor, options: AuonDirectionOptions = {}): Tensor {
  const caller = 'auonDirection';
  checkOptions(caller, options, ['variant', 'gamma', 'hybridSteps']);
  const { variant = 'paper', hybridSteps = 0 } = options;
  checkOneOf(caller, 'variant', variant, ['paper', 'repository']);
  const gamma = options.gamma ?? auonGamma(variant);
  checkNumber(caller, 'gamma', gamma, { above: 0 });
  checkInteger(caller, 'hybridSteps', hybridSteps, { min: 0 });
  checkTensor(caller, 'u', u, { minRank: hybridSteps > 0 ? 2 : 0 });
  return tidy(() => {
    const mixed = hybridSteps > 0 ? orthogonalize(u, { steps: hybridSteps }) : u;
    return rescale(mixed, { variant, gamma, hybridSteps });
  });
}

/**
 * {@link auonDirection} after its Newton–Schulz steps, without checks.
 * @param axes - axes of one matrix, for a batch. Default all
 */
export function rescale(
  u: Tensor,
  { variant, gamma, hybridSteps }: Required<AuonDirectionOptions>,
  axes?: number[],
): Tensor {
  return tidy(() => {
    const paper = variant === 'paper';
    const X = paper && hybridSteps > 0 ? u : unit(u, axes);
    return div(paper ? X : u, add(coshRmsOf(X, gamma, axes), EPSILON));
  });
}

const unit = (u: Tensor, axes?: number[]) =>
  div(u, add(norm(u, 'euclidean', axes, axes !== undefined), NORM_EPSILON));

function coshRmsOf(x: Tensor, gamma: number, axes: number[] | undefined): Tensor {
  const argument = gamma > LARGEST ? minimum(abs(mul(x, gamma)), LARGEST) : mul(x, gamma);
  return sqrt(mean(square(cosh(argument)), axes, axes !== undefined));
}
