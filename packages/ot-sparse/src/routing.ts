import { checkTensor } from '@orth/backend';
import {
  add,
  concat,
  gather,
  mul,
  reshape,
  slice,
  softmax,
  type Tensor,
  tensor,
  tensor1d,
  tidy,
  unsortedSegmentSum,
  zeros,
} from '@tensorflow/tfjs-core';
import type { Choices } from './routers.js';

/** How evenly experts are used and who was left out. */
export interface RoutingReport {
  /** Tokens that each expert got, summed over groups, `[E]`. */
  readonly tokensPerExpert: Int32Array;
  /** Tokens that asked for each expert, before capacities, summed over groups, `[E]`. */
  readonly demand: Int32Array;
  /** Experts that each token got, `[groups · S]`. */
  readonly expertsPerToken: Int32Array;
  /** Tokens without any expert. */
  readonly dropped: number;
  /** Their share of all tokens. */
  readonly droppedShare: number;
  /** Token choice: choices that found their expert full, out of k · S. Otherwise 0 */
  readonly droppedChoices: number;
  /** Coefficient of variation (population) of `tokensPerExpert`; 0 is perfect balance. */
  readonly loadVariation: number;
  /** Share of slots that hold a token. */
  readonly filledShare: number;
}

/** Sizes of what was routed. */
export interface RoutingSizes {
  /** Leading dimensions of the scores. */
  readonly batchShape: readonly number[];
  readonly groups: number;
  readonly tokens: number;
  readonly experts: number;
  readonly capacity: number;
}

/** How gates are computed from scores. */
export interface GateRule {
  /** `'softmax'` of the scores over experts, or the transport plan, which has no gradient. */
  readonly combine: 'softmax' | 'plan';
  /** Added to the scores, `[…, S, E]` row-major. */
  readonly noise: Float64Array | undefined;
}

/**
 * Who goes where. The choices are constants; gradients flow through `gates`.
 *
 * It holds one tensor, `gates`; call {@link dispose} when done.
 */
export class Routing {
  /** Most tokens that an expert can have in a group. */
  readonly capacity: number;
  /** `[…, E, capacity]` row-major: token in each slot, −1 where empty. No expert ever has more than `capacity`. */
  readonly tokenIndex: Int32Array;
  /** Transport methods: plans `[…, S, E]` row-major. */
  readonly plan: Float64Array | undefined;
  /** Choices of each group, as the rule made them. */
  readonly choices: readonly Choices[];
  readonly report: RoutingReport;
  /**
   * Weights by which a token's experts are combined, `[…, S, E]`: 0 where the pair was not kept. From `routeTokens`
   * differentiable in the scores (from `routeTokensAsync` not: use {@link attach}).
   */
  readonly gates: Tensor;
  private readonly sizes: RoutingSizes;
  private readonly rule: GateRule;

  /** For `routeTokens`. */
  constructor(
    sizes: RoutingSizes,
    choices: readonly Choices[],
    plan: Float64Array | undefined,
    rule: GateRule,
    scores: Tensor,
  ) {
    const { groups, experts, capacity } = sizes;
    this.sizes = sizes;
    this.rule = rule;
    this.capacity = capacity;
    this.choices = choices;
    this.plan = plan;
    this.tokenIndex = new Int32Array(groups * experts * capacity);
    choices.forEach(({ tokenIndex }, g) => {
      this.tokenIndex.set(tokenIndex, g * experts * capacity);
    });
    this.report = reportOf(sizes, choices);
    this.gates = this.gatesOf(scores);
  }

  /**
   * `gates` as a differentiable function of scores that hold the same values; the caller disposes it.
   * @throws TypeError or RangeError for another kind or shape
   */
  attach(scores: Tensor): Tensor {
    const { batchShape, tokens, experts } = this.sizes;
    checkTensor('attach', 'scores', scores, { shape: [...batchShape, tokens, experts] });
    return this.gatesOf(scores);
  }

  /**
   * Inputs of the experts: `[…, S, d]` → `[…, E, capacity, d]`, zeros in empty slots. Differentiable; the caller disposes it.
   * @throws TypeError or RangeError for another kind or shape
   */
  dispatch(x: Tensor): Tensor {
    const { batchShape, groups, tokens, experts, capacity } = this.sizes;
    checkTensor('dispatch', 'x', x, { shape: [...batchShape, tokens, null] });
    const width = x.shape.at(-1)!;
    return tidy(() => {
      const rows = concat([reshape(x, [groups * tokens, width]), zeros([1, width])]);
      const slots = gather(rows, tensor1d(this.flatTokens(), 'int32'));
      return reshape(slots, [...batchShape, experts, capacity, width]);
    });
  }

