/** The solver by proposed directions, its loss, its network and its training. */
import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import {
  dispose,
  grad,
  matMul,
  memory,
  mul,
  reshape,
  slice,
  type Tensor,
  type Tensor2D,
  tensor,
  tensor1d,
  tensor2d,
  variableGrads,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  CsrMatrix,
  cg,
  deepConjugateDirection,
  deepConjugateDirections,
  directionLoss,
  directionNet,
  incompleteCholesky,
  loadDirectionNet,
  pcg,
  poisson2d,
  poisson3d,
  ritzDataset,
  trainDirection,
} from '../src/index.js';

const noise = (n: number, seed = 1): Float64Array => {
  const random = seededRandom(seed);
  return Float64Array.from({ length: n }, () => random.normal());
};
const rows = (count: number, n: number, seed: number): Tensor2D =>
  tensor2d(Float32Array.from(noise(count * n, seed)), [count, n]);

/** ‖x − y‖_A² */
const energy = (A: CsrMatrix, x: Float64Array, y: Float64Array): number => {
  const e = x.map((value, i) => value - y[i]!);
  return A.multiply(e).reduce((sum, value, i) => sum + value * e[i]!, 0);
};

describe('deepConjugateDirection', () => {
  const A = poisson2d(8, 6);
  const n = A.rows;
  const b = noise(n);
  const exact = cg(A, b, { tol: 1e-14 }).x;

  it('is CG for the identity and PCG for a preconditioner, whatever the scale', async () => {
    const common = { tol: 1e-8 };
    for (const c of [1, -7, 1e-20, 1e15]) {
      const result = await deepConjugateDirection(A, b, { ...common, model: (r) => mul(r, c) });
      expect(result.iterations).toBe(cg(A, b, common).iterations);
      expectTensorClose(result.residuals, cg(A, b, common).residuals, { rtol: 1e-2, atol: 1e-7 });
    }
    const preconditioner = incompleteCholesky(A);
    const ours = await deepConjugateDirection(A, b, { ...common, model: preconditioner });
    const theirs = pcg(A, b, { ...common, preconditioner });
    expectTensorClose(ours.residuals, theirs.residuals, { rtol: 1e-8, atol: 1e-12 });
    expect([ours.fallbacks, ours.converged]).toEqual([0, true]);
  });

  it('needs one iteration with the exact inverse, none for b = 0', async () => {
    const model = { solve: (r: Float64Array) => cg(A, r, { tol: 1e-14 }).x };
    const options = { model, tol: 1e-10 };
    expect((await deepConjugateDirection(A, b, options)).iterations).toBe(1);
    const zero = await deepConjugateDirection(A, new Float64Array(n), options);
    expect([zero.iterations, zero.status, Math.max(...zero.x)]).toEqual([0, 'converged', 0]);
  });

  it('never raises the A-norm of the error, and converges, for models that are no use', async () => {
    const random = seededRandom(5);
    const useless = {
      'an untrained network': directionNet({ filters: 2, seed: 3 }),
      noise: { solve: (r: Float64Array) => r.map(() => random.normal()) },
      'always the same': { solve: () => noise(n, 9) },
      nothing: (r: Tensor) => zerosLike(r),
      'uphill from the answer': { solve: (r: Float64Array) => r.map((v, i) => (i % 2 ? -v : 0)) },
    };
    const before = memory().numTensors;
    for (const [name, model] of Object.entries(useless)) {
      for (const history of [0, 2]) {
        let last = Infinity;
        for (const maxIter of [1, 2, 3, 5, 9]) {
          const { x } = await deepConjugateDirection(A, b, { model, history, maxIter });
          const now = energy(A, x, exact);
          expect(now, name).toBeLessThanOrEqual(last * (1 + 1e-12));
          last = now;
        }
        const options = { model, history, tol: 1e-8, stallWindow: 10 };
        const result = await deepConjugateDirection(A, b, options);
        expect(result.status, name).toBe('converged');
        expectTensorClose(A.multiply(result.x), b, { rtol: 1e-6, atol: 1e-6 });
      }
    }
    expect(memory().numTensors).toBe(before);
    useless['an untrained network'].dispose();
  });

  it('does not end on NaN unseen', async () => {
    const model = (r: Tensor) => mul(r, Number.NaN);
    await expect(deepConjugateDirection(A, b, { model })).rejects.toThrow(
      'model must give finite numbers, got NaN at index 0',
    );
    const result = await deepConjugateDirection(A, b, { model, onNonFinite: 'fallback' });
    expect([result.converged, result.fallbacks]).toEqual([true, result.iterations]);
  });

  it('keeps directions A-orthogonal', async () => {
    const steps: Float64Array[] = [];
    let last: Float64Array = new Float64Array(n);
    for (let maxIter = 1; maxIter <= 4; maxIter++) {
      const own = seededRandom(7);
      const model = { solve: (r: Float64Array) => r.map((v) => v + 0.3 * own.normal()) };
      const { x } = await deepConjugateDirection(A, b, { model, maxIter, tol: 1e-12 });
      steps.push(x.map((value, i) => value - last[i]!));
      last = x;
    }
    const inner = (u: Float64Array, v: Float64Array) =>
      A.multiply(u).reduce((sum, value, i) => sum + value * v[i]!, 0);
    for (const [i, p] of steps.entries()) {
      for (const q of steps.slice(Math.max(0, i - 2), i)) {
        expect(Math.abs(inner(p, q))).toBeLessThan(1e-8 * Math.sqrt(inner(p, p) * inner(q, q)));
      }
    }
  });

  it('solves right-hand sides together as it does alone', async () => {
    const all = [b, noise(n, 2), new Float64Array(n)];
    const model = (r: Tensor2D) => mul(r, 2);
    const seen: number[] = [];
    const together = await deepConjugateDirections(A, all, {
      model,
      onStep: ({ index }) => seen.push(index),
    });
    for (const [i, one] of together.entries()) {
      const alone = await deepConjugateDirection(A, all[i]!, { model });
      expect(one).toEqual(alone);
    }
    expect(new Set(seen)).toEqual(new Set([0, 1]));
  });

  it('takes tensors, functions, a warm start; stops by signal', async () => {
    const model = (r: Tensor2D) => r;
    const [right, start] = [tensor1d(Float32Array.from(b)), tensor1d(Float32Array.from(exact))];
    const options = { model, tol: 1e-4, relativeTo: 'rightHandSide' as const };
    const warm = await deepConjugateDirection((x) => A.multiply(x), right, {
      ...options,
      x0: start,
    });
    expect(warm.iterations).toBe(0);
    dispose([right, start]);
    const controller = new AbortController();
    const aborted = await deepConjugateDirection(A, b, {
      model,
      signal: controller.signal,
      onStep: ({ iteration }) => iteration === 3 && controller.abort(),
    });
    expect([aborted.status, aborted.iterations]).toEqual(['aborted', 3]);
    const ended = await deepConjugateDirection(A, b, { model, maxIter: 2 });
    expect([ended.status, ended.converged]).toEqual(['maxIterations', false]);
    const floor = await deepConjugateDirection(A, b, { model, tol: 1e-30 });
    expect(floor.converged).toBe(false);
    expect(floor.relativeResidual).toBeLessThan(1e-14);
  });

  it('refuses bad input', async () => {
    const model = (r: Tensor2D) => r;
    const call =
      (change: object, matrix: unknown = A, right: unknown = b) =>
      () =>
        deepConjugateDirection(matrix as never, right as never, { model, ...change });
    const before = memory().numTensors;
    const refused: [() => Promise<unknown>, string][] = [
      [call({ tol: 0 }), 'tol must be a finite number > 0, got 0'],
      [call({ history: -1 }), 'history must be an integer >= 0, got -1'],
      [call({ stallwindow: 1 }), 'unknown option "stallwindow"'],
      [call({ model: undefined }), 'model must be a function'],
      [
        call({ model: (r: Tensor) => slice(r, [0, 0], [1, 2]) }),
        'must give shape [1,48], got [1,2]',
      ],
      [call({ model: () => 1 }), 'model must give a tensor, got number'],
      [call({ model: { solve: () => [1] } }), 'model must give 48 numbers, got 1'],
      [call({ model: directionNet({ filters: 1 }), grid: [5, 5] }), 'grid must have 48 points'],
      [call({}, A, [1]), 'b must have length 48, got 1'],
      [call({}, A, new Array(48).fill(Number.NaN)), 'b must be finite, got NaN at index 0'],
      [call({}, CsrMatrix.fromDense([2, 1, 0, 2], 2), [1, 1]), 'symmetric'],
      [call({}, CsrMatrix.fromDense([1, 2, 2, 1], 2), [1, -1]), 'positive definite'],
      [call({}, CsrMatrix.fromDense([1, 2, 2, 1], 2), [1, 0.9]), 'positive definite'],
    ];
    for (const [run, message] of refused) await expect(run()).rejects.toThrow(message);
    await expect(deepConjugateDirections(A, [], { model })).rejects.toThrow('at least one');
    // The one network above.
    expect(memory().numTensors - before).toBe(32);
  });
});

