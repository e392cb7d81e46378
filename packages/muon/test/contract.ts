/**
 * What every optimizer of this package must do, written once and run over a table of them. An entry says how to make one
 * with further options; the suite never looks inside.
 */
import { assertNoLeaks, CheckpointError, NonFiniteError, seededRandom } from '@orth/backend';
import {
  cosine,
  decodeState,
  encodeState,
  linear,
  type OptimizerState,
  type OrthOptimizer,
  type StepOptions,
} from '@orth/muon';
import { expectTensorClose } from '@orth/testing';
import {
  io,
  matMul,
  memory,
  mul,
  ones,
  type Scalar,
  type serialization,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tensor,
  tidy,
  type Variable,
  variable,
  zeros,
  zerosLike,
} from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

/** Options that every optimizer here has. */
export interface CommonOptions extends StepOptions {
  readonly learningRate?: number | ((step: number) => number);
  readonly weightDecay?: number;
  readonly groups?: readonly { readonly match: RegExp; readonly optimizer: string }[];
}

export interface ContractEntry {
  readonly name: string;
  readonly className: string;
  readonly make: (options?: CommonOptions) => OrthOptimizer<StepOptions>;
  readonly cls: serialization.SerializableConstructor<OrthOptimizer<StepOptions>>;
}

type Data = Float32Array;

const SHAPES: Readonly<Record<string, number[]>> = {
  'contract/first': [5, 7],
  'contract/second': [7, 5],
  'contract/third': [5, 7],
  'contract/bias': [7],
  'contract/scale': [],
};

