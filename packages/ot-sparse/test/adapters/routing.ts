import type { Adapter, AdapterContext } from '@orth/testing';
import {
  auxiliaryLosses,
  expertCapacity,
  type RouteTokensOptions,
  type Routing,
  routeTokensAsync,
} from '../../src/index.js';
import { softmaxRows } from '../../src/routeTokens.js';
import { sparsePlan } from '../../src/sparsePlan.js';

type Inputs = AdapterContext['inputs'];
type Params = AdapterContext['params'];

const sizesOf = ({ logits }: Inputs) => {
  const [tokens, experts] = logits!.shape.slice(-2) as [number, number];
  return { tokens, experts, groups: logits!.size / (tokens * experts) };
};

/** Slots of an expert: given, or what the factor and rounding make of N assignments. */
const capacityOf = (params: Params, experts: number, assignments: number): number =>
  params.capacity ??
  expertCapacity(assignments, experts, params.capacityFactor ?? 1, params.multipleOf ?? 4);

const join = (parts: readonly ArrayLike<number>[]): number[] =>
  parts.flatMap((part) => Array.from(part));

async function routed<T>(
  inputs: Inputs,
  options: RouteTokensOptions,
  use: (routing: Routing) => T | Promise<T>,
): Promise<T> {
  const routing = await routeTokensAsync(inputs.logits!, options);
  try {
    return await use(routing);
  } finally {
    routing.dispose();
  }
}

const adam = (params: Params) => ({
  gamma: params.gamma ?? 1,
  learningRate: params.learningRate ?? 1e-2,
  iterations: params.maxIter ?? 20,
  tolerance: params.tol ?? 1e-3,
});

/** α, iterations and history are internal: read from the function behind the router. */
async function stepsOf(inputs: Inputs, params: Params, perToken: boolean, k: number) {
  const { tokens, experts, groups } = sizesOf(inputs);
  const logits = Float64Array.from(await inputs.logits!.data());
  const size = tokens * experts;
  const { iterations: steps, ...settings } = adam(params);
  return Array.from({ length: groups }, (_, g) => {
    const gates = softmaxRows(logits.subarray(g * size, (g + 1) * size), tokens, experts);
    const byExpert = Float64Array.from(
      { length: size },
      (_unused, at) => gates[(at % tokens) * experts + Math.floor(at / tokens)]!,
    );
    const share = tokens / experts;
    const problem = perToken
      ? { m: experts, n: tokens, similarity: byExpert, a: share, b: 1, k }
      : { m: tokens, n: experts, similarity: gates, a: 1, b: share, k };
    return sparsePlan(problem, { ...settings, steps });
  });
}

const perExpert: Adapter = async ({ inputs, params }) => {
  const { tokens, experts } = sizesOf(inputs);
  const k = params.k ?? capacityOf(params, experts, tokens);
  const options = { method: 'sparse-ot', capacity: k, ...adam(params) } as const;
  const steps = await stepsOf(inputs, params, false, k);
  return routed(inputs, options, ({ plan, tokenIndex }) => ({
    plan: plan!,
    itemIndex: tokenIndex,
    alpha: join(steps.map(({ alpha }) => alpha)),
    iterations: steps.map(({ iterations }) => iterations),
    semiDualHistory: join(steps.map(({ history }) => history)),
  }));
};

const perItem: Adapter = async ({ inputs, params }) => {
  const { experts } = sizesOf(inputs);
  const k = params.k ?? 1;
  const options = {
    method: 'sparse-ot',
    sparsity: 'perToken',
    k: Math.min(k, experts),
    ...adam(params),
  } as const;
  const steps = await stepsOf(inputs, params, true, k);
  return routed(inputs, options, ({ plan }) => ({
    plan: plan!,
    alpha: join(steps.map(({ alpha }) => alpha)),
    iterations: steps.map(({ iterations }) => iterations),
    semiDualHistory: join(steps.map(({ history }) => history)),
  }));
};

const sinkhornPlan: Adapter = ({ inputs, params }) => {
  const { epsilon = 1, iterations = 20 } = params;
  const options = { method: 's-base', epsilon, iterations } as const;
  return routed(inputs, options, ({ plan, choices }) => ({
    plan: plan!,
    top1: join(choices.map(({ expertIndex }) => expertIndex!)),
  }));
};

const topExperts: Adapter = ({ inputs, params }) => {
  const { tokens, experts } = sizesOf(inputs);
  const { k = 1, batchPriority = false } = params;
  const capacity = capacityOf(params, experts, tokens * k);
  const options = { method: 'topk', k, capacity, batchPriority } as const;
  return routed(inputs, options, async ({ choices, gates, report }) => ({
    expertIndex: join(choices.map(({ expertIndex }) => expertIndex!)),
    slot: join(choices.map(({ slots }) => slots!)),
    combine: await gates.data(),
    demand: join(choices.map(({ demand }) => demand)),
    itemsPerExpert: report.tokensPerExpert,
    expertsPerItem: report.expertsPerToken,
    dropped: report.dropped,
  }));
};

const topItems: Adapter = ({ inputs, params }) => {
  const { tokens, experts } = sizesOf(inputs);
  // An expert cannot take more tokens than there are.
  const capacity = capacityOf(params, experts, tokens);
  const options = { method: 'expert-choice', capacity } as const;
  return routed(inputs, options, async ({ tokenIndex, gates, report }) => ({
    itemIndex: tokenIndex,
    combine: await gates.data(),
    expertsPerItem: report.expertsPerToken,
    itemsPerExpert: report.tokensPerExpert,
    dropped: report.dropped,
  }));
};

const auxiliary: Adapter = ({ inputs, params }) => {
  const { k = 1, noiseStd = 1 } = params;
  const { logits, noisyLogits } = inputs;
  const losses = auxiliaryLosses(logits!, {
    k,
    noiseStd,
    ...(noisyLogits && { noisyScores: noisyLogits }),
  });
  return { ...losses };
};

export const adapters: Record<string, Adapter> = {
  'ot-sparse/moe-routing/kSparsePerExpert': perExpert,
  'ot-sparse/moe-routing/kSparsePerItem': perItem,
  'ot-sparse/moe-routing/sinkhornPlan': sinkhornPlan,
  'ot-sparse/moe-routing/topExpertsPerItem': topExperts,
  'ot-sparse/moe-routing/topItemsPerExpert': topItems,
  'ot-sparse/moe-routing/auxiliaryLosses': auxiliary,
};
