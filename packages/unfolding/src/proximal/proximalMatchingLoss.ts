/** The loss whose minimiser is the maximum a posteriori denoiser. */
import { checkNumber, checkTensor } from '@orth/backend';
import {
  exp,
  mean,
  mul,
  type Scalar,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';

/**
 * `mean_b [1 − exp(−‖f_b − x_b‖² / γ²)]`, a smoothed 0–1 loss: squared error of whole samples up to about γ, constant
 * beyond. As γ falls to 0 its minimiser goes from the posterior mean to the posterior mode. Differentiable in both.
 *
 * @param prediction - `[B, …]`
 * @param target - same shape
 * @param gamma - γ, > 0, in units of the data's norm
 * @returns scalar in [0, 1]
 * @throws TypeError or RangeError for a wrong argument
 * @see Fang, Buchanan, Sulam 2024 (without the constant factor of the paper)
 */
export function proximalMatchingLoss(prediction: Tensor, target: Tensor, gamma: number): Scalar {
  const caller = 'proximalMatchingLoss';
  checkTensor(caller, 'prediction', prediction, { minRank: 1 });
  checkTensor(caller, 'target', target, { shape: prediction.shape });
  checkNumber(caller, 'gamma', gamma, { above: 0 });
  return tidy(() => {
    const squares = square(sub(prediction, target));
    const axes = squares.shape.map((_, axis) => axis).slice(1);
    const error = axes.length > 0 ? sum(squares, axes) : squares;
    return sub(1, mean(exp(mul(error, -1 / (gamma * gamma))))) as Scalar;
  });
}
