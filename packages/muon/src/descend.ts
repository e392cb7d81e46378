import { cast, greaterEqual, mul, sub, type Tensor, tidy } from '@tensorflow/tfjs-core';

/**
 * How weight decay acts: `'decoupled'` shrinks every weight by lr·wd (Loshchilov and Hutter 2019); `'cautious'` only the
 * weights whose update moves them towards 0 as well, W ⊙ update >= 0 (Chen et al. 2025, arXiv 2510.12402).
 */
export type WeightDecayMode = 'decoupled' | 'cautious';

/** The modes of weight decay. */
export const WEIGHT_DECAY_MODES: readonly WeightDecayMode[] = ['decoupled', 'cautious'];

/**
 * `W ← W − shrink·W − update`, where `shrink` = learning rate × weight decay and `update` already holds its learning
 * rate; with `'cautious'` only entries with `W·update >= 0` shrink.
 *
 * @returns the new weights, same shape; the caller disposes them
 */
export function descend<T extends Tensor>(
  weights: T,
  update: T,
  shrink: number,
  mode: WeightDecayMode,
): T {
  return tidy(() => {
    if (shrink === 0) return sub(weights, update) as T;
    if (mode === 'decoupled') return sub(mul(weights, 1 - shrink), update) as T;
    const mask = cast(greaterEqual(mul(weights, update), 0), 'float32');
    return sub(sub(weights, mul(mul(weights, shrink), mask)), update) as T;
  });
}
