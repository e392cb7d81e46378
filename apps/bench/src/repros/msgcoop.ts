/** MSGCoOp against one learned prompt, on synthetic classes: base and new classes, and whether prompts differ at all. */
import { mean } from 'simple-statistics';
import type { Claim, Repro, ReproContext } from '../harness/repro.js';
import {
  learnPrompts,
  makePromptWorld,
  PROMPT_WAYS,
  type PromptResult,
  type PromptWay,
  type PromptWayName,
} from '../problems/classPrompts.js';

const SHOTS = 4;
const NAMES = Object.keys(PROMPT_WAYS) as PromptWayName[];

type Measure = keyof PromptResult;

/** By way and learning rate, for each seed the mean over worlds. */
type Table = ReadonlyMap<PromptWayName, ReadonlyMap<number, readonly PromptResult[]>>;

const average = (results: readonly PromptResult[]): PromptResult => {
  const of = (measure: Measure) => mean(results.map((result) => result[measure]));
  return {
    base: of('base'),
    novel: of('novel'),
    harmonicMean: of('harmonicMean'),
    spread: of('spread'),
    diversity: of('diversity'),
  };
};

async function measure(
  { seeds, random, onProgress }: ReproContext,
  { rates, worlds, epochs }: { rates: readonly number[]; worlds: number; epochs: number },
): Promise<Table> {
  const table = new Map(
    NAMES.map((name) => [name, new Map(rates.map((rate) => [rate, [] as PromptResult[]]))]),
  );
  for (const seed of seeds) {
    const all = new Map<string, PromptResult[]>();
    for (let w = 0; w < worlds; w++) {
      const world = await makePromptWorld(random(seed).fork(w), SHOTS);
      for (const name of NAMES) {
        onProgress(`seed ${seed}, world ${w + 1} of ${worlds}: ${PROMPT_WAYS[name].label}`);
        for (const learningRate of rates) {
          const key = `${name} ${learningRate}`;
          const options = { epochs, learningRate, seed: w };
          const result = await learnPrompts(world, PROMPT_WAYS[name], options);
          all.set(key, [...(all.get(key) ?? []), result]);
        }
      }
      world.dispose();
    }
    for (const name of NAMES) {
      for (const rate of rates)
        table
          .get(name)!
          .get(rate)!
          .push(average(all.get(`${name} ${rate}`)!));
    }
  }
  return table;
}

/** What a claim compares: ways, what of them, and at which learning rates, by default the best of each. */
interface Comparison {
  readonly claim: string;
  readonly ways: readonly [baseline: PromptWayName, ours: PromptWayName];
  readonly measure: Measure;
  readonly expectation: Claim['expectation'];
  readonly effect?: Claim['effect'];
  readonly atRateOf?: PromptWayName;
}

const LABELS: Readonly<Record<Measure, string>> = {
  base: 'accuracy on base classes',
  novel: 'accuracy on new classes',
  harmonicMean: 'harmonic mean of base and new accuracy',
  spread: 'rms distance of contexts from their mean',
  diversity: 'mean squared cosine of pairs of prompts',
};

