/** Self-tuning networks as a whole: who learns what, schedules, checkpoints, failures. */
import { seededRandom } from '@orth/backend';
import {
  dispose,
  matMul,
  mean,
  memory,
  type Tensor,
  type Tensor2D,
  tensor,
  tensor1d,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  cutout,
  type HyperLayer,
  hyperActivation,
  hyperConv2d,
  hyperDense,
  hyperDropout,
  hyperFlatten,
  hyperMaxPool,
  hyperSequential,
  hyperSpace,
  l2Penalty,
  randomSearch,
  SelfTuning,
  type SelfTuningOptions,
} from '../src/index.js';

const space = hyperSpace({
  drop: { range: [0, 0.9], init: 0.1 },
  l2: { range: [0, Infinity], init: 1e-3, sharedInBatch: true },
});

function makeModel(
  seed: number,
  initialization: 'stn' | 'delta' = 'stn',
  extra: HyperLayer[] = [],
) {
  const random = seededRandom(seed);
  const own = { hyperparameters: space.size, random, initialization };
  return hyperSequential([
    hyperDropout('drop'),
    hyperDense({ ...own, inputs: 4, units: 6 }),
    hyperActivation('relu'),
    ...extra,
    hyperDense({ ...own, inputs: 6, units: 3 }),
  ]);
}

const options: SelfTuningOptions = {
  batchSize: 8,
  warmupEpochs: 1,
  penalty: l2Penalty('l2'),
  seed: 3,
  learningRate: 0.05,
};

const make = (variant: 'stn' | 'delta' | 'fixed', more: SelfTuningOptions = {}) =>
  new SelfTuning(makeModel(1, variant === 'delta' ? 'delta' : 'stn'), space, {
    ...options,
    variant,
    ...more,
  });

/** Three clusters; `n` rows. */
function clusters(seed: number, n: number) {
  const random = seededRandom(seed);
  const labels = Array.from({ length: n }, (_, i) => i % 3);
  const values = labels.flatMap((label) =>
    [0, 1, 2, 3].map((j) => (j === label ? 2 : 0) + random.normal()),
  );
  return { x: tensor2d(values, [n, 4]) as Tensor, y: tensor1d(labels, 'int32') as Tensor };
}

async function withData(
  check: (data: {
    train: ReturnType<typeof clusters>;
    valid: ReturnType<typeof clusters>;
  }) => Promise<void>,
) {
  const before = memory().numTensors;
  const data = { train: clusters(5, 20), valid: clusters(6, 12) };
  await check(data);
  dispose(data);
  expect(memory().numTensors).toBe(before);
}

const read = async (tensors: readonly Tensor[]) =>
  Promise.all(tensors.map(async (t) => Array.from(await t.data())));

