/** PEGO against LoRA, full fine-tuning and a linear probe on domains that training did not see. */
import { mean } from 'simple-statistics';
import type { Claim, Repro, ReproContext } from '../harness/repro.js';
import {
  type Adapted,
  adaptNetwork,
  labelOf,
  type Pretrained,
  pretrain,
  type Way,
} from '../problems/adaptedMlp.js';
import {
  colour,
  join,
  type LabelledImages,
  rotate,
  slice,
  smallDigits,
} from '../problems/digitDomains.js';

const LAMBDA = 1e-3;
const WAYS = {
  probe: { kind: 'probe' },
  full: { kind: 'full' },
  lora: { kind: 'lora', r: 16, n: 1, lambda: 0 },
  group: { kind: 'lora', r: 4, n: 4, lambda: 0 },
  weak: { kind: 'lora', r: 4, n: 4, lambda: LAMBDA / 10 },
  pego: { kind: 'lora', r: 4, n: 4, lambda: LAMBDA },
} satisfies Record<string, Way>;
type WayName = keyof typeof WAYS;

/** Every way's results by seed: accuracy in and out of the domains of training. */
type Table = Map<WayName, { inside: number[]; outside: number[]; trained: number }>;

/** A claim about two ways' accuracies. */
function compare(
  table: Table,
  seeds: readonly number[],
  setting: string,
  [baseline, ours]: readonly [WayName, WayName],
  where: 'inside' | 'outside',
  claim: string,
  expectation: Claim['expectation'],
): Claim {
  const name = (way: WayName) => {
    const place = where === 'outside' ? 'out-of-domain' : 'in-domain';
    return `${labelOf(WAYS[way])} (${table.get(way)!.trained} trained): ${place} accuracy`;
  };
  return {
    claim,
    setting,
    baseline: name(baseline),
    ours: name(ours),
    results: seeds.map((seed, i) => ({
      seed,
      baseline: table.get(baseline)![where][i]!,
      ours: table.get(ours)![where][i]!,
    })),
    effect: 'difference',
    expectation,
  };
}

interface Task {
  readonly name: string;
  /** Images to adapt to, those of the same domains to test on, those of others. */
  readonly train: LabelledImages;
  readonly inside: LabelledImages;
  readonly outside: LabelledImages;
}

/** Adapts in each way to each task; accuracies are means over tasks. */
async function measure(
  { seeds, random, onProgress }: ReproContext,
  what: string,
  ways: readonly WayName[],
  pretrainedFor: (seed: number) => Pretrained,
  tasksFor: (seed: number) => readonly Task[],
  settings: { readonly steps: number; readonly learningRate: number },
): Promise<Table> {
  const table: Table = new Map(ways.map((way) => [way, { inside: [], outside: [], trained: 0 }]));
  for (const seed of seeds) {
    onProgress(`${what}, seed ${seed}: pretraining`);
    const pretrained = pretrainedFor(seed);
    const tasks = tasksFor(seed);
    for (const way of ways) {
      const results: Adapted[] = [];
      for (const { name, train, inside, outside } of tasks) {
        onProgress(`${what}, seed ${seed}: ${labelOf(WAYS[way])}, ${name}`);
        const tests = [inside, outside];
        const options = { ...settings, random: random(seed).fork(100) };
        results.push(await adaptNetwork(pretrained, WAYS[way], train, tests, options));
      }
      const row = table.get(way)!;
      row.inside.push(mean(results.map(({ accuracies }) => accuracies[0]!)));
      row.outside.push(mean(results.map(({ accuracies }) => accuracies[1]!)));
      row.trained = results[0]!.trained;
    }
    pretrained.dispose();
  }
  return table;
}

const turned = (images: LabelledImages, angles: readonly number[]) =>
  join(angles.map((angle) => rotate(images, angle)));

/** The specification's setting: pretrained on all angles, adapted to three near 0, tested far away. */
async function* farAngles(context: ReproContext, digits: LabelledImages): AsyncIterable<Claim> {
  const { quick, seeds, random } = context;
  const [pretraining, steps] = quick ? [300, 120] : [4000, 400];
  const angles = Array.from({ length: 11 }, (_, i) => 15 * i - 75);
  const inside = [0, 15, 30];
  const outside = [-75, -60, -45, 60, 75];
  const count = quick ? 800 : 3000;
  const known = slice(digits, 0, 5000);
  const test = slice(digits, 6200, 6200 + count);
  const everywhere = turned(known, angles);
  const task: Task = {
    name: 'far angles',
    train: turned(slice(digits, 5000, 6200), inside),
    inside: turned(test, inside),
    outside: turned(test, outside),
  };
  const ways: WayName[] = ['probe', 'full', 'lora', 'group', 'weak', 'pego'];
  const table = await measure(
    context,
    'far angles',
    ways,
    (seed) => pretrain(everywhere, pretraining, random(seed)),
    () => [task],
    { steps, learningRate: 5e-4 },
  );
  const setting =
    `MNIST 14x14, MLP 196-128-128-128 pretrained on 5000 digits at 11 angles (-75 … 75), ${pretraining} steps; then ` +
    `digit >= 5 from 1200 digits at 0, 15, 30, Adam 5e-4, ${steps} steps of 96, adapters on the two square layers, ` +
    `new head; out of domain: ${count} digits at ±75, ±60, -45`;
  const about = (
    pair: readonly [WayName, WayName],
    where: 'inside' | 'outside',
    claim: string,
    expectation: Claim['expectation'],
  ) => compare(table, seeds, setting, pair, where, claim, expectation);
  yield about(
    ['full', 'lora'],
    'outside',
    'LoRA is better out of domain than full fine-tuning, in the mean',
    { of: 'mean', atLeast: 0.005 },
  );
  yield about(
    ['lora', 'group'],
    'outside',
    'a group without penalty is one LoRA of rank n r: no more than a point apart, for every seed',
    { of: 'everySeed', atLeast: -0.01, atMost: 0.01 },
  );
  yield about(
    ['lora', 'weak'],
    'outside',
    'PEGO at a tenth of its penalty is better out of domain than LoRA of as many parameters, in the mean',
    { of: 'mean', atLeast: 0.002 },
  );
  yield about(
    ['lora', 'pego'],
    'outside',
    'PEGO is better out of domain than LoRA of as many parameters, in the mean',
    { of: 'mean', atLeast: 0.002 },
  );
  yield about(
    ['lora', 'pego'],
    'inside',
    "PEGO keeps LoRA's in-domain accuracy to a point, in the mean",
    { of: 'mean', atLeast: -0.01 },
  );
  yield about(
    ['probe', 'pego'],
    'outside',
    'PEGO is better out of domain than a linear probe, in the mean',
    { of: 'mean', atLeast: 0.005 },
  );
}