describe('directionLoss', () => {
  const A = poisson2d(3, 4);
  const loss64 = (q: ArrayLike<number>, b: Float64Array): number => {
    const x = Float64Array.from(q);
    const Aq = A.multiply(x);
    const inner = (u: Float64Array, v: Float64Array) => u.reduce((s, w, i) => s + w * v[i]!, 0);
    const alpha = inner(x, b) / inner(x, Aq);
    return b.reduce((sum, value, i) => sum + (value - alpha * Aq[i]!) ** 2, 0);
  };

  it('has the gradient of differences in float64, orthogonal to q', async () => {
    const [q, b] = [rows(2, 12, 1), rows(2, 12, 2)];
    const [q64, b64] = [await q.data(), Float64Array.from(await b.data())];
    const f = (x: Tensor) => directionLoss(A, x as Tensor2D, b, { reduction: 'sum' });
    const g = grad(f)(q);
    const got = await g.data();
    const h = 1e-5;
    for (let i = 0; i < 24; i++) {
      const r = Math.floor(i / 12);
      const row = Array.from(q64.slice(12 * r, 12 * r + 12));
      const own = b64.slice(12 * r, 12 * r + 12);
      const moved = (by: number) => row.map((v, k) => (k === i % 12 ? v + by : v));
      const want = (loss64(moved(h), own) - loss64(moved(-h), own)) / (2 * h);
      expect(Math.abs(got[i]! - want)).toBeLessThan(1e-4 * (1 + Math.abs(want)));
    }
    for (const r of [0, 1]) {
      let along = 0;
      for (let k = 0; k < 12; k++) along += got[12 * r + k]! * q64[12 * r + k]!;
      expect(Math.abs(along)).toBeLessThan(1e-4);
    }
    dispose([q, b, g]);
  });

  it('is 0 for the solution and ‖b‖² for 0; a product on tensors will do', async () => {
    const b = noise(12, 3);
    const x = cg(A, b, { tol: 1e-12 }).x;
    const q = tensor2d([...x.map((v) => -3e-12 * v), ...new Array(12).fill(0)], [2, 12]);
    const right = tensor2d([...b, ...b], [2, 12]);
    const dense = tensor2d(Float32Array.from(A.toDense()), [12, 12]);
    const before = memory().numTensors;
    for (const op of [A, (v: Tensor2D) => matMul(v, dense)]) {
      const each = directionLoss(op, q, right, { reduction: 'none' });
      const size = b.reduce((sum, v) => sum + v * v, 0);
      expectTensorClose(await each.data(), [0, size], { rtol: 1e-5, atol: 1e-5 });
      each.dispose();
    }
    expect(memory().numTensors).toBe(before);
    expect(() => directionLoss(A, q, tensor2d([[1]]))).toThrow('b must have shape [2,12]');
    expect(() => directionLoss(poisson2d(2), q, right)).toThrow('must have shape [*,4]');
    dispose([q, right, dense]);
  });
});

