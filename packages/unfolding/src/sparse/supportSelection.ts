/** Soft thresholding that lets the largest entries pass (the suffix SS of LISTA-SS). */
import { checkNumber } from '@orth/backend';
import {
  add,
  customGrad,
  mul,
  neg,
  relu,
  sign,
  slice,
  step,
  sub,
  sum,
  type Tensor,
  topk,
} from '@tensorflow/tfjs-core';
import { magnitude } from './packedComplex.js';

/** How much of the support is trusted. */
export interface SupportSelectionOptions {
  /** Percent of the entries that skip the shrinkage, more by as much in each layer. Default 0: none do */
  readonly p?: number;
  /** Percent of the entries that skip it at most, in any layer. Default `p` times the layers */
  readonly pMax?: number;
}

export const SELECTION_OPTIONS = ['p', 'pMax'] as const;

/** Entries that skip the shrinkage in layer `k` (from 1): `⌊min(p k, pMax) N / 100⌋`. */
export function selectedCount({ p = 0, pMax }: SupportSelectionOptions, k: number, N: number) {
  const percent = Math.min(p * k, pMax ?? 100, 100);
  // 29 % of 100 are 29, though 29 / 100 * 100 is 28.999….
  return Math.floor((percent * N) / 100 + 1e-9);
}

/** @throws TypeError or RangeError for a percentage out of range */
export function checkSelection(caller: string, { p = 0, pMax = 100 }: SupportSelectionOptions) {
  checkNumber(caller, 'p', p, { min: 0, max: 100 });
  checkNumber(caller, 'pMax', pMax, { min: 0, max: 100 });
}

/**
 * `soft(z, θ)` of rows, but the `count` largest magnitudes of a row pass unchanged if they exceed θ (ties at the end of
 * the list do not pass). The choice carries no gradient.
 */
export function selectiveShrink(z: Tensor, theta: Tensor, count: number): Tensor {
  const run = customGrad((...args) => {
    const save = args.pop() as unknown as (tensors: Tensor[]) => void;
    const [z, theta] = args as [Tensor, Tensor];
    const [B, N] = z.shape as [number, number];
    const size = magnitude(z, 'real');
    const above = step(sub(size, theta));
    // What is left of the shrinkage: sign(z) θ on entries above θ that are not selected.
    let shrunk = above;
    if (count >= N) shrunk = mul(above, 0);
    else if (count > 0) {
      const bound = slice(topk(size, count + 1, true).values, [0, count], [B, 1]);
      shrunk = mul(above, sub(1, step(sub(size, bound))));
    }
    const signs = mul(sign(z), shrunk);
    save([above, signs]);
    const value = sub(mul(z, above), mul(signs, theta));
    const gradFunc = (dy: Tensor, saved: Tensor[]) => [
      mul(dy, saved[0]!),
      neg(sum(mul(dy, saved[1]!))),
    ];
    return { value, gradFunc };
  });
  return count === 0 ? sub(relu(sub(z, theta)), relu(neg(add(z, theta)))) : run(z, theta);
}
