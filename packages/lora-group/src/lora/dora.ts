import { checkNumber, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  customGrad,
  div,
  matMul,
  maximum,
  mul,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  tidy,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { linear } from './linear.js';
import { checkFactors, checkInput, type LoraForwardOptions } from './lora.js';

/** Norms below this are taken for it, so that a column of zeros divides by no zero. */
const SMALLEST_NORM = 1e-12;

/** Euclidean norm of each column, shape `[out]`. */
function columnNorms(W: Tensor): Tensor {
  return sqrt(sum(square(W), 0));
}

/**
 * What DoRA's magnitude starts from: the norm of each output column of the pretrained weight.
 *
 * @param W - shape `[in, out]`
 * @returns shape `[out]`
 * @throws TypeError or RangeError if `W` is no matrix
 */
export function doraMagnitude(W: Tensor): Tensor {
  checkTensor('doraMagnitude', 'W', W, { rank: 2 });
  return tidy(() => columnNorms(W));
}

/**
 * `m / ‖W + update(…factors)‖` per output column, the norm taken as a constant: no gradient flows through it, and none
 * of the products inside is recorded.
 * @param factors - what `update` depends on, so that the norm is no constant of the tape's caller by accident
 */
export function doraGain(
  magnitude: Tensor,
  W: Tensor,
  factors: readonly Tensor[],
  update: (factors: readonly Tensor[]) => Tensor,
): Tensor {
  const norm = customGrad((...args) => {
    const inputs = args.slice(0, -1) as Tensor[];
    return {
      value: tidy(() => maximum(columnNorms(add(W, update(inputs))), SMALLEST_NORM)),
      gradFunc: () => inputs.map((x) => zerosLike(x)),
    };
  });
  return div(magnitude, norm(...(factors as Tensor[])));
}

/** Options of {@link doraForward}. */
export type DoraForwardOptions = LoraForwardOptions;

/**
 * A linear map whose weight's direction is updated at low rank and whose columns' lengths are trained apart:
 * `y = g (x W + s (x A) B) + b`, `g = m / ‖W + s A B‖` per output column, the norm taken as a constant by the gradient.
 *
 * @param x - shape `[…, in]`
 * @param W - the pretrained weight, shape `[in, out]`
 * @param factors - `A [in, r]`, `B [r, out]` and the magnitude `m [out]`, which starts from {@link doraMagnitude}
 * @returns shape `[…, out]`
 * @throws TypeError or RangeError if the shapes do not fit
 * @see Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation", equations 5 and 11
 */
export function doraForward(
  x: Tensor,
  W: Tensor,
  factors: { readonly A: Tensor; readonly B: Tensor; readonly magnitude: Tensor },
  options: DoraForwardOptions = {},
): Tensor {
  const { bias, scaling = 1 } = checkDora('doraForward', W, factors, options);
  checkInput('doraForward', x, W, bias);
  const { A, B } = factors;
  return tidy(() => {
    const g = gainOf(W, factors, scaling);
    const y = mul(add(linear(x, W), mul(linear(linear(x, A), B), scaling)), g);
    return bias ? add(y, bias) : y;
  });
}

/**
 * The weight that {@link doraForward} amounts to: `g (W + s A B)`.
 * @returns shape `[in, out]`
 * @throws TypeError or RangeError if the shapes do not fit
 */
export function doraWeight(
  W: Tensor,
  factors: { readonly A: Tensor; readonly B: Tensor; readonly magnitude: Tensor },
  options: { readonly scaling?: number } = {},
): Tensor {
  const { scaling = 1 } = checkDora('doraWeight', W, factors, options);
  const { A, B } = factors;
  return tidy(() => mul(add(W, mul(matMul(A, B), scaling)), gainOf(W, factors, scaling)));
}

function gainOf(
  W: Tensor,
  { A, B, magnitude }: { readonly A: Tensor; readonly B: Tensor; readonly magnitude: Tensor },
  scaling: number,
): Tensor {
  return doraGain(magnitude, W, [A, B], ([a, b]) => mul(matMul(a!, b!), scaling));
}

function checkDora(
  caller: string,
  W: Tensor,
  factors: { readonly A: Tensor; readonly B: Tensor; readonly magnitude: Tensor },
  options: DoraForwardOptions,
): DoraForwardOptions {
  checkOptions(caller, options, caller === 'doraForward' ? ['bias', 'scaling'] : ['scaling']);
  checkFactors(caller, factors.A, factors.B, W);
  checkTensor(caller, 'magnitude', factors.magnitude, { shape: [W.shape[1]!] });
  checkNumber(caller, 'scaling', options.scaling ?? 1);
  return options;
}

/** What DoRA adds to an output `base` without its bias: `(g − 1) base + g low`; exactly 0 where `g` is 1 and `low` 0. */
export function doraContribution(base: Tensor, low: Tensor, gain: Tensor): Tensor {
  return add(mul(base, sub(gain, 1)), mul(low, gain));
}