/** Claims of leave-one-domain-out. */
function* leaveOneOutClaims(
  table: Table,
  seeds: readonly number[],
  setting: string,
): Iterable<Claim> {
  yield compare(
    table,
    seeds,
    setting,
    ['full', 'lora'],
    'outside',
    'leave one domain out: LoRA is better on the one left out than full fine-tuning, in the mean',
    { of: 'mean', atLeast: 0.005 },
  );
  yield compare(
    table,
    seeds,
    setting,
    ['full', 'pego'],
    'outside',
    'leave one domain out: PEGO is better on the one left out than full fine-tuning, in the mean',
    { of: 'mean', atLeast: 0.005 },
  );
  yield compare(
    table,
    seeds,
    setting,
    ['lora', 'pego'],
    'outside',
    'leave one domain out: PEGO is better on the one left out than LoRA of as many parameters, in the mean',
    { of: 'mean', atLeast: 0.002 },
  );
}

const LEFT_OUT: readonly WayName[] = ['full', 'lora', 'pego'];

/** Rotated domains, each left out once. */
async function* rotatedDomains(
  context: ReproContext,
  digits: LabelledImages,
): AsyncIterable<Claim> {
  const { quick, seeds, random } = context;
  const [pretraining, steps] = quick ? [200, 60] : [1000, 250];
  const domains = quick ? [0, 60] : [0, 25, 50, 75];
  const known = turned(slice(digits, 0, 5000), [-75, -50, -25, 0, 25, 50, 75]);
  const train = slice(digits, 5000, 6200);
  const test = slice(digits, 6200, quick ? 6700 : 8200);
  const tasks = domains.map((left): Task => {
    const others = domains.filter((angle) => angle !== left);
    return {
      name: `${left} left out`,
      train: turned(train, others),
      inside: turned(test, others),
      outside: rotate(test, left),
    };
  });
  const table = await measure(
    context,
    'rotated domains',
    LEFT_OUT,
    (seed) => pretrain(known, pretraining, random(seed).fork(7)),
    () => tasks,
    { steps, learningRate: 5e-4 },
  );
  const setting =
    `the same network, pretrained on angles -75 … 75 by 25, ${pretraining} steps; domains: digits at ` +
    `${domains.join(', ')} degrees, each left out once, 1200 digits in each other, ${steps} steps; mean over the one left out`;
  yield* leaveOneOutClaims(table, seeds, setting);
}

/** Coloured domains: the colour tells the class in two of three domains mostly, in the third it misleads. */
async function* colouredDomains(
  context: ReproContext,
  digits: LabelledImages,
): AsyncIterable<Claim> {
  const { quick, seeds, random } = context;
  const [pretraining, steps] = quick ? [200, 60] : [1000, 250];
  const agreements = [0.9, 0.8, 0.1];
  const test = slice(digits, 6200, quick ? 6700 : 8200);
  const tasksFor = (seed: number) => {
    const source = random(seed).fork(9);
    const parts = agreements.map((agreement, i) => ({
      train: colour(slice(digits, 5000 + 400 * i, 5400 + 400 * i), agreement, source),
      test: colour(test, agreement, source),
    }));
    return agreements.map((left, out): Task => {
      const others = parts.filter((_, i) => i !== out);
      return {
        name: `${left} left out`,
        train: join(others.map((part) => part.train)),
        inside: join(others.map((part) => part.test)),
        outside: parts[out]!.test,
      };
    });
  };
  const table = await measure(
    context,
    'coloured domains',
    LEFT_OUT,
    (seed) => {
      const images = colour(slice(digits, 0, 5000), 0.5, random(seed).fork(8));
      return pretrain(images, pretraining, random(seed).fork(7));
    },
    tasksFor,
    { steps, learningRate: 5e-4 },
  );
  const setting =
    `MNIST 14x14 in two colours, MLP 392-128-128-128 pretrained on 5000 digits in either, ${pretraining} steps; domains: ` +
    `the colour tells whether the digit is >= 5 with probability ${agreements.join(', ')}, each left out once, 400 digits in ` +
    `each, ${steps} steps; mean over the one left out`;
  yield* leaveOneOutClaims(table, seeds, setting);
}

export const repro: Repro = {
  system: 'pego',
  description:
    'PEGO, LoRA, full fine-tuning and a linear probe on rotated and coloured digits they were not adapted to',
  async *claims(context) {
    const digits = smallDigits();
    yield* farAngles(context, digits);
    yield* rotatedDomains(context, digits);
    yield* colouredDomains(context, digits);
  },
};
