import type { Tensor } from '@tensorflow/tfjs-core';
import type { Reduction } from './reduction.js';

/** How a batch's losses become one: those of {@link Reduction} that give one number. */
export type SphericalReduction = Exclude<Reduction, 'none'>;

/** Options of a loss of {@link SphericalOutputLayer}. */
export interface SphericalLossCallOptions {
  /** How losses of examples become the loss, see `Reduction`. Default `'mean'` */
  readonly reduction?: SphericalReduction;
  /** A weight >= 0 for each example, float32, shape `[…]` of `hidden` without its last axis. Default: 1 each */
  readonly weights?: Tensor;
}

/** Options of a step of {@link SphericalOutputLayer}. */
export interface SphericalStepOptions extends SphericalLossCallOptions {
  /** η >= 0, per step. At 0 losses and gradients come out and nothing changes. */
  readonly learningRate: number;
}

/** What a step gives. Arrays are row-major, one number an example or, for targets, a label. */
export interface SphericalStep {
  /** The reduced loss, in nats for the softmaxes, before the step. */
  readonly loss: number;
  /** Gradient of `loss` with respect to `hidden`, of its shape, float32; the caller disposes it. */
  readonly hiddenGradient: Tensor;
  /** Loss of each example. */
  readonly losses: Float64Array;
  /** Logits of the labels. */
  readonly targetLogits: Float64Array;
  /** Σ o² over all classes, for each example. */
  readonly squares: Float64Array;
  /** Σ o over all classes, for each example. */
  readonly sums: Float64Array;
}

/** Where a layer's stability stands. */
export interface SphericalOutputLayerStats {
  /** `‖U‖ ‖U⁻¹‖ / d`, 1 just after a renormalisation. */
  readonly condition: number;
  /** Renormalisations since the layer was made or loaded. */
  readonly renormalizations: number;
  /** Of these, how many some rows still have to pass. */
  readonly pendingMaps: number;
  /** Memory held, in bytes. */
  readonly bytes: number;
}

/** The factors of `W = V U + 1ωᵀ`, row-major copies; see {@link SphericalOutputLayer.factors}. */
export interface SphericalFactors {
  /** `[D, d]` */
  readonly V: Float32Array;
  /** `[d, d]` */
  readonly U: Float64Array;
  /** U⁻ᵀ, `[d, d]` */
  readonly inverse: Float64Array;
  /** `[d]` */
  readonly omega: Float64Array;
  /** WᵀW, `[d, d]` */
  readonly Q: Float64Array;
  /** Wᵀ1, `[d]` */
  readonly columnSums: Float64Array;
}
