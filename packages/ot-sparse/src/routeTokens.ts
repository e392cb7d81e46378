import {
  checkBoolean,
  checkFinite,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkTensor,
  seededRandom,
} from '@orth/backend';
import type { Tensor } from '@tensorflow/tfjs-core';
import { type Choices, expertsChoose, tokensChoose } from './routers.js';
import { Routing, type RoutingSizes } from './routing.js';
import { sinkhornPlan } from './sinkhornPlan.js';
import { sparsePlan } from './sparsePlan.js';
import { readNow } from './transportArguments.js';

/** A rule by which tokens find experts. */
export type RoutingMethod = 'sparse-ot' | 'sinkhorn' | 'topk' | 'expert-choice' | 's-base';

/** Options of {@link routeTokens}. */
export interface RouteTokensOptions {
  /**
   * - `'sparse-ot'`: k-sparse transport of the softmax (Liu et al. 2023); experts take the non-zeros of their column
   * - `'sinkhorn'`: entropic transport of the softmax; experts take the largest entries of their column
   * - `'topk'`: tokens take their k best experts, and are dropped where those are full (V-MoE)
   * - `'expert-choice'`: experts take their best tokens (Zhou et al. 2022)
   * - `'s-base'`: tokens take the k largest entries of Sinkhorn's plan of the raw scores (Clark et al. 2022)
   */
  readonly method: RoutingMethod;
  /** Experts a token asks for, 1 … E. It sets the default capacity. Default 1 */
  readonly k?: number;
  /** Most tokens an expert takes in a group, integer >= 1. Default `expertCapacity(S · k, E, capacityFactor, multipleOf)` */
  readonly capacity?: number;
  /** Room beyond an even distribution, > 0. Default 1 */
  readonly capacityFactor?: number;
  /** The default capacity is rounded up to a multiple of this. Default 4 */
  readonly multipleOf?: number;
  /** `'topk'`, `'s-base'`: tokens that are surer come first, not those with a lower index. Default false */
  readonly batchPriority?: boolean;
  /** `'topk'`: standard deviation · E of noise on the scores, for training. Default 0 */
  readonly noiseStd?: number;
  /** Seed of the noise, an integer. Default 0 */
  readonly seed?: number;
  /** What combines the experts of a token: `'softmax'` of the scores (default), or the transport `'plan'`. */
  readonly combine?: 'softmax' | 'plan';
  /**
   * `'sparse-ot'`: at most `capacity` tokens `'perExpert'` (default), or at most k experts `'perToken'`.
   */
  readonly sparsity?: 'perExpert' | 'perToken';
  /** `'sparse-ot'`: slots that the plan leaves are empty, `'none'` (default), or filled with `'zeroWeight'` tokens, first index first. */
  readonly fill?: 'none' | 'zeroWeight';
  /** `'sparse-ot'`: quadratic regularisation, > 0. Default 1 */
  readonly gamma?: number;
  /** `'sparse-ot'`: Adam's learning rate, > 0. Default 0.01 */
  readonly learningRate?: number;
  /** Most steps of Adam, or Sinkhorn's iterations, integer >= 1. Default 20 */
  readonly iterations?: number;
  /** `'sparse-ot'`: norm of the gradient at which steps end, >= 0. Default 1e−3 */
  readonly tolerance?: number;
  /** `'sinkhorn'`, `'s-base'`: entropy, > 0. Default 0.05 for `'sinkhorn'`, 1 for `'s-base'` */
  readonly epsilon?: number;
}

const METHODS = ['sparse-ot', 'sinkhorn', 'topk', 'expert-choice', 's-base'] as const;
const OPTIONS = [
  'method',
  'k',
  'capacity',
  'capacityFactor',
  'multipleOf',
  'batchPriority',
  'noiseStd',
  'seed',
  'combine',
  'sparsity',
  'fill',
  'gamma',
  'learningRate',
  'iterations',
  'tolerance',
  'epsilon',
];

