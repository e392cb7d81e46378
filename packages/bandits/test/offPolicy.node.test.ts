import { seededRandom } from '@orth/backend';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { empiricalBernstein } from '../src/offPolicy/empiricalBernstein.js';
import { ESTIMATORS, type OffPolicyEstimator } from '../src/offPolicy/estimators.js';
import { evaluateOffPolicy, progressiveValidation } from '../src/offPolicy/evaluateOffPolicy.js';
import { OffPolicyEvaluator } from '../src/offPolicy/evaluator.js';
import { normalQuantile } from '../src/offPolicy/normalQuantile.js';
import { poisson1, quantile } from '../src/offPolicy/poissonBootstrap.js';
import type { OffPolicyRound } from '../src/offPolicy/terms.js';

const NAMES = Object.keys(ESTIMATORS) as OffPolicyEstimator[];

/** A world with three contexts and three actions: rewards are coin flips of known chances. */
const CHANCES = [
  [0.1, 0.5, 0.8],
  [0.7, 0.2, 0.4],
  [0.3, 0.6, 0.05],
];
const LOGGING = [
  [0.5, 0.3, 0.2],
  [0.2, 0.6, 0.2],
  [1 / 3, 1 / 3, 1 / 3],
];
const TARGET = [
  [0.1, 0.1, 0.8],
  [0.8, 0.1, 0.1],
  [0.05, 0.9, 0.05],
];
/** Wrong by up to 0.3: DM must be biased, DR not. */
const MODEL = [
  [0.4, 0.5, 0.5],
  [0.5, 0.5, 0.4],
  [0.5, 0.4, 0.3],
];
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((s, x, i) => s + x * b[i]!, 0);
const VALUE = CHANCES.reduce((sum, chances, x) => sum + dot(chances, TARGET[x]!) / 3, 0);
const MODEL_VALUE = MODEL.reduce((sum, q, x) => sum + dot(q, TARGET[x]!) / 3, 0);
const GREATEST_WEIGHT = Math.max(
  ...TARGET.flatMap((row, x) => row.map((p, a) => p / LOGGING[x]![a]!)),
);

function logged(seed: number, rounds: number) {
  const random = seededRandom(seed);
  return Array.from({ length: rounds }, (): OffPolicyRound & { context: number } => {
    const context = random.integer(0, 2);
    const probabilities = LOGGING[context]!;
    const u = random.uniform();
    const action = u < probabilities[0]! ? 0 : u < probabilities[0]! + probabilities[1]! ? 1 : 2;
    return {
      context,
      action,
      probability: probabilities[action]!,
      reward: random.uniform() < CHANCES[context]![action]! ? 1 : 0,
      target: TARGET[context]!,
      estimates: MODEL[context]!,
    };
  });
}

function evaluate(rounds: readonly OffPolicyRound[], options = {}) {
  const evaluator = new OffPolicyEvaluator({ resamples: 0, ...options });
  for (const round of rounds) evaluator.add(round);
  return evaluator.result();
}

test('IPS and DR are unbiased, DM is as wrong as its model', () => {
  // 1000 logs of 50 rounds. A true estimator leaves 3.9 standard errors with chance 1e-4 (two-sided).
  const estimates = Array.from({ length: 1000 }, (_, seed) => evaluate(logged(seed, 50)));
  const spread = (name: OffPolicyEstimator) => {
    const values = estimates.map((e) => e[name]!.value);
    const mean = values.reduce((a, b) => a + b) / values.length;
    const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / (values.length - 1);
    return { mean, deviation: Math.sqrt(variance) };
  };
  for (const name of ['ips', 'dr'] as const) {
    const { mean, deviation } = spread(name);
    expect(Math.abs(mean - VALUE)).toBeLessThan((3.9 * deviation) / Math.sqrt(1000));
  }
  const dm = spread('dm');
  expect(Math.abs(dm.mean - MODEL_VALUE)).toBeLessThan((3.9 * dm.deviation) / Math.sqrt(1000));
  expect(Math.abs(MODEL_VALUE - VALUE)).toBeGreaterThan(0.05);
  // Own standard errors, on average, are those that repetition shows: within a tenth.
  const claimed = estimates.reduce((a, e) => a + e.ips.standardError / 1000, 0);
  expect(Math.abs(claimed / spread('ips').deviation - 1)).toBeLessThan(0.1);
  // Dudík et al.: a model, even a poor one, and self-normalisation lower the variance here.
  expect(spread('snips').deviation).toBeLessThan(spread('ips').deviation);
  expect(spread('dr').deviation).toBeLessThan(spread('ips').deviation);
});

