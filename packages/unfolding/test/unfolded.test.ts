/** Unrolled networks: values, gradients, training, checkpoints. */
import { expectTensorClose } from '@orth/testing';
import {
  add,
  complex,
  fft,
  grad,
  ifft,
  imag,
  mean,
  memory,
  mul,
  real,
  type Scalar,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tensor1d,
  tensor2d,
  tidy,
  variableGrads,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  Alista,
  alistaWeight,
  decodeNetwork,
  encodeNetwork,
  ista,
  Lista,
  ListaCp,
  lipschitz,
  normalizedError,
  sparseProblem,
  trainUnfolded,
  UnfoldedSparseRecovery,
  type UnfoldedTrainingState,
} from '../src/index.js';
import {
  differences,
  gaussian,
  holding,
  soft64,
  times,
  toTensor,
  unrolled64,
} from './reference.js';

const [M, N, B] = [6, 10, 2];
const a = gaussian(21, M * N, 1 / Math.sqrt(M));
const y = gaussian(22, B * M);
const truth = gaussian(23, B * N);
const row = (x: ArrayLike<number>, i: number, n: number) => Array.from(x).slice(i * n, (i + 1) * n);

describe('UnfoldedSparseRecovery', () => {
  const alphas = [0.3, 0.5, 0.2, 0.4];

  it.each(['ista', 'iht'] as const)('%s: values, and gradients in steps, y and x0', (kind) =>
    holding(async (hold) => {
      const lambda = 0.1;
      const net = new UnfoldedSparseRecovery(hold(toTensor(a, [M, N])), {
        kind,
        lambda,
        layers: 4,
        init: alphas,
      });
      const Y = hold(toTensor<Tensor2D>(y, [B, M]));
      const X = hold(toTensor<Tensor2D>(truth, [B, N]));
      const layers = net.intermediate(Y).map(hold);
      const run = (steps: ArrayLike<number>, rhs: ArrayLike<number>) =>
        Array.from({ length: B }, (_, b) => unrolled64(kind, a, row(rhs, b, M), N, lambda, steps));
      for (const [t, x] of layers.entries()) {
        const want = run(alphas.slice(0, t + 1), y).flatMap((r) => Array.from(r));
        expectTensorClose(x, want, { rtol: 1e-5, atol: 1e-6 });
      }
      const loss64 = (steps: ArrayLike<number>, rhs: ArrayLike<number>) =>
        run(steps, rhs)
          .flatMap((r) => Array.from(r))
          .reduce((t, v, i) => t + (v - truth[i]!) ** 2 / (B * N), 0);
      const loss = (rhs: Tensor2D) => mean(square(sub(net.apply(rhs), X))) as Scalar;
      const tolerance = { rtol: 1e-3, atol: 1e-5 };
      const { value, grads } = variableGrads(() => loss(Y), [net.stepSizes]);
      const [gradient] = Object.values(grads);
      hold(value);
      // The float64 derivative of the hard threshold in its threshold is 0 between the jumps, as ours is.
      expectTensorClose(
        hold(gradient!),
        differences((s) => loss64(s, y), alphas, 1e-7),
        tolerance,
      );
      const dy = hold(grad((v: Tensor) => loss(v as Tensor2D))(Y));
      expectTensorClose(
        dy,
        differences((v) => loss64(alphas, v), y, 1e-7),
        tolerance,
      );
      // A start at layer 2's output and its gradient: the same as the whole from there.
      const last = hold(net.apply(Y, { x0: hold(net.apply(Y, { layers: 1 })), layers: 1 }));
      const twice = run([alphas[0]!, alphas[0]!], y).flatMap((r) => Array.from(r));
      expectTensorClose(last, twice, { rtol: 1e-5, atol: 1e-6 });
      net.dispose();
    }),
  );

  it('untrained it is ISTA; solve() reports what apply() computes', () =>
    holding(async (hold) => {
      const A = hold(toTensor<Tensor2D>(a, [M, N]));
      const Y = hold(toTensor<Tensor2D>(y, [B, M]));
      const net = new UnfoldedSparseRecovery(A, { lambda: 0.1, layers: 5 });
      const plain = await ista(A, Y, { lambda: 0.1, steps: 5 });
      expectTensorClose(hold(net.apply(Y)), await hold(plain.x).data());
      const report = await net.solve(Y, { history: true });
      expect(report.iterations).toBe(5);
      expectTensorClose(hold(net.objective(hold(report.x), Y)), report.objective);
      net.stepSizes.assign(hold(tensor1d([1, -1, 1, 1, 1])));
      await expect(net.solve(Y)).rejects.toThrow(/stepSize\[1\] must be/);
      const values = await hold(net.apply(Y)).data();
      expect(values.every(Number.isFinite)).toBe(true);
      net.dispose();
      net.dispose();
    }));

  it('complex functions: the gradient in the steps against differences', () =>
    holding(async (hold) => {
      const mask = hold(tensor1d([1, 0, 1, 1, 0, 1, 0, 1]));
      const scale = 1 / Math.sqrt(8);
      const times8 = (z: Tensor, factor: number) =>
        tidy(() => complex(mul(mul(real(z), mask), factor), mul(mul(imag(z), mask), factor)));
      const A = {
        apply: (x: Tensor) => times8(fft(x), scale),
        adjoint: (r: Tensor) => ifft(times8(r, 8 * scale)),
        inputShape: [8],
        inputType: 'complex64' as const,
      };
      const make = (seed: number) =>
        hold(
          tidy(() =>
            complex(toTensor(gaussian(seed, 16), [2, 8]), toTensor(gaussian(seed + 1, 16), [2, 8])),
          ),
        );
      const Y = hold(tidy(() => times8(make(31), 1)));
      const X = make(33);
      const steps = [0.7, 1.2, 0.9];
      const net = new UnfoldedSparseRecovery(A, { lambda: 0.2, layers: 3, init: steps });
      const loss = () =>
        tidy(() => {
          const e = sub(net.apply(Y), X);
          return add(mean(square(real(e))), mean(square(imag(e)))) as Scalar;
        });
      const { value, grads } = variableGrads(loss, [net.stepSizes]);
      hold(value);
      const got = await hold(Object.values(grads)[0]!).data();
      for (let t = 0; t < 3; t++) {
        const at = async (h: number) => {
          const moved = tensor1d(steps.map((s, i) => (i === t ? s + h : s)));
          net.stepSizes.assign(moved);
          moved.dispose();
          const f = loss();
          const [v] = await f.data();
          f.dispose();
          return v!;
        };
        const slope = ((await at(0.01)) - (await at(-0.01))) / 0.02;
        expect(got[t]!).toBeCloseTo(slope, 2);
      }
      net.stepSizes.assign(hold(tensor1d(steps)));
      const objective = () => tidy(() => mean(net.objective(net.apply(Y), Y)) as Scalar);
      const before = await hold(objective()).data();
      await trainUnfolded(net, () => ({ y: Y }), {
        loss: 'unsupervised',
        stepsPerGeneration: 5,
      });
      expect((await hold(objective()).data())[0]!).toBeLessThan(before[0]!);
      net.dispose();
    }));

  it('refusals', () =>
    holding(async (hold) => {
      const A = hold(toTensor<Tensor2D>(a, [M, N]));
      const make = (options: object) => () => new UnfoldedSparseRecovery(A, options as never);
      expect(make({ lambda: -1 })).toThrow(/UnfoldedSparseRecovery: lambda must be/);
      expect(make({ lambda: 1, layers: 0 })).toThrow(/layers must be an integer >= 1, got 0/);
      expect(make({ lambda: 1, layers: 3, init: [1, 2] })).toThrow(/init must hold 3 step sizes/);
      expect(make({ lambda: 1, kind: 'lasso' })).toThrow(/kind must be one of/);
      expect(make({ lambda: 1, depth: 3 })).toThrow(/unknown option "depth"/);
      const net = make({ lambda: 1 })();
      expect(() => net.apply(A)).toThrow(/y must have shape \[\*,6\]/);
      expect(() => net.apply(hold(toTensor(y, [B, M])), { layers: 11 })).toThrow(/layers must be/);
      net.dispose();
      const nan = hold(tensor2d([[Number.NaN, 1]]));
      await expect(ista(nan, hold(tensor2d([[1]])), { lambda: 1 })).rejects.toThrow(
        /A must be finite/,
      );
    }));
});

