/** Unfolded ISTA and IHT, trained with and without the true signals, beside the iterations that they unfold. */
import {
  fista,
  iht,
  ista,
  normalizedError,
  type ShrinkageKind,
  type SparseResult,
  sparseProblem,
  trainUnfolded,
  UnfoldedSparseRecovery,
} from '@orth/unfolding';
import { dispose, mean, type Tensor, tidy } from '@tensorflow/tfjs-core';
import type { Claim, Repro, ReproContext } from '../harness/repro.js';

const M = 60;
const N = 100;
const DENSITY = 0.08;
const NOISE = 0.1;
const LAMBDA = { ista: 0.2, iht: 0.05 };
const LONG = 2000;

/** Normalised error in dB, and mean objective. */
interface Measured {
  readonly error: number;
  readonly objective: number;
}

type Method =
  | 'short ista'
  | 'short iht'
  | 'long ista'
  | 'long iht'
  | `${'supervised' | 'unsupervised'} ${ShrinkageKind}`;

interface Sizes {
  readonly layers: number;
  readonly stepsPerGeneration: number;
  readonly tested: number;
}

async function measureSeed(
  { random, onProgress }: ReproContext,
  seed: number,
  { layers, stepsPerGeneration, tested }: Sizes,
): Promise<Record<Method, Measured>> {
  const problem = sparseProblem({
    m: M,
    n: N,
    density: DENSITY,
    noise: NOISE,
    seed: random(seed).integer(0, 2 ** 31 - 1),
  });
  const { A } = problem;
  const test = problem.sample(tested);
  const results: Partial<Record<Method, Measured>> = {};
  const average = (values: ArrayLike<number>) =>
    Array.from(values).reduce((a, b) => a + b, 0) / values.length;
  const note = async (method: Method, { x, objective }: SparseResult) => {
    results[method] = { error: await normalizedError(x, test.x), objective: average(objective) };
    x.dispose();
  };
  for (const kind of ['ista', 'iht'] as const) {
    const lambda = LAMBDA[kind];
    const solve = kind === 'ista' ? ista : iht;
    onProgress(`${kind}, seed ${seed}: classical`);
    await note(`short ${kind}`, await solve(A, test.y, { lambda, steps: layers }));
    // The minimum of the l1 problem has no local minima beside it: the faster method may find it.
    const options = { lambda, steps: LONG };
    const long =
      kind === 'ista' ? await fista(A, test.y, { ...options, tolerance: 2e-6 }) : undefined;
    await note(`long ${kind}`, long ?? (await iht(A, test.y, options)));
    for (const loss of ['supervised', 'unsupervised'] as const) {
      onProgress(`${kind}, seed ${seed}: ${loss}`);
      const net = new UnfoldedSparseRecovery(A, { kind, lambda, layers });
      await trainUnfolded(net, (batch) => problem.sample(batch), { loss, stepsPerGeneration });
      const x = net.apply(test.y);
      const objective = tidy(() => mean(net.objective(x, test.y)));
      results[`${loss} ${kind}`] = {
        error: await normalizedError(x, test.x),
        objective: (await objective.data())[0]!,
      };
      dispose([x, objective] as Tensor[]);
      net.dispose();
    }
  }
  dispose([test.x, test.y]);
  problem.dispose();
  return results as Record<Method, Measured>;
}

interface Comparison {
  readonly claim: string;
  readonly measure: keyof Measured;
  readonly baseline: Method;
  readonly ours: Method;
  readonly effect: Claim['effect'];
  readonly expectation: Claim['expectation'];
}