test('intervals cover the value as often as they promise', () => {
  // 95 % intervals of 200 logs: a true one covers fewer than 176 with chance below 1e-4 (binomial).
  const covered = { bootstrap: 0, normal: 0, empiricalBernstein: 0 };
  for (let seed = 0; seed < 200; seed++) {
    const rounds = logged(10_000 + seed, 300);
    const { dr } = evaluate(rounds, { resamples: 100, seed, maxWeight: GREATEST_WEIGHT });
    for (const kind of ['bootstrap', 'normal', 'empiricalBernstein'] as const) {
      const [least, most] = dr![kind]!;
      if (least <= VALUE && VALUE <= most) covered[kind]++;
    }
  }
  expect(covered.bootstrap).toBeGreaterThanOrEqual(176);
  expect(covered.normal).toBeGreaterThanOrEqual(176);
  expect(covered.empiricalBernstein).toBe(200);
});

test('the target that logged has weight 1, and IPS, SNIPS and the mean reward are one', () => {
  const own = logged(1, 200).map((r) => ({ ...r, target: LOGGING[r.context]! }));
  const result = evaluate(own);
  expect(result.ips.value).toBeCloseTo(result.loggedReward, 12);
  expect(result.snips.value).toBeCloseTo(result.loggedReward, 12);
  expect(result.effectiveSampleSize).toBeCloseTo(200, 9);
  expect(result.meanWeight).toBeCloseTo(1, 12);
});

test('identities of the estimators', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 2, max: 60 }), (seed, n) => {
      const rounds = logged(seed, n);
      const zero = evaluate(rounds.map((r) => ({ ...r, estimates: [0, 0, 0] })));
      expect(zero.dr!.value).toBeCloseTo(zero.ips.value, 12);
      // A model that knows what was rewarded: nothing to correct.
      const known = evaluate(
        rounds.map((r) => ({
          ...r,
          estimates: r.target.length ? [r.reward, r.reward, r.reward] : [],
        })),
      );
      expect(known.dr!.value).toBeCloseTo(known.dm!.value, 12);
      const extremes = { clip: Infinity, shrinkage: Infinity, switchThreshold: Infinity };
      const wide = evaluate(rounds, extremes);
      expect(wide.clippedIps.value).toBeCloseTo(wide.ips.value, 12);
      expect(wide.drOs!.value).toBeCloseTo(wide.dr!.value, 12);
      expect(wide.switchDr!.value).toBeCloseTo(wide.dr!.value, 12);
      const none = evaluate(rounds, { shrinkage: 0, switchThreshold: 0 });
      expect(none.drOs!.value).toBeCloseTo(none.dm!.value, 12);
      expect(none.switchDr!.value).toBeCloseTo(none.dm!.value, 12);
      // Self-normalised: equivariant by a shift, and a mean of rewards.
      const shifted = evaluate(
        rounds.map((r) => ({ ...r, reward: r.reward + 5 })),
        { rewardRange: [0, 10] },
      );
      expect(shifted.snips.value).toBeCloseTo(wide.snips.value + 5, 9);
      expect(wide.snips.value).toBeGreaterThanOrEqual(0);
      expect(wide.snips.value).toBeLessThanOrEqual(1);
      expect(wide.effectiveSampleSize).toBeLessThanOrEqual(n + 1e-9);
      // The variance of the terms, computed directly.
      const terms = rounds.map((r) => (r.target[r.action]! / r.probability) * r.reward);
      const mean = terms.reduce((a, b) => a + b) / n;
      const variance = terms.reduce((a, b) => a + (b - mean) ** 2, 0) / (n - 1);
      expect(wide.ips.standardError).toBeCloseTo(Math.sqrt(variance / n), 12);
    }),
    { numRuns: 50 },
  );
});

