import { expectTensorClose } from '@orth/testing';
import {
  add,
  matMul,
  mean,
  memory,
  mul,
  neg,
  type Optimizer,
  reshape,
  sigmoid,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tensor1d,
  tensor2d,
  tidy,
  train,
  type Variable,
  variable,
  variableGrads,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  ConservativeObjective,
  fitSurrogate,
  gaussianNegativeLogLikelihood,
  gradientAscent,
  SurrogateGradientNorm,
  type SurrogateGradientNormOptions,
  sharpnessGradients,
  softClamp,
  surrogateSharpness,
} from '../src/index.js';
import { differences, gaussian, rowsOf, toTensor } from './reference.js';

const [n, d, width] = [6, 3, 4];
const X = gaussian(1, n * d);
const Y = gaussian(2, n);
const KERNEL = gaussian(3, d * width, 0.7);
const HEAD = gaussian(4, width, 0.7);

/** A network `σ(x K) h` with a squared error, and what it is in float64. */
function setUp() {
  const start = [toTensor(KERNEL, [d, width]), toTensor(HEAD, [width, 1])];
  const [kernel, head] = start.map((x) => variable(x)) as [Variable, Variable];
  const x = toTensor(X, [n, d]) as Tensor2D;
  const y = toTensor(Y, [n]) as Tensor1D;
  const predict = (at: Tensor2D = x) =>
    reshape(matMul(sigmoid(matMul(at, kernel as Tensor2D)), head as Tensor2D), [-1]) as Tensor1D;
  return {
    variables: [kernel, head],
    x,
    y,
    predict,
    loss: () => mean(square(sub(predict(), y))),
    prediction: () => mean(predict()),
    dispose: () => {
      for (const t of [...start, kernel, head, x, y]) t.dispose();
    },
  };
}

const flatWeights = [...KERNEL, ...HEAD];

/** ∇G in float64, of all weights in a row. */
function gradientG64(weights: readonly number[]): number[] {
  const kernel = rowsOf(weights.slice(0, d * width), width);
  const head = weights.slice(d * width);
  const out = new Array<number>(weights.length).fill(0);
  for (const row of rowsOf(X, d)) {
    for (let j = 0; j < width; j++) {
      const z = row.reduce((t, v, i) => t + v * kernel[i]![j]!, 0);
      const a = 1 / (1 + Math.exp(-z));
      out[d * width + j]! += a / n;
      for (let i = 0; i < d; i++) out[i * width + j]! += (head[j]! * a * (1 - a) * row[i]!) / n;
    }
  }
  return out;
}
const norm64 = (weights: readonly number[]) => Math.hypot(...gradientG64(weights));

const flat = (variables: readonly Variable[], map: Record<string, Tensor>) =>
  variables.flatMap((v) => Array.from(map[v.name]!.dataSync()));

const disposeAll = (maps: readonly Record<string, Tensor>[], more: readonly Tensor[]) => {
  for (const t of [...maps.flatMap((m) => Object.values(m)), ...more]) t.dispose();
};

