/** ALISTA: only step sizes and thresholds are learned. */
import { checkOptions, checkTensor } from '@orth/backend';
import { add, keep, matMul, mul, scalar, sub, type Tensor2D } from '@tensorflow/tfjs-core';
import { alistaWeight } from './alistaWeight.js';
import { LearnedThresholding } from './learnedThresholding.js';
import {
  checkSelection,
  SELECTION_OPTIONS,
  type SupportSelectionOptions,
  selectedCount,
  selectiveShrink,
} from './supportSelection.js';

/** Options of {@link Alista}. */
export interface AlistaOptions extends SupportSelectionOptions {
  /** Layers, >= 1. Default 16 */
  readonly layers?: number;
  /** Weight of the l1 penalty: initial thresholds are λ/L. Default 0.1 */
  readonly lambda?: number;
  /** `W`, `[M, N]`, as {@link alistaWeight} or another method gives it; a copy is kept. */
  readonly weight: Tensor2D;
}

/**
 * `x ← soft(x + γ_k Wᵀ(y − A x), θ_k)`: W comes from the dictionary alone, `γ_k` (initially 1) and `θ_k` are learned.
 * With `p` (and `pMax`) the largest entries skip the shrinkage.
 *
 * @example
 * const net = await Alista.create(A, { layers: 16, p: 1.2, pMax: 13 });
 * @see Liu, Chen, Wang, Yin 2019, "ALISTA: Analytic weights are as good as learned weights in LISTA"
 */
export class Alista extends LearnedThresholding<'step' | 'threshold'> {
  private readonly selection: SupportSelectionOptions;
  private readonly W: Tensor2D;

  /**
   * Makes the network for a given W; nothing is read back.
   * @param A - dictionary `[M, N]`, float32
   * @throws TypeError or RangeError for a wrong argument
   */
  constructor(A: Tensor2D, options: AlistaOptions) {
    checkOptions('Alista', options, ['layers', 'lambda', 'weight', ...SELECTION_OPTIONS]);
    const { layers = 16, lambda = 0.1, weight, ...selection } = options;
    checkSelection('Alista', selection);
    checkTensor('Alista', 'A', A, { rank: 2 });
    checkTensor('Alista', 'weight', weight, { shape: A.shape });
    super('Alista', A, { layers, lambda });
    this.selection = selection;
    this.W = keep(weight.clone());
    this.createLayers((step) => ({ step: scalar(1), threshold: mul(scalar(lambda), step) }));
  }

  /**
   * Makes the network with the W of {@link alistaWeight}.
   * @throws TypeError or RangeError for a wrong argument, and if A has not full row rank
   */
  static async create(A: Tensor2D, options: Omit<AlistaOptions, 'weight'> = {}): Promise<Alista> {
    checkOptions('Alista.create', options, ['layers', 'lambda', ...SELECTION_OPTIONS]);
    const weight = await alistaWeight(A);
    try {
      return new Alista(A, { ...options, weight });
    } finally {
      weight.dispose();
    }
  }

  /** The matrix W, `[M, N]`. */
  get weight(): Tensor2D {
    return this.W;
  }

  protected override config() {
    return { ...super.config(), ...this.selection };
  }

  protected layer(k: number, x: Tensor2D | undefined, y: Tensor2D): Tensor2D {
    const { step, threshold } = this.weights[k]!;
    const residual = x ? sub(y, matMul(x, this.A, false, true)) : y;
    const move = mul(matMul(residual as Tensor2D, this.W), step);
    const z = x ? add(x, move) : move;
    const count = selectedCount(this.selection, k + 1, this.A.shape[1]);
    return selectiveShrink(z, threshold, count) as Tensor2D;
  }

  override dispose(): void {
    super.dispose();
    this.W.dispose();
  }
}