const COMPARISONS: readonly Comparison[] = [
  {
    claim: 'ISTA: supervised training recovers better than unsupervised, by 1 dB or more',
    measure: 'error',
    baseline: 'unsupervised ista',
    ours: 'supervised ista',
    effect: 'difference',
    expectation: { of: 'everySeed', atMost: -1 },
  },
  {
    claim:
      'ISTA: supervised training recovers better than the minimum of the objective, by 1 dB or more',
    measure: 'error',
    baseline: 'long ista',
    ours: 'supervised ista',
    effect: 'difference',
    expectation: { of: 'everySeed', atMost: -1 },
  },
  {
    claim: 'ISTA: unsupervised layers reach the minimum of the objective within 0.1 %',
    measure: 'objective',
    baseline: 'long ista',
    ours: 'unsupervised ista',
    effect: 'ratio',
    expectation: { of: 'everySeed', atMost: 1.001 },
  },
  {
    claim: 'ISTA: unsupervised layers are below plain ISTA with as many steps in the objective',
    measure: 'objective',
    baseline: 'short ista',
    ours: 'unsupervised ista',
    effect: 'ratio',
    expectation: { of: 'everySeed', below: 1 },
  },
  {
    claim:
      'ISTA: unsupervised layers recover better than plain ISTA with as many steps, by 1 dB or more',
    measure: 'error',
    baseline: 'short ista',
    ours: 'unsupervised ista',
    effect: 'difference',
    expectation: { of: 'everySeed', atMost: -1 },
  },
  {
    claim:
      'ISTA: supervised training does not minimise the objective: 2 % or more above the minimum',
    measure: 'objective',
    baseline: 'long ista',
    ours: 'supervised ista',
    effect: 'ratio',
    expectation: { of: 'everySeed', atLeast: 1.02 },
  },
  ...(['supervised', 'unsupervised'] as const).map(
    (loss): Comparison => ({
      claim: `IHT: ${loss} layers recover better than ${LONG} steps of plain IHT, by 3 dB or more`,
      measure: 'error',
      baseline: 'long iht',
      ours: `${loss} iht`,
      effect: 'difference',
      expectation: { of: 'everySeed', atMost: -3 },
    }),
  ),
  ...(['supervised', 'unsupervised'] as const).map(
    (loss): Comparison => ({
      claim: `IHT: ${loss} layers end in lower local minima than ${LONG} steps of plain IHT, by 10 % or more`,
      measure: 'objective',
      baseline: 'long iht',
      ours: `${loss} iht`,
      effect: 'ratio',
      expectation: { of: 'everySeed', atMost: 0.9 },
    }),
  ),
  {
    claim: 'IHT: both losses recover about equally well (within 2.5 dB)',
    measure: 'error',
    baseline: 'supervised iht',
    ours: 'unsupervised iht',
    effect: 'difference',
    expectation: { of: 'mean', atMost: 2.5, atLeast: -2.5 },
  },
];

async function* claims(context: ReproContext): AsyncIterable<Claim> {
  const sizes: Sizes = context.quick
    ? { layers: 12, stepsPerGeneration: 50, tested: 500 }
    : { layers: 20, stepsPerGeneration: 100, tested: 2000 };
  const measured: Record<Method, Measured>[] = [];
  for (const seed of context.seeds) measured.push(await measureSeed(context, seed, sizes));
  const setting =
    `A Gaussian ${M}×${N}, Bernoulli–Gaussian signals of density ${DENSITY}, noise ${NOISE}, λ ${LAMBDA.ista} (l1) and ` +
    `${LAMBDA.iht} (l0); ${sizes.layers} layers, incremental, ${sizes.stepsPerGeneration} steps of Adam 0.01 a layer on fresh ` +
    `batches of 100; ${sizes.tested} test signals`;
  for (const { claim, measure, baseline, ours, effect, expectation } of COMPARISONS) {
    const unit = measure === 'error' ? 'NMSE in dB' : 'mean objective';
    const name = (method: Method) => {
      const [how, kind] = method.split(' ') as [string, ShrinkageKind];
      const algorithm = kind.toUpperCase();
      if (how === 'short') return `${algorithm}, ${sizes.layers} steps`;
      if (how !== 'long') return `${how}, unfolded ${algorithm}`;
      return kind === 'ista' ? 'minimum of the objective' : `${algorithm}, ${LONG} steps`;
    };
    yield {
      claim,
      setting,
      baseline: `${name(baseline)}: ${unit}`,
      ours: `${name(ours)}: ${unit}`,
      results: context.seeds.map((seed, i) => ({
        seed,
        baseline: measured[i]![baseline][measure],
        ours: measured[i]![ours][measure],
      })),
      effect,
      expectation,
    };
  }
}

export const repro: Repro = {
  system: 'ista-iht',
  description: 'unfolded ISTA and IHT, supervised and unsupervised, beside plain ISTA and IHT',
  claims,
};
