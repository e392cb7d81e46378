import {
  HostNavierStokes2D,
  mcwilliamsVorticity,
  refine,
  residual,
  SFNO,
  STFNO,
  STFNOTrainer,
  spectralConv,
  spectralOutput,
  widenModes,
} from '@orth/operators';
import { expectTensorClose } from '@orth/testing';
import {
  memory,
  mul,
  reshape,
  slice,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { gaussian, toTensor } from './reference.js';

const random = (seed: number, shape: number[]) =>
  toTensor(
    gaussian(
      seed,
      shape.reduce((p, n) => p * n, 1),
    ),
    shape,
  );

const SMALL = { modes: [2, 2, 2], width: 4, layers: 2, latentSteps: 4, expansion: 2 } as const;

describe('spectralConv', () => {
  it('multiplies a pure wave by its weight, and drops what is not kept', () => {
    tidy(() => {
      const [n, t] = [8, 4];
      const wave = (kx: number, ky: number, kt: number) =>
        toTensor(
          Float64Array.from({ length: n * n * t }, (_, i) =>
            Math.cos(
              2 *
                Math.PI *
                ((kx * Math.floor(i / (n * t))) / n +
                  (ky * (Math.floor(i / t) % n)) / n +
                  (kt * (i % t)) / t),
            ),
          ),
          [1, 1, n, n, t],
        );
      // [2, m_t, 2m_y, 2m_x, 1, 1] with 2.5 at (k_x, k_y, k_t) = (−1, 1, 1): the last of x, the second of y and t.
      const values = new Float32Array(2 * 2 * 4 * 4);
      values[1 * 16 + 1 * 4 + 3] = 2.5;
      const weight = tensor(values, [2, 2, 4, 4, 1, 1]);
      const v = wave(-1, 1, 1);
      expectTensorClose(spectralConv(v, weight), mul(v, 2.5), { atol: 1e-5 });
      const other = spectralConv(wave(1, 1, 1), weight);
      expectTensorClose(other, zeros(other.shape), { atol: 1e-5 });
    });
  });

  it('refuses bad arguments', () => {
    tidy(() => {
      const v = zeros([1, 2, 8, 8, 4]);
      const weight = (...shape: number[]) => zeros([2, ...shape]);
      expect(() => spectralConv(v, weight(2, 4, 4, 3, 1))).toThrow('weight must have shape');
      expect(() => spectralConv(v, weight(2, 3, 4, 1, 2))).toThrow('even axes');
      expect(() => spectralConv(v, weight(2, 4, 10, 1, 2))).toThrow('at most 4 along x');
      expect(() => spectralConv(v, weight(4, 4, 4, 1, 2))).toThrow('at most 3 along t');
    });
  });
});

describe('STFNO', () => {
  it('takes and gives any length, on any grid with its modes; SFNO is its alias', () => {
    const before = memory().numTensors;
    expect(SFNO).toBe(STFNO);
    const model = new STFNO(SMALL);
    tidy(() => {
      for (const [n, t, outSteps] of [
        [4, 4, 1],
        [5, 6, 9],
        [8, 4, 4],
      ] as const) {
        expect(model.predict(random(1, [2, t, n, n]), { outSteps }).shape).toEqual([
          2,
          outSteps,
          n,
          n,
        ]);
      }
      expect(model.latent(random(1, [1, 7, 6, 6])).shape).toEqual([1, 4, 6, 6]);
      const x = random(2, [2, 5, 4, 4]);
      const alone = model.predict(slice(x, [1, 0, 0, 0], [1, 5, 4, 4]));
      expectTensorClose(slice(model.predict(x), [1, 0, 0, 0], [1, 5, 4, 4]), alone, {
        rtol: 1e-4,
        atol: 1e-5,
      });
    });
    model.dispose();
    model.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it('the output layer as a function is the last step of predict, and may be widened', () => {
    const model = new STFNO(SMALL);
    tidy(() => {
      const x = random(3, [2, 5, 6, 6]);
      const layer = {
        weight: model.weights.get('output/weight')! as Tensor,
        bias: random(4, model.weights.get('output/bias')!.shape),
      };
      model.setWeights({ 'output/bias': layer.bias });
      const last = reshape(slice(x, [0, 4, 0, 0], [2, 1, 6, 6]), [2, 6, 6]);
      const want = model.predict(x, { outSteps: 3 });
      const run = (own: typeof layer) =>
        spectralOutput(model.latent(x), last, { ...own, outSteps: 3 });
      expectTensorClose(run(layer), want, { atol: 1e-6 });
      expectTensorClose(run(widenModes(layer, [3, 3, 5])), want, { atol: 1e-6 });
      expect(() => widenModes(layer, [1, 3, 5])).toThrow('widenModes: modes must be');
    });
    model.dispose();
  });

  it('velocities are predicted without divergence', () => {
    const model = new STFNO({ ...SMALL, channels: 2 });
    tidy(() => {
      const n = 8;
      // Still fluid: what is added is all there is, and has no divergence.
      const x = zeros([1, 4, 2, n, n]);
      model.setWeights({ 'output/bias': random(5, model.weights.get('output/bias')!.shape) });
      const out = model.predict(x, { outSteps: 2 });
      expect(out.shape).toEqual([1, 2, 2, n, n]);
      const values = out.dataSync();
      const at = (c: number, i: number, j: number) =>
        values[(c * n + ((i + n) % n)) * n + ((j + n) % n)]!;
      // Spectral derivative at the grid points by the periodic sinc weights.
      const weight = (m: number) =>
        m % n === 0 ? 0 : (0.5 * (-1) ** m) / Math.tan((Math.PI * m) / n);
      let [divergence, size] = [0, 0];
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let m = 1; m < n; m++) sum += weight(m) * (at(0, i - m, j) + at(1, i, j - m));
          divergence = Math.max(divergence, Math.abs(sum));
          size = Math.max(size, Math.abs(at(0, i, j)));
        }
      }
      expect(size).toBeGreaterThan(1e-4);
      expect(divergence / size).toBeLessThan(1e-4);
    });
    model.dispose();
  });

  it('is restored bit for bit, and refuses what is not its state', async () => {
    const model = new STFNO({ ...SMALL, seed: 3, activation: 'relu' });
    const json = JSON.parse(JSON.stringify(await model.saveState()));
    const copy = STFNO.fromState(json);
    expect(copy.config).toEqual(model.config);
    const x = random(6, [1, 4, 4, 4]);
    const [a, b] = [model.predict(x), copy.predict(x)];
    expect(await b.data()).toEqual(await a.data());
    const other = new STFNO({ ...SMALL, seed: 4 });
    const kept = await other.saveState();
    for (const [damaged, message] of [
      [{ ...json, version: 2 }, 'not a saved STFNO'],
      [{ ...json, weights: { ...json.weights, 'output/bias': undefined } }, 'is missing'],
      [
        { ...json, weights: { ...json.weights, 'output/bias': { shape: [1], data: '' } } },
        'must have shape',
      ],
      [
        {
          ...json,
          weights: {
            ...json.weights,
            'output/bias': { ...json.weights['output/bias'], data: 'AAAA' },
          },
        },
        'must hold',
      ],
    ] as const) {
      expect(() => other.loadState(damaged)).toThrow(message);
    }
    expect(await other.saveState()).toEqual(kept);
    for (const m of [model, copy, other]) m.dispose();
    for (const t of [x, a, b]) t.dispose();
  });

  it('refuses bad options and inputs', () => {
    expect(() => new STFNO({ ...SMALL, width: 5 })).toThrow('width must be even, got 5');
    expect(() => new STFNO({ ...SMALL, modes: [2, 2, 4] })).toThrow('at most 3 frequencies');
    expect(() => new STFNO({ ...SMALL, channels: 3 as 2 })).toThrow('channels');
    expect(() => new STFNO({ ...SMALL, depth: 1 } as typeof SMALL)).toThrow('unknown option');
    const model = new STFNO(SMALL);
    tidy(() => {
      expect(() => model.predict(zeros([1, 3, 4, 4]))).toThrow('at least 4 frames, got 3');
      expect(() => model.predict(zeros([1, 4, 4, 5]))).toThrow('square grid');
      expect(() => model.predict(zeros([1, 4, 3, 3]))).toThrow('at most 1 along x');
      expect(() => model.predict(zeros([4, 4, 4]))).toThrow('shape');
      expect(() => model.setWeights({ nothing: zeros([1]) })).toThrow('no parameter nothing');
      expect(() => model.setWeights({ 'reduction/bias': zeros([2]) })).toThrow('shape [1]');
    });
    model.dispose();
  });
});

