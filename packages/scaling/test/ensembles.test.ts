import { seededRandom } from '@orth/backend';
import {
  cast,
  matMul,
  memory,
  oneHot,
  reshape,
  slice,
  type Tensor,
  type Tensor2D,
  tensor,
  tensor1d,
  tidy,
  variable,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  distill,
  distillationPlan,
  Ensemble,
  EpochSampler,
  ensembleLoss,
  evaluateLoss,
  localSearch,
  memberLosses,
  regularizedAdamW,
  sampleTokens,
  type TrainableModel,
  tokenWindows,
  trainMembers,
  trainRegularized,
  tuneWeightDecay,
  WeightAverage,
} from '../src/index.js';

const V = 3;
let made = 0;

/** Bigram model: logits of the next token from the last of two. */
function bigram(seed: number): TrainableModel & { dispose(): void; save(): Promise<number[]> } {
  const start = seededRandom(seed).normalTensor([V, V], 0, 0.1);
  const W = variable(start, true, `bigram${made++}`);
  start.dispose();
  return {
    variables: [W],
    predict: (x: Tensor) =>
      tidy(() => {
        const last = reshape(slice(x, [0, 1], [x.shape[0]!, 1]), [-1]);
        return matMul(cast(oneHot(last, V), 'float32') as Tensor2D, W as unknown as Tensor2D);
      }),
    save: async () => Array.from(await W.data()),
    dispose: () => W.dispose(),
  };
}

/** 0 → 1 → 2 → 0 …, and now and then something else. */
const tokens = (() => {
  const random = seededRandom(1);
  const out = [0];
  for (let i = 1; i < 200; i++) {
    out.push(random.uniform() < 0.9 ? (out[i - 1]! + 1) % V : random.integer(0, 2));
  }
  return out;
})();
const data = tokenWindows(tokens, { contextLength: 2 });
const recipe = { learningRate: 0.1, weightDecay: 0.01, epochs: 4, batchSize: 32 };

async function clean(run: () => Promise<void>) {
  const before = memory().numTensors;
  await run();
  expect(memory().numTensors).toBe(before);
}

describe('ensembles', () => {
  it('logit mean is never above the mean loss; copies are the member; errors', () =>
    clean(async () => {
      const logits = seededRandom(2).normalTensor([4, 6, 5], 0, 3);
      const y = tensor1d([0, 4, 2, 1, 3, 0], 'int32');
      const parts = memberLosses(logits, y);
      const own = Array.from(await parts.data());
      const mean = own.reduce((a, b) => a + b) / 4;
      for (const combine of ['logits', 'probs'] as const) {
        const all = ensembleLoss(logits, y, { combine });
        expect((await all.data())[0]!).toBeLessThanOrEqual(mean);
        all.dispose();
      }
      expect(() => new Ensemble().predict(logits)).toThrow(/size must be >= 1/);
      expect(() => ensembleLoss(logits, y, { combine: 'sum' as never })).toThrow(/combine/);
      for (const x of [logits, y, parts]) x.dispose();
    }));

  it('trains, averages, saves and loads; a damaged state is refused', () =>
    clean(async () => {
      const seeds = new Set<number>();
      const models = await trainMembers<ReturnType<typeof bigram>>({
        members: 2,
        train: async ({ initializationSeed, orderSeed }) => {
          seeds.add(initializationSeed).add(orderSeed);
          const model = bigram(initializationSeed);
          await trainRegularized(model, data, { ...recipe, seed: orderSeed });
          return model;
        },
      });
      expect(seeds.size).toBe(4);
      const ensemble = new Ensemble();
      for (const model of models) ensemble.add(model);
      const loss = await evaluateLoss(ensemble, data);
      expect(loss).toBeLessThan(0.9 * Math.log(V));
      const saved = JSON.parse(JSON.stringify(await ensemble.save()));
      const again = await Ensemble.load(saved, (state) => {
        const model = bigram(0);
        const w = tensor(state as number[], [V, V]);
        model.variables[0]!.assign(w);
        w.dispose();
        return model;
      });
      expect(await evaluateLoss(again, data)).toBeCloseTo(loss, 6);
      await expect(Ensemble.load({ ...saved, format: 'x' }, () => bigram(0))).rejects.toThrow(
        /saved ensemble/,
      );
      for (const mode of ['logits', 'chain', 'sequence'] as const) {
        const student = bigram(9);
        const before = await evaluateLoss(student, data);
        const { steps } = await distill(student, ensemble, data, { ...recipe, mode, epochs: 2 });
        if (mode === 'sequence') {
          const plan = { baseSteps: 198 / 32, epochs: 2, teacherWeight: 0.75 };
          expect(steps).toBe(distillationPlan(plan).totalSteps);
        }
        expect(await evaluateLoss(student, data)).toBeLessThan(before - 0.05);
        student.dispose();
      }
      await expect(
        distill(models[0]!, ensemble, data, { mode: 'sequence', teacherWeight: 1 }),
      ).rejects.toThrow(/teacherWeight/);
      ensemble.dispose();
      for (const variable of again.members) variable.dispose?.();
    }));

  it('samples what the model says, the same for the same seed', () =>
    clean(async () => {
      const model = bigram(3);
      const options = { prompts: [[0, 1]], length: 20, seed: 5 };
      const [first] = await sampleTokens(model, options);
      const [second] = await sampleTokens(model, options);
      expect(second).toEqual(first);
      expect(Math.max(...first!)).toBeLessThan(V);
      model.dispose();
    }));

  it('averages weights', () =>
    clean(async () => {
      const start = tensor1d([1]);
      const w = variable(start, true, `average${made++}`);
      start.dispose();
      const average = new WeightAverage({ kind: 'mean' });
      for (const value of [1, 2, 6]) {
        tidy(() => w.assign(tensor1d([value])));
        average.update([w]);
      }
      average.apply([w]);
      expect((await w.data())[0]).toBeCloseTo(3, 5);
      average.dispose();
      w.dispose();
    }));
});

