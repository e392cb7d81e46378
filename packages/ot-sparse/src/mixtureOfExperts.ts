import { checkTensor } from '@orth/backend';
import type { Tensor } from '@tensorflow/tfjs-core';
import { type RouteTokensOptions, routeTokens } from './routeTokens.js';
import type { Routing } from './routing.js';

/** What {@link mixtureOfExperts} gives. */
export interface MixtureOutput {
  /** `[…, S, d_out]`: each token's experts, weighted by its gates; zeros for dropped tokens. The caller disposes it. */
  readonly output: Tensor;
  /** Choices, gates and report; the caller disposes it. */
  readonly routing: Routing;
}

/**
 * A sparse mixture of experts as a function: routes, runs every expert on its tokens, combines. Differentiable in `x`, in
 * `scores` and in whatever `experts` uses; call it inside the loss.
 *
 * @param model.x - tokens `[…, S, d]` float32
 * @param model.scores - logits `[…, S, E]` float32, usually `x · W`
 * @param model.experts - all experts at once: `[…, E, capacity, d]` → `[…, E, capacity, d_out]`, e.g. one batched product
 * @param options - of `routeTokens`, method and capacity
 * @throws as `routeTokens`; TypeError if `experts` is no function
 * @example
 * // Eight linear experts, W [8, d, d]:
 * const { output } = mixtureOfExperts({ x, scores, experts: (t) => tf.matMul(t, W) }, { method: 'sparse-ot' });
 */
export function mixtureOfExperts(
  model: {
    readonly x: Tensor;
    readonly scores: Tensor;
    readonly experts: (tokens: Tensor) => Tensor;
  },
  options: RouteTokensOptions,
): MixtureOutput {
  const { x, scores, experts } = model;
  const caller = 'mixtureOfExperts';
  checkTensor(caller, 'scores', scores, { minRank: 2 });
  checkTensor(caller, 'x', x, { shape: [...scores.shape.slice(0, -1), null] });
  if (typeof experts !== 'function') {
    throw new TypeError(`${caller}: experts must be a function, got ${String(experts)}`);
  }
  const routing = routeTokens(scores, options);
  return { output: routing.combine(experts(routing.dispatch(x))), routing };
}
