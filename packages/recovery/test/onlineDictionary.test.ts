import { CheckpointError, measureLeaks } from '@orth/backend';
import {
  atomError,
  bernoulliGaussian,
  bernoulliGaussianStream,
  dictionaryError,
  dictionaryGradient,
  mspDictionary,
  mspStep,
  type OnlineDictionaryOptions,
  type OnlineDictionaryState,
  OnlineOrthogonalDictionary,
  randomOrthogonal,
} from '@orth/recovery';
import { expectTensorClose, maxError } from '@orth/testing';
import {
  matMul,
  memory,
  neg,
  type Tensor,
  type Tensor2D,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { spectralNorm } from '../src/partialIsometry.js';

const host = (x: Tensor2D) => ({ shape: x.shape, data: Float64Array.from(x.dataSync()) });

/** A learner after `batches` batches of a stream. */
function learn(D0: Tensor2D, batches: number, options: OnlineDictionaryOptions = {}, seed = 1) {
  const learner = new OnlineOrthogonalDictionary(D0.shape[0], options);
  for (const Y of bernoulliGaussianStream(D0, { batches, seed })) learner.update(Y);
  return learner;
}

describe('OnlineOrthogonalDictionary', () => {
  it.each(['newtonSchulz', 'exact'] as const)('recovers the dictionary: %s', async (polar) => {
    const D0 = randomOrthogonal(12, { seed: 7 });
    const learner = new OnlineOrthogonalDictionary(12, { polar });
    const errors: number[] = [];
    let t = 0;
    for (const Y of bernoulliGaussianStream(D0, { batches: 400, seed: 2 })) {
      learner.update(Y);
      if (++t === 20 || t === 150 || t === 400) {
        const D = learner.dictionary();
        errors.push(await dictionaryError(D, D0));
        D.dispose();
      }
    }
    expect(errors[1]).toBeLessThan(errors[0]!);
    expect(errors[2]).toBeLessThan(0.01);
    learner.dispose();
    D0.dispose();
  });

  it('stays in the ball, with a gap >= 0', () => {
    const D0 = randomOrthogonal(6, { seed: 1 });
    const learner = new OnlineOrthogonalDictionary(6, { polar: 'exact' });
    for (const Y of bernoulliGaussianStream(D0, { batches: 30, batch: 2 })) {
      const { gap, rho, gamma } = learner.update(Y);
      expect(gap).toBeGreaterThanOrEqual(-1e-5);
      expect(rho).toBeLessThanOrEqual(1);
      expect(gamma).toBeLessThanOrEqual(1);
      const D = learner.dictionary({ project: false });
      expect(spectralNorm(host(D))).toBeLessThanOrEqual(1 + 1e-5);
      D.dispose();
    }
    learner.dispose();
    D0.dispose();
  });

  it('with steps and weights of 1 on one batch is matching, stretching, projection', async () => {
    const D0 = randomOrthogonal(5, { seed: 4 });
    const Y = bernoulliGaussian(D0, { batch: 80 });
    const init = randomOrthogonal(5, { seed: 9 });
    const learner = new OnlineOrthogonalDictionary(5, { p: 4, rho: () => 1, gamma: () => 1, init });
    const objectives = Array.from({ length: 8 }, () => learner.update(Y).objective);
    const batch = await mspDictionary(Y, { p: 4, iterations: 8, tolerance: 0, init });
    const D = learner.dictionary();
    expectTensorClose(D, batch.D, { atol: 1e-4 });
    objectives.slice(1).forEach((x, i) => {
      expect(x).toBeLessThanOrEqual(objectives[i]! + 1e-4);
    });
    batch.objectives.forEach((x, i) => {
      expect(-x / 80).toBeCloseTo(objectives[i]!, 3);
    });
    for (const x of [D0, Y, init, D, batch.D]) x.dispose();
    learner.dispose();
  });

  it('turns with the data', () => {
    const D0 = randomOrthogonal(6, { seed: 4 });
    const [init, Q] = [randomOrthogonal(6, { seed: 1 }), randomOrthogonal(6, { seed: 2 })];
    const turnedInit = matMul(Q, init);
    const plain = new OnlineOrthogonalDictionary(6, { init });
    const turned = new OnlineOrthogonalDictionary(6, { init: turnedInit });
    for (const Y of bernoulliGaussianStream(D0, { batches: 20, batch: 20 })) {
      plain.update(Y);
      const QY = matMul(Q, Y);
      turned.update(QY);
      QY.dispose();
    }
    const [a, b] = [plain.dictionary({ project: false }), turned.dictionary({ project: false })];
    const Qa = matMul(Q, a);
    expectTensorClose(b, Qa, { atol: 1e-4 });
    for (const x of [D0, init, Q, turnedInit, a, b, Qa]) x.dispose();
    plain.dispose();
    turned.dispose();
  });

  it('N = 1 keeps |D| = 1', () => {
    const learner = new OnlineOrthogonalDictionary(1);
    for (const y of [0.3, -2, 5]) learner.update([[y, 1]]);
    const D = learner.dictionary();
    expect(Math.abs(D.dataSync()[0]!)).toBeCloseTo(1, 5);
    D.dispose();
    learner.dispose();
  });

  it('a saved and restored learner goes on bit for bit', async () => {
    const D0 = randomOrthogonal(8, { seed: 1 });
    for (const polar of ['newtonSchulz', 'exact'] as const) {
      const unbroken = learn(D0, 30, { polar, p: 4 });
      const state = JSON.parse(JSON.stringify(await unbroken.state())) as OnlineDictionaryState;
      const restored = OnlineOrthogonalDictionary.restore(state);
      expect([restored.step, restored.samples]).toEqual([30, 300]);
      for (const Y of bernoulliGaussianStream(D0, { batches: 20, seed: 5 })) {
        expect(restored.update(Y)).toEqual(unbroken.update(Y));
      }
      const [a, b] = [await unbroken.state(), await restored.state()];
      expect(b).toEqual(a);
      unbroken.dispose();
      restored.dispose();
    }
    D0.dispose();
  });

  it('refuses damaged and foreign states, and missing functions', async () => {
    const learner = new OnlineOrthogonalDictionary(3, { rho: () => 0.5 });
    const state = await learner.state();
    const restore = (change: object, options = { rho: () => 0.5 }) =>
      OnlineOrthogonalDictionary.restore({ ...state, ...change } as never, options);
    const before = memory().numTensors;
    expect(() => restore({ format: 'orth/muon' })).toThrow(CheckpointError);
    expect(() => restore({ version: 2 })).toThrow(/version 1, got 2/);
    expect(() => restore({ dictionary: [1, 2] })).toThrow(/9 numbers of dictionary/);
    expect(() => restore({ gradient: state.gradient.map(() => null) })).toThrow(/finite/);
    expect(() => restore({ step: 4 })).toThrow(/checksum/);
    expect(() => OnlineOrthogonalDictionary.restore(null as never)).toThrow(CheckpointError);
    expect(() => OnlineOrthogonalDictionary.restore(state)).toThrow(
      /function that was used as rho/,
    );
    expect(() => restore({}, { rho: () => 0.5, gamma: () => 1 } as never)).toThrow(/gamma/);
    expect(memory().numTensors).toBe(before);
    restore({}).dispose();
    learner.dispose();
  });

  it('refuses a bad batch and stays as it was', async () => {
    const D0 = randomOrthogonal(4, { seed: 1 });
    const learner = learn(D0, 5);
    const before = await learner.state();
    const nan = tensor2d([1, 2, Number.NaN, 4], [4, 1]);
    const count = memory().numTensors;
    expect(() => learner.update(nan)).toThrow(/update: Y must be finite, got NaN at index 2/);
    expect(() => learner.update([[1], [Infinity], [0], [0]])).toThrow(/finite, got Infinity/);
    expect(() => learner.update([[1], [2]])).toThrow(/must have shape \[4,\*\], got shape \[2,1\]/);
    expect(() => learner.update([[1e30], [1], [1], [1]])).toThrow(/must not overflow/);
    expect(() => learner.update([1, 2] as never)).toThrow(TypeError);
    await expect(learner.updateAsync(nan)).rejects.toThrow(/updateAsync: Y must be finite/);
    await expect(learner.fit([nan])).rejects.toThrow(/finite/);
    expect(memory().numTensors).toBe(count);
    expect(await learner.state()).toEqual(before);
    nan.dispose();
    learner.dispose();
    D0.dispose();
    expect(() => learner.update([[1], [1], [1], [1]])).toThrow(/disposed/);
  });

  it('skips and counts bad batches when asked to, and steps whose gradient is zero', async () => {
    const learner = new OnlineOrthogonalDictionary(2, { onNonFinite: 'skip', polar: 'exact' });
    const [first] = [await learner.state()];
    const reports: string[] = [];
    const batches = [
      [[Number.NaN], [1]],
      [[0], [0]],
      [[1], [2]],
    ];
    await learner.fit(batches, { onStep: ({ skipped }) => reports.push(skipped ?? '-') });
    expect(reports).toEqual(['nonFinite', 'zeroGradient', '-']);
    expect([learner.nonFiniteBatches, learner.step]).toEqual([1, 2]);
    expect((await learner.state()).dictionary).not.toEqual(first.dictionary);
    learner.dispose();
  });

  it('fit takes asynchronous streams, in order, until told to stop', async () => {
    const D0 = randomOrthogonal(4, { seed: 1 });
    async function* stream(batches: number) {
      for (const Y of bernoulliGaussianStream(D0, { batches, seed: 1 })) {
        await Promise.resolve();
        yield Y;
      }
    }
    const [a, b] = [learn(D0, 12), new OnlineOrthogonalDictionary(4)];
    const last = await b.fit(stream(12));
    expect(last?.step).toBe(12);
    expect(await b.state()).toEqual(await a.state());
    const controller = new AbortController();
    const onStep = ({ step }: { step: number }) => {
      if (step === 15) controller.abort();
    };
    await b.fit(stream(100), { onStep, signal: controller.signal });
    expect(b.step).toBe(15);
    expect(await b.fit([])).toBeUndefined();
    const owned = bernoulliGaussian(D0);
    await b.fit([owned], { disposeBatches: true });
    expect(owned.isDisposed).toBe(true);
    // Calls that are not waited for take effect in order.
    const reports = await Promise.all([1, 2, 3].map((x) => b.updateAsync([[x], [1], [0], [0]])));
    expect(reports.map(({ step }) => step)).toEqual([17, 18, 19]);
    for (const learner of [a, b]) learner.dispose();
    D0.dispose();
  });

  it('needs the same memory however long the stream', async () => {
    const D0 = randomOrthogonal(3, { seed: 1 });
    const learner = learn(D0, 1);
    const { tensors, bytes } = await measureLeaks(() => {
      for (const Y of bernoulliGaussianStream(D0, { batches: 500, batch: 1 })) learner.update(Y);
      tidy(() => {
        learner.update([[1], [2], [3]]);
      });
    });
    expect([tensors, bytes]).toEqual([0, 0]);
    learner.update([[1], [2], [3]]);
    learner.dispose();
    learner.dispose();
    D0.dispose();
  });

  it('takes polar factors from a function', () => {
    const learner = new OnlineOrthogonalDictionary(2, {
      polar: (G) => tensor2d([1, 0, 0, 1], G.shape),
      gamma: () => 1,
    });
    learner.update([[1], [2]]);
    const D = learner.dictionary({ project: false });
    expect(Array.from(D.dataSync())).toEqual([-1, -0, -0, -1]);
    D.dispose();
    learner.dispose();
  });

  it('refuses wrong options', () => {
    const make = (options: object, n = 3) => new OnlineOrthogonalDictionary(n, options as never);
    const before = memory().numTensors;
    for (const p of [2, 1, Number.NaN, Infinity, '3'])
      expect(() => make({ p })).toThrow(/p must be/);
    expect(() =>
      make({
        init: [
          [2, 0, 0],
          [0, 1, 0],
          [0, 0, 1],
        ],
      }),
    ).toThrow(/spectral norm <= 1, got 2/);
    expect(() =>
      make({
        init: [
          [1, 0],
          [0, 1],
        ],
      }),
    ).toThrow(/init must have shape \[3,3\]/);
    expect(() => make({ rho: 0.5 })).toThrow(/rho must be a function/);
    expect(() => make({ steps: 3 })).toThrow(/unknown option "steps"/);
    expect(() => make({ polar: 'svd' })).toThrow(/polar must be one of/);
    expect(() => make({}, 0)).toThrow(/n must be an integer >= 1/);
    const learner = make({ gamma: () => 1.5 });
    expect(() => learner.update([[1], [1], [1]])).toThrow(/gamma\(1\) must be .* <= 1, got 1.5/);
    expect(learner.step).toBe(0);
    learner.dispose();
    expect(memory().numTensors).toBe(before);
  });
});

describe('codes', () => {
  const D0 = () => randomOrthogonal(6, { seed: 3 });

  it('top-k keeps k entries, thresholds keep or shrink, all of them give the sample back', () => {
    const before = memory().numTensors;
    const init = D0();
    const learner = new OnlineOrthogonalDictionary(6, { init });
    const Y = bernoulliGaussian(init, { batch: 9, theta: 0.9 });
    const all = learner.encode(Y);
    const back = learner.decode(all);
    expect(maxError(back, Y)).toBeLessThan(1e-4);
    const codes = Array.from(all.dataSync());
    const top = learner.encode(Y, { k: 2 });
    const kept = Array.from(top.dataSync());
    for (let j = 0; j < 9; j++) {
      const column = (values: number[]) => values.filter((_, i) => i % 9 === j);
      const sizes = column(codes)
        .map(Math.abs)
        .sort((x, y) => y - x);
      expect(column(kept).filter((x) => x !== 0).length).toBe(2);
      expect(
        Math.min(
          ...column(kept)
            .filter((x) => x !== 0)
            .map(Math.abs),
        ),
      ).toBeCloseTo(sizes[1]!, 5);
    }
    const hard = learner.encode(Y, { threshold: 0.5 });
    const soft = learner.encode(Y, { threshold: 0.5, mode: 'soft' });
    const sizes = codes.map((z) => (Math.abs(z) >= 0.5 ? z : 0));
    expectTensorClose(hard, sizes, { atol: 1e-5 });
    expectTensorClose(
      soft,
      sizes.map((z) => z - 0.5 * Math.sign(z)),
      { atol: 1e-5 },
    );
    expect(() => learner.encode(Y, { k: 7 })).toThrow(/k must be an integer >= 1 and <= 6/);
    expect(() => learner.encode(Y, { k: 1, threshold: 1 })).toThrow(/threshold must be absent/);
    expect(() => learner.encode(Y, { mode: 'soft' })).toThrow(/mode must be absent/);
    expect(() => learner.encode(Y, { threshold: -1 })).toThrow(/threshold must be/);
    for (const x of [init, Y, all, back, top, hard, soft]) x.dispose();
    learner.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it('the gradient is that of the objective', () => {
    const D = D0();
    const Y = bernoulliGaussian(D, { batch: 7, seed: 8 });
    const y = host(Y).data;
    for (const p of [2.5, 3, 4]) {
      const F = (d: Float64Array) => {
        let total = 0;
        for (let a = 0; a < 6; a++) {
          for (let b = 0; b < 7; b++) {
            let z = 0;
            for (let i = 0; i < 6; i++) z += d[i * 6 + a]! * y[i * 7 + b]!;
            total -= Math.abs(z) ** p / 7;
          }
        }
        return total;
      };
      const d = host(D).data;
      const want = d.map((_, e) => {
        const shifted = (h: number) => F(d.map((x, i) => (i === e ? x + h : x)));
        return (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
      });
      const { gradient, objective } = dictionaryGradient(D, Y, p);
      expectTensorClose(gradient, want, { rtol: 1e-4, atol: 1e-4 });
      expectTensorClose(objective, [F(d)], { rtol: 1e-5 });
      gradient.dispose();
      objective.dispose();
    }
    expect(() => dictionaryGradient(D, tensor2d([[1]]), 3)).toThrow(/Y must have shape \[6,\*\]/);
    expect(() => dictionaryGradient(D, Y, 2)).toThrow(/p must be/);
  });
});

describe('errors of dictionaries', () => {
  it('are 0 for signed permutations and do not see order or sign', async () => {
    const D0 = randomOrthogonal(5, { seed: 2 });
    const swap = tensor2d(
      [0, 1, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0],
      [5, 5],
    );
    const moved = matMul(D0, swap);
    const other = randomOrthogonal(5, { seed: 6 });
    const otherMoved = matMul(other, swap);
    for (const error of [dictionaryError, atomError]) {
      expect(Math.abs(await error(moved, D0))).toBeLessThan(1e-6);
      expect(await error(otherMoved, D0)).toBeCloseTo(await error(other, D0), 5);
      const far = await error(other, D0);
      expect(far).toBeGreaterThan(0.05);
      expect(far).toBeLessThan(1);
    }
    await expect(dictionaryError([[1]], D0)).rejects.toThrow(/one shape, got shapes \[1,1\]/);
    await expect(atomError([[0]], [[1]])).rejects.toThrow(/zero column/);
    await expect(dictionaryError([[1]], [[1]], { p: 2 })).rejects.toThrow(/p must be/);
    for (const x of [D0, swap, moved, other, otherMoved]) x.dispose();
  });

  it('stay those of a random matrix where codes are Gaussian', async () => {
    const D0 = randomOrthogonal(6, { seed: 2 });
    const learner = new OnlineOrthogonalDictionary(6);
    await learner.fit(bernoulliGaussianStream(D0, { theta: 1, batches: 200 }));
    const D = learner.dictionary();
    expect(await dictionaryError(D, D0)).toBeGreaterThan(0.2);
    for (const x of [D, D0]) x.dispose();
    learner.dispose();
  });
});

describe('mspDictionary', () => {
  it('recovers the dictionary and says when it stopped rising', async () => {
    const D0 = randomOrthogonal(10, { seed: 2 });
    const Y = bernoulliGaussian(D0, { batch: 3000 });
    const { tensors } = await measureLeaks(async () => {
      const { D, converged, objectives, iterations } = await mspDictionary(Y);
      expect(await dictionaryError(D, D0)).toBeLessThan(0.01);
      expect(converged).toBe(true);
      expect(objectives.length).toBe(iterations);
      D.dispose();
    });
    expect(tensors).toBe(0);
    const step = mspStep(D0, Y, 4);
    const gradient = tidy(() => neg(dictionaryGradient(D0, Y, 4).gradient));
    expect(step.shape).toEqual(gradient.shape);
    await expect(mspDictionary(Y, { iterations: 0 })).rejects.toThrow(/iterations/);
    await expect(mspDictionary(Y, { init: [[1]] })).rejects.toThrow(/init must have shape/);
    const bad = tensor2d([[Number.NaN, 1]]);
    await expect(mspDictionary(bad)).rejects.toThrow(/Y must be finite/);
    for (const x of [D0, Y, step, gradient, bad] as Tensor[]) x.dispose();
  });
});

describe('data', () => {
  it('is the same for a seed, sparse, and noisy when asked', () => {
    const identity = tensor2d([1, 0, 0, 1], [2, 2]);
    const draw = (options: object) => {
      const Y = bernoulliGaussian(identity, options);
      const values = Array.from(Y.dataSync());
      Y.dispose();
      return values;
    };
    const clean = draw({ theta: 0.3, batch: 2000, seed: 4 });
    expect(draw({ theta: 0.3, batch: 2000, seed: 4 })).toEqual(clean);
    expect(clean.filter((x) => x !== 0).length / 4000).toBeCloseTo(0.3, 1);
    expect(draw({ noise: 0.1, batch: 100 }).filter((x) => x === 0).length).toBe(0);
    expect(() => bernoulliGaussian(identity, { theta: 0 })).toThrow(/theta/);
    expect(() => randomOrthogonal(0)).toThrow(/n must be/);
    identity.dispose();
  });
});