describe('DirectionNet', () => {
  it.each([
    [2, 'small', 8, 8_265],
    [3, 'small', 16, 97_457],
    [2, 'large', 8, 8_265 + 6 * 584],
  ] as const)('dim %i, %s: as many parameters as the authors’', (dim, levels, filters, want) => {
    const net = directionNet({ dim, levels, filters });
    expect(net.parameterCount).toBe(want);
    net.dispose();
    net.dispose();
  });

  it.each([
    [2, [4, 6]],
    [3, [4, 2, 6]],
  ] as const)('dim %i: gradients of all weights are those of differences', async (dim, grid) => {
    const net = directionNet({ dim, filters: 2, seed: 4 });
    const n = grid.reduce((size, length) => size * length, 1);
    const x = tensor(Float32Array.from(noise(n, 5)), [1, ...grid]);
    const w = tensor(Float32Array.from(noise(n, 6)), [1, ...grid]);
    const value = (): Tensor =>
      reshape(matMul(reshape(net.predict(x), [1, n]), reshape(w, [n, 1])), []);
    // Kernel and bias of the first, of one on the coarse grid, and of the last.
    for (const i of [0, 1, 12, 13, 28, 30]) {
      const v = net.variables[i]!;
      const start = Float32Array.from(await v.data());
      const direction = tensor(Float32Array.from(noise(v.size, 7)), v.shape);
      const { value: at, grads } = variableGrads(value as never, [v]);
      const g = await grads[v.name]!.data();
      const d = Float32Array.from(await direction.data());
      const along = d.reduce((sum, each, k) => sum + each * g[k]!, 0);
      const moved = async (h: number) => {
        const next = tensor(
          start.map((each, k) => each + h * d[k]!),
          v.shape,
        );
        v.assign(next);
        const out = value();
        const number = (await out.data())[0]!;
        dispose([next, out]);
        return number;
      };
      // Small enough that hardly a ReLU changes sides.
      const h = 1e-4;
      const want = ((await moved(h)) - (await moved(-h))) / (2 * h);
      expect(Math.abs(along - want)).toBeLessThan(5e-3 * (1 + Math.abs(want)));
      const back = tensor(start, v.shape);
      v.assign(back);
      dispose([back, at, direction, ...Object.values(grads)]);
    }
    dispose([x, w]);
    net.dispose();
  });

  it('does the same everywhere away from the border, on any even grid', async () => {
    const net = directionNet({ filters: 2, seed: 8 });
    const side = 60;
    const at = (row: number, column: number) => {
      const data = new Float32Array(side * side);
      data[row * side + column] = 1;
      return tensor(data, [1, side, side]);
    };
    const [x, moved] = [at(28, 28), at(30, 32)];
    const [y, z] = [net.predict(x), net.predict(moved)];
    const cut = (t: Tensor, row: number, column: number) => slice(t, [0, row, column], [1, 8, 8]);
    const [want, got] = [cut(y, 24, 24), cut(z, 26, 28)];
    expectTensorClose(await got.data(), await want.data(), { rtol: 1e-4, atol: 1e-5 });
    dispose([x, moved, y, z, want, got]);
    const odd = tensor(new Float32Array(12), [1, 3, 4]);
    expect(() => net.predict(odd)).toThrow('even lengths, got shape [1,3,4]');
    odd.dispose();
    net.dispose();
  });

  it('is saved and restored; a damaged state is refused with nothing changed', async () => {
    const [net, other] = [directionNet({ filters: 2 }), directionNet({ filters: 2, seed: 1 })];
    const state = JSON.parse(JSON.stringify(await net.save(), plain));
    const copy = loadDirectionNet(state);
    other.restore(state);
    for (const each of [copy, other]) expect(await each.save()).toEqual(await net.save());
    const before = memory().numTensors;
    const broken = { ...state, weights: { ...state.weights, bias3: { shape: [2], data: [1] } } };
    expect(() => other.restore(broken)).toThrow('bias3');
    expect(() => loadDirectionNet(broken)).toThrow('bias3');
    expect(() => loadDirectionNet({ ...state, config: { dim: 4 } })).toThrow('dim');
    expect(() => loadDirectionNet({} as never)).toThrow('DirectionNet');
    const wide = directionNet({ filters: 3 });
    expect(() => wide.restore(state)).toThrow('filters must be 3, got 2');
    wide.dispose();
    expect(memory().numTensors).toBe(before);
    expect(await other.save()).toEqual(await net.save());
    for (const each of [net, other, copy]) each.dispose();
  });
});

