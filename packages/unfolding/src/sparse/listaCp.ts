/** LISTA with coupled weights. */
import { checkOptions } from '@orth/backend';
import { add, matMul, mul, scalar, sub, type Tensor2D } from '@tensorflow/tfjs-core';
import { LearnedThresholding } from './learnedThresholding.js';
import {
  checkSelection,
  SELECTION_OPTIONS,
  type SupportSelectionOptions,
  selectedCount,
  selectiveShrink,
} from './supportSelection.js';

/** Options of {@link ListaCp}. */
export interface ListaCpOptions extends SupportSelectionOptions {
  /** Layers, >= 1. Default 16 */
  readonly layers?: number;
  /** Weight of the l1 penalty: initial thresholds are λ/L. Default 0.1 */
  readonly lambda?: number;
}

/**
 * `x ← soft(x + W_kᵀ(y − A x), θ_k)` with learned `W_k` and `θ_k`: the coupling that every convergent LISTA must reach.
 * It begins as ISTA. With `p` (and `pMax`) it is LISTA-CPSS: the largest entries skip the shrinkage.
 *
 * @see Chen, Liu, Wang, Yin 2018, "Theoretical linear convergence of unfolded ISTA", eq. 15 and 18
 */
export class ListaCp extends LearnedThresholding<'weight' | 'threshold'> {
  private readonly selection: SupportSelectionOptions;

  /**
   * Makes the network; nothing is read back.
   * @param A - dictionary `[M, N]`, float32
   * @throws TypeError or RangeError for a wrong argument
   */
  constructor(A: Tensor2D, options: ListaCpOptions = {}) {
    checkOptions('ListaCp', options, ['layers', 'lambda', ...SELECTION_OPTIONS]);
    const { layers = 16, lambda = 0.1, ...selection } = options;
    checkSelection('ListaCp', selection);
    super('ListaCp', A, { layers, lambda });
    this.selection = selection;
    this.createLayers((step) => ({
      weight: mul(A, step),
      threshold: mul(scalar(lambda), step),
    }));
  }

  protected override config() {
    return { ...super.config(), ...this.selection };
  }

  /** `weight` is `[M, N]`. */
  protected layer(k: number, x: Tensor2D | undefined, y: Tensor2D): Tensor2D {
    const { weight, threshold } = this.weights[k]!;
    const residual = x ? sub(y, matMul(x, this.A, false, true)) : y;
    const step = matMul(residual as Tensor2D, weight as unknown as Tensor2D);
    const z = x ? add(x, step) : step;
    const count = selectedCount(this.selection, k + 1, this.A.shape[1]);
    return selectiveShrink(z, threshold, count) as Tensor2D;
  }
}