test('without estimates there are no estimators of a model', () => {
  const result = evaluate(logged(1, 20).map(({ estimates: _, ...round }) => round));
  const present = NAMES.filter((name) => result[name] !== undefined);
  expect(present.sort()).toEqual(['clippedIps', 'ips', 'replay', 'snips']);
});

test('one round has a value and no bound', () => {
  const result = evaluate(logged(3, 1));
  expect(result.ips.standardError).toBe(Infinity);
  expect(result.ips.empiricalBernstein).toEqual([Number.NEGATIVE_INFINITY, Infinity]);
});

test('a hundred thousand rounds stay where a thousand were: no sums that drift', () => {
  const rounds = logged(9, 1000);
  const evaluator = new OffPolicyEvaluator({ resamples: 0 });
  for (let i = 0; i < 100; i++) for (const round of rounds) evaluator.add(round);
  const [long, short] = [evaluator.result(), evaluate(rounds)];
  expect(long.dr!.value).toBeCloseTo(short.dr!.value, 11);
  expect(long.dr!.standardError).toBeCloseTo(short.dr!.standardError / 10, 5);
});

test('empirical Bernstein by hand, quantiles, Poisson numbers', () => {
  // ln(4/0.05) = 4.38203: √(2·0.25·4.38203/100) + 7·4.38203/(3·99)
  expect(empiricalBernstein(0.25, 1, 100)).toBeCloseTo(0.148021 + 0.10328, 5);
  expect(empiricalBernstein(0, 0, 2)).toBe(0);
  expect(empiricalBernstein(0, 1, 1)).toBe(Infinity);
  expect(() => empiricalBernstein(-1, 1, 2)).toThrow(
    'variance must be a finite number >= 0, got -1',
  );
  expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 12);
  expect(normalQuantile(0.9999995)).toBeCloseTo(4.891638475699, 9);
  expect(quantile([1, 2, 4], 0.75)).toBe(3);
  const random = seededRandom(5);
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 100_000; i++) counts[Math.min(3, poisson1(random))]!++;
  // χ² with 3 degrees of freedom: above 21.1 with chance 1e-4.
  const chances = [1, 1, 0.5].map((x) => x * Math.exp(-1));
  const wanted = [...chances, 1 - chances.reduce((a, b) => a + b)].map((p) => p * 100_000);
  const chi2 = wanted.reduce((sum, w, k) => sum + (counts[k]! - w) ** 2 / w, 0);
  expect(chi2).toBeLessThan(21.1);
});

test('rounds and options that are refused change nothing', () => {
  const evaluator = new OffPolicyEvaluator({ maxWeight: 3, resamples: 10 });
  const round = { action: 0, probability: 0.5, reward: 1, target: [0.5, 0.5] };
  evaluator.add(round);
  const before = JSON.stringify(evaluator.result());
  const refused: [object, string][] = [
    [{ action: 2 }, 'round.action must be an integer >= 0 and < 2, got 2'],
    [{ action: 0.5 }, 'round.action must be an integer'],
    [{ probability: 0 }, 'round.probability must be a finite number > 0 and <= 1, got 0'],
    [{ probability: 1.5 }, 'round.probability'],
    [{ reward: Number.NaN }, 'round.reward must be a finite number, got NaN'],
    [{ reward: 1.5 }, 'round.reward must be a finite number >= 0 and <= 1, got 1.5'],
    [{ target: [] }, 'round.target must hold a probability an action'],
    [{ target: [0.5, 0.6] }, 'round.target must sum to 1, got 1.1'],
    [{ target: [1.5, -0.5] }, 'round.target[1] must be a finite number >= 0'],
    [{ estimates: [1] }, 'round.estimates must have length 2, got 1'],
    [{ estimates: [1, 1] }, 'round.estimates must be given in every round or in none'],
    [{ probability: 0.1 }, 'target/probability must be at most maxWeight 3, got 5'],
  ];
  for (const [change, message] of refused) {
    expect(() => evaluator.add({ ...round, ...change })).toThrow(message);
  }
  expect(JSON.stringify(evaluator.result())).toBe(before);
  expect(() => new OffPolicyEvaluator().result()).toThrow('rounds must be added first');
  const options: [object, string][] = [
    [{ clip: 0 }, 'clip must be'],
    [{ rewardRange: [1, 0] }, 'rewardRange[1] must be a finite number > 1, got 0'],
    [{ rewardRange: 3 }, 'rewardRange[0] must be'],
    [{ confidence: 1 }, 'confidence'],
    [{ resamples: -1 }, 'resamples'],
    [{ level: 1 }, 'unknown option "level"'],
  ];
  for (const [option, message] of options) {
    expect(() => new OffPolicyEvaluator(option)).toThrow(message);
  }
});