/**
 * Routes tokens to experts under a capacity: the heart of a sparse mixture of experts.
 *
 * Scores are read synchronously and the choices made on the host; they are constants for the gradient, which flows through
 * `gates`, the softmax of the scores where a pair was kept. Groups (leading dimensions) are independent.
 *
 * All methods but `'topk'` in token order look at later tokens of the group: fine for encoders, vision and batches, not for
 * causal language models.
 *
 * @param scores - logits `[…, S, E]` float32: S tokens of a group, E experts
 * @returns choices, gates, plan and report; the caller disposes it
 * @throws TypeError or RangeError for another kind or shape, scores that are not finite, k outside 1 … E, capacity < 1, or an
 *   option out of its range; Error where the backend cannot be read synchronously: use {@link routeTokensAsync} there
 * @see Liu, Puigcerver, Blondel 2023, arXiv 2209.15466; Riquelme et al. 2021, arXiv 2106.05974; Zhou et al. 2022, arXiv
 *   2202.09368; Clark et al. 2022, arXiv 2202.01169
 * @example
 * const routing = routeTokens(scores, { method: 'sparse-ot', capacityFactor: 1.25 });
 * const y = routing.combine(experts(routing.dispatch(x)));
 */
export function routeTokens(scores: Tensor, options: RouteTokensOptions): Routing {
  const sizes = check('routeTokens', scores, options);
  return route('routeTokens', scores, readNow('routeTokens', scores), sizes, options);
}

/** {@link routeTokens} for backends that cannot be read synchronously; `attach` gives differentiable gates. */
export async function routeTokensAsync(
  scores: Tensor,
  options: RouteTokensOptions,
): Promise<Routing> {
  const sizes = check('routeTokensAsync', scores, options);
  return route('routeTokensAsync', scores, await scores.data(), sizes, options);
}

/**
 * Slots of an expert: `⌈assignments · factor / experts⌉`, rounded up to a multiple.
 *
 * @param assignments - tokens times experts each: S · k
 * @param experts - E
 * @param factor - room beyond an even distribution. Default 1
 * @param multipleOf - the result is a multiple of this. Default 4
 * @throws TypeError or RangeError if an argument is out of its range
 * @see google-research/vmoe, `compute_capacity`
 */
export function expertCapacity(
  assignments: number,
  experts: number,
  factor = 1,
  multipleOf = 4,
): number {
  checkInteger('expertCapacity', 'assignments', assignments, { min: 1 });
  checkInteger('expertCapacity', 'experts', experts, { min: 1 });
  checkNumber('expertCapacity', 'factor', factor, { above: 0 });
  checkInteger('expertCapacity', 'multipleOf', multipleOf, { min: 1 });
  return Math.ceil(Math.ceil((assignments * factor) / experts) / multipleOf) * multipleOf;
}

function check(caller: string, scores: Tensor, options: RouteTokensOptions): RoutingSizes {
  checkOptions(caller, options, OPTIONS);
  const { method, k = 1, capacityFactor = 1, multipleOf = 4, combine } = options;
  checkOneOf(caller, 'method', method, METHODS);
  checkTensor(caller, 'scores', scores, { minRank: 2 });
  const batchShape = scores.shape.slice(0, -2);
  const [tokens, experts] = scores.shape.slice(-2) as [number, number];
  checkInteger(caller, 'k', k, { min: 1, max: experts });
  if (options.capacity !== undefined) {
    checkInteger(caller, 'capacity', options.capacity, { min: 1 });
  }
  checkNumber(caller, 'capacityFactor', capacityFactor, { above: 0 });
  checkInteger(caller, 'multipleOf', multipleOf, { min: 1 });
  for (const name of ['gamma', 'learningRate', 'epsilon'] as const) {
    if (options[name] !== undefined) checkNumber(caller, name, options[name], { above: 0 });
  }
  for (const name of ['noiseStd', 'tolerance'] as const) {
    if (options[name] !== undefined) checkNumber(caller, name, options[name], { min: 0 });
  }
  if (options.iterations !== undefined) {
    checkInteger(caller, 'iterations', options.iterations, { min: 1 });
  }
  if (options.seed !== undefined) checkInteger(caller, 'seed', options.seed);
  if (options.batchPriority !== undefined) {
    checkBoolean(caller, 'batchPriority', options.batchPriority);
  }
  checkOneOf(caller, 'combine', combine, [undefined, 'softmax', 'plan']);
  checkOneOf(caller, 'sparsity', options.sparsity, [undefined, 'perExpert', 'perToken']);
  checkOneOf(caller, 'fill', options.fill, [undefined, 'none', 'zeroWeight']);
  if (combine === 'plan' && (method === 'topk' || method === 'expert-choice')) {
    throw new RangeError(
      `${caller}: combine must be 'softmax' for a method without a plan, got "plan"`,
    );
  }
  const capacity =
    options.capacity ?? expertCapacity(tokens * k, experts, capacityFactor, multipleOf);
  const groups = batchShape.reduce((product, length) => product * length, 1);
  return { batchShape, groups, tokens, experts, capacity };
}

