import { checkNumber, checkTensor } from '@orth/backend';
import { add, div, mul, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { compSum } from './compSum.js';
import { type LossOptions, resolveLossOptions } from './lossArguments.js';
import { marginDeltaNorm } from './marginDeltaNorm.js';
import { reduceLoss } from './reduction.js';

/** Parameters of the smooth adversarial comp-sum loss. */
export interface SmoothAdversarialParameters {
  /** Member of the comp-sum family, >= 0. Default 1 */
  readonly tau?: number;
  /** Margin: the loss on clean inputs is that of `logits / rho`. > 0. Default 0.3 */
  readonly rho?: number;
  /** Weight of the change of margins, >= 0. From `√(n − 1) / rho` on the loss is a bound; far less is used. Default 0.5 */
  readonly nu?: number;
}

/** Options of {@link smoothAdversarialLoss}. */
export interface SmoothAdversarialOptions extends LossOptions, SmoothAdversarialParameters {
  /** Inside the square root of {@link marginDeltaNorm}, >= 0. Default 1e−12 */
  readonly epsilon?: number;
}

/** Names of {@link SmoothAdversarialParameters}. */
export const SMOOTH_ADVERSARIAL_PARAMETERS: readonly (keyof SmoothAdversarialParameters)[] = [
  'tau',
  'rho',
  'nu',
];

/** Values where none are given: those of the reproduction; 1 and 1 let a small network collapse. */
export const SMOOTH_ADVERSARIAL_DEFAULTS = { tau: 1, rho: 0.3, nu: 0.5 } as const;

/**
 * Checks the parameters of the smooth adversarial loss and fills in defaults.
 * @throws RangeError for a number out of range
 */
export function resolveSmoothAdversarial(
  caller: string,
  { tau, rho, nu }: SmoothAdversarialParameters,
): Required<SmoothAdversarialParameters> {
  const resolved = {
    tau: tau ?? SMOOTH_ADVERSARIAL_DEFAULTS.tau,
    rho: rho ?? SMOOTH_ADVERSARIAL_DEFAULTS.rho,
    nu: nu ?? SMOOTH_ADVERSARIAL_DEFAULTS.nu,
  };
  checkNumber(caller, 'tau', resolved.tau, { min: 0 });
  checkNumber(caller, 'rho', resolved.rho, { above: 0 });
  checkNumber(caller, 'nu', resolved.nu, { min: 0 });
  return resolved;
}

/**
 * Smooth adversarial comp-sum loss: the comp-sum loss of `logits / ρ` plus `ν ‖D(x′) − D(x)‖₂`, where D holds the margins
 * `s_y − s_k`. With x′ the worst perturbation and `ν >= √(n − 1) / ρ` it bounds the adversarial ρ-margin loss.
 *
 * Differentiable in both logits; detach neither in training.
 *
 * @param logits - of the clean inputs, shape `[…, n]`, float32
 * @param adversarialLogits - of the perturbed inputs, same shape
 * @param labels - class indices `[…]` or one-hot rows `[…, n]`
 * @param options - see {@link SmoothAdversarialOptions}
 * @returns a scalar, or for `reduction: 'none'` shape `[…]`
 * @throws TypeError for an unknown option or another dtype; RangeError for a wrong shape, a parameter out of range, and,
 *   where values are checked, labels out of range or NaN
 * @see Mao, Mohri, Zhong 2023, arXiv 2304.07288, section on adversarial robustness; defaults measured here
 */
export function smoothAdversarialLoss(
  logits: Tensor,
  adversarialLogits: Tensor,
  labels: Tensor,
  options: SmoothAdversarialOptions = {},
): Tensor {
  const caller = 'smoothAdversarialLoss';
  checkTensor(caller, 'logits', logits, { minRank: 1 });
  checkTensor(caller, 'adversarialLogits', adversarialLogits, { shape: logits.shape });
  const own = [...SMOOTH_ADVERSARIAL_PARAMETERS, 'epsilon'];
  const batch = logits.shape.slice(0, -1);
  const { reduction, weights, checkValues } = resolveLossOptions(caller, options, own, batch);
  const { tau, rho, nu } = resolveSmoothAdversarial(caller, options);
  const { epsilon } = options;
  return tidy(() => {
    const clean = compSum(caller, div(logits, rho), labels, {
      tau,
      reduction: 'none',
      checkValues,
    });
    const change = marginDeltaNorm(adversarialLogits, logits, labels, { epsilon, checkValues });
    return reduceLoss(add(clean, mul(change, nu)), weights, reduction);
  });
}