  /**
   * Outputs of the tokens: `Σ_e gate · output` over the experts that a token got; zeros for dropped tokens. Differentiable in
   * outputs and gates; the caller disposes it.
   *
   * @param outputs - `[…, E, capacity, d]`
   * @param gates - `[…, S, E]`. Default: `gates` of this routing
   * @returns `[…, S, d]`
   * @throws TypeError or RangeError for another kind or shape
   */
  combine(outputs: Tensor, gates: Tensor = this.gates): Tensor {
    const { batchShape, groups, tokens, experts, capacity } = this.sizes;
    checkTensor('combine', 'outputs', outputs, {
      shape: [...batchShape, experts, capacity, null],
    });
    checkTensor('combine', 'gates', gates, { shape: [...batchShape, tokens, experts] });
    const width = outputs.shape.at(-1)!;
    const slots = groups * experts * capacity;
    return tidy(() => {
      const pairs = concat([reshape(gates, [groups * tokens * experts]), zeros([1])]);
      const weights = gather(pairs, tensor1d(this.flatPairs(), 'int32'));
      const weighted = mul(reshape(outputs, [slots, width]), reshape(weights, [slots, 1]));
      const owners = tensor1d(this.flatTokens(), 'int32');
      // Empty slots add to a row of their own, which is cut off.
      const sums = unsortedSegmentSum(weighted, owners, groups * tokens + 1);
      const kept = slice(sums, [0, 0], [groups * tokens, width]);
      return reshape(kept, [...batchShape, tokens, width]);
    });
  }

  /** Disposes `gates`. May be called twice. */
  dispose(): void {
    this.gates.dispose();
  }

  private gatesOf(scores: Tensor): Tensor {
    const { batchShape, groups, tokens, experts } = this.sizes;
    const shape = [...batchShape, tokens, experts];
    return tidy(() => {
      const kept = new Float32Array(groups * tokens * experts);
      for (const pair of this.flatPairs()) {
        if (pair < kept.length) kept[pair] = 1;
      }
      if (this.rule.combine === 'plan') {
        const { plan } = this;
        return tensor(
          kept.map((one, at) => one * plan![at]!),
          shape,
        );
      }
      const { noise } = this.rule;
      const noisy = noise ? add(scores, tensor(Float32Array.from(noise), shape)) : scores;
      return mul(softmax(noisy), tensor(kept, shape));
    });
  }

  /** Row of each slot's token in `[groups · S]`; one past the end where empty. */
  private flatTokens(): Int32Array {
    const { groups, tokens, experts, capacity } = this.sizes;
    return this.tokenIndex.map((s, slot) =>
      s < 0 ? groups * tokens : Math.floor(slot / (experts * capacity)) * tokens + s,
    );
  }

  /** Place of each slot's pair in `[groups · S · E]`; one past the end where empty. */
  private flatPairs(): Int32Array {
    const { groups, tokens, experts, capacity } = this.sizes;
    return this.tokenIndex.map((s, slot) => {
      if (s < 0) return groups * tokens * experts;
      const group = Math.floor(slot / (experts * capacity));
      const expert = Math.floor(slot / capacity) % experts;
      return (group * tokens + s) * experts + expert;
    });
  }
}

function reportOf(sizes: RoutingSizes, choices: readonly Choices[]): RoutingReport {
  const { groups, tokens, experts, capacity } = sizes;
  const tokensPerExpert = new Int32Array(experts);
  const demand = new Int32Array(experts);
  const expertsPerToken = new Int32Array(groups * tokens);
  let droppedChoices = 0;
  choices.forEach((group, g) => {
    group.tokenIndex.forEach((s, slot) => {
      if (s < 0) return;
      tokensPerExpert[Math.floor(slot / capacity)]!++;
      expertsPerToken[g * tokens + s]!++;
    });
    group.demand.forEach((count, e) => {
      demand[e]! += count;
    });
    for (const slot of group.slots ?? []) if (slot < 0) droppedChoices++;
  });
  const dropped = expertsPerToken.filter((count) => count === 0).length;
  const kept = tokensPerExpert.reduce((total, count) => total + count, 0);
  const mean = kept / experts;
  const variance =
    tokensPerExpert.reduce((total, count) => total + (count - mean) ** 2, 0) / experts;
  return {
    tokensPerExpert,
    demand,
    expertsPerToken,
    dropped,
    droppedShare: dropped / (groups * tokens),
    droppedChoices,
    loadVariation: mean > 0 ? Math.sqrt(variance) / mean : 0,
    filledShare: kept / (groups * experts * capacity),
  };
}