describe('sharpnessGradients', () => {
  it('are those of the formula; the finite difference tends to the gradient of the norm', () => {
    const before = memory().numTensors;
    const net = setUp();
    const v = gradientG64(flatWeights);
    const n0 = norm64(flatWeights);
    const exact = differences(norm64, flatWeights);
    const lambda = 3;
    const base = variableGrads(net.loss as never, net.variables);
    for (const [r, bound] of [
      [0.1, 0.05],
      [0.01, 0.005],
    ] as const) {
      const got = sharpnessGradients(net.variables, net.loss, net.prediction, lambda, {
        rho: 0.2,
        r,
      });
      expectTensorClose(got.gradientNorm, [n0], { rtol: 1e-5 });
      expectTensorClose(flat(net.variables, got.predictionGradients), v, { rtol: 1e-4 });
      const moved = gradientG64(flatWeights.map((w, i) => w + (r * v[i]!) / n0));
      const slope = moved.map((g, i) => (g - v[i]!) / r);
      const gotSlope = flat(net.variables, got.normGradients);
      expectTensorClose(gotSlope, slope, { rtol: 1e-4, atol: 1e-6 / r });
      expectTensorClose(gotSlope, exact, { rtol: 0, atol: bound });
      const own = flat(net.variables, base.grads);
      const want = own.map((g, i) => g + lambda * 0.2 * slope[i]!);
      expectTensorClose(flat(net.variables, got.gradients), want, { rtol: 1e-4, atol: 1e-5 });
      const { gradients, predictionGradients, normGradients, loss, gradientNorm } = got;
      disposeAll([gradients, predictionGradients, normGradients], [loss, gradientNorm]);
    }
    // The variables end exactly as they began.
    expect(net.variables.flatMap((w) => Array.from(w.dataSync()))).toEqual(flatWeights);
    disposeAll([base.grads], [base.value]);
    net.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it('have no regulariser for a linear surrogate, nor at a norm of 0', () => {
    const w = variable(tensor1d([1, -2, 0.5]));
    const x = tensor2d([
      [1, 2, 3],
      [0, 1, -1],
    ]);
    const zero = variable(tensor1d([0, 0]));
    const linear = () => mean(sum(mul(x, w), 1));
    const flatHere = () => sum(mul(square(zero), square(zero)));
    for (const [list, prediction, want] of [
      [[w], linear, Math.hypot(0.5, 1.5, 1)],
      [[zero], flatHere, 0],
    ] as const) {
      const got = sharpnessGradients(list, () => sum(square(list[0]!)), prediction, 5);
      expectTensorClose(got.gradientNorm, [want]);
      const doubled = Array.from(list[0]!.dataSync(), (v) => 2 * v);
      expectTensorClose(flat(list, got.gradients), doubled, { rtol: 0, atol: 1e-4 });
      const { gradients, predictionGradients, normGradients, loss, gradientNorm } = got;
      disposeAll([gradients, predictionGradients, normGradients], [loss, gradientNorm]);
    }
    disposeAll([], [w, zero, x]);
  });

  it('put variables back where the prediction fails', () => {
    const net = setUp();
    let calls = 0;
    const failing = () => {
      if (++calls === 2) throw new Error('no more');
      return net.prediction();
    };
    expect(() => sharpnessGradients(net.variables, net.loss, failing, 1)).toThrow('no more');
    expect(net.variables.flatMap((w) => Array.from(w.dataSync()))).toEqual(flatWeights);
    net.dispose();
  });

  it('skip variables that the mean does not depend on', () => {
    const [a, b] = [variable(tensor1d([2])), variable(tensor1d([3]))];
    const got = sharpnessGradients(
      [a, b],
      () => sum(mul(a, b)),
      () => sum(mul(square(a), a)),
      1,
    );
    expect(Object.keys(got.predictionGradients)).toEqual([a.name]);
    expectTensorClose(got.gradients[b.name]!, [2]);
    const { gradients, predictionGradients, normGradients, loss, gradientNorm } = got;
    disposeAll([gradients, predictionGradients, normGradients], [loss, gradientNorm, a, b]);
  });
});

describe('SurrogateGradientNorm', () => {
  const steps = async (options: SurrogateGradientNormOptions, count: number, plain?: Optimizer) => {
    const net = setUp();
    const ignite = new SurrogateGradientNorm(options);
    const optimizer = plain ?? train.sgd(0.1);
    const trace = [];
    for (let t = 0; t < count; t++) {
      trace.push(await ignite.step(optimizer, net.variables, net.loss, net.prediction));
    }
    const weights = net.variables.flatMap((w) => Array.from(w.dataSync()));
    net.dispose();
    return { trace, weights, ignite };
  };

  it('with λ = 0 and no rate is the base training bit for bit', async () => {
    const { weights } = await steps({ lambda: 0, etaLambda: 0 }, 10);
    const net = setUp();
    const optimizer = train.sgd(0.1);
    for (let t = 0; t < 10; t++) optimizer.minimize(net.loss as never, false, net.variables);
    expect(net.variables.flatMap((w) => Array.from(w.dataSync()))).toEqual(weights);
    net.dispose();
  });

  it('moves λ by the constraint’s excess, and keeps it >= 0 unless told otherwise', async () => {
    for (const nonNegative of [true, false]) {
      const options = { lambda: 0.01, etaLambda: 0.5, epsilon: 0.2, nonNegative };
      const { trace } = await steps(options, 4);
      let lambda = 0.01;
      for (const { gradientNorm, sharpness, lambda: got } of trace) {
        expect(sharpness).toBeCloseTo(0.05 * gradientNorm, 12);
        lambda += 0.5 * (sharpness - 0.2);
        if (nonNegative) lambda = Math.max(0, lambda);
        expect(got).toBeCloseTo(lambda, 12);
      }
      expect(trace.at(-1)!.lambda < 0).toBe(!nonNegative);
    }
  });

  it('brings the sharpness near what is allowed', async () => {
    const free = await steps({ lambda: 0, etaLambda: 0 }, 400);
    const epsilon = 0.7 * free.trace.at(-1)!.sharpness;
    const bound = await steps({ epsilon, etaLambda: 30 }, 400);
    const end = bound.trace.slice(-50).reduce((t, s) => t + s.sharpness / 50, 0);
    expect(Math.abs(end / epsilon - 1)).toBeLessThan(0.3);
  });

  it('keeps no tensor over 100 steps, and takes models as tf.layers has them', async () => {
    const net = setUp();
    const model = { trainableWeights: net.variables.map((w) => ({ read: () => w as Tensor })) };
    const ignite = new SurrogateGradientNorm();
    const optimizer = train.adam(1e-3);
    const step = () => ignite.step(optimizer, model, net.loss, net.prediction);
    await step();
    const before = memory().numTensors;
    for (let t = 0; t < 100; t++) await step();
    expect(memory().numTensors).toBe(before);
    const got = await surrogateSharpness(model, net.prediction, { rho: 0.1 });
    const now = net.variables.flatMap((w) => Array.from(w.dataSync()));
    expect(got).toBeCloseTo(0.1 * norm64(now), 5);
    tidy(() => {
      const found = sharpnessGradients(model, net.loss, net.prediction, 0.1);
      expect(found.loss.isDisposed).toBe(false);
    });
    expect(memory().numTensors).toBe(before);
    optimizer.dispose();
    net.dispose();
  });

  it('refuses bad input and leaves everything as it was', async () => {
    const make = (options: object) => () => new SurrogateGradientNorm(options);
    expect(make({ rho: 0 })).toThrow(/rho must be/);
    expect(make({ r: -1 })).toThrow(/r must be/);
    expect(make({ epsilon: -1 })).toThrow(/epsilon must be/);
    expect(make({ etaLambda: -1 })).toThrow(/etaLambda must be/);
    expect(make({ lambda: -1 })).toThrow(/lambda must be/);
    expect(make({ lambda: -1, nonNegative: false })).not.toThrow();
    expect(make({ lr: 1 })).toThrow(/unknown option/);
    const net = setUp();
    const ignite = new SurrogateGradientNorm();
    const optimizer = train.sgd(0.1);
    const before = memory().numTensors;
    const step = (
      loss: () => Tensor,
      mean: () => Tensor,
      list: readonly Variable[] = net.variables,
    ) => ignite.step(optimizer, list, loss, mean);
    await expect(step(net.loss, net.predict)).rejects.toThrow(/meanPrediction must give a scalar/);
    await expect(step(net.predict, net.prediction)).rejects.toThrow(/baseLoss must give a scalar/);
    await expect(step(net.loss, net.prediction, [])).rejects.toThrow(/variables must be/);
    await expect(step(() => mul(net.loss(), Number.NaN), net.prediction)).rejects.toThrow(
      /loss must be finite, got NaN; nothing was changed/,
    );
    expect(memory().numTensors).toBe(before);
    const first = step(net.loss, net.prediction);
    await expect(step(net.loss, net.prediction)).rejects.toThrow(/not over/);
    await first;
    net.dispose();
  });
});

describe('gradientAscent', () => {
  it('climbs, each design by itself, by steps of rate √d, within bounds', () => {
    const before = memory().numTensors;
    tidy(() => {
      const start = tensor2d([
        [0, 1],
        [2, -1],
      ]);
      const predict = (x: Tensor2D) => neg(sum(square(sub(x, 3)), 1));
      const one = gradientAscent(predict, start, { steps: 1 });
      const by = 0.01 * Math.SQRT2;
      const want = Array.from(start.dataSync(), (x) => x - 2 * by * (x - 3));
      expectTensorClose(one, want);
      const plain = gradientAscent(predict, start, { steps: 1, scaleByDimension: false });
      expectTensorClose(
        plain,
        Array.from(start.dataSync(), (x) => x - 0.02 * (x - 3)),
      );
      expectTensorClose(gradientAscent(predict, start, { steps: 1000 }), [3, 3, 3, 3], {
        atol: 1e-4,
      });
      const seen: number[] = [];
      const bounded = gradientAscent(predict, start, {
        bounds: { max: tensor1d([1, 2]) },
        onStep: (step) => seen.push(step),
      });
      expectTensorClose(bounded, [1, 2, 1, 2]);
      expect(seen).toHaveLength(200);
      expect(() => gradientAscent(predict, start, { steps: 0 })).toThrow(/steps must be/);
      expect(() => gradientAscent(predict, tensor1d([1]) as never)).toThrow(/rank 2/);
      expect(() => gradientAscent(predict, start, { rate: 1 } as never)).toThrow(/unknown option/);
    });
    expect(memory().numTensors).toBe(before);
  });
});

describe('ConservativeObjective', () => {
  it('lowers predictions where the search goes, and raises α while they exceed the limit', async () => {
    const net = setUp();
    const optimizer = train.adam(0.01);
    const objective = new ConservativeObjective({ alpha: 0.5, limit: -1, alphaLearningRate: 0.1 });
    const step = () => objective.step(optimizer, net.variables, net.predict, net.x, net.y);
    const first = await step();
    expect(first.alpha).toBeCloseTo(0.5 + 0.1 * (first.overestimation + 1), 6);
    const before = memory().numTensors;
    let last = first;
    for (let t = 0; t < 30; t++) last = await step();
    expect(memory().numTensors).toBe(before);
    expect(last.overestimation).toBeLessThan(first.overestimation);
    const ignite = new SurrogateGradientNorm({ etaLambda: 1 });
    const before2 = ignite.lambda;
    await objective.step(optimizer, net.variables, net.predict, net.x, net.y, ignite);
    expect(ignite.lambda).not.toBe(before2);
    expect(() => new ConservativeObjective({ alpha: -1 })).toThrow(/alpha must be/);
    optimizer.dispose();
    net.dispose();
  });
});

describe('fitSurrogate', () => {
  const x = toData(7, 64);
  function toData(seed: number, count: number) {
    const data = gaussian(seed, count * 2);
    return { data, values: rowsOf(data, 2).map(([a, b]) => Math.sin(a!) - 0.5 * b!) };
  }

  it.each([
    ['plainly', {}],
    ['by likelihood', { loss: 'nll' }],
    ['with IGNITE', { ignite: { etaLambda: 0.1 } }],
    ['conservatively', { conservative: { ascentSteps: 2 }, ignite: {} }],
  ] as [string, object][])(
    'learns %s, the same each time, and leaves its variables alone',
    async (_, options) => {
      const before = memory().numTensors;
      const designs = toTensor(x.data, [64, 2]) as Tensor2D;
      const values = toTensor(x.values, [64]) as Tensor1D;
      const fit = (epochs: number) =>
        fitSurrogate(designs, values, {
          hidden: [16],
          epochs,
          batchSize: 24,
          learningRate: 0.01,
          ...options,
        });
      const error = async (epochs: number) => {
        const surrogate = await fit(epochs);
        const e = tidy(() => mean(square(sub(surrogate.predict(designs), values))).dataSync()[0]!);
        surrogate.dispose();
        surrogate.dispose();
        return e;
      };
      const [little, more, again] = [await error(1), await error(12), await error(12)];
      expect(more).toBeLessThan(little);
      expect(again).toBe(more);
      designs.dispose();
      values.dispose();
      expect(memory().numTensors).toBe(before);
    },
  );

  it('reports, stops when asked, and refuses bad input', async () => {
    const designs = toTensor(x.data, [64, 2]) as Tensor2D;
    const values = toTensor(x.values, [64]) as Tensor1D;
    const control = new AbortController();
    const seen: number[] = [];
    const surrogate = await fitSurrogate(designs, values, {
      hidden: [4],
      signal: control.signal,
      onEpoch: ({ epoch, loss }) => {
        expect(loss).toBeGreaterThan(0);
        seen.push(epoch);
        if (epoch === 3) control.abort();
      },
    });
    expect(seen).toEqual([1, 2, 3]);
    expect(surrogate.lambda).toBeUndefined();
    surrogate.dispose();
    const bad = (options: object) => fitSurrogate(designs, values, options);
    await expect(bad({ epochs: 0 })).rejects.toThrow(/epochs must be/);
    await expect(bad({ hidden: [0] })).rejects.toThrow(/hidden must be/);
    await expect(bad({ loss: 'mae' })).rejects.toThrow(/loss must be/);
    await expect(bad({ conservative: {}, loss: 'nll' })).rejects.toThrow(/loss must be 'mse'/);
    await expect(bad({ width: 3 })).rejects.toThrow(/unknown option/);
    await expect(fitSurrogate(designs, tensor1d([1]))).rejects.toThrow(/y must have shape/);
    const before = memory().numTensors;
    const broken = tidy(() => add(values, Number.NaN)) as Tensor1D;
    await expect(fitSurrogate(designs, broken, { hidden: [4] })).rejects.toThrow(/finite/);
    broken.dispose();
    expect(memory().numTensors).toBe(before);
    designs.dispose();
    values.dispose();
  });
});

describe('likelihood', () => {
  it('is that of normal distributions; the clamp keeps between its limits', () => {
    tidy(() => {
      const [mu, s, y] = [tensor1d([1, 2]), tensor1d([0, -1]), tensor1d([1.5, 2])];
      const want = (0.125 - 1 + Math.log(2 * Math.PI)) / 2;
      expectTensorClose(gaussianNegativeLogLikelihood(mu, s, y), [want]);
      const clamped = softClamp(tensor1d([-100, 0.5, 100]), 0, 1).dataSync();
      expect(clamped[0]).toBeCloseTo(0, 5);
      // The limits are soft: each pulls a little at the other.
      expect(clamped[2]).toBeCloseTo(Math.log1p(Math.E), 5);
      expect(clamped[1]).toBeGreaterThan(clamped[0]!);
      expect(clamped[1]).toBeLessThan(clamped[2]!);
    });
  });
});