/** Typed arrays as JSON has them. */
const plain = (_: string, value: unknown) =>
  value instanceof Float32Array ? Array.from(value) : value;

describe('trainDirection', () => {
  const A = poisson2d(8);

  it('trains, and goes on from a saved state bit for bit', async () => {
    const before = memory().numTensors;
    const P = poisson2d(6);
    const data = ritzDataset(P, { m: 20, size: 40, seed: 2 });
    const options = { batchSize: 4, learningRate: 1e-2, seed: 3 };
    const net = directionNet({ filters: 2, seed: 1 });
    const whole = await trainDirection(net, P, data, { ...options, steps: 24 });
    const mean = (losses: readonly number[]) => losses.reduce((a, b) => a + b) / losses.length;
    expect(mean(whole.losses.slice(-5))).toBeLessThan(0.97 * mean(whole.losses.slice(0, 5)));
    // After each epoch of nine steps, and at the end.
    expect(whole.validationLosses.length).toBe(3);

    const first = directionNet({ filters: 2, seed: 1 });
    const half = await trainDirection(first, P, data, { ...options, steps: 11 });
    const second = loadDirectionNet(await first.save());
    const rest = await trainDirection(second, P, data, {
      ...options,
      steps: 24,
      resume: JSON.parse(JSON.stringify(half.state)),
    });
    expect([...half.losses, ...rest.losses]).toEqual(whole.losses);
    expect(await second.save()).toEqual(await net.save());

    for (const each of [net, first, second, data]) each.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it('works in three dimensions', async () => {
    const P = poisson3d(4);
    const data = ritzDataset(P, { m: 20, size: 8 });
    const net = directionNet({ dim: 3, filters: 2 });
    const { losses } = await trainDirection(net, P, data, { steps: 3, learningRate: 1e-3 });
    expect(losses.every((loss) => loss > 0 && loss <= 1.0001)).toBe(true);
    const result = await deepConjugateDirection(P, noise(64), { model: net, tol: 1e-6 });
    expect(result.converged).toBe(true);
    dispose([data]);
    net.dispose();
  });

  it('stops by signal, and refuses what does not fit', async () => {
    const data = ritzDataset(A, { m: 8, size: 20 });
    const net = directionNet({ filters: 1 });
    const before = memory().numTensors;
    const controller = new AbortController();
    const stopped = await trainDirection(net, A, data, {
      signal: controller.signal,
      onStep: ({ step }) => step === 2 && controller.abort(),
    });
    expect([stopped.status, stopped.steps]).toEqual(['aborted', 2]);
    const refused: [object, string][] = [
      [{ batchSize: 0 }, 'batchSize must be an integer >= 1, got 0'],
      [{ validation: 1 }, 'validation must be'],
      [{ grid: [4, 4, 4] }, 'grid must have 2 axes and 64 points'],
      [{ rate: 1 }, 'unknown option "rate"'],
      [{ resume: { ...stopped.state, seed: 9 } }, 'resume must be of seed 0, got 9'],
      [{ resume: { ...stopped.state, descent: { steps: 1, moments: [] } } }, 'resume'],
    ];
    for (const [change, message] of refused) {
      await expect(trainDirection(net, A, data, change)).rejects.toThrow(message);
    }
    await expect(trainDirection(net, poisson2d(6), data)).rejects.toThrow('data must have shape');
    expect(memory().numTensors).toBe(before);
    data.dispose();
    net.dispose();
    expect(() => ritzDataset(A, { m: 65 })).toThrow('m must be an integer >= 1 and <= 64');
  });
});
