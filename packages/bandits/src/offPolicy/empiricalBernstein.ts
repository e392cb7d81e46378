import { checkInteger, checkNumber } from '@orth/backend';

/**
 * Half the width of the two-sided empirical-Bernstein interval for the mean of independent numbers of bounded span:
 * `√(2 V ln(4/δ) / n) + 7 R ln(4/δ) / (3 (n − 1))`. It holds for every n, not only in the limit.
 *
 * @param variance - sample variance V (divided by n − 1), ≥ 0
 * @param span - R, greatest minus least value that a number can have, ≥ 0
 * @param count - n ≥ 1; with one number the bound is infinite
 * @param confidence - 1 − δ, in (0, 1). Default 0.95
 * @throws RangeError for values outside these
 * @see Maurer and Pontil 2009, theorem 4, at δ/2 for each side
 */
export function empiricalBernstein(
  variance: number,
  span: number,
  count: number,
  confidence = 0.95,
): number {
  const caller = 'empiricalBernstein';
  checkNumber(caller, 'variance', variance, { min: 0 });
  checkNumber(caller, 'span', span, { min: 0 });
  checkInteger(caller, 'count', count, { min: 1 });
  checkNumber(caller, 'confidence', confidence, { above: 0, below: 1 });
  if (count === 1) return Infinity;
  const log = Math.log(4 / (1 - confidence));
  return Math.sqrt((2 * variance * log) / count) + (7 * span * log) / (3 * (count - 1));
}