test('a log is evaluated as a stream, seeded', async () => {
  const rounds = logged(4, 500);
  async function* stream() {
    for (const { target: _, estimates: __, ...rest } of rounds) yield rest;
  }
  const run = (seed: number) =>
    evaluateOffPolicy(stream(), ({ context }) => TARGET[context]!, {
      model: ({ context }) => MODEL[context]!,
      resamples: 300,
      seed,
    });
  const result = await run(1);
  expect(result.dr!.value).toBeCloseTo(evaluate(rounds).dr!.value, 12);
  expect(await run(1)).toEqual(result);
  expect((await run(2)).ips.bootstrap).not.toEqual(result.ips.bootstrap);
  // Bootstrap and normal intervals say much the same of 500 rounds.
  const width = ([a, b]: readonly [number, number]) => b - a;
  expect(width(result.ips.bootstrap!) / width(result.ips.normal)).toBeGreaterThan(0.8);
  expect(width(result.ips.bootstrap!) / width(result.ips.normal)).toBeLessThan(1.25);
});

test('a stream names the round that is wrong, ends by a signal, and must not be empty', async () => {
  const log = [...logged(4, 5), { action: 9, probability: 1, reward: 0, context: 0 }];
  const target = () => [0.2, 0.3, 0.5];
  await expect(evaluateOffPolicy(log, target)).rejects.toThrow(/round.action must .* \(round 6\)/);
  await expect(evaluateOffPolicy([], target)).rejects.toThrow('rounds must be added first');
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(evaluateOffPolicy(log, target, { signal })).rejects.toThrow('enough');
  const missing = undefined as unknown as () => number[];
  await expect(evaluateOffPolicy(log, missing)).rejects.toThrow('target must be a function');
});

test('progressive validation judges each round before learning from it', async () => {
  // Learns each context's counts; without peeking its first probabilities are uniform.
  const rewards = CHANCES.map((row) => row.map(() => 0.5));
  const learner = {
    probabilities({ context }: { context: number }) {
      const best = rewards[context]!.indexOf(Math.max(...rewards[context]!));
      const untouched = rewards[context]!.every((r) => r === 0.5);
      return rewards[context]!.map((_, a) => (untouched ? 1 / 3 : a === best ? 1 : 0));
    },
    predict: ({ context }: { context: number }) => rewards[context]!,
    learn({ context, action, reward }: { context: number; action: number; reward: number }) {
      rewards[context]![action]! += 0.05 * (reward - rewards[context]![action]!);
    },
  };
  const result = await progressiveValidation(logged(6, 4000), learner, { resamples: 0 });
  expect(result.rounds).toBe(4000);
  expect(result.curve.map(({ rounds }) => rounds)).toEqual([
    ...[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048],
    4000,
  ]);
  expect(result.curve.at(-1)!.ips).toBeCloseTo(result.ips.value, 9);
  // The best actions bring 0.7 on average, playing as the log did 0.38.
  expect(result.ips.value).toBeGreaterThan(0.6);
  expect(result.dr!.standardError).toBeLessThan(result.ips.standardError);
  const once = await progressiveValidation(
    [{ context: 0, action: 1, probability: 0.5, reward: 1 }],
    { probabilities: () => [0.5, 0.5], learn: () => {} },
  );
  expect(once.ips.value).toBe(1);
  const option: object = { model: () => [0] };
  await expect(progressiveValidation([], learner, option)).rejects.toThrow(
    'unknown option "model"',
  );
});
