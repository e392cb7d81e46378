import { checkNumber } from '@orth/backend';

/** Greatest |λ| allowed. */
export const LAMBDA_LIMIT = 1e3;

/**
 * Inverse Box–Cox transform: `exp(z)` for λ = 0, else `max(1 + λz, 0)^(1/λ)`. A normal z gives a positive number whose
 * tail λ shapes. Host only, float64.
 *
 * @param z - any finite number
 * @param lambda - λ, in [−1000, 1000]; continuous at 0
 * @returns >= 0; Infinity where λ < 0 and `1 + λz <= 0`
 * @throws TypeError or RangeError if either is not such a number
 * @example
 * inverseBoxCox(1, 0); // 2.718281828459045
 * @see Dai 2024, "EnsLoss", arXiv 2409.00908
 */
export function inverseBoxCox(z: number, lambda: number): number {
  const caller = 'inverseBoxCox';
  checkNumber(caller, 'z', z);
  checkNumber(caller, 'lambda', lambda, { min: -LAMBDA_LIMIT, max: LAMBDA_LIMIT });
  if (lambda === 0) return Math.exp(z);
  const shifted = lambda * z;
  if (shifted <= -1) return lambda > 0 ? 0 : Infinity;
  // log1p, not a power of 1 + λz: near λ = 0 the sum has no digits of z left.
  return Math.exp(Math.log1p(shifted) / lambda);
}