describe('search and order', () => {
  it('local search certifies a minimum, keeps what is known, refuses NaN', async () => {
    const grids = { a: [1, 2, 3, 4], b: [1, 2, 3] };
    const f = ({ a, b }: { a: number; b: number }) => (a - 3) ** 2 + (b - 2) ** 2;
    const found = await localSearch(f, grids, { start: { a: 1, b: 1 } });
    expect(found.best.point).toEqual({ a: 3, b: 2 });
    expect(found.certified).toBe(true);
    let calls = 0;
    const count = (p: { a: number; b: number }) => {
      calls++;
      return f(p);
    };
    await localSearch(count, grids, { start: { a: 1, b: 1 }, known: found.evaluations });
    expect(calls).toBe(0);
    const short = await localSearch(f, grids, { start: { a: 1, b: 1 }, maxEvaluations: 2 });
    expect(short.certified).toBe(false);
    await expect(localSearch(() => Number.NaN, grids, { start: { a: 1, b: 1 } })).rejects.toThrow(
      /loss must be/,
    );
    await expect(localSearch(f, grids, { start: { a: 9, b: 1 } })).rejects.toThrow(/start.a/);
    const tuned = await tuneWeightDecay((d) => Math.abs(Math.log((d + 1e-3) / 3)));
    expect(tuned.weightDecay).toBe(3.2);
  });

  it('each example once an epoch, and restored in the middle of one', () => {
    const sampler = new EpochSampler(10, 4, 1);
    const seen = Array.from({ length: 5 }, () => sampler.next()).flat();
    for (const half of [seen.slice(0, 10), seen.slice(10)]) expect(new Set(half).size).toBe(10);
    sampler.next();
    const state = sampler.state();
    const want = [sampler.next(), sampler.next()];
    const other = new EpochSampler(10, 4, 99);
    other.restore(JSON.parse(JSON.stringify(state)));
    expect([other.next(), other.next()]).toEqual(want);
  });

  it('refuses a decay that turns weights around, and members that are none', async () => {
    const bad = { learningRate: 0.5, weightDecay: 2, totalSteps: 10 };
    expect(() => regularizedAdamW(bad)).toThrow(/learningRate \* weightDecay must be < 1/);
    await expect(trainMembers({ members: 0, train: () => 1 })).rejects.toThrow(/members/);
    expect(await trainMembers({ members: 3, done: [7], train: ({ index }) => index })).toEqual([
      7, 1, 2,
    ]);
  });
});
