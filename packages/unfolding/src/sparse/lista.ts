/** LISTA: a learned encoder for sparse codes. */
import { checkBoolean, checkOptions } from '@orth/backend';
import {
  add,
  eye,
  matMul,
  mul,
  scalar,
  sub,
  type Tensor2D,
  transpose,
} from '@tensorflow/tfjs-core';
import { LearnedThresholding } from './learnedThresholding.js';
import { softPacked } from './thresholds.js';

/** Options of {@link Lista}. */
export interface ListaOptions {
  /** Layers, >= 1. Default 16 */
  readonly layers?: number;
  /** Weight of the l1 penalty: initial thresholds are λ/L. Default 0.1 */
  readonly lambda?: number;
  /** Whether all layers share their weights. Default false */
  readonly tied?: boolean;
}

/**
 * `x ← soft(W_k y + S_k x, θ_k)`, everything learned. It begins as ISTA: `W = Aᵀ/L`, `S = I − AᵀA/L`, `θ = λ/L`.
 *
 * @see Gregor and LeCun 2010, "Learning fast approximations of sparse coding"
 */
export class Lista extends LearnedThresholding<'input' | 'state' | 'threshold'> {
  private readonly tied: boolean;

  /**
   * Makes the network; nothing is read back.
   * @param A - dictionary `[M, N]`, float32
   * @throws TypeError or RangeError for a wrong argument
   */
  constructor(A: Tensor2D, options: ListaOptions = {}) {
    checkOptions('Lista', options, ['layers', 'lambda', 'tied']);
    const { layers = 16, lambda = 0.1, tied = false } = options;
    checkBoolean('Lista', 'tied', tied);
    super('Lista', A, { layers, lambda });
    this.tied = tied;
    this.createLayers((step) => {
      const gram = matMul(A, A, true);
      return {
        input: mul(transpose(A), step),
        state: sub(eye(A.shape[1]), mul(gram, step)),
        threshold: mul(scalar(lambda), step),
      };
    }, tied);
  }

  protected override config() {
    return { ...super.config(), tied: this.tied };
  }

  /** `input` is `[N, M]`, `state` `[N, N]`. */
  protected layer(k: number, x: Tensor2D | undefined, y: Tensor2D): Tensor2D {
    const { input, state, threshold } = this.weights[k]!;
    const code = matMul(y, input as unknown as Tensor2D, false, true);
    const z = x ? add(code, matMul(x, state as unknown as Tensor2D, false, true)) : code;
    return softPacked(z, threshold, 'real') as Tensor2D;
  }
}
