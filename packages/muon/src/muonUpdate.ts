import { checkBoolean, checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import { type OrthogonalizeOptions, orthogonalize } from '@orth/newton-schulz';
import { mul, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { mix } from './adamWUpdate.js';
import { descend, WEIGHT_DECAY_MODES, type WeightDecayMode } from './descend.js';
import {
  type LearningRateAdjustment,
  type LearningRateScale,
  learningRateScale,
} from './learningRateScale.js';
import type { Layout } from './matrixView.js';

/** Options of {@link muonUpdate}. */
export interface MuonUpdateOptions {
  /** Learning rate, >= 0. Default 0.02 */
  readonly learningRate?: number;
  /** Decay of the momentum, in [0, 1). Default 0.95 */
  readonly momentum?: number;
  /** Whether to look ahead: mix the new momentum with the gradient once more. Default true */
  readonly nesterov?: boolean;
  /** Weight decay per unit of learning rate, >= 0. Default 0 */
  readonly weightDecay?: number;
  /** Default `'decoupled'` */
  readonly weightDecayMode?: WeightDecayMode;
  /** Factor on the learning rate, from the matrix's shape. Default `'original'` */
  readonly adjustLearningRate?: LearningRateAdjustment | LearningRateScale;
  /** Options of `orthogonalize`. Default: the author's quintic, 5 steps */
  readonly orthogonalization?: OrthogonalizeOptions;
  /** Whether columns (`'inOut'`, tfjs) or rows (`'outIn'`, PyTorch) are the outputs. Default `'inOut'` */
  readonly layout?: Layout;
}

/** Defaults of Muon: those of the author's code. */
export const MUON_DEFAULTS = {
  learningRate: 0.02,
  momentum: 0.95,
  nesterov: true,
  weightDecay: 0,
  weightDecayMode: 'decoupled' as WeightDecayMode,
  adjustLearningRate: 'original' as LearningRateAdjustment | LearningRateScale,
  orthogonalization: {} as OrthogonalizeOptions,
  layout: 'inOut' as Layout,
} as const;

/** What {@link muonUpdate} returns. */
export interface MuonUpdate {
  /** New weights. */
  readonly weights: Tensor;
  /** New momentum. */
  readonly momentum: Tensor;
  /** What was subtracted per unit of learning rate: the orthogonalised direction times the shape's factor. */
  readonly direction: Tensor;
}

/**
 * One step of Muon for a matrix, or a batch of equal ones:
 *
 *     M ← μ M + (1 − μ) G,   U = nesterov ? (1 − μ) G + μ M : M
 *     W ← W − lr·wd·W − lr·s(out, in)·orthogonalize(U)
 *
 * @param weights - `[…, m, n]`, float32; not modified
 * @param gradient - the weights' shape
 * @param momentum - M, the weights' shape, zeros before the first step; not modified
 * @returns new tensors, which the caller disposes
 * @throws TypeError or RangeError for wrong tensors or options
 * @example
 * const { weights, momentum } = muonUpdate(w, gradient, zerosLike(w), { learningRate: 0.02 });
 * @see Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; KellerJordan/Muon
 */
export function muonUpdate(
  weights: Tensor,
  gradient: Tensor,
  momentum: Tensor,
  options: MuonUpdateOptions = {},
): MuonUpdate {
  const caller = 'muonUpdate';
  checkOptions(caller, options, Object.keys(MUON_DEFAULTS));
  const all = { ...MUON_DEFAULTS, ...options };
  checkNumber(caller, 'learningRate', all.learningRate, { min: 0 });
  checkNumber(caller, 'momentum', all.momentum, { min: 0, below: 1 });
  checkBoolean(caller, 'nesterov', all.nesterov);
  checkNumber(caller, 'weightDecay', all.weightDecay, { min: 0 });
  checkOneOf(caller, 'weightDecayMode', all.weightDecayMode, WEIGHT_DECAY_MODES);
  checkOneOf(caller, 'layout', all.layout, ['inOut', 'outIn']);
  checkTensor(caller, 'weights', weights, { minRank: 2 });
  checkTensor(caller, 'gradient', gradient, { shape: weights.shape });
  checkTensor(caller, 'momentum', momentum, { shape: weights.shape });
  const [rows, columns] = weights.shape.slice(-2) as [number, number];
  const [outSize, inSize] = all.layout === 'inOut' ? [columns, rows] : [rows, columns];
  const scale = learningRateScale(all.adjustLearningRate, outSize, inSize);
  return tidy(() => {
    const step = momentumStep(momentum, gradient, all.momentum, all.nesterov);
    const direction = mul(orthogonalize(step.lookahead, all.orthogonalization), scale);
    const update = mul(direction, all.learningRate);
    const shrink = all.learningRate * all.weightDecay;
    return {
      weights: descend(weights, update, shrink, all.weightDecayMode),
      momentum: step.momentum,
      direction,
    };
  });
}

/** The momentum's half of Muon: the new M, and U, which is what gets orthogonalised. Elementwise, so any shape. */
export function momentumStep(
  momentum: Tensor,
  gradient: Tensor,
  mu: number,
  nesterov: boolean,
): { readonly momentum: Tensor; readonly lookahead: Tensor } {
  return tidy(() => {
    const next = mix(momentum, gradient, mu);
    return { momentum: next, lookahead: nesterov ? mix(next, gradient, mu) : next.clone() };
  });
}
