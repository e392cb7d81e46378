import { checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import { type OrthogonalizeOptions, orthogonalize, selectColumns } from '@orth/newton-schulz';
import { add, mul, sub, type Tensor, type Tensor2D, tidy } from '@tensorflow/tfjs-core';
import { DctTables } from './dctTables.js';
import { descend, WEIGHT_DECAY_MODES, type WeightDecayMode } from './descend.js';
import {
  type LearningRateAdjustment,
  type LearningRateScale,
  learningRateScale,
} from './learningRateScale.js';
import { back, checkLowRank, LOW_RANK_DEFAULTS, type LowRankOptions, rankOf } from './lowRank.js';
import type { Layout } from './matrixView.js';

/** Options of {@link trionUpdate}. */
export interface TrionUpdateOptions extends LowRankOptions {
  /** Learning rate, >= 0. Default 0.02 */
  readonly learningRate?: number;
  /** Share of the projected momentum that stays, in [0, 1). Default 0.95 */
  readonly momentum?: number;
  /** Weight decay per unit of learning rate, >= 0. Default 0 */
  readonly weightDecay?: number;
  /** Default `'decoupled'` */
  readonly weightDecayMode?: WeightDecayMode;
  /** Factor on the learning rate, from the matrix's shape. Default `'original'` */
  readonly adjustLearningRate?: LearningRateAdjustment | LearningRateScale;
  /** Options of `orthogonalize`. Default: the Muon author's quintic, 5 steps */
  readonly orthogonalization?: OrthogonalizeOptions;
  /** Whether columns (`'inOut'`, tfjs) or rows (`'outIn'`, PyTorch) are the outputs. Default `'inOut'` */
  readonly layout?: Layout;
}

/** Defaults of {@link trionUpdate}. */
export const TRION_DEFAULTS = {
  ...LOW_RANK_DEFAULTS,
  learningRate: 0.02,
  momentum: 0.95,
  weightDecay: 0,
  weightDecayMode: 'decoupled' as WeightDecayMode,
  adjustLearningRate: 'original' as LearningRateAdjustment | LearningRateScale,
  orthogonalization: {} as OrthogonalizeOptions,
  layout: 'inOut' as Layout,
} as const;

/** What {@link trionUpdate} returns; the caller disposes the tensors. */
export interface TrionUpdate {
  /** New weights. */
  readonly weights: Tensor;
  /** New momentum, what error feedback left of it. */
  readonly momentum: Tensor;
  /** Chosen basis vectors, `[…, rank]` int32. */
  readonly indices: Tensor;
  /** The full-size direction, before the learning rate and the shape's factor. */
  readonly direction: Tensor;
}

/**
 * One step of Trion for a matrix, or a batch of equal ones: Muon in the subspace of a fixed basis in which the momentum
 * is largest, with error feedback.
 *
 *     M ← M + G;   choose r basis vectors B for M, low = M along B
 *     M ← M − (1 − μ) back(low);   W ← W − lr·wd·W − lr·s(out, in)·back(orthogonalize(low))
 *
 * @param weights - `[…, m, n]`, float32; not modified
 * @param gradient - the weights' shape
 * @param momentum - M, the weights' shape, zeros before the first step; not modified
 * @throws TypeError or RangeError for wrong tensors or options
 * @see Modoranu et al. 2025, arXiv 2505.17967, algorithm of Trion; IST-DASLab/ISTA-DASLab-Optimizers, fft_low_rank
 */
export function trionUpdate(
  weights: Tensor,
  gradient: Tensor,
  momentum: Tensor,
  options: TrionUpdateOptions = {},
): TrionUpdate {
  const caller = 'trionUpdate';
  checkOptions(caller, options, Object.keys(TRION_DEFAULTS));
  const all = { ...TRION_DEFAULTS, ...options };
  checkLowRank(caller, all);
  checkNumber(caller, 'learningRate', all.learningRate, { min: 0 });
  checkNumber(caller, 'momentum', all.momentum, { min: 0, below: 1 });
  checkNumber(caller, 'weightDecay', all.weightDecay, { min: 0 });
  checkOneOf(caller, 'weightDecayMode', all.weightDecayMode, WEIGHT_DECAY_MODES);
  checkOneOf(caller, 'layout', all.layout, ['inOut', 'outIn']);
  checkTensor(caller, 'weights', weights, { minRank: 2 });
  checkTensor(caller, 'gradient', gradient, { shape: weights.shape });
  checkTensor(caller, 'momentum', momentum, { shape: weights.shape });
  const [m, n] = weights.shape.slice(-2) as [number, number];
  const rank = rankOf(caller, all.rank, m, n);
  const [outSize, inSize] = all.layout === 'inOut' ? [n, m] : [m, n];
  const scale = learningRateScale(all.adjustLearningRate, outSize, inSize);
  const tables = new DctTables();
  try {
    const table = tables.get(all.basis, Math.min(m, n));
    return tidy(() => {
      const step = compress(add(momentum, gradient), table, { ...all, rank });
      const direction = step.back(orthogonalize(step.low, all.orthogonalization));
      const update = mul(direction, all.learningRate * scale);
      const shrink = all.learningRate * all.weightDecay;
      return {
        weights: descend(weights, update, shrink, all.weightDecayMode),
        momentum: step.momentum,
        indices: step.indices,
        direction,
      };
    });
  } finally {
    tables.dispose();
  }
}

/** The half of {@link trionUpdate} before the orthogonalisation, for the accumulated momentum `[…, m, n]`. */
export function compress(
  accumulated: Tensor,
  table: Tensor2D,
  options: Required<Omit<LowRankOptions, 'rank'>> & {
    readonly rank: number;
    readonly momentum: number;
  },
) {
  const { rank, basis, transform, norm, momentum } = options;
  const [m, n] = accumulated.shape.slice(-2) as [number, number];
  const named = typeof basis === 'string';
  const { indices, vectors, low } = selectColumns(accumulated, {
    rank,
    norm,
    ...(named ? { basis, table, transform } : { basis: table }),
    checkBasis: false,
  });
  return {
    low,
    indices,
    back: (x: Tensor) => back(x, vectors, m, n),
    momentum: sub(accumulated, mul(back(low, vectors, m, n), 1 - momentum)),
  };
}
