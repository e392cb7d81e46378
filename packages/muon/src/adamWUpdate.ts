import { checkInteger, checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import { add, div, mul, sqrt, square, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { descend, WEIGHT_DECAY_MODES, type WeightDecayMode } from './descend.js';

/** State of AdamW: one number each a weight. */
export interface AdamWState {
  /** Running mean of the gradient, the weights' shape. */
  readonly firstMoment: Tensor;
  /** Running mean of the squared gradient, the weights' shape. */
  readonly secondMoment: Tensor;
}

/** Options of {@link adamWUpdate}. */
export interface AdamWUpdateOptions {
  /** Which update of these weights this is, from 1: for the bias correction. */
  readonly step: number;
  /** Learning rate, >= 0. Default 3e-4 */
  readonly learningRate?: number;
  /** Decay of the first moment, in [0, 1). Default 0.9 */
  readonly beta1?: number;
  /** Decay of the second moment, in [0, 1). Default 0.95 */
  readonly beta2?: number;
  /** Added to the root of the second moment, > 0. Default 1e-10 */
  readonly epsilon?: number;
  /** Weight decay per unit of learning rate, >= 0. Default 0 */
  readonly weightDecay?: number;
  /** Default `'decoupled'` */
  readonly weightDecayMode?: WeightDecayMode;
}

/** Defaults of AdamW here: those of the auxiliary optimizer in the Muon author's code. */
export const ADAM_W_DEFAULTS = {
  learningRate: 3e-4,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-10,
  weightDecay: 0,
  weightDecayMode: 'decoupled' as WeightDecayMode,
} as const;

/**
 * One step of Adam with decoupled weight decay, elementwise:
 *
 *     m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²
 *     W ← W − lr·wd·W − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)
 *
 * @param weights - any shape, float32; not modified
 * @param gradient - the weights' shape
 * @param state - moments of the weights' shape, zeros before the first step; not modified
 * @returns the new weights and state, which the caller disposes
 * @throws TypeError or RangeError for wrong tensors or options
 * @see Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2
 */
export function adamWUpdate(
  weights: Tensor,
  gradient: Tensor,
  state: AdamWState,
  options: AdamWUpdateOptions,
): AdamWState & { readonly weights: Tensor } {
  const caller = 'adamWUpdate';
  checkOptions(caller, options, ['step', ...Object.keys(ADAM_W_DEFAULTS)]);
  const all = { ...ADAM_W_DEFAULTS, ...options };
  checkInteger(caller, 'step', all.step, { min: 1 });
  checkNumber(caller, 'learningRate', all.learningRate, { min: 0 });
  checkNumber(caller, 'beta1', all.beta1, { min: 0, below: 1 });
  checkNumber(caller, 'beta2', all.beta2, { min: 0, below: 1 });
  checkNumber(caller, 'epsilon', all.epsilon, { above: 0 });
  checkNumber(caller, 'weightDecay', all.weightDecay, { min: 0 });
  checkOneOf(caller, 'weightDecayMode', all.weightDecayMode, WEIGHT_DECAY_MODES);
  checkTensor(caller, 'weights', weights, { allowEmpty: true });
  const shape = weights.shape;
  checkTensor(caller, 'gradient', gradient, { shape, allowEmpty: true });
  checkTensor(caller, 'firstMoment', state.firstMoment, { shape, allowEmpty: true });
  checkTensor(caller, 'secondMoment', state.secondMoment, { shape, allowEmpty: true });
  return adamWStep(weights, gradient, state, all);
}

/** {@link adamWUpdate} without its checks. */
export function adamWStep(
  weights: Tensor,
  gradient: Tensor,
  state: AdamWState,
  options: Required<AdamWUpdateOptions>,
): AdamWState & { readonly weights: Tensor } {
  const { step, learningRate, beta1, beta2, epsilon, weightDecay, weightDecayMode } = options;
  return tidy(() => {
    const firstMoment = mix(state.firstMoment, gradient, beta1);
    const secondMoment = mix(state.secondMoment, square(gradient), beta2);
    // Both bias corrections become one factor: m/c₁ / (√(v/c₂) + ε) = (√c₂/c₁) · m / (√v + ε√c₂).
    const rootC2 = Math.sqrt(1 - beta2 ** step);
    const rate = (learningRate * rootC2) / (1 - beta1 ** step);
    const direction = div(firstMoment, add(sqrt(secondMoment), epsilon * rootC2));
    const update = mul(direction, rate);
    return {
      weights: descend(weights, update, learningRate * weightDecay, weightDecayMode),
      firstMoment,
      secondMoment,
    };
  });
}

/** `decay·x + (1 − decay)·y`, a running mean. Not `x + (1 − decay)(y − x)`, which loses digits where |x| ≪ |y|. */
export function mix(x: Tensor, y: Tensor, decay: number): Tensor {
  return add(mul(x, decay), mul(y, 1 - decay));
}