describe('trainUnfolded', () => {
  const options = { m: 12, n: 20, density: 0.15, noise: 0.05, seed: 3 };

  it('both losses lower what they say, and leave no tensor', async () => {
    const problem = sparseProblem(options);
    const test = problem.sample(50);
    const errors: number[] = [];
    const objectives: number[] = [];
    for (const loss of ['none', 'supervised', 'unsupervised'] as const) {
      const net = new UnfoldedSparseRecovery(problem.A, { lambda: 0.1, layers: 4 });
      const before = memory().numTensors;
      if (loss !== 'none') {
        const { losses, status } = await trainUnfolded(net, (batch) => problem.sample(batch), {
          loss,
          stepsPerGeneration: 30,
          batchSize: 20,
          learningRate: 0.03,
        });
        expect(losses).toHaveLength(120);
        expect(status).toBe('done');
      }
      expect(memory().numTensors).toBe(before);
      const x = net.apply(test.y);
      errors.push(await normalizedError(x, test.x));
      const F = tidy(() => mean(net.objective(x, test.y)));
      objectives.push((await F.data())[0]!);
      x.dispose();
      F.dispose();
      net.dispose();
    }
    expect(errors[1]!).toBeLessThan(errors[0]! - 1);
    expect(objectives[2]!).toBeLessThan(objectives[0]!);
    expect(objectives[2]!).toBeLessThan(objectives[1]!);
    test.x.dispose();
    test.y.dispose();
    problem.dispose();
  });

  it.each(['adam', 'sgd'] as const)(
    '%s: stopped, saved and resumed is as never stopped',
    async (optimizer) => {
      const run = async (stopAt?: number) => {
        let problem = sparseProblem(options);
        let net = new UnfoldedSparseRecovery(problem.A, { lambda: 0.1, layers: 3 });
        let drawn = 0;
        const sampler = (batch: number) => {
          drawn += 1;
          return problem.sample(batch);
        };
        const settings = { stepsPerGeneration: 7, batchSize: 5, optimizer } as const;
        const controller = new AbortController();
        const onStep = () => drawn === stopAt && controller.abort();
        const first = await trainUnfolded(net, sampler, {
          ...settings,
          onStep,
          signal: controller.signal,
        });
        if (stopAt !== undefined) {
          expect(first.status).toBe('stopped');
          const bytes = encodeNetwork(await net.saveState());
          const state = JSON.parse(JSON.stringify(first.state)) as UnfoldedTrainingState;
          net.dispose();
          problem.dispose();
          problem = sparseProblem(options);
          for (let i = 0; i < drawn; i++) {
            const { x, y } = problem.sample(5);
            x.dispose();
            y.dispose();
          }
          net = new UnfoldedSparseRecovery(problem.A, { lambda: 0.1, layers: 3, init: 1 });
          net.loadState(decodeNetwork(bytes));
          await trainUnfolded(net, sampler, { ...settings, resume: state });
        }
        const steps = await net.stepSizes.data();
        net.dispose();
        problem.dispose();
        return steps;
      };
      const whole = await run();
      // In the middle of a generation, and at its end.
      expect(await run(10)).toEqual(whole);
      expect(await run(7)).toEqual(whole);
    },
  );

  it('refuses bad batches, states and losses, changing nothing', () =>
    holding(async (hold) => {
      const A = hold(toTensor<Tensor2D>(a, [M, N]));
      const Y = hold(toTensor<Tensor2D>(y, [B, M]));
      const net = new UnfoldedSparseRecovery(A, { lambda: 0.1, layers: 2 });
      const initial = Array.from(await net.stepSizes.data());
      const train = (sampler: () => { y: Tensor; x?: Tensor }, options = {}) =>
        trainUnfolded(net, sampler, options);
      await expect(train(() => ({ y: Y }))).rejects.toThrow(/x of the sampler must be a tensor/);
      await expect(train(() => ({ y: Y, x: Y }))).rejects.toThrow(
        /x of the sampler must have shape/,
      );
      const nan = hold(tensor2d([[Number.NaN, 0, 0, 0, 0, 0]]));
      const loss = 'unsupervised';
      await expect(train(() => ({ y: nan }), { loss })).rejects.toThrow(/the loss is NaN/);
      await expect(train(() => ({ y: Y }), { loss, learningRate: -1 })).rejects.toThrow(
        /learningRate/,
      );
      await expect(train(() => ({ y: Y }), { loss, optimizer: 'lion' })).rejects.toThrow(
        /optimizer/,
      );
      const { state } = await train(() => ({ y: Y }), {
        loss,
        stepsPerGeneration: 1,
        learningRate: 1e-30,
      });
      for (const resume of [
        { ...state, generation: 3 },
        { ...state, descent: { steps: 4, moments: [] } },
        { ...state, descent: undefined },
      ]) {
        await expect(
          train(() => ({ y: Y }), { loss, resume, stepsPerGeneration: 1 }),
        ).rejects.toThrow(/resume/);
      }
      expect(Array.from(await net.stepSizes.data())).toEqual(initial);
      net.dispose();
    }));

  it('patience ends generations; all layers at once; an optimizer of the user', () =>
    holding(async (hold) => {
      const A = hold(toTensor<Tensor2D>(a, [M, N]));
      const Y = hold(toTensor<Tensor2D>(y, [B, M]));
      const net = new UnfoldedSparseRecovery(A, { lambda: 0.1, layers: 3 });
      const options = { loss: 'unsupervised', stepsPerGeneration: 50 } as const;
      // A rate too large to improve for long.
      const { losses } = await trainUnfolded(net, () => ({ y: Y }), {
        ...options,
        patience: 2,
        learningRate: 1,
      });
      expect(losses.length).toBeLessThan(100);
      const generations = new Set<number>();
      const all = await trainUnfolded(net, () => ({ y: Y }), {
        ...options,
        stepsPerGeneration: 4,
        incremental: false,
        learningRate: (step) => 0.01 / (1 + step),
        onStep: ({ generation }) => generations.add(generation),
      });
      expect([all.losses.length, [...generations]]).toEqual([12, [3]]);
      net.dispose();
    }));
});

