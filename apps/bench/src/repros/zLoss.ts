/** Z-loss against cross-entropy on a synthetic language: which words are among the first k. */
import type { Claim, Repro, ReproContext } from '../harness/repro.js';
import { type Output, type TopK, trainWords, wordContexts } from '../problems/wordContexts.js';

const OUTPUTS = {
  'cross-entropy': { loss: 'crossEntropy', rate: 0.5 },
  'Z-loss': { loss: 'zLoss', rate: 10, options: { a: 0.3, b: 10 }, scale: 0.1 },
  'squared error': { loss: 'squaredError', rate: 0.5, scale: 0.01 },
} as const satisfies Record<string, Output>;

type Name = keyof typeof OUTPUTS;

function* claimsOf(
  { seeds, backend }: ReproContext,
  results: ReadonlyMap<Name, readonly TopK[]>,
  sizes: string,
): Generator<Claim> {
  const setting =
    `1,000 words in 15 topics, ${sizes}; embeddings 2 x 32, two layers of 64, Adam 2e-3; ` +
    `output by descent: cross-entropy 0.5, Z-loss (a 0.3, b 10) 10, squared error 0.5; batch 200, float32, ${backend}`;
  const claim = (
    ours: Name,
    baseline: Name,
    k: keyof TopK,
    sentence: string,
    bound: { atLeast: number },
  ): Claim => ({
    claim: sentence,
    setting,
    baseline: `${baseline}: ${k} accuracy`,
    ours: `${ours}: ${k} accuracy`,
    results: seeds.map((seed, i) => ({
      seed,
      baseline: results.get(baseline)![i]![k],
      ours: results.get(ours)![i]![k],
    })),
    effect: 'difference',
    expectation: { of: 'mean', ...bound },
  });
  const above = { atLeast: 1e-9 };
  yield claim(
    'Z-loss',
    'cross-entropy',
    'top10',
    'Z-loss has the next word among its first 10 more often than cross-entropy',
    above,
  );
  yield claim(
    'Z-loss',
    'cross-entropy',
    'top50',
    'Z-loss has the next word among its first 50 more often than cross-entropy',
    above,
  );
  yield claim(
    'Z-loss',
    'cross-entropy',
    'top1',
    'Z-loss is no worse than cross-entropy at the first word, by 0.2 points at most',
    { atLeast: -0.002 },
  );
  yield claim(
    'Z-loss',
    'squared error',
    'top10',
    'Z-loss is ahead of the squared error by 3 points among the first 10',
    { atLeast: 0.03 },
  );
}

export const repro: Repro = {
  system: 'z-loss',
  description:
    'Z-loss with the factored output layer against cross-entropy, top-k on a synthetic language',
  async *claims(context) {
    const { seeds, random, quick, onProgress } = context;
    const [count, tests, epochs] = quick ? [20_000, 5000, 2] : [100_000, 20_000, 8];
    const results = new Map<Name, TopK[]>();
    for (const seed of seeds) {
      const contexts = wordContexts(random(seed), count + tests);
      for (const [name, output] of Object.entries(OUTPUTS) as [Name, Output][]) {
        onProgress(`${name}, seed ${seed}`);
        const list = results.get(name) ?? [];
        list.push(trainWords(contexts, tests, epochs, random(1000 + seed), output));
        results.set(name, list);
        // Lets the progress line appear.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    const sizes = `${count.toLocaleString('en')} contexts of two words, ${epochs} epochs, tested on ${tests.toLocaleString('en')}`;
    yield* claimsOf(context, results, sizes);
  },
};