describe('steps', () => {
  it.each(['stn', 'delta'] as const)('%s: who learns what', (variant) =>
    withData(async ({ train, valid }) => {
      const run = make(variant);
      const { general, response } = run.model;
      const weights = [...general, ...response];
      const hyper = [run.free, run.rawScales];
      const [w0, h0] = [await read(weights), await read(hyper)];
      for (let i = 0; i < 3; i++) run.trainStep(train.x, train.y).dispose();
      const w1 = await read(weights);
      expect(await read(hyper)).toEqual(h0);
      // In Δ-STN, W′ learns only once T has left 0; three steps are enough.
      for (const [i, values] of w1.entries()) expect(values).not.toEqual(w0[i]);
      run.validationStep(valid.x, valid.y).dispose();
      expect(await read(weights)).toEqual(w1);
      const h1 = await read(hyper);
      for (const [i, values] of h1.entries()) expect(values).not.toEqual(h0[i]);
      run.dispose();
      run.dispose();
    }),
  );

  it('fixed: branches and hyperparameters stay', () =>
    withData(async ({ train, valid }) => {
      const run = make('fixed');
      const still = [...run.model.response, run.free, run.rawScales];
      const before = await read(still);
      run.trainStep(train.x, train.y).dispose();
      expect(await read(still)).toEqual(before);
      expect(() => run.validationStep(valid.x, valid.y)).toThrow(/must not be 'fixed'/);
      run.dispose();
    }));

  it('scales that are not tuned stay, and validation is then unperturbed', () =>
    withData(async ({ train, valid }) => {
      for (const variant of ['stn', 'delta'] as const) {
        const run = make(variant, { tuneScales: false });
        run.trainStep(train.x, train.y).dispose();
        run.trainStep(train.x, train.y).dispose();
        const [scales, free] = await read([run.rawScales, run.free]);
        const loss = run.validationStep(valid.x, valid.y);
        const { loss: plain } = await run.evaluate(valid);
        // `evaluate` comes after the step; only the STN's prediction depends on h, and by little.
        expect((await loss.data())[0]!).toBeCloseTo(plain, 2);
        loss.dispose();
        expect((await read([run.rawScales]))[0]).toEqual(scales);
        expect((await read([run.free]))[0]).not.toEqual(free);
        run.dispose();
      }
    }));

  it('a large entropy weight widens the perturbation, none lets it shrink; h stays finite', async () => {
    const before = memory().numTensors;
    const random = seededRandom(4);
    const [x, y] = [random.normalTensor([32, 4]), random.normalTensor([32, 1])];
    for (const entropyWeight of [0, 10]) {
      const model = hyperDense({ inputs: 4, units: 1, hyperparameters: 2, random });
      const wide = random.normalTensor([2, 2]);
      model.weights.toScalars.assign(wide as never);
      const each = hyperSpace({ a: { range: [0, 1], init: 0.5 }, b: { range: [0, 1], init: 0.5 } });
      const run = new SelfTuning(model, each, {
        loss: 'meanSquaredError',
        entropyWeight,
        scaleLearningRate: 0.02,
      });
      for (let i = 0; i < 40; i++) run.validationStep(x, y).dispose();
      for (const scale of Object.values(await run.scales())) {
        if (entropyWeight === 0) expect(scale).toBeLessThan(0.45);
        else expect(scale).toBeGreaterThan(0.6);
      }
      for (const h of await run.free.data()) expect(Number.isFinite(h)).toBe(true);
      wide.dispose();
      run.dispose();
    }
    dispose([x, y]);
    expect(memory().numTensors).toBe(before);
  });
});

it.each(['stn', 'delta'] as const)(
  '%s: the branch of a ridge regression learns how its solution moves with λ',
  async (variant) => {
    const before = memory().numTensors;
    const random = seededRandom(9);
    const [n, d] = [24, 3];
    const ridge = hyperSpace({
      l2: { range: [0, Infinity], init: 0.5, scale: 0.7 },
    });
    const model = hyperDense({
      inputs: d,
      units: 1,
      hyperparameters: 1,
      random,
      // Without e, which the penalty does not see and which would learn to evade it.
      initialization: 'delta',
    });
    const X = random.normalTensor([n, d]);
    const w = tensor2d([1, -2, 0.5], [d, 1]);
    const y = tidy(() => matMul(X as Tensor2D, w));
    const run = new SelfTuning(model, ridge, {
      variant,
      loss: 'meanSquaredError',
      penalty: l2Penalty('l2'),
      learningRate: 0.03,
    });
    for (let step = 0; step < 150; step++) run.trainStep(X, y).dispose();
    // dw/dh of the layer: W′ scaled by the row of T, against −(XᵀX/N + λ)⁻¹ w* dλ/dh by differences of ridge solutions.
    const [K, R, T] = await read([
      model.weights.kernel,
      model.weights.responseKernel,
      model.weights.toScalars,
    ]);
    const learned = R!.map((value) => value * T![0]!);
    const data = await X.array();
    const target = await y.array();
    const h = (await run.free.data())[0]!;
    const solution = (free: number) => {
      const lambda = Math.log1p(Math.exp(free));
      const A = [0, 1, 2].map((i) =>
        [0, 1, 2].map(
          (j) =>
            (data as number[][]).reduce((t, row) => t + row[i]! * row[j]!, 0) / n +
            (i === j ? lambda : 0),
        ),
      );
      const b = [0, 1, 2].map(
        (i) =>
          (data as number[][]).reduce(
            (t, row, k) => t + row[i]! * (target as number[][])[k]![0]!,
            0,
          ) / n,
      );
      return solve3(A, b);
    };
    const exact = solution(h + 1e-3).map((value, i) => (value - solution(h - 1e-3)[i]!) / 2e-3);
    const dot = (a: number[], b: number[]) => a.reduce((t, value, i) => t + value * b[i]!, 0);
    const cosine = dot(learned, exact) / Math.sqrt(dot(learned, learned) * dot(exact, exact));
    expect(cosine).toBeGreaterThan(0.9);
    expect(dot(K!, solution(h))).toBeGreaterThan(0);
    run.dispose();
    dispose([X, w, y]);
    expect(memory().numTensors).toBe(before);
  },
);