describe('STFNOTrainer', () => {
  const data = () => ({ inputs: random(7, [5, 4, 4, 4]), targets: random(8, [5, 3, 4, 4]) });

  it('lowers the loss; stopped, saved and continued it is the training without a stop', async () => {
    const before = memory().numTensors;
    const { inputs, targets } = data();
    const options = { inputs, targets, epochs: 6, batchSize: 2, learningRate: 2e-2 };
    const whole = new STFNO(SMALL);
    const trainer = new STFNOTrainer(whole, options);
    const losses: number[] = [];
    const last = await trainer.run({ onStep: ({ loss }) => losses.push(loss) });
    expect(last).toMatchObject({ step: 18, totalSteps: 18, epoch: 5 });
    const mean = (list: number[]) => list.reduce((s, x) => s + x, 0) / list.length;
    expect(mean(losses.slice(-3))).toBeLessThan(0.95 * mean(losses.slice(0, 3)));

    const first = new STFNO({ ...SMALL, seed: 9 });
    first.loadState(await whole.saveState());
    const start = new STFNO(SMALL);
    const early = new STFNOTrainer(start, options);
    const stop = new AbortController();
    await early.run({ signal: stop.signal, onStep: ({ step }) => step === 7 && stop.abort() });
    const state = JSON.parse(JSON.stringify(await early.saveState()));
    const resumed = new STFNO({ ...SMALL, seed: 5 });
    const late = new STFNOTrainer(resumed, options);
    late.loadState(state);
    await late.run();
    expect((await resumed.saveState()).weights).toEqual((await whole.saveState()).weights);
    expect(() => late.loadState({ ...state, step: 19 })).toThrow('not a training of this length');
    expect(await late.run()).toBeUndefined();
    for (const x of [whole, first, start, resumed, trainer, early, late]) x.dispose();
    for (const x of [inputs, targets]) x.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it('takes other norms, leaves weights alone where the loss is not finite, refuses bad data', async () => {
    const { inputs, targets } = data();
    const model = new STFNO(SMALL);
    const weak = new STFNOTrainer(model, { inputs, targets, order: -1, epochs: 1 });
    expect((await weak.run())?.loss).toBeGreaterThan(0);
    const kept = await model.saveState();
    const bad = mul(inputs, Number.NaN);
    const broken = new STFNOTrainer(model, { inputs: bad, targets });
    await expect(broken.run()).rejects.toThrow('the loss of step 1 is NaN');
    expect(await model.saveState()).toEqual(kept);
    expect(() => new STFNOTrainer(model, { inputs, targets: inputs.clone(), order: NaN })).toThrow(
      'order',
    );
    expect(() => new STFNOTrainer(model, { inputs, targets: zeros([4, 3, 4, 4]) })).toThrow(
      'targets must have shape',
    );
    for (const x of [model, weak, broken, bad, inputs, targets]) x.dispose();
  });
});

describe('refine', () => {
  const n = 8;
  const dt = 0.1;
  const physics = { dt, viscosity: 0.02 };

  function flow(): { input: Tensor; truth: Tensor } {
    const solver = new HostNavierStokes2D({ n, viscosity: physics.viscosity });
    const all = [1, 2].flatMap((seed) => {
      const w0 = mcwilliamsVorticity({ n, peakWavenumber: 2, seed });
      return [...solver.solve(w0, { dt: dt / 5, steps: 50, saveEvery: 5 }).w];
    });
    return tidy(() => {
      const frames = toTensor(all, [2, 10, n, n]);
      return {
        input: slice(frames, [0, 0, 0, 0], [2, 5, n, n]),
        truth: slice(frames, [0, 5, 0, 0], [2, 5, n, n]),
      };
    });
  }

  it.each(['none', 'picard'] as const)(
    "linearize: '%s': η and the true error fall, no truth used, nothing leaks",
    async (linearize) => {
      const model = new STFNO({ ...SMALL, delta: 1 });
      const { input, truth } = flow();
      const before = memory().numTensors;
      const steps: number[] = [];
      const refined = await refine(model, input, {
        ...physics,
        linearize,
        iterations: 60,
        biasLearningRate: 5,
        onStep: ({ step }) => steps.push(step),
      });
      expect(memory().numTensors).toBe(before + 1);
      expect(steps.at(-1)).toBe(refined.iterations);
      expect(refined.history.length).toBe(refined.iterations + 1);
      const error = (x: Tensor) =>
        tidy(() => {
          const [p, t] = [x, truth].map((y) => Array.from(y.dataSync())) as [number[], number[]];
          return Math.sqrt(p.reduce((s, v, i) => s + (v - t[i]!) ** 2, 0));
        });
      const first = tidy(() => error(model.predict(input)));
      expect(error(refined.prediction)).toBeLessThan(0.4 * first);
      tidy(() => {
        const own = residual(refined.prediction, { window: input, ...physics }).eta;
        expectTensorClose(own, refined.eta, { rtol: 1e-3 });
      });
      refined.eta.forEach((eta, i) => {
        expect(eta).toBeLessThan(0.4 * refined.eta0[i]!);
        expect(refined.history[0]![i]! / refined.eta0[i]!).toBeCloseTo(1, 3);
      });
      refined.dispose();
      model.dispose();
      for (const x of [input, truth]) x.dispose();
    },
  );

  it('never gets worse; ends by tolerance, stall or signal; a batch is its parts', async () => {
    const model = new STFNO({ ...SMALL, delta: 1 });
    const { input, truth } = flow();
    const wild = await refine(model, input, {
      ...physics,
      biasLearningRate: 1e5,
      iterations: 8,
      patience: 3,
    });
    wild.eta.forEach((eta, i) => {
      expect(eta).toBeLessThanOrEqual(wild.eta0[i]! * (1 + 1e-5));
    });
    expect(wild.stopped).toBe('stalled');
    const easy = await refine(model, input, { ...physics, tolerance: 1e6 });
    expect([easy.stopped, easy.iterations]).toEqual(['tolerance', 0]);
    const stop = new AbortController();
    const cut = await refine(model, input, {
      ...physics,
      signal: stop.signal,
      onStep: ({ step }) => step === 2 && stop.abort(),
    });
    expect(cut.stopped).toBe('aborted');
    const both = await refine(model, input, { ...physics, iterations: 5, biasLearningRate: 5 });
    const second = tidy(() => slice(input, [1, 0, 0, 0], [1, 5, n, n]));
    const one = await refine(model, second, { ...physics, iterations: 5, biasLearningRate: 5 });
    expect(one.eta[0]! / both.eta[1]!).toBeCloseTo(1, 3);
    for (const x of [wild, easy, cut, both, one, model, second, input, truth]) x.dispose();
  });

  it('refuses bad arguments before anything is made', async () => {
    const model = new STFNO(SMALL);
    const x = random(1, [1, 5, n, n]);
    const before = memory().numTensors;
    const cases: [object, string][] = [
      [{ ...physics, dt: 0 }, 'dt must be'],
      [{ ...physics, modes: [5, 4, 2] }, 'at most 4 along x'],
      [{ ...physics, modes: [1, 4, 2] }, 'modes must be'],
      [{ ...physics, outSteps: 1 }, 'at least 2 frames'],
      [{ ...physics, linearize: 'newton' }, 'linearize'],
      [{ ...physics, steps: 1 }, 'unknown option'],
      [{ ...physics, viscosity: -1 }, 'viscosity'],
    ];
    for (const [options, message] of cases) {
      await expect(refine(model, x, options as typeof physics)).rejects.toThrow(message);
    }
    expect(memory().numTensors).toBe(before);
    model.dispose();
    x.dispose();
  });
});