const COMPARISONS: readonly Comparison[] = [
  {
    claim: 'KgCoOp is better than CoOp: H, in the mean',
    ways: ['coop', 'kgCoOp'],
    measure: 'harmonicMean',
    expectation: { of: 'mean', atLeast: 0.002 },
  },
  {
    claim: 'targets of descriptions are not worse than of a template, one prompt: H, in the mean',
    ways: ['kgCoOp', 'described'],
    measure: 'harmonicMean',
    expectation: { of: 'mean', atLeast: 0 },
  },
  {
    claim: 'MSGCoOp is better than KgCoOp: H, in the mean',
    ways: ['kgCoOp', 'msgcoop'],
    measure: 'harmonicMean',
    expectation: { of: 'mean', atLeast: 0.005 },
  },
  {
    claim: 'MSGCoOp is better than CoOp: H, for every seed',
    ways: ['coop', 'msgcoop'],
    measure: 'harmonicMean',
    expectation: { of: 'everySeed', atLeast: 0 },
  },
  {
    claim: 'MSGCoOp is better than CoOp on new classes, in the mean',
    ways: ['coop', 'msgcoop'],
    measure: 'novel',
    expectation: { of: 'mean', atLeast: 0.005 },
  },
  {
    claim: "MSGCoOp keeps CoOp's accuracy on base classes to a point, in the mean",
    ways: ['coop', 'msgcoop'],
    measure: 'base',
    expectation: { of: 'mean', atLeast: -0.01 },
  },
  {
    claim: 'MSGCoOp is better than the hand-written prompt: H, for every seed',
    ways: ['handWritten', 'msgcoop'],
    measure: 'harmonicMean',
    expectation: { of: 'everySeed', atLeast: 0 },
  },
  {
    claim:
      'four prompts from one text gain half a point of H on one prompt with the same targets (the paper: 0.58), in the mean',
    ways: ['described', 'msgcoop'],
    measure: 'harmonicMean',
    expectation: { of: 'mean', atLeast: 0.005 },
  },
  {
    claim:
      'four prompts from one text are one prompt at a quarter of the rate and four times the decay: H within half a point, every seed',
    ways: ['describedSlow', 'msgcoop'],
    measure: 'harmonicMean',
    expectation: { of: 'everySeed', atLeast: -0.005, atMost: 0.005 },
    atRateOf: 'msgcoop',
  },
  {
    claim:
      'prompts from one text stay one: a thousandth of the spread of those that differ at the start, every seed',
    ways: ['noisy', 'msgcoop'],
    measure: 'spread',
    effect: 'ratio',
    expectation: { of: 'everySeed', below: 1e-3 },
    atRateOf: 'msgcoop',
  },
  {
    claim:
      'prompts that differ at the start, kept apart by the diversity loss, are better than equal ones: H, in the mean',
    ways: ['msgcoop', 'noisy'],
    measure: 'harmonicMean',
    expectation: { of: 'mean', atLeast: 0.002 },
  },
  {
    claim:
      'the diversity loss, where it acts, helps: H at one rate with it and without, in the mean',
    ways: ['noisyFree', 'noisy'],
    measure: 'harmonicMean',
    expectation: { of: 'mean', atLeast: 0.002 },
    atRateOf: 'msgcoop',
  },
];

function toClaim(
  { seeds, backend }: ReproContext,
  table: Table,
  rates: readonly number[],
  sizes: string,
  comparison: Comparison,
): Claim {
  const { claim, ways, measure: what, expectation, effect = 'difference', atRateOf } = comparison;
  const bestOf = (name: PromptWayName) => {
    const value = (rate: number) =>
      mean(
        table
          .get(name)!
          .get(rate)!
          .map(({ harmonicMean }) => harmonicMean),
      );
    return [...rates].sort((a, b) => value(b) - value(a))[0]!;
  };
  const [before, after] = ways.map((name) => {
    const rate = bestOf(atRateOf ?? name);
    const { label, rate: share = 1 }: PromptWay = PROMPT_WAYS[name];
    const isEdge = rate === rates[0] || rate === rates[rates.length - 1];
    const edge = isEdge && !atRateOf ? ', at the edge' : '';
    const note = share === 0 ? '' : ` (rate ${rate * share}${edge})`;
    return { name: `${label}${note}: ${LABELS[what]}`, values: table.get(name)!.get(rate)! };
  }) as [{ name: string; values: PromptResult[] }, { name: string; values: PromptResult[] }];
  const chosen = atRateOf ? 'one rate' : `the best by H of the rates ${rates.join(', ')} for each`;
  return {
    claim,
    setting: `${sizes}; SGD with momentum 0.9, weight decay 5e-4, ${chosen}; float32, ${backend}`,
    baseline: before.name,
    ours: after.name,
    results: seeds.map((seed, i) => ({
      seed,
      baseline: before.values[i]![what],
      ours: after.values[i]![what],
    })),
    effect,
    expectation,
  };
}

export const repro: Repro = {
  system: 'msgcoop',
  description:
    'MSGCoOp against CoOp, KgCoOp and a hand-written prompt on synthetic classes: base, new, harmonic mean; collapse of prompts',
  async *claims(context) {
    const [rates, worlds, epochs] = context.quick
      ? [[0.02, 0.32], 1, 30]
      : [[0.005, 0.02, 0.08, 0.32, 1.28], 4, 60];
    const table = await measure(context, { rates, worlds, epochs });
    const sizes =
      `${worlds} synthetic worlds a seed: 20 base and 20 new classes of a name and 3 of 30 attributes, frozen random encoder ` +
      `32 -> 64; images: feature of the full text + noise, in training + a shift; ${SHOTS} shots, ${epochs} epochs in one batch, ` +
      'descriptions tell 2 of 3 attributes; contexts of 4 tokens from "a photo of a", N = 4, w = 8, w_div = 1';
    for (const comparison of COMPARISONS) {
      yield toClaim(context, table, rates, sizes, comparison);
    }
  },
};