/** Cramer's rule. */
function solve3(A: number[][], b: number[]): number[] {
  const det = (m: number[][]) =>
    m[0]![0]! * (m[1]![1]! * m[2]![2]! - m[1]![2]! * m[2]![1]!) -
    m[0]![1]! * (m[1]![0]! * m[2]![2]! - m[1]![2]! * m[2]![0]!) +
    m[0]![2]! * (m[1]![0]! * m[2]![1]! - m[1]![1]! * m[2]![0]!);
  return [0, 1, 2].map(
    (column) => det(A.map((row, i) => row.map((a, j) => (j === column ? b[i]! : a)))) / det(A),
  );
}

describe('fit', () => {
  it('lowers the validation loss, moves hyperparameters after the warm-up, keeps the best', () =>
    withData(async ({ train, valid }) => {
      const run = make('stn');
      const start = await run.evaluate(valid);
      const told: number[] = [];
      const { schedule, best, reason } = await run.fit({
        train,
        valid,
        epochs: 8,
        onEpoch: ({ epoch }) => void told.push(epoch),
      });
      expect(reason).toBe('epochs');
      expect(told).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
      expect(best!.validLoss).toBeLessThan(start.loss);
      expect(best!.validAccuracy!).toBeGreaterThan(0.5);
      expect(schedule[0]!.values.drop).toBeCloseTo(0.1, 5);
      expect(schedule[7]!.values.drop).not.toBeCloseTo(0.1, 5);
      expect(schedule[7]!.skippedUpdates).toBe(0);
      run.restoreBest();
      expect((await run.evaluate(valid)).loss).toBeCloseTo(best!.validLoss, 6);
      const outputs = run.predict(valid.x);
      expect(outputs.shape).toEqual([12, 3]);
      outputs.dispose();
      run.dispose();
    }));

  it.each(['stn', 'delta', 'fixed'] as const)(
    '%s: stopped anywhere, saved, loaded and continued as if never stopped',
    (variant) =>
      withData(async ({ train, valid }) => {
        const whole = make(variant);
        await whole.fit({ train, valid, epochs: 3 });
        const want = await whole.saveState();
        whole.dispose();
        for (const stopAt of [1, 5]) {
          const first = make(variant);
          const controller = new AbortController();
          let steps = 0;
          const { reason } = await first.fit({
            train,
            valid,
            epochs: 3,
            signal: controller.signal,
            onStep: () => {
              if (++steps === stopAt) controller.abort();
            },
          });
          expect(reason).toBe('aborted');
          const text = JSON.stringify(await first.saveState());
          first.dispose();
          const second = make(variant, { seed: 99 });
          second.loadState(JSON.parse(text));
          await second.fit({ train, valid, epochs: 3 });
          expect(await second.saveState()).toEqual(want);
          second.dispose();
        }
      }),
  );

  it('stops when patience ends and lowers the learning rate before', () =>
    withData(async ({ train, valid }) => {
      const run = make('fixed', {
        learningRate: 5,
        momentum: 0,
        decayPatience: 2,
        stopPatience: 4,
        clipNorm: 1,
      });
      const { reason, schedule, best } = await run.fit({ train, valid, epochs: 200 });
      expect(reason).toBe('patience');
      expect(schedule.length - best!.epoch).toBe(4);
      expect(schedule.at(-1)!.learningRate).toBeLessThan(5);
      run.dispose();
    }));

  it('a batch with NaN changes nothing and is counted; an epoch of them is an error', () =>
    withData(async ({ train, valid }) => {
      const run = make('stn');
      run.trainStep(train.x, train.y).dispose();
      const weights = [...run.model.general, ...run.model.response];
      const before = await read(weights);
      const bad = tensor(new Float32Array(80).fill(Number.NaN), [20, 4]);
      run.trainStep(bad, train.y).dispose();
      expect(await read(weights)).toEqual(before);
      expect(await run.skippedUpdates()).toBe(1);
      const fit = run.fit({ train: { x: bad, y: train.y }, valid, epochs: 1 });
      await expect(fit).rejects.toThrow(/losses must be finite/);
      expect(await read(weights)).toEqual(before);
      bad.dispose();
      run.dispose();
    }));

  it('a convolutional network with cutout, discrete holes, and random search beside it', async () => {
    const before = memory().numTensors;
    const random = seededRandom(8);
    const x = random.normalTensor([8, 4, 4, 1]);
    const y = tensor1d([0, 1, 0, 1, 0, 1, 0, 1], 'int32');
    const images = hyperSpace({
      holes: { range: [0, 4], init: 2, discrete: true },
      length: { range: [0, 3], init: 2, discrete: true },
      drop: { range: [0, 0.9], init: 0.1 },
    });
    const convolutional = (seed: number) => {
      const own = { hyperparameters: 3, random: seededRandom(seed) };
      return hyperSequential([
        hyperConv2d({ ...own, inputs: 1, filters: 2, kernelSize: 3 }),
        hyperActivation('relu'),
        hyperMaxPool(2),
        hyperDropout('drop'),
        hyperFlatten(),
        hyperDense({ ...own, inputs: 8, units: 2 }),
      ]);
    };
    const shared: SelfTuningOptions = {
      batchSize: 4,
      warmupEpochs: 0,
      trainSteps: 1,
      augmentations: [cutout({ holes: 'holes', length: 'length', maxHoles: 4 })],
    };
    const data = { train: { x, y }, valid: { x, y }, epochs: 2 };
    for (const variant of ['stn', 'delta'] as const) {
      const run = new SelfTuning(convolutional(1), images, { ...shared, variant });
      const { schedule } = await run.fit(data);
      expect(Number.isInteger(schedule[1]!.values.holes)).toBe(true);
      expect(Number.isFinite(schedule[1]!.validLoss)).toBe(true);
      run.dispose();
    }
    const { best } = await randomSearch(
      async (given, trial) => {
        const run = new SelfTuning(convolutional(trial), given, { ...shared, variant: 'fixed' });
        const result = await run.fit(data);
        run.dispose();
        return result.best!.validLoss;
      },
      images,
      { trials: 2 },
    );
    expect(Number.isFinite(best!.loss)).toBe(true);
    dispose([x, y]);
    expect(memory().numTensors).toBe(before);
  });
});

