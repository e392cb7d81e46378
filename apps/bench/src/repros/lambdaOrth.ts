/** λ-orthogonal, strict and free maps of a new embedding model into an old one's space. */
import { CompatibleAdapter, type CompatibleAdapterOptions, retrieval } from '@orth/lora-group';
import type { Claim, Repro, ReproContext } from '../harness/repro.js';
import { type EmbeddedPairs, type ModelUpdate, modelUpdate } from '../problems/embeddingModels.js';

const WAYS = {
  strict: { label: 'strictly orthogonal', backward: 'orthogonal' },
  zero: { label: 'λ = 0', backward: 'lambda', lambda: 0 },
  two: { label: 'λ = 2', backward: 'lambda', lambda: 2 },
  four: { label: 'λ = 4', backward: 'lambda', lambda: 4 },
  free: { label: 'affine, free', backward: 'affine' },
} satisfies Record<string, { label: string } & Partial<CompatibleAdapterOptions>>;
type Way = keyof typeof WAYS;

interface Measured {
  /** `‖W Wᵀ − I‖_F`. */
  readonly deviation: number;
  /** Cross-test: new queries in the old gallery, CMC-1. */
  readonly cross: number;
  /** Old queries in the old gallery, CMC-1: what one had. */
  readonly old: number;
  /** Self-test on the downstream task: new queries in a gallery of new embeddings, CMC-1. */
  readonly self: number;
  /** The same on what the models were trained for, mAP. */
  readonly original: number;
}

async function selfTest(adapter: CompatibleAdapter, pairs: EmbeddedPairs) {
  const mapped = adapter.backward(pairs.hNew);
  const found = await retrieval(mapped, mapped, pairs.labels, pairs.labels, {
    k: [1],
    excludeSelf: true,
  });
  mapped.dispose();
  return found;
}

async function measure(
  update: ModelUpdate,
  way: Way,
  seed: number,
  steps: number,
): Promise<Measured> {
  const { train, test, original } = update;
  const { label: _, ...options } = WAYS[way];
  const width = { dOld: train.hOld.shape[1], dNew: train.hNew.shape[1] };
  const adapter = new CompatibleAdapter({ ...width, ...options, seed });
  const fit = { steps, batchSize: 128, learningRate: 5e-3 };
  await adapter.fit(train.hNew, train.hOld, train.labels, fit);
  const query = adapter.backward(test.hNew);
  const options1 = { k: [1], excludeSelf: true };
  const cross = await retrieval(query, test.hOld, test.labels, test.labels, options1);
  const old = await retrieval(test.hOld, test.hOld, test.labels, test.labels, options1);
  const result = {
    deviation: await adapter.deviation(),
    cross: cross.cmc[0]!,
    old: old.cmc[0]!,
    self: (await selfTest(adapter, test)).cmc[0]!,
    original: (await selfTest(adapter, original)).mAP,
  };
  query.dispose();
  adapter.dispose();
  return result;
}

type Table = Map<Way, Measured[]>;

async function run({ quick, seeds, random, onProgress }: ReproContext): Promise<Table> {
  const table: Table = new Map(Object.keys(WAYS).map((way) => [way as Way, []]));
  for (const seed of seeds) {
    onProgress(`seed ${seed}: two embedding models`);
    const update = await modelUpdate(random(seed), quick);
    for (const way of table.keys()) {
      onProgress(`seed ${seed}: ${WAYS[way].label}`);
      table.get(way)!.push(await measure(update, way, seed, quick ? 120 : 400));
    }
    update.dispose();
  }
  return table;
}

export const repro: Repro = {
  system: 'lambda-orth',
  description:
    'new queries in an old index: λ-orthogonal, strict and free maps, cross- and self-test',
  async *claims(context) {
    const table = await run(context);
    const { quick, seeds } = context;
    const setting =
      `MNIST 14x14; old model 196-32-32 on digits 0-4, new one 196-256-32 on all, ${quick ? 200 : 600} steps; adapters on 1500 ` +
      `digits turned by 60 degrees, Adam 5e-3, ${quick ? 120 : 400} steps of 128, α 10, τ 0.1; tested on 800 others`;
    const claim = (
      text: string,
      what: string,
      [baseline, ours]: readonly [Way, Way],
      pick: readonly [keyof Measured, keyof Measured],
      expectation: Claim['expectation'],
    ): Claim => ({
      claim: text,
      setting,
      baseline: `${WAYS[baseline].label}: ${what}`,
      ours: `${WAYS[ours].label}: ${what}`,
      results: seeds.map((seed, i) => ({
        seed,
        baseline: table.get(baseline)![i]![pick[0]],
        ours: table.get(ours)![i]![pick[1]],
      })),
      effect: 'difference',
      expectation,
    });
    const deviation = ['deviation', 'deviation'] as const;
    const what = 'deviation ‖WWᵀ − I‖';
    yield claim(
      'λ holds the deviation: larger at 2 than at 0, for every seed',
      what,
      ['zero', 'two'],
      deviation,
      { of: 'everySeed', atLeast: 0.5 },
    );
    yield claim('and larger at 4 than at 2, for every seed', what, ['two', 'four'], deviation, {
      of: 'everySeed',
      atLeast: 0.5,
    });
    yield claim('and largest without it, for every seed', what, ['four', 'free'], deviation, {
      of: 'everySeed',
      atLeast: 0.2,
    });
    const cross = 'new queries in the old gallery, CMC-1';
    yield claim(
      'cross-test: λ = 2 finds more in the old index than a strict map, in the mean',
      cross,
      ['strict', 'two'],
      ['cross', 'cross'],
      { of: 'mean', atLeast: 0.01 },
    );
    yield claim(
      'cross-test: λ = 2 finds as much as a free affine map to two points, in the mean',
      cross,
      ['free', 'two'],
      ['cross', 'cross'],
      { of: 'mean', atLeast: -0.02 },
    );
    yield {
      ...claim(
        'compatible: new queries by λ = 2 find more in the old gallery than old queries, in the mean',
        cross,
        ['two', 'two'],
        ['old', 'cross'],
        { of: 'mean', atLeast: 0 },
      ),
      baseline: 'old queries in the old gallery, CMC-1',
    };
    yield claim(
      'self-test downstream: λ = 2 is no worse than a strict map, in the mean',
      'new queries in a new gallery, CMC-1',
      ['strict', 'two'],
      ['self', 'self'],
      { of: 'mean', atLeast: 0 },
    );
    const kept = 'new queries in a new gallery of the original task, mAP';
    for (const pair of [
      ['zero', 'two'],
      ['two', 'four'],
      ['four', 'free'],
    ] as const) {
      yield claim(
        `what the new model knew: ${WAYS[pair[1]].label} keeps less of it than ${WAYS[pair[0]].label}, for every seed`,
        kept,
        pair,
        ['original', 'original'],
        { of: 'everySeed', below: 0 },
      );
    }
  },
};