describe('LISTA, LISTA-CP, ALISTA', () => {
  it('begin as ISTA', () =>
    holding(async (hold) => {
      const A = hold(toTensor<Tensor2D>(a, [M, N]));
      const Y = hold(toTensor<Tensor2D>(y, [B, M]));
      const want = await hold((await ista(A, Y, { lambda: 0.2, steps: 3 })).x).data();
      for (const net of [
        new Lista(A, { layers: 3, lambda: 0.2 }),
        new Lista(A, { layers: 3, lambda: 0.2, tied: true }),
        new ListaCp(A, { layers: 3, lambda: 0.2 }),
      ]) {
        expectTensorClose(hold(net.apply(Y)), want, { rtol: 1e-4, atol: 1e-5 });
        net.dispose();
      }
    }));

  it('the weight of ALISTA', () =>
    holding(async (hold) => {
      const A = hold(toTensor<Tensor2D>(a, [M, N]));
      const W = await hold(await alistaWeight(A)).data();
      let norm = 0;
      let own = 0;
      for (let i = 0; i < N; i++) {
        const column = Array.from({ length: M }, (_, r) => W[r * N + i]!);
        const products = times(a, column, M, N, true);
        expect(products[i]!).toBeCloseTo(1, 4);
        norm += products.reduce((t, v) => t + v * v, 0);
        const col = Array.from({ length: M }, (_, r) => a[r * N + i]!);
        const square = col.reduce((t, v) => t + v * v, 0);
        own += times(a, col, M, N, true).reduce((t, v) => t + (v / square) ** 2, 0);
      }
      expect(norm).toBeLessThan(own);
      const singular = hold(
        tensor2d([
          [1, 2, 3],
          [2, 4, 6],
        ]),
      );
      await expect(alistaWeight(singular)).rejects.toThrow(/A must have full row rank/);
      const empty = hold(
        tensor2d([
          [1, 0, 3],
          [2, 0, 5],
        ]),
      );
      await expect(alistaWeight(empty)).rejects.toThrow(/zero column, got one at 1/);
    }));

  it('support selection lets the largest pass; gradients against differences', () =>
    holding(async (hold) => {
      const A = hold(toTensor<Tensor2D>(a, [M, N]));
      const Y = hold(toTensor<Tensor2D>(y, [B, M]));
      const net = new ListaCp(A, { layers: 2, lambda: 0.8, p: 20, pMax: 30 });
      const L = await lipschitz(A);
      const weights = [a, a].map((w) => Float64Array.from(w, (v) => v / L));
      const f = (thetas: ArrayLike<number>) =>
        Array.from({ length: B }, (_, b) => {
          let x: Float64Array = new Float64Array(N);
          for (let k = 0; k < 2; k++) {
            const r = times(a, x, M, N).map((v, i) => y[b * M + i]! - v);
            const z = times(weights[k]!, r, M, N, true).map((v, i) => v + x[i]!);
            const order = Array.from(z, Math.abs).sort((p, q) => q - p);
            // 20 % of 10, then 30 %.
            const bound = order[[2, 3][k]!]!;
            x = z.map((v) =>
              Math.abs(v) > bound && Math.abs(v) > thetas[k]! ? v : soft64(v, thetas[k]!),
            );
          }
          return x;
        }).flatMap((x) => Array.from(x));
      const thetas = [0.8 / L, 0.8 / L];
      expectTensorClose(hold(net.apply(Y)), f(thetas), { rtol: 1e-4, atol: 1e-5 });
      const loss64 = (t: ArrayLike<number>) => f(t).reduce((s, v) => s + v * v, 0);
      const { value, grads } = variableGrads(
        () => sum(square(net.apply(Y))) as Scalar,
        net.weights.map(({ threshold }) => threshold),
      );
      hold(value);
      const want = differences(loss64, thetas, 1e-7);
      for (const [k, g] of Object.values(grads).entries()) {
        expectTensorClose(hold(g), [want[k]!], { rtol: 1e-2, atol: 1e-3 });
      }
      net.dispose();
    }));

  it('are trained, saved and restored', async () => {
    const problem = sparseProblem({ m: 12, n: 20, density: 0.1, seed: 5 });
    const test = problem.sample(40);
    const nets = [
      new Lista(problem.A, { layers: 3, tied: true }),
      new ListaCp(problem.A, { layers: 3 }),
      await Alista.create(problem.A, { layers: 3, p: 5 }),
    ];
    for (const net of nets) {
      const error = async () => {
        const x = net.apply(test.y);
        const value = await normalizedError(x, test.x);
        x.dispose();
        return value;
      };
      const before = await error();
      await trainUnfolded(net, (batch) => problem.sample(batch), {
        stepsPerGeneration: 20,
        batchSize: 20,
      });
      const after = await error();
      expect(after).toBeLessThan(before);
      const state = decodeNetwork(encodeNetwork(await net.saveState()));
      await trainUnfolded(net, (batch) => problem.sample(batch), { stepsPerGeneration: 1 });
      net.loadState(state);
      expect(await error()).toBe(after);
      const name = Object.keys(state.weights)[0]!;
      const { [name]: gone, ...weights } = state.weights;
      expect(gone).toBeDefined();
      expect(() => net.loadState({ ...state, weights })).toThrow(/nothing was changed/);
      expect(() => net.loadState({ ...state, className: 'LPN' })).toThrow(/state must be what/);
      expect(await error()).toBe(after);
      net.dispose();
    }
    test.x.dispose();
    test.y.dispose();
    problem.dispose();
  });

  it('bytes that are damaged are refused', () =>
    holding(async (hold) => {
      const net = new Lista(hold(toTensor<Tensor2D>(a, [M, N])), { layers: 1 });
      const bytes = encodeNetwork(await net.saveState());
      net.dispose();
      for (const at of [3, 9, 30, bytes.length - 1]) {
        const damaged = bytes.slice();
        damaged[at]! ^= 1;
        expect(() => decodeNetwork(damaged)).toThrow(/decodeNetwork/);
      }
      expect(() => decodeNetwork(bytes.slice(0, 40))).toThrow(/decodeNetwork/);
      expect(() => encodeNetwork({} as never)).toThrow(/encodeNetwork/);
    }));
});
