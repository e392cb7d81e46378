import {
  cast,
  divNoNan,
  mean,
  mul,
  notEqual,
  scalar,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';

/**
 * How the losses `l` of examples with weights `w` become one number: `'mean'` is `Σwl / Σw`, `'sum'` is `Σwl`,
 * `'sumByNonzeroWeights'` is `Σwl` by the number of weights that are not 0 (the default of `tf.losses`), `'none'` keeps
 * `wl` for each example.
 */
export type Reduction = 'none' | 'mean' | 'sum' | 'sumByNonzeroWeights';

/** The choices of {@link Reduction}. */
export const REDUCTIONS: readonly Reduction[] = ['none', 'mean', 'sum', 'sumByNonzeroWeights'];

/**
 * Reduces losses of examples, see {@link Reduction}. Where all weights are 0, means are 0.
 *
 * @param losses - one number an example, any shape, float32
 * @param weights - same shape, or undefined for 1 each
 * @returns a scalar, or for `'none'` a tensor of the shape of `losses`
 */
export function reduceLoss(
  losses: Tensor,
  weights: Tensor | undefined,
  reduction: Reduction,
): Tensor {
  return tidy(() => {
    const weighted = weights ? mul(losses, weights) : losses;
    switch (reduction) {
      case 'none':
        return weighted;
      case 'sum':
        return sum(weighted);
      case 'mean':
        return weights ? divNoNan(sum(weighted), sum(weights)) : mean(losses);
      case 'sumByNonzeroWeights': {
        if (!weights) return mean(losses);
        const count = sum(cast(notEqual(weights, scalar(0)), 'float32'));
        return divNoNan(sum(weighted), count);
      }
    }
  });
}
