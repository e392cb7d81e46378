/** Maps between a hyperparameter's value in its range and a free number, as numbers and as tensors. */
import { add, floor, mul, sigmoid, softplus, sub, type Tensor } from '@tensorflow/tfjs-core';

/** [low, high] of a hyperparameter; either may be infinite. */
export type Range = readonly [number, number];

/** Share of a range's width that values keep from its ends, where the free number would be infinite. */
const MARGIN = 1e-4;

/** log(1 + eˣ) without overflow. */
export const softplusOf = (x: number): number =>
  Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** The x with softplus(x) = y: `y + log(1 − e⁻ʸ)`, which neither overflows for large y nor cancels for small. */
export const inverseSoftplus = (y: number): number => y + Math.log(-Math.expm1(-y));

/**
 * The value of a free number: `low + (high − low) sigmoid(h)` in a finite range, `low + softplus(h)` without an upper end,
 * `high − softplus(h)` without a lower one, `h` without both.
 *
 * @see MacKay et al. 2019, arXiv 1903.03088, appendix; asteroidhouse/self-tuning-networks
 */
export function hyperValue(free: number, [low, high]: Range): number {
  if (Number.isFinite(low) && Number.isFinite(high)) {
    return low + (high - low) / (1 + Math.exp(-free));
  }
  if (Number.isFinite(low)) return low + softplusOf(free);
  if (Number.isFinite(high)) return high - softplusOf(free);
  return free;
}

/** The free number of a value: inverse of {@link hyperValue}. Values at a finite range's ends are moved in by 1e-4 of its width. */
export function freeValue(value: number, [low, high]: Range): number {
  if (Number.isFinite(low) && Number.isFinite(high)) {
    const share = Math.min(1 - MARGIN, Math.max(MARGIN, (value - low) / (high - low)));
    return Math.log(share) - Math.log1p(-share);
  }
  if (Number.isFinite(low)) return inverseSoftplus(value - low);
  if (Number.isFinite(high)) return inverseSoftplus(high - value);
  return value;
}

/** {@link hyperValue} of a tensor; discrete values are floored. */
export function hyperValueTensor(free: Tensor, [low, high]: Range, discrete = false): Tensor {
  const continuous = () => {
    if (Number.isFinite(low) && Number.isFinite(high)) {
      return add(mul(sigmoid(free), high - low), low);
    }
    if (Number.isFinite(low)) return add(softplus(free), low);
    if (Number.isFinite(high)) return sub(high, softplus(free));
    return free;
  };
  return discrete ? floor(continuous()) : continuous();
}
