import { checkNumber, checkOptions, checkTensor } from '@orth/backend';
import { add, matMul, mul, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { linear } from './linear.js';

/** Options of {@link loraForward}. */
export interface LoraForwardOptions {
  /** Shape `[out]`. Default: none */
  readonly bias?: Tensor;
  /** The factor of the update, see `loraScaling`. Default 1 */
  readonly scaling?: number;
}

/** Demands factors `A [in, r]` and `B [r, out]` of one rank, which fit a weight `W [in, out]` if there is one. */
export function checkFactors(caller: string, A: Tensor, B: Tensor, W?: Tensor): void {
  if (W) checkTensor(caller, 'W', W, { rank: 2 });
  checkTensor(caller, 'A', A, { shape: [W?.shape[0] ?? null, null] });
  checkTensor(caller, 'B', B, { shape: [A.shape[1]!, W?.shape[1] ?? null] });
}

/**
 * A low-rank update `s A B`.
 *
 * @param A - shape `[in, r]`
 * @param B - shape `[r, out]`
 * @param scaling - `s`. Default 1
 * @returns shape `[in, out]`
 * @throws TypeError or RangeError if the shapes do not fit or `scaling` is not finite
 */
export function loraDelta(A: Tensor, B: Tensor, scaling = 1): Tensor {
  checkFactors('loraDelta', A, B);
  checkNumber('loraDelta', 'scaling', scaling);
  return tidy(() => mul(matMul(A, B), scaling));
}

/**
 * A linear map with a low-rank update beside it: `y = x W + b + s (x A) B`. Costs `r (in + out)` more products a row
 * than `x W`, and never forms the `in × out` update.
 *
 * @param x - shape `[…, in]`
 * @param W - the pretrained weight, shape `[in, out]`, in tfjs's layout
 * @param factors - `A [in, r]` and `B [r, out]`
 * @returns shape `[…, out]`
 * @throws TypeError or RangeError if the shapes do not fit
 * @example
 * const y = loraForward(x, W, { A, B }, { bias, scaling: loraScaling(8, { alpha: 16 }) });
 * @see Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", equation 3
 */
export function loraForward(
  x: Tensor,
  W: Tensor,
  factors: { readonly A: Tensor; readonly B: Tensor },
  options: LoraForwardOptions = {},
): Tensor {
  const { A, B } = factors;
  checkOptions('loraForward', options, ['bias', 'scaling']);
  const { bias, scaling = 1 } = options;
  checkFactors('loraForward', A, B, W);
  checkInput('loraForward', x, W, bias);
  checkNumber('loraForward', 'scaling', scaling);
  return tidy(() => {
    const base = bias ? add(linear(x, W), bias) : linear(x, W);
    return add(base, mul(linear(linear(x, A), B), scaling));
  });
}

/** Demands an input `[…, in]` and a bias `[out]` for a weight. */
export function checkInput(caller: string, x: Tensor, W: Tensor, bias?: Tensor): void {
  const [inSize, outSize] = W.shape as [number, number];
  checkTensor(caller, 'x', x, { minRank: 1, allowEmpty: true });
  checkTensor(caller, 'x', x, {
    shape: [...x.shape.slice(0, -1).map(() => null), inSize],
    allowEmpty: true,
  });
  if (bias) checkTensor(caller, 'bias', bias, { shape: [outSize] });
}
