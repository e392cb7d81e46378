import { checkNumber, checkTensor } from '@orth/backend';
import {
  abs,
  add,
  matMul,
  mul,
  neg,
  pow,
  type Scalar,
  sign,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tidy,
} from '@tensorflow/tfjs-core';

/** `sign(Z) |Z|^q` without a power where products do. */
function signedPower(Z: Tensor, q: number): Tensor {
  if (q === 2) return mul(Z, abs(Z));
  if (q === 3) return mul(Z, square(Z));
  return mul(sign(Z), pow(abs(Z), q));
}

/** Checks a dictionary and a batch for it. */
export function checkBatch(caller: string, D: Tensor, Y: Tensor): void {
  checkTensor(caller, 'D', D, { rank: 2 });
  checkTensor(caller, 'Y', Y, { shape: [D.shape[0]!, null] });
}

/** Checks the exponent of the codes' norm. */
export function checkExponent(caller: string, p: unknown): asserts p is number {
  checkNumber(caller, 'p', p, { above: 2 });
}

/** What {@link dictionaryGradient} finds. */
export interface DictionaryGradient {
  /** Gradient, shape `[N, N]`. */
  readonly gradient: Tensor2D;
  /** `−(1/B) Σ |Z|^p`, a scalar. */
  readonly objective: Scalar;
}

/**
 * Objective `F(D) = −(1/B) ‖DᵀY‖_p^p` of one batch, and its gradient `−(p/B) Y (sign(Z)|Z|^{p−1})ᵀ` with `Z = DᵀY`.
 *
 * @param D - dictionary, atoms are columns, shape `[N, N]`
 * @param Y - batch of samples as columns, shape `[N, B]`
 * @param p - exponent, > 2
 * @throws TypeError or RangeError for shapes that do not fit, or a bad p
 * @see Xue and Lau 2021, arXiv 2103.01484
 */
export function dictionaryGradient(D: Tensor2D, Y: Tensor2D, p: number): DictionaryGradient {
  checkBatch('dictionaryGradient', D, Y);
  checkExponent('dictionaryGradient', p);
  const batch = Y.shape[1];
  return tidy(() => {
    const Z = matMul(D, Y, true);
    const stretched = signedPower(Z, p - 1);
    // |z|^p = z · sign(z)|z|^{p−1}
    const objective = mul(sum(mul(Z, stretched)), -1 / batch) as Scalar;
    const gradient = mul(matMul(Y, stretched as Tensor2D, false, true), -p / batch) as Tensor2D;
    return { gradient, objective };
  });
}

/** What {@link frankWolfeUpdate} makes. */
export interface FrankWolfeUpdate {
  /** `D + γ (S − D)`. */
  readonly D: Tensor2D;
  /** Minimiser of `⟨·, G⟩` over the spectral ball: minus the polar factor. */
  readonly S: Tensor2D;
  /** `⟨D − S, G⟩ >= 0`, a scalar; 0 at stationary points. */
  readonly gap: Scalar;
}

/**
 * One Frank–Wolfe step over the ball `{‖D‖₂ <= 1}`.
 *
 * @param D - iterate, shape `[N, N]`
 * @param step - `G`: gradient or its running mean, shape `[N, N]`; `polarFactor`: polar factor of `G` (or a partial isometry
 *   with the same value), shape `[N, N]`; `gamma`: length, in (0, 1]
 * @throws TypeError or RangeError for shapes that do not fit, or a bad step
 */
export function frankWolfeUpdate(
  D: Tensor2D,
  step: { readonly G: Tensor2D; readonly polarFactor: Tensor2D; readonly gamma: number },
): FrankWolfeUpdate {
  const { G, polarFactor, gamma } = step;
  checkTensor('frankWolfeUpdate', 'D', D, { rank: 2 });
  checkTensor('frankWolfeUpdate', 'G', G, { shape: D.shape });
  checkTensor('frankWolfeUpdate', 'polarFactor', polarFactor, { shape: D.shape });
  checkNumber('frankWolfeUpdate', 'gamma', gamma, { above: 0, max: 1 });
  return tidy(() => {
    const S = neg(polarFactor) as Tensor2D;
    const gap = sum(mul(sub(D, S), G)) as Scalar;
    // γ = 1 gives S itself, without the rounding of D + (S − D).
    const next = gamma === 1 ? S.clone() : add(mul(D, 1 - gamma), mul(S, gamma));
    return { D: next as Tensor2D, S, gap };
  });
}
