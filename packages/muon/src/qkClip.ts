import { checkInteger, checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  div,
  maximum,
  minimum,
  mul,
  reshape,
  sqrt,
  Tensor,
  type Tensor2D,
  tensor1d,
  tidy,
} from '@tensorflow/tfjs-core';
import type { Layout } from './matrixView.js';

/** Options of {@link qkClip}. */
export interface QkClipOptions {
  /** τ: the greatest logit wanted, > 0. Default 100 */
  readonly threshold?: number;
  /** Attention heads; must divide the projections' output size. */
  readonly heads: number;
  /** Layout of the projections: `'inOut'` has a head in a block of columns, `'outIn'` in a block of rows. Default `'inOut'` */
  readonly layout?: Layout;
}

/** What {@link qkClip} returns; the caller disposes all three. */
export interface QkClipResult {
  /** Query projection, shape of `wq`. */
  readonly query: Tensor;
  /** Key projection, shape of `wk`. */
  readonly key: Tensor;
  /** γ of each head, shape `[heads]`: 1 where nothing was clipped. */
  readonly gamma: Tensor;
}

/**
 * Keeps attention logits bounded after an optimizer step: for each head `γ = min(1, τ / max logit)`, and both the query
 * and the key projection of that head are multiplied by √γ, so that its logits shrink by γ.
 *
 * For multi-head latent attention use {@link scaleHeads}: qC and kC times √γ, the head's rotary qR times γ, the shared
 * rotary kR untouched.
 *
 * @param wq - query projection `[in, heads·size]` (or `[heads·size, in]` with `layout: 'outIn'`); not modified
 * @param wk - key projection, likewise
 * @param maxLogits - greatest logit of each head in the last batch, with the 1/√size in it; shape `[heads]` or an array
 * @throws TypeError or RangeError for wrong shapes or options, or if `heads` does not divide the output size
 * @example
 * const { query, key } = qkClip(wq, wk, maxLogits, { heads: 4 });
 * wq.assign(query); wk.assign(key);
 * @see Kimi Team 2025, "Kimi K2", arXiv 2507.20534, algorithm 1
 */
export function qkClip(
  wq: Tensor,
  wk: Tensor,
  maxLogits: Tensor | readonly number[],
  options: QkClipOptions,
): QkClipResult {
  checkOptions('qkClip', options, ['threshold', 'heads', 'layout']);
  const { threshold = 100, heads, layout = 'inOut' } = options;
  checkNumber('qkClip', 'threshold', threshold, { above: 0 });
  checkHeads('qkClip', 'wq', wq, heads, layout);
  checkHeads('qkClip', 'wk', wk, heads, layout);
  if (maxLogits instanceof Tensor) {
    checkTensor('qkClip', 'maxLogits', maxLogits, { shape: [heads] });
  } else if (maxLogits.length !== heads) {
    throw new RangeError(
      `qkClip: maxLogits must have ${heads} numbers, one a head, got ${maxLogits.length}`,
    );
  } else {
    for (const [head, value] of maxLogits.entries()) {
      checkNumber('qkClip', `maxLogits[${head}]`, value);
    }
  }
  return tidy(() => {
    const logits = maxLogits instanceof Tensor ? maxLogits : tensor1d([...maxLogits]);
    // Logits at or below the threshold, negative ones included, give exactly 1.
    const gamma = minimum(div(threshold, maximum(logits, threshold)), 1);
    const root = sqrt(gamma);
    return { query: scale(wq, root, layout), key: scale(wk, root, layout), gamma };
  });
}

/**
 * Multiplies each head's block of a projection by that head's factor.
 *
 * @param w - `[in, heads·size]`, or `[heads·size, in]` with `layout: 'outIn'`; not modified
 * @param factors - shape `[heads]`
 * @returns shape of `w`; the caller disposes it
 * @throws TypeError or RangeError for wrong shapes, or if the heads do not divide the output size
 */
export function scaleHeads(
  w: Tensor,
  factors: Tensor,
  options: { readonly layout?: Layout } = {},
): Tensor {
  checkOptions('scaleHeads', options, ['layout']);
  checkTensor('scaleHeads', 'factors', factors, { rank: 1 });
  const { layout = 'inOut' } = options;
  checkHeads('scaleHeads', 'w', w, factors.shape[0], layout);
  return tidy(() => scale(w, factors, layout));
}

function checkHeads(
  caller: string,
  argument: string,
  w: unknown,
  heads: unknown,
  layout: Layout,
): asserts w is Tensor2D {
  checkOneOf(caller, 'layout', layout, ['inOut', 'outIn']);
  checkInteger(caller, 'heads', heads, { min: 1 });
  checkTensor(caller, argument, w, { rank: 2 });
  const outputs = w.shape[layout === 'inOut' ? 1 : 0]!;
  if (outputs % heads === 0) return;
  throw new RangeError(
    `${caller}: heads must divide the output size of ${argument}, got ${heads} heads and shape [${w.shape}]`,
  );
}

function scale(w: Tensor, factors: Tensor, layout: Layout): Tensor {
  const heads = factors.shape[0]!;
  const [rows, columns] = w.shape as [number, number];
  const blocks =
    layout === 'inOut' ? [rows, heads, columns / heads] : [heads, rows / heads, columns];
  const shaped = reshape(factors, layout === 'inOut' ? [1, heads, 1] : [heads, 1, 1]);
  return reshape(mul(reshape(w, blocks), shaped), w.shape);
}