function route(
  caller: string,
  scores: Tensor,
  data: ArrayLike<number>,
  sizes: RoutingSizes,
  options: RouteTokensOptions,
): Routing {
  checkFinite(caller, 'scores', data);
  const { groups, tokens, experts } = sizes;
  const { method, noiseStd = 0, seed = 0, combine = 'softmax' } = options;
  const size = tokens * experts;
  const logits = Float64Array.from(data);
  let noise: Float64Array | undefined;
  if (method === 'topk' && noiseStd > 0) {
    const random = seededRandom(seed);
    noise = logits.map(() => random.normal(0, noiseStd / experts));
    for (let at = 0; at < logits.length; at++) logits[at]! += noise[at]!;
  }
  const planned = method === 'sparse-ot' || method === 'sinkhorn' || method === 's-base';
  const plan = planned ? new Float64Array(logits.length) : undefined;
  const choices: Choices[] = [];
  for (let g = 0; g < groups; g++) {
    const group = logits.subarray(g * size, (g + 1) * size);
    const part = plan?.subarray(g * size, (g + 1) * size);
    choices.push(routeGroup(group, part, sizes, options));
  }
  return new Routing(sizes, choices, plan, { combine, noise }, scores);
}

/** Chooses for one group; writes the plan of transport methods. */
function routeGroup(
  logits: Float64Array,
  plan: Float64Array | undefined,
  { tokens, experts, capacity }: RoutingSizes,
  options: RouteTokensOptions,
): Choices {
  const { method, k = 1, batchPriority = false, iterations = 20 } = options;
  const gates = softmaxRows(logits, tokens, experts);
  if (method === 'topk') {
    const confidence = batchPriority ? gates : undefined;
    return tokensChoose(gates, tokens, experts, k, capacity, confidence);
  }
  if (method === 'expert-choice') {
    return expertsChoose(gates, tokens, experts, capacity, -Infinity);
  }
  const share = tokens / experts;
  if (method === 's-base') {
    const { epsilon = 1 } = options;
    plan!.set(sinkhornPlan(logits, tokens, experts, 1, share, epsilon, iterations));
    const confidence = batchPriority ? plan : undefined;
    return tokensChoose(plan!, tokens, experts, k, capacity, confidence);
  }
  if (method === 'sinkhorn') {
    const { epsilon = 0.05 } = options;
    plan!.set(sinkhornPlan(gates, tokens, experts, 1, share, epsilon, iterations));
    return expertsChoose(plan!, tokens, experts, capacity, 0);
  }
  const { gamma = 1, learningRate = 1e-2, tolerance = 1e-3, fill = 'none' } = options;
  const settings = { gamma, learningRate, steps: iterations, tolerance };
  if (options.sparsity === 'perToken') {
    const byExpert = transposed(gates, tokens, experts);
    const sizes = { m: experts, n: tokens, a: share, b: 1, k };
    const found = sparsePlan({ ...sizes, similarity: byExpert }, settings);
    plan!.set(transposed(found.plan, experts, tokens));
  } else {
    const sizes = { m: tokens, n: experts, a: 1, b: share, k: capacity };
    plan!.set(sparsePlan({ ...sizes, similarity: gates }, settings).plan);
  }
  return expertsChoose(plan!, tokens, experts, capacity, fill === 'none' ? 0 : -Infinity);
}

/** softmax of each row, in float64. */
export function softmaxRows(logits: Float64Array, rows: number, columns: number): Float64Array {
  const result = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    const row = logits.subarray(i * columns, (i + 1) * columns);
    const most = row.reduce((m, x) => Math.max(m, x), -Infinity);
    let total = 0;
    for (let j = 0; j < columns; j++) {
      const value = Math.exp(row[j]! - most);
      result[i * columns + j] = value;
      total += value;
    }
    for (let j = 0; j < columns; j++) result[i * columns + j]! /= total;
  }
  return result;
}

function transposed(x: Float64Array, m: number, n: number): Float64Array {
  const result = new Float64Array(x.length);
  for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) result[j * m + i] = x[i * n + j]!;
  return result;
}