describe('refusals', () => {
  it('damaged and foreign states change nothing', () =>
    withData(async ({ train, valid }) => {
      const run = make('stn');
      await run.fit({ train, valid, epochs: 1 });
      const state = await run.saveState();
      const [first, ...rest] = state.variables;
      const bad: [unknown, RegExp][] = [
        [null, /state must be/],
        [{ ...state, version: 2 }, /version/],
        [{ ...state, variant: 'delta' }, /variant must be stn, got delta/],
        [{ ...state, names: ['a'] }, /hyperparameters must be drop, l2/],
        [{ ...state, variables: rest }, /variables must be/],
        [{ ...state, variables: [{ ...first!, shape: [6, 4] }, ...rest] }, /variables\[0\]/],
        [{ ...state, variables: [{ ...first!, data: [1] }, ...rest] }, /variables\[0\]/],
        [{ ...state, best: [[1]] }, /best/],
        [{ ...state, random: [0, 0, 0, 0] }, /random/],
        [{ ...state, epochs: [{ epoch: 2 }] }, /epochs/],
        [{ ...state, train: { count: 2, order: [0, 0], at: 0 } }, /train must/],
        [{ ...state, lossSum: 'x' }, /lossSum/],
      ];
      for (const [json, message] of bad) {
        expect(() => run.loadState(json)).toThrow(message);
        expect(() => run.loadState(json)).toThrow(/nothing was changed/);
      }
      expect(await run.saveState()).toEqual(state);
      run.dispose();
    }));

  it('bad options and data', () =>
    withData(async ({ train, valid }) => {
      const model = makeModel(1);
      const bad: [object, RegExp][] = [
        [{ variant: 'x' }, /variant must be one of/],
        [{ loss: 'hinge' }, /loss must be one of/],
        [{ trainSteps: 0 }, /trainSteps must be an integer >= 1/],
        [{ momentum: 1 }, /momentum must/],
        [{ entropyWeight: -1 }, /entropyWeight/],
        [{ clipNorm: 0 }, /clipNorm/],
        [{ penalty: 3 }, /penalty must be a function/],
        [{ augmentations: [3] }, /augmentations must/],
        [{ lr: 1 }, /unknown option "lr"/],
      ];
      for (const [given, message] of bad) {
        expect(() => new SelfTuning(model, space, given)).toThrow(message);
      }
      expect(() => new SelfTuning({} as never, space)).toThrow(/model must be/);
      expect(() => new SelfTuning(model, {} as never)).toThrow(/space must be/);
      model.dispose();
      const run = make('stn');
      const fit = (change: object) => run.fit({ train, valid, epochs: 1, ...change });
      const none = { x: tensor2d([], [0, 4]), y: tensor1d([], 'int32') };
      await expect(fit({ valid: none })).rejects.toThrow(/valid.x must not be empty/);
      await expect(fit({ valid: { x: valid.x, y: train.y } })).rejects.toThrow(/must have 12 rows/);
      await expect(fit({ epochs: -1 })).rejects.toThrow(/epochs/);
      await expect(fit({ steps: 1 })).rejects.toThrow(/unknown option/);
      expect(() => run.trainStep(train.x, valid.y)).toThrow(/y must have 20 rows/);
      expect(() => run.trainStep(train.x, train.y, train.x)).toThrow(/noise must have shape/);
      expect(() => run.restoreBest()).toThrow(/must be an epoch first/);
      const both = fit({});
      await expect(fit({})).rejects.toThrow(/must end before/);
      await both;
      run.dispose();
      dispose(none);
    }));

  it('an unknown hyperparameter in the model, before anything changes', () =>
    withData(async ({ train }) => {
      const model = makeModel(1, 'stn', [hyperDropout('dropp')]);
      const run = new SelfTuning(model, space, options);
      const before = await read(model.general);
      expect(() => run.trainStep(train.x, train.y)).toThrow(
        /unknown hyperparameter "dropp"; known are drop, l2/,
      );
      expect(await read(model.general)).toEqual(before);
      run.dispose();
      const scalarLoss = make('stn', { loss: (outputs) => mean(outputs) });
      expect(() => scalarLoss.trainStep(train.x, train.y)).toThrow(/one number for each example/);
      scalarLoss.dispose();
    }));
});
