/** Routing in a mixture of experts: error, tokens without an expert, and load, for the package's routers. */
import type { Claim, Repro, ReproContext, SeedResult } from '../harness/repro.js';
import {
  ClusterWorld,
  type MixtureOutcome,
  type Router,
  trainMixture,
} from '../problems/clusterMixture.js';

const ROUTERS: Readonly<Record<string, Router>> = {
  'top-1': { method: 'topk' },
  'top-1 with importance loss': { method: 'topk', importanceLoss: true },
  'top-1 with importance loss and priority': {
    method: 'topk',
    importanceLoss: true,
    batchPriority: true,
  },
  'S-BASE': { method: 's-base' },
  Sinkhorn: { method: 'sinkhorn' },
  'expert choice': { method: 'expert-choice' },
  'k-sparse transport': { method: 'sparse-ot' },
};

const OURS = 'k-sparse transport';
const MEASURES = {
  relativeError: 'relative error',
  dropped: 'tokens without an expert',
  loadVariation: 'variation of load',
} as const;
type Measure = keyof typeof MEASURES;

interface Comparison {
  readonly baseline: string;
  readonly measure: Measure;
  readonly claim: string;
  readonly effect: Claim['effect'];
  readonly expectation: Claim['expectation'];
}

const lower = { of: 'mean', below: 1 } as const;
const COMPARISONS: readonly Comparison[] = [
  ...[
    'top-1',
    'top-1 with importance loss',
    'top-1 with importance loss and priority',
    'S-BASE',
  ].map(
    (baseline): Comparison => ({
      baseline,
      measure: 'relativeError',
      claim: `k-sparse transport has a lower test error than ${baseline}`,
      effect: 'ratio',
      expectation: lower,
    }),
  ),
  {
    baseline: 'expert choice',
    measure: 'relativeError',
    claim: "k-sparse transport's test error is within 15 % of expert choice's",
    effect: 'ratio',
    expectation: { of: 'mean', atLeast: 0.85, atMost: 1.15 },
  },
  {
    baseline: 'Sinkhorn',
    measure: 'relativeError',
    claim:
      "k-sparse transport's test error is at most that of entropic transport with the same dispatch",
    effect: 'ratio',
    expectation: { of: 'mean', atMost: 1 },
  },
  ...Object.keys(ROUTERS)
    .filter((name) => name !== OURS)
    .map(
      (baseline): Comparison => ({
        baseline,
        measure: 'dropped',
        claim: `k-sparse transport leaves fewer tokens without an expert than ${baseline}`,
        effect: 'ratio',
        expectation: lower,
      }),
    ),
  ...Object.keys(ROUTERS)
    .filter((name) => name !== OURS)
    .map(
      (baseline): Comparison => ({
        baseline,
        measure: 'loadVariation',
        claim: `k-sparse transport uses experts at least as evenly as ${baseline}`,
        effect: 'difference',
        expectation: { of: 'mean', atMost: 0 },
      }),
    ),
];

async function* claims({ seeds, quick, random, onProgress }: ReproContext): AsyncIterable<Claim> {
  const steps = quick ? 60 : 500;
  const outcomes = new Map<string, MixtureOutcome[]>();
  for (const [name, router] of Object.entries(ROUTERS)) {
    const each: MixtureOutcome[] = [];
    for (const seed of seeds) {
      onProgress(`${name}, seed ${seed}`);
      const source = random(seed);
      each.push(trainMixture(new ClusterWorld(source.fork(0)), source, router, steps));
      // Lets the progress be drawn.
      await new Promise((resolve) => setImmediate(resolve));
    }
    outcomes.set(name, each);
  }
  const setting =
    `8 clusters in R^16 of shares ∝ rank^-0.7, each with a linear map; 8 linear experts, linear gate, groups of 128, ` +
    `capacity 16, ${steps} steps of Adam 5e-3 on 4 groups; tested on 64 groups`;
  for (const { baseline, measure, claim, effect, expectation } of COMPARISONS) {
    const results: SeedResult[] = seeds.map((seed, i) => ({
      seed,
      baseline: outcomes.get(baseline)![i]![measure],
      ours: outcomes.get(OURS)![i]![measure],
    }));
    yield {
      claim,
      setting,
      baseline: `${baseline}: ${MEASURES[measure]}`,
      ours: `${OURS}: ${MEASURES[measure]}`,
      results,
      effect,
      expectation,
    };
  }
}

export const repro: Repro = {
  system: 'moe-routing',
  description: 'error, dropped tokens and load of a mixture of experts for seven routers',
  claims,
};
