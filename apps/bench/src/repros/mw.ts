/** The Mann–Whitney loss against InfoNCE: one threshold for all queries. */
import type { Claim, Repro, ReproContext } from '../harness/repro.js';
import {
  type RetrievalQuality,
  retrievalPairs,
  trainRetrieval,
} from '../problems/retrievalPairs.js';

type Loss = 'mw' | 'infoNce';
const NAMES: Record<Loss, string> = { mw: 'MW', infoNce: 'InfoNCE' };
const TEMPERATURES = [0.01, 0.05, 0.1] as const;
/** That of the paper. */
const PAPER = 0.01;

function* claimsOf(
  { seeds, backend }: ReproContext,
  results: ReadonlyMap<string, readonly RetrievalQuality[]>,
  sizes: string,
): Generator<Claim> {
  const of = (loss: Loss, temperature: number) => results.get(`${loss} ${temperature}`)!;
  const mean = (loss: Loss, temperature: number) =>
    of(loss, temperature).reduce((total, { auc }) => total + auc, 0);
  const best = (loss: Loss) => [...TEMPERATURES].sort((a, b) => mean(loss, b) - mean(loss, a))[0]!;
  const setting = (t: string) =>
    `${sizes}; 40 clusters, half of them dense; two MLPs 64-128-32, cosine, Adam 1e-3, batch 64, no hard negatives, ` +
    `${t}; AUC over all queries with the 50 hardest negatives of each; float32, ${backend}`;
  const claim = (
    sentence: string,
    measure: keyof RetrievalQuality,
    temperatures: { mw: number; infoNce: number },
    expectation: { atLeast?: number; atMost?: number },
    note: string,
  ): Claim => ({
    claim: sentence,
    setting: setting(note),
    baseline: `${NAMES.infoNce} at ${temperatures.infoNce}: ${measure}`,
    ours: `${NAMES.mw} at ${temperatures.mw}: ${measure}`,
    results: seeds.map((seed, i) => ({
      seed,
      baseline: of('infoNce', temperatures.infoNce)[i]![measure],
      ours: of('mw', temperatures.mw)[i]![measure],
    })),
    effect: 'difference',
    expectation: { of: 'mean', ...expectation },
  });
  const same = { mw: PAPER, infoNce: PAPER };
  const fixed = `temperature ${PAPER}, the paper's`;
  yield claim(
    "at the paper's temperature MW gains more than 0.05 of AUC on InfoNCE",
    'auc',
    same,
    { atLeast: 0.05 },
    fixed,
  );
  yield claim('and loses less than 0.05 of MRR@10', 'mrr', same, { atLeast: -0.05 }, fixed);
  const tuned = { mw: best('mw'), infoNce: best('infoNce') };
  yield claim(
    'with both temperatures tuned MW still gains 0.01 of AUC',
    'auc',
    tuned,
    { atLeast: 0.01 },
    `the best by AUC of the temperatures ${TEMPERATURES.join(', ')} for each`,
  );
}

export const repro: Repro = {
  system: 'mw',
  description: 'the Mann-Whitney loss against InfoNCE: AUC over all queries, and reciprocal ranks',
  async *claims(context) {
    const { seeds, random, quick, onProgress } = context;
    const [training, tests, steps] = quick ? [3000, 500, 200] : [6000, 1000, 1000];
    const results = new Map<string, RetrievalQuality[]>();
    for (const seed of seeds) {
      const pairs = retrievalPairs(random(seed), [training, tests]);
      for (const temperature of TEMPERATURES) {
        for (const loss of ['infoNce', 'mw'] as const) {
          const key = `${loss} ${temperature}`;
          onProgress(`${NAMES[loss]} at ${temperature}, seed ${seed}`);
          const list = results.get(key) ?? [];
          list.push(await trainRetrieval(pairs, random(1000 + seed), steps, loss, temperature));
          results.set(key, list);
        }
      }
    }
    yield* claimsOf(context, results, `${training} pairs, ${steps} steps, ${tests} test pairs`);
  },
};
