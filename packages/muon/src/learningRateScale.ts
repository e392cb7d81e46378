import { checkInteger, checkNumber, checkOneOf } from '@orth/backend';

/** Named rules of {@link learningRateScale}. */
export type LearningRateAdjustment = 'original' | 'matchRmsAdamW' | 'spectral' | 'none';

/** A rule of the user's own: the factor for a matrix with so many outputs and inputs. */
export type LearningRateScale = (outSize: number, inSize: number) => number;

const RULES: Record<LearningRateAdjustment, LearningRateScale> = {
  original: (outSize, inSize) => Math.sqrt(Math.max(1, outSize / inSize)),
  matchRmsAdamW: (outSize, inSize) => 0.2 * Math.sqrt(Math.max(outSize, inSize)),
  spectral: (outSize, inSize) => Math.sqrt(outSize / inSize),
  none: () => 1,
};

/** The named rules. */
export const LEARNING_RATE_ADJUSTMENTS = Object.keys(RULES) as LearningRateAdjustment[];

/**
 * Factor on the learning rate of an orthogonalised update, from the matrix's shape.
 *
 * - `'original'`: √max(1, out/in), the author's (Jordan et al. 2024)
 * - `'matchRmsAdamW'`: 0.2·√max(out, in), so that the update's root mean square is about AdamW's and its learning rate
 *   and weight decay carry over (Liu et al. 2025, arXiv 2502.16982, eq. 4)
 * - `'spectral'`: √(out/in), a unit change in the RMS-to-RMS operator norm (Bernstein and Newhouse 2024)
 * - `'none'`: 1
 *
 * @param rule - a name, or a function of (outSize, inSize)
 * @param outSize - outputs of the matrix: columns of a tfjs kernel `[in, out]`
 * @param inSize - inputs of the matrix
 * @throws RangeError for an unknown rule, a size < 1, or a function's result that is negative or not finite
 */
export function learningRateScale(
  rule: LearningRateAdjustment | LearningRateScale,
  outSize: number,
  inSize: number,
): number {
  checkInteger('learningRateScale', 'outSize', outSize, { min: 1 });
  checkInteger('learningRateScale', 'inSize', inSize, { min: 1 });
  if (typeof rule !== 'function') {
    checkOneOf('learningRateScale', 'rule', rule, LEARNING_RATE_ADJUSTMENTS);
    return RULES[rule](outSize, inSize);
  }
  const scale = rule(outSize, inSize);
  checkNumber('learningRateScale', 'the value of rule', scale, { min: 0 });
  return scale;
}