export function optimizerContract(entry: ContractEntry): void {
  const { name, make } = entry;
  let variables: Variable[] = [];
  let tensorsBefore = 0;

  const setUp = (seed = 1) => {
    const random = seededRandom(seed);
    return Object.entries(SHAPES).map(([key, shape]) =>
      tidy(() => variable(random.normalTensor(shape), true, key)),
    );
  };
  const disposeAll = (list: readonly Tensor[]) => {
    for (const x of list) x.dispose();
  };
  const read = () => variables.map((v) => Float32Array.from(v.dataSync()));
  const reset = (values: readonly Data[]) => {
    variables.forEach((v, i) => {
      const value = tensor(values[i]!, v.shape);
      v.assign(value);
      value.dispose();
    });
  };
  const gradientsAt = (step: number): Tensor[] => {
    const random = seededRandom(1000 + step);
    return Object.values(SHAPES).map((shape) => random.normalTensor(shape));
  };
  /** Steps numbered from `from` to below `to`, each with gradients of its own. */
  const steps = (optimizer: OrthOptimizer<StepOptions>, from: number, to: number) => {
    for (let step = from; step < to; step++) {
      const gradients = gradientsAt(step);
      try {
        optimizer.applyGradients(named(gradients));
      } finally {
        disposeAll(gradients);
      }
    }
  };
  const named = (gradients: readonly (Tensor | null)[]) =>
    variables.map((v, i) => ({ name: v.name, tensor: gradients[i] as Tensor }));
  const asMap = (gradients: readonly Tensor[]) =>
    Object.fromEntries(variables.map((v, i) => [v.name, gradients[i]!])) as unknown as Parameters<
      OrthOptimizer<StepOptions>['applyGradients']
    >[0];
  const withOne = (bad: number) => {
    const gradients = gradientsAt(0);
    const data = gradients[3]!.dataSync().slice();
    data[2] = bad;
    gradients[3]!.dispose();
    gradients[3] = tensor(data, [7]);
    return gradients;
  };

  describe(`${name} keeps the contract`, () => {
    beforeEach(() => {
      tensorsBefore = memory().numTensors;
      variables = setUp();
    });
    afterEach(() => {
      disposeAll(variables);
      expect(memory().numTensors, 'tensors left behind').toBe(tensorsBefore);
    });

    test('minimizes', () => {
      const random = seededRandom(5);
      const x = random.normalTensor([32, 5]) as Tensor2D;
      const y = random.normalTensor([32, 7]) as Tensor2D;
      const optimizer = make({ learningRate: linear({ from: 0.1, steps: 200 }) });
      const [first] = variables as [Variable];
      const loss = () => tidy(() => sum(square(sub(matMul(x, first as Tensor2D), y)))) as Scalar;
      const cost = optimizer.minimize(loss, true, [first])!;
      for (let step = 1; step < 200; step++)
        expect(optimizer.minimize(loss, false, [first])).toBe(null);
      const last = loss();
      // The best linear map leaves about (32 − 5)·7 of the noise's energy; from random weights it was several times that.
      expect(last.dataSync()[0]).toBeLessThan(0.6 * cost.dataSync()[0]!);
      expect(optimizer.iterations).toBe(200);
      optimizer.dispose();
      disposeAll([x, y, cost, last]);
    });

    test('takes a map and an array alike', () => {
      const start = read();
      const byArray = make();
      steps(byArray, 0, 3);
      const want = read();
      reset(start);
      const byMap = make();
      for (let step = 0; step < 3; step++) {
        const gradients = gradientsAt(step);
        byMap.applyGradients(asMap(gradients));
        disposeAll(gradients);
      }
      expect(read()).toEqual(want);
      byArray.dispose();
      byMap.dispose();
    });

    test('leaves gradients alone', () => {
      const optimizer = make({ clipNorm: 0.1 });
      const gradients = gradientsAt(0);
      const before = gradients.map((g) => Float32Array.from(g.dataSync()));
      optimizer.applyGradients(named(gradients));
      expect(gradients.map((g) => Float32Array.from(g.dataSync()))).toEqual(before);
      disposeAll(gradients);
      optimizer.dispose();
    });

    test('skips absent gradients, and updates whoever comes as if alone', () => {
      const start = read();
      const present = [[0, 1, 2, 3, 4], [0, 3], [1], [0, 1, 2, 3, 4], [2, 4]];
      const want: Data[] = [];
      for (const only of variables.keys()) {
        const optimizer = make();
        present.forEach((list, step) => {
          if (!list.includes(only)) return;
          const gradients = gradientsAt(step);
          optimizer.applyGradients([{ name: variables[only]!.name, tensor: gradients[only]! }]);
          disposeAll(gradients);
        });
        want.push(read()[only]!);
        optimizer.dispose();
      }
      reset(start);
      const optimizer = make();
      present.forEach((list, step) => {
        const gradients = gradientsAt(step);
        const before = read();
        optimizer.applyGradients(named(gradients.map((g, i) => (list.includes(i) ? g : null))));
        const after = read();
        for (const i of variables.keys())
          if (!list.includes(i)) expect(after[i]).toEqual(before[i]);
        disposeAll(gradients);
      });
      expect(optimizer.iterations).toBe(present.length);
      read().forEach((got, i) => {
        expectTensorClose(got, want[i]!, { rtol: 1e-4, atol: 1e-5 });
      });
      optimizer.dispose();
    });

    test("moves on by momentum where missingGradient is 'zero'", () => {
      const optimizer = make({ missingGradient: 'zero' });
      steps(optimizer, 0, 1);
      const before = read();
      const gradient = seededRandom(1).normalTensor([5, 7]);
      optimizer.applyGradients([{ name: variables[0]!.name, tensor: gradient }]);
      const after = read();
      for (const i of variables.keys()) expect(after[i]).not.toEqual(before[i]);
      optimizer.applyGradients([]);
      expect(read()[0]).not.toEqual(after[0]);
      gradient.dispose();
      optimizer.dispose();
    });

    test('does nothing but decay for zero gradients, at the first step too', () => {
      const optimizer = make({ learningRate: 0.1, weightDecay: 0.5 });
      const before = read();
      const none = variables.map((v) => zeros(v.shape));
      for (let step = 0; step < 3; step++) optimizer.applyGradients(named(none));
      read().forEach((got, i) => {
        const { decays } = decayOf(optimizer, variables[i]!);
        const factor = decays ? (1 - 0.1 * 0.5) ** 3 : 1;
        expectTensorClose(
          got,
          before[i]!.map((w) => w * factor),
          { rtol: 1e-6, atol: 0 },
        );
      });
      disposeAll(none);
      optimizer.dispose();
    });

    test('leaves weights at a learning rate of 0', () => {
      const optimizer = make({
        learningRate: 0,
        weightDecay: 0.5,
        groups: [{ match: /bias|scale/, optimizer: 'frozen' }],
      });
      const before = read();
      steps(optimizer, 0, 2);
      expect(read()).toEqual(before);
      optimizer.dispose();
    });

    test('freezes what a group freezes', () => {
      const optimizer = make({ groups: [{ match: /second|bias/, optimizer: 'frozen' }] });
      const before = read();
      steps(optimizer, 0, 2);
      const after = read();
      expect(after[1]).toEqual(before[1]);
      expect(after[3]).toEqual(before[3]);
      expect(after[0]).not.toEqual(before[0]);
      const { optimizer: how } = optimizer.describeGroups().find((g) => g.name.endsWith('bias'))!;
      expect(how).toBe('frozen');
      optimizer.dispose();
    });

    test('asks schedules for each step, from 0, and refuses what they may not give', () => {
      const asked: number[] = [];
      const optimizer = make({
        learningRate: (step) => {
          asked.push(step);
          return step < 3 ? 0.01 : Number.NaN;
        },
      });
      steps(optimizer, 0, 3);
      expect([...new Set(asked)]).toEqual([0, 1, 2]);
      const before = read();
      expect(() => steps(optimizer, 3, 4)).toThrow(/learningRate at step 3 must be/);
      expect(read()).toEqual(before);
      expect(optimizer.iterations).toBe(3);
      optimizer.dispose();
    });

    test('clips the joint norm of the gradients', () => {
      const start = read();
      const gradients = gradientsAt(0);
      const norm = Math.hypot(...gradients.flatMap((g) => [...g.dataSync()]));
      const small = gradients.map((g) => mul(g, 0.5 / norm));
      const [a, b] = [make({ clipNorm: 0.5 }), make()];
      a.applyGradients(named(gradients));
      const clipped = read();
      reset(start);
      b.applyGradients(named(small));
      read().forEach((want, i) => {
        expectTensorClose(clipped[i]!, want, { rtol: 1e-4, atol: 1e-5 });
      });
      disposeAll([...gradients, ...small]);
      a.dispose();
      b.dispose();
    });

    test('clips nothing below the limit', async () => {
      const start = read();
      const [a, b] = [make({ clipNorm: 1e6 }), make()];
      steps(a, 0, 2);
      const got = read();
      reset(start);
      steps(b, 0, 2);
      expect(got).toEqual(read());
      expect(await a.saveState()).toEqual(await b.saveState());
      a.dispose();
      b.dispose();
    });

    describe('state', () => {
      test.each(['plain', 'bytes', 'tensors'])('resumes bit for bit: %s', async (form) => {
        const straight = make();
        steps(straight, 0, 4);
        const middle = read();
        const saved = await straight.saveState();
        const bytes = encodeState(saved);
        const weights = await straight.getWeights();
        const tensors = weights.map((w) => ({ name: w.name, tensor: w.tensor.clone() }));
        steps(straight, 4, 8);
        const want = read();
        reset(middle);
        const resumed = make();
        if (form === 'plain') resumed.loadState(saved);
        else if (form === 'bytes') resumed.loadState(decodeState(bytes), variables);
        else await resumed.setWeights(tensors);
        disposeAll(tensors.map((w) => w.tensor));
        expect(resumed.iterations).toBe(4);
        expect(resumed.stateBytes()).toBe(straight.stateBytes());
        steps(resumed, 4, 8);
        expect(read()).toEqual(want);
        expect(await resumed.saveState()).toEqual(await straight.saveState());
        straight.dispose();
        resumed.dispose();
      });

      test('can be saved again before the first step after loading', async () => {
        const optimizer = make();
        steps(optimizer, 0, 2);
        const saved = await optimizer.saveState();
        const other = make();
        other.loadState(saved);
        expect(await other.saveState()).toEqual(saved);
        optimizer.dispose();
        other.dispose();
      });

      test('names weights as tfjs does: iter first, then <variable>/<slot>', async () => {
        const optimizer = make();
        steps(optimizer, 0, 2);
        const weights = await optimizer.getWeights();
        expect(weights[0]!.name).toBe('iter');
        expect(weights[0]!.tensor.dataSync()[0]).toBe(2);
        for (const { name: slot } of weights.slice(1)) {
          expect(Object.keys(SHAPES)).toContain(slot.slice(0, slot.lastIndexOf('/')));
        }
        optimizer.dispose();
      });

      test('finds renamed variables by order, and refuses others', async () => {
        const optimizer = make();
        steps(optimizer, 0, 3);
        const saved = await optimizer.saveState();
        const middle = read();
        steps(optimizer, 3, 5);
        const want = read();
        const originals = variables;
        variables = originals.map((v, i) => {
          const value = tensor(middle[i]!, v.shape);
          const copy = variable(value, true, `${v.name}_1`);
          value.dispose();
          return copy;
        });
        const renamed = make();
        renamed.loadState(saved);
        steps(renamed, 3, 5);
        expect(read()).toEqual(want);

        const refused = make();
        refused.loadState(saved);
        const before = read();
        const gradients = gradientsAt(9);
        const two = variables.slice(0, 2).map((v, i) => ({ name: v.name, tensor: gradients[i]! }));
        expect(() => refused.applyGradients(two)).toThrow(CheckpointError);
        expect(() => refused.applyGradients(named(gradients).reverse())).toThrow(CheckpointError);
        expect(read()).toEqual(before);
        expect(refused.iterations).toBe(3);
        disposeAll([...gradients, ...variables]);
        variables = originals;
        for (const o of [optimizer, renamed, refused]) o.dispose();
      });

      test('refuses what is damaged or foreign, with nothing changed', async () => {
        const optimizer = make();
        steps(optimizer, 0, 3);
        const saved = await optimizer.saveState();
        const [first, ...others] = saved.variables as [OptimizerState['variables'][number]];
        const slot = Object.keys(first.slots)[0]!;
        const { shape, data } = first.slots[slot]!;
        const withSlot = (x: unknown) => ({
          ...saved,
          variables: [{ ...first, slots: { ...first.slots, [slot]: x } }, ...others],
        });
        const nan = Float32Array.from(data as Float32Array).fill(Number.NaN, 0, 1);
        const bad: Record<string, unknown> = {
          nothing: undefined,
          text: 'state',
          'another class': { ...saved, className: 'OrthSomething' },
          'another version': { ...saved, version: 2 },
          'negative iterations': { ...saved, iterations: -1 },
          'no variables': { ...saved, variables: null },
          'two of one name': { ...saved, variables: [first, first] },
          'another shape': withSlot({ shape: [1, ...shape], data }),
          'too few numbers': withSlot({ shape, data: (data as Float32Array).slice(1) }),
          NaN: withSlot({ shape, data: nan }),
          'no data': withSlot({ shape }),
          'a foreign slot': {
            ...saved,
            variables: [{ ...first, slots: { other: { shape, data } } }, ...others],
          },
          'other variables': {
            ...saved,
            variables: [
              { ...first, name: 'stranger' },
              { ...first, name: 'another' },
            ],
          },
        };
        for (const [problem, state] of Object.entries(bad)) {
          expect(() => optimizer.loadState(state as OptimizerState), problem).toThrow(
            CheckpointError,
          );
        }
        expect(await optimizer.saveState()).toEqual(saved);
        await expect(optimizer.setWeights([])).rejects.toThrow(CheckpointError);
        expect(await optimizer.saveState()).toEqual(saved);
        optimizer.dispose();
      });

      test('casts other number types', async () => {
        const optimizer = make();
        steps(optimizer, 0, 2);
        const saved = await optimizer.saveState();
        const wide = {
          ...saved,
          variables: saved.variables.map((v) => ({
            ...v,
            slots: Object.fromEntries(
              Object.entries(v.slots).map(([key, { data, ...rest }]) => [
                key,
                { ...rest, data: Float64Array.from(data as Float32Array) },
              ]),
            ),
          })),
        };
        const other = make();
        other.loadState(wide);
        expect(await other.saveState()).toEqual(saved);
        optimizer.dispose();
        other.dispose();
      });

      test('counts its bytes', async () => {
        const optimizer = make();
        expect(optimizer.stateBytes()).toBe(0);
        steps(optimizer, 0, 1);
        const { variables: saved } = await optimizer.saveState();
        const numbers = saved.flatMap((v) => Object.values(v.slots)).map(({ data }) => data.length);
        expect(optimizer.stateBytes()).toBe(4 * numbers.reduce((total, n) => total + n, 0));
        optimizer.dispose();
      });
    });

    describe('configuration', () => {
      test('travels through JSON', () => {
        const start = read();
        const groups = [{ match: /_?bias|scale/i, optimizer: 'frozen' }];
        const learningRate = cosine({ from: 0.05, steps: 10 });
        const optimizer = make({ learningRate, groups, clipNorm: 1 });
        expect(optimizer.getClassName()).toBe(entry.className);
        const config = JSON.parse(JSON.stringify(optimizer.getConfig()));
        const copy = (entry.cls as unknown as typeof OrthOptimizer).fromConfig(entry.cls, {
          ...config,
          customObjects: {},
        });
        steps(optimizer, 0, 3);
        const want = read();
        reset(start);
        steps(copy, 0, 3);
        expect(read()).toEqual(want);
        optimizer.dispose();
        copy.dispose();
      });

      test('cannot hold a function of the user', () => {
        const optimizer = make({ learningRate: () => 0.1 });
        expect(() => optimizer.getConfig()).toThrow(TypeError);
        optimizer.dispose();
      });

      test('has no unknown names and no values out of range', () => {
        expect(() => make({ learnRate: 1 } as CommonOptions)).toThrow(/unknown option "learnRate"/);
        expect(() => make({ learningRate: -1 })).toThrow(RangeError);
        expect(() => make({ weightDecay: Number.NaN })).toThrow(RangeError);
        expect(() => make({ clipNorm: 0 })).toThrow(RangeError);
        expect(() => make({ onNonFinite: 'ignore' as 'skip' })).toThrow(RangeError);
        expect(() => make({ groups: [{ match: /x/, optimizer: 'sgd' }] })).toThrow(RangeError);
        expect(() => make({ groups: [{ match: 'x' as never, optimizer: 'frozen' }] })).toThrow(
          TypeError,
        );
      });
    });

    describe('gradients that are not finite', () => {
      test.each([Number.NaN, Infinity, -Infinity])(
        '%s throws, with nothing changed',
        async (bad) => {
          const optimizer = make();
          const gradients = withOne(bad);
          const start = read();
          await assertNoLeaks(() => {
            expect(() => optimizer.applyGradients(named(gradients))).toThrow(NonFiniteError);
            expect(() => optimizer.applyGradients(named(gradients))).toThrow(
              /contract\/bias.*flat index 2/,
            );
          });
          expect(read()).toEqual(start);
          expect(optimizer.nonFiniteSteps).toBe(2);
          expect(optimizer.iterations).toBe(0);
          steps(optimizer, 0, 2);
          const want = read();
          reset(start);
          const clean = make();
          steps(clean, 0, 2);
          expect(read()).toEqual(want);
          disposeAll(gradients);
          optimizer.dispose();
          clean.dispose();
        },
      );

      test("a step with them is as if it had not been where onNonFinite is 'skip'", async () => {
        const start = read();
        const clean = make();
        steps(clean, 0, 4);
        const want = read();
        reset(start);
        const optimizer = make({ onNonFinite: 'skip' });
        const gradients = withOne(Number.NaN);
        steps(optimizer, 0, 2);
        await assertNoLeaks(() => optimizer.applyGradients(named(gradients)));
        steps(optimizer, 2, 4);
        expect(read()).toEqual(want);
        expect(optimizer.nonFiniteSteps).toBe(1);
        expect(optimizer.iterations).toBe(4);
        expect((await optimizer.saveState()).nonFiniteSteps).toBe(1);
        disposeAll(gradients);
        optimizer.dispose();
        clean.dispose();
      });

      test('huge finite ones are taken', () => {
        const optimizer = make();
        const huge = gradientsAt(0);
        const scaled = huge.map((g) => mul(g, 1e18));
        optimizer.applyGradients(named(scaled));
        for (const values of read()) expect(values.every(Number.isFinite)).toBe(true);
        disposeAll([...huge, ...scaled]);
        optimizer.dispose();
      });

      test('leak nothing from minimize', async () => {
        const optimizer = make();
        const [first] = variables as [Variable];
        await assertNoLeaks(() => {
          const loss = () => tidy(() => mul(sum(first), Number.NaN)) as Scalar;
          expect(() => optimizer.minimize(loss, true, [first])).toThrow(NonFiniteError);
        });
        optimizer.dispose();
      });
    });

    test('refuses wrong gradients, with nothing changed', () => {
      const optimizer = make();
      const start = read();
      const right = zerosLike(variables[0]!);
      const wrong = zeros([7, 5]);
      const integer = zeros([5, 7], 'int32');
      const gone = zeros([5, 7]);
      gone.dispose();
      const first = variables[0]!.name;
      const apply = (...list: [string, Tensor][]) =>
        optimizer.applyGradients(list.map(([key, x]) => ({ name: key, tensor: x })));
      expect(() => apply([first, wrong])).toThrow(/shape \[5,7\], got shape \[7,5\]/);
      expect(() => apply([first, integer])).toThrow(/float32/);
      expect(() => apply([first, gone])).toThrow(/disposed/);
      expect(() => apply(['stranger', right])).toThrow(/name variables, .* got "stranger"/);
      expect(() => apply(['constructor', right])).toThrow(/name variables/);
      expect(() => apply([first, right], [first, right])).toThrow(/once/);
      expect(() => optimizer.applyGradients(null as never)).toThrow(TypeError);
      expect(read()).toEqual(start);
      expect(optimizer.iterations).toBe(0);
      disposeAll([right, wrong, integer]);
      optimizer.dispose();
    });

    test('refuses variables of integers, with nothing changed', () => {
      const optimizer = make();
      const start = read();
      const integers = tidy(() => variable(zeros([5, 7], 'int32')));
      const list = [variables[0]!, integers].map((x) => ({ name: x.name, tensor: ones([5, 7]) }));
      expect(() => optimizer.applyGradients(list)).toThrow(/must have dtype float32.*got int32/);
      expect(read()).toEqual(start);
      disposeAll([...list.map(({ tensor }) => tensor), integers]);
      optimizer.dispose();
    });

    test('gives no empty state after dispose', async () => {
      const optimizer = make();
      optimizer.dispose();
      await expect(optimizer.saveState()).rejects.toThrow(/after dispose/);
      await expect(optimizer.getWeights()).rejects.toThrow(/after dispose/);
    });

    test('leaves no tensors behind over 100 steps, and none after dispose', async () => {
      const before = memory().numTensors;
      const optimizer = make({ clipNorm: 1, missingGradient: 'zero' });
      steps(optimizer, 0, 2);
      await assertNoLeaks(() => steps(optimizer, 2, 102));
      await optimizer.getWeights();
      await assertNoLeaks(() => optimizer.getWeights());
      optimizer.dispose();
      optimizer.dispose();
      expect(memory().numTensors).toBe(before);
      expect(() => steps(optimizer, 0, 1)).toThrow(/dispose/);
    });

    test('trains, saves and loads with tf.layers', async () => {
      const random = seededRandom(7);
      const x = random.normalTensor([40, 6]);
      const y = random.normalTensor([40, 5]);
      const build = () => {
        const model = layers.sequential();
        model.add(layers.layers.dense({ units: 8, activation: 'tanh', inputShape: [6] }));
        model.add(layers.layers.dense({ units: 8, activation: 'tanh' }));
        model.add(layers.layers.dense({ units: 5 }));
        return model;
      };
      const model = build();
      const groups = [{ match: /no_such_name/, optimizer: 'frozen' }];
      const optimizer = make({ learningRate: linear({ from: 0.02, steps: 100 }), groups });
      model.compile({ optimizer, loss: 'meanSquaredError' });
      const fit = { epochs: 2, batchSize: 20, shuffle: false, verbose: 0 as const };
      const { history } = await model.fit(x, y, fit);
      expect(history.loss![1]).toBeLessThan(history.loss![0] as number);

      let artifacts: io.ModelArtifacts | undefined;
      const save = async () => {
        await model.save(
          io.withSaveHandler(async (saved) => {
            artifacts = JSON.parse(JSON.stringify({ ...saved, weightData: undefined }));
            artifacts!.weightData = saved.weightData!;
            return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
          }),
          { includeOptimizer: true },
        );
      };
      await save();
      // tfjs renames the variables of a model loaded beside the first, so the state is found by order.
      const loaded = await layers.loadLayersModel(io.fromMemory(artifacts!));
      expect(loaded.optimizer.getClassName()).toBe(entry.className);
      expect(loaded.optimizer.iterations).toBe(4);
      const [a, b] = [await model.fit(x, y, fit), await loaded.fit(x, y, fit)];
      expect(b.history.loss).toEqual(a.history.loss);
      expect(optimizer.iterations).toBe(8);
      optimizer.dispose();
      loaded.optimizer.dispose();
      model.dispose();
      loaded.dispose();
      disposeAll([x, y]);
    });
  });

  function decayOf(optimizer: OrthOptimizer<StepOptions>, v: Variable) {
    const how = optimizer.describeGroups([v])[0]!.optimizer;
    // `weightDecay` is the optimizer's own; an auxiliary AdamW decays by an option of its own, 0 by default.
    return { decays: entry.className === 'OrthAdamW' || how !== 'adamW' };
  }
}
