/** Steps, solvers and objectives of sparse recovery. */
import { expectTensorClose } from '@orth/testing';
import {
  add,
  complex,
  eye,
  fft,
  grad,
  ifft,
  imag,
  mul,
  real,
  scalar,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tensor1d,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  fista,
  hardThreshold,
  iht,
  ista,
  type LinearMap,
  lasso,
  lassoPath,
  lipschitz,
  softThreshold,
  sparseObjective,
} from '../src/index.js';
import {
  differences,
  dot64,
  gaussian,
  holding,
  scoped,
  soft64,
  times,
  toTensor,
} from './reference.js';

const [M, N, B] = [8, 14, 3];
const a = gaussian(1, M * N, 1 / Math.sqrt(M));
const y = gaussian(2, B * M);
const rowOf = (x: ArrayLike<number>, i: number, n: number) =>
  Array.from(x).slice(i * n, (i + 1) * n);

/** Rows of `x`: |Aᵀ(y − A x)| <= λ, with equality and the sign of x on the support. */
function expectOptimal(x: ArrayLike<number>, lambda: number, slack: number) {
  for (let b = 0; b < B; b++) {
    const row = rowOf(x, b, N);
    const r = times(a, row, M, N).map((v, i) => y[b * M + i]! - v);
    for (const [j, c] of times(a, r, M, N, true).entries()) {
      if (row[j] === 0) expect(Math.abs(c)).toBeLessThan(lambda + slack);
      else expect(Math.abs(c - lambda * Math.sign(row[j]!))).toBeLessThan(slack);
    }
  }
}

describe('thresholds', () => {
  it('shrink and cut, with gradients', () =>
    scoped(() => {
      const z = tensor1d([-2, -0.5, 0, 0.25, 1, 3]);
      expectTensorClose(softThreshold(z, 1), [-1, 0, 0, 0, 0, 2]);
      expectTensorClose(hardThreshold(z, 1), [-2, 0, 0, 0, 0, 3]);
      const s = scalar(1);
      expectTensorClose(grad((x: Tensor) => sum(softThreshold(x, s)))(z), [1, 0, 0, 0, 0, 1]);
      expectTensorClose(grad((t: Tensor) => sum(softThreshold(z, t)))(s), [0]);
      expectTensorClose(grad((x: Tensor) => sum(hardThreshold(x, 1)))(z), [1, 0, 0, 0, 0, 1]);
      expectTensorClose(grad((x: Tensor) => sum(softThreshold(x, 0)))(z), [1, 1, 0, 1, 1, 1]);
    }));

  it('keep the phase of complex numbers; the gradient is that of the two parts', () =>
    scoped(() => {
      const parts = gaussian(3, 8);
      const w = gaussian(4, 8);
      const soft = (v: ArrayLike<number>) =>
        Array.from({ length: 4 }, (_, i) => {
          const r = Math.hypot(v[i]!, v[4 + i]!);
          return Math.max(r - 0.6, 0) / r;
        });
      const f = (re: Tensor, im: Tensor) => softThreshold(complex(re, im), 0.6);
      const [re, im] = [toTensor(parts.slice(0, 4), [4]), toTensor(parts.slice(4), [4])];
      const out = f(re, im);
      const factors = soft(parts);
      expectTensorClose(
        real(out),
        factors.map((k, i) => k * parts[i]!),
      );
      expectTensorClose(
        imag(out),
        factors.map((k, i) => k * parts[4 + i]!),
      );
      const weighted = (v: ArrayLike<number>) =>
        soft(v).reduce((t, k, i) => t + k * (w[i]! * v[i]! + w[4 + i]! * v[4 + i]!), 0);
      const want = differences(weighted, parts);
      const [wr, wi] = [toTensor(w.slice(0, 4), [4]), toTensor(w.slice(4), [4])];
      const loss = (x: Tensor, z: Tensor) =>
        tidy(() => {
          const o = f(x, z);
          return add(sum(mul(real(o), wr)), sum(mul(imag(o), wi)));
        });
      expectTensorClose(grad((x: Tensor) => loss(x, im))(re), want.slice(0, 4), {
        rtol: 1e-4,
        atol: 1e-5,
      });
      expectTensorClose(grad((x: Tensor) => loss(re, x))(im), want.slice(4), {
        rtol: 1e-4,
        atol: 1e-5,
      });
    }));
});

describe('objective', () => {
  it('value and gradient, with entries at 0', () =>
    scoped(() => {
      const x = gaussian(5, B * N).map((v, i) => (i % 3 === 0 ? 0 : v));
      const [A, X, Y] = [toTensor(a, [M, N]), toTensor(x, [B, N]), toTensor(y, [B, M])];
      const F = (v: ArrayLike<number>) =>
        Array.from({ length: B }, (_, b) => {
          const row = rowOf(v, b, N);
          const r = times(a, row, M, N).map((u, i) => y[b * M + i]! - u);
          return dot64(r, r) / 2 + 0.3 * row.reduce((t, u) => t + Math.abs(u), 0);
        });
      expectTensorClose(sparseObjective(A, X, Y, { lambda: 0.3 }), F(x), {
        rtol: 1e-5,
        atol: 1e-5,
      });
      const g = grad((v: Tensor) => sum(sparseObjective(A, v, Y, { lambda: 0.3 })))(X);
      const want = differences((v) => F(v).reduce((p, q) => p + q), x, 1e-6);
      expectTensorClose(g, want, { rtol: 1e-4, atol: 1e-4 });
      const zeros = sparseObjective(A, X, Y, { lambda: 1, kind: 'iht' });
      const data = sparseObjective(A, X, Y, { lambda: 0, kind: 'iht' });
      expectTensorClose(
        sub(zeros, data),
        x.reduce(
          (t, u, i) => {
            t[Math.floor(i / N)]! += Number(u !== 0);
            return t;
          },
          [0, 0, 0] as number[],
        ),
        { rtol: 0, atol: 1e-4 },
      );
    }));
});

describe('solvers', () => {
  it('never raise their objective at 1/L, and reach the optimum of the Lasso', () =>
    holding(async (hold) => {
      const [A, Y] = [hold(toTensor<Tensor2D>(a, [M, N])), hold(toTensor<Tensor2D>(y, [B, M]))];
      const lambda = 0.2;
      const exact = await lasso(A, Y, { lambda, tolerance: 1e-13 });
      expect(exact.converged).toEqual([true, true, true]);
      expectOptimal(await hold(exact.x).data(), lambda, 1e-4);
      for (const solve of [ista, iht] as const) {
        const result = await solve(A, Y, { lambda, steps: 60, history: true });
        hold(result.x);
        expect(result.status).toBe('maxSteps');
        expect(result.history).toHaveLength(60);
        for (let k = 1; k < 60; k++) {
          const [before, after] = [result.history![k - 1]!, result.history![k]!];
          after.forEach((F, b) => {
            expect(F).toBeLessThanOrEqual(before[b]! * (1 + 1e-5));
          });
        }
      }
      const long = await ista(A, Y, { lambda, steps: 3000, tolerance: 1e-5 });
      expect(long.status).toBe('converged');
      expect(long.iterations).toBeLessThan(3000);
      expectOptimal(await hold(long.x).data(), lambda, 0.02);
      long.objective.forEach((F, b) => {
        expect(F / exact.objective[b]!).toBeCloseTo(1, 4);
      });
    }));

  it('FISTA keeps its bound', () =>
    holding(async (hold) => {
      const [A, Y] = [hold(toTensor<Tensor2D>(a, [M, N])), hold(toTensor<Tensor2D>(y, [B, M]))];
      const lambda = 0.05;
      const exact = await lasso(A, Y, { lambda, tolerance: 1e-11 });
      const best = await hold(exact.x).data();
      const L = await lipschitz(A);
      const { x, history } = await fista(A, Y, { lambda, steps: 50, history: true });
      hold(x);
      for (const [k, F] of history!.entries()) {
        for (let b = 0; b < B; b++) {
          const distance = dot64(rowOf(best, b, N), rowOf(best, b, N));
          expect(F[b]! - exact.objective[b]!).toBeLessThan(
            (2 * L * distance) / (k + 2) ** 2 + 1e-5,
          );
        }
      }
    }));

  it('degenerate problems', () =>
    holding(async (hold) => {
      const [A, Y] = [hold(toTensor<Tensor2D>(a, [M, N])), hold(toTensor<Tensor2D>(y, [B, M]))];
      const top = Math.max(
        ...Array.from({ length: B }, (_, b) =>
          Math.max(...times(a, rowOf(y, b, M), M, N, true).map(Math.abs)),
        ),
      );
      const zero = await ista(A, Y, {
        lambda: top * 1.0001,
        steps: 5,
        tolerance: 1e-3,
        checkEvery: 1,
      });
      expectTensorClose(hold(zero.x), new Array(B * N).fill(0), { rtol: 0, atol: 0 });
      expect(zero.iterations).toBe(1);
      // Tall, λ = 0: least squares. A column of zeros stays 0.
      const tall = Float64Array.from(gaussian(7, 12 * 3), (v, i) => (i % 3 === 1 ? 0 : v));
      const T = hold(toTensor<Tensor2D>(tall, [12, 3]));
      const truth = [1, 0, -2];
      const rhs = hold(toTensor<Tensor2D>(times(tall, truth, 12, 3), [1, 12]));
      const least = await fista(T, rhs, { lambda: 0, steps: 400, tolerance: 1e-7 });
      expectTensorClose(hold(least.x), truth, { rtol: 1e-3, atol: 1e-4 });
      expect((await lasso(T, rhs, { lambda: 0 }).then(({ x }) => hold(x).data()))[1]).toBe(0);
      const nothing = hold(tensor2d([[0, 0, 0, 0, 0, 0, 0, 0]]));
      for (const solve of [ista, iht, fista]) {
        expectTensorClose(hold((await solve(A, nothing, { lambda: 0.1 })).x), new Array(N).fill(0));
      }
      // Orthonormal: one step is the exact minimiser.
      const I = hold(eye(N));
      const data = gaussian(8, N);
      const one = hold(toTensor<Tensor2D>(data, [1, N]));
      const l1 = await ista(I, one, { lambda: 0.4, steps: 1, stepSize: 1 });
      expectTensorClose(
        hold(l1.x),
        data.map((v) => soft64(v, 0.4)),
      );
      const l0 = await iht(I, one, { lambda: 0.1, steps: 1, stepSize: 1 });
      expectTensorClose(
        hold(l0.x),
        data.map((v) => (Math.abs(v) > Math.sqrt(0.2) ? v : 0)),
      );
    }));

  it('warm start, own step sizes, abort, divergence', () =>
    holding(async (hold) => {
      const [A, Y] = [hold(toTensor<Tensor2D>(a, [M, N])), hold(toTensor<Tensor2D>(y, [B, M]))];
      const options = { lambda: 0.1, stepSize: 0.2 };
      const first = await ista(A, Y, { ...options, steps: 4 });
      const second = await ista(A, Y, { ...options, steps: 3, x0: hold(first.x) });
      const whole = await ista(A, Y, { lambda: 0.1, stepSize: new Array(7).fill(0.2) });
      expect(whole.iterations).toBe(7);
      expectTensorClose(hold(second.x), await hold(whole.x).data());
      const wild = await ista(A, Y, { lambda: 0.1, stepSize: 1e6, steps: 50 });
      hold(wild.x);
      expect(wild.status).toBe('diverged');
      expect(wild.converged).toEqual([false, false, false]);
      const controller = new AbortController();
      const stopped = await ista(A, Y, {
        ...options,
        checkEvery: 1,
        signal: controller.signal,
        onStep: ({ step }) => step === 3 && controller.abort(),
      });
      hold(stopped.x);
      expect([stopped.status, stopped.iterations]).toEqual(['aborted', 3]);
    }));

  it('a batch is as many single runs', () =>
    holding(async (hold) => {
      const [A, Y] = [hold(toTensor<Tensor2D>(a, [M, N])), hold(toTensor<Tensor2D>(y, [B, M]))];
      const all = await hold((await fista(A, Y, { lambda: 0.1, steps: 30 })).x).data();
      for (let b = 0; b < B; b++) {
        const one = hold(toTensor<Tensor2D>(rowOf(y, b, M), [1, M]));
        expectTensorClose(
          hold((await fista(A, one, { lambda: 0.1, steps: 30 })).x),
          rowOf(all, b, N),
          {
            rtol: 1e-4,
            atol: 1e-6,
          },
        );
      }
    }));

  it('a path of λ', () =>
    holding(async (hold) => {
      const [A, Y] = [hold(toTensor<Tensor2D>(a, [M, N])), hold(toTensor<Tensor2D>(y, [B, M]))];
      const path = await lassoPath(A, Y, { count: 5, ratio: 0.01, tolerance: 1e-12 });
      hold(path.x);
      expect(path.converged.every(Boolean)).toBe(true);
      expect(path.lambdas[4]! / path.lambdas[0]!).toBeCloseTo(0.01, 10);
      const values = await path.x.data();
      for (const [k, lambda] of path.lambdas.entries()) {
        const one = await lasso(A, Y, { lambda, tolerance: 1e-12 });
        const got = values.slice(k * B * N, (k + 1) * B * N);
        expectTensorClose(got, await hold(one.x).data(), { rtol: 1e-3, atol: 1e-4 });
      }
    }));
});

describe('operators', () => {
  /** Every second frequency of a signal of 8. */
  const mask = [1, 0, 1, 0, 1, 1, 0, 1];
  const fourier = (hold: <T extends Tensor>(x: T) => T): LinearMap => {
    const keep = hold(tensor1d(mask.map((v) => v / Math.sqrt(8))));
    const back = hold(tensor1d(mask.map((v) => v * Math.sqrt(8))));
    return {
      apply: (x) => mul(fft(x), complex(keep, mul(keep, 0))),
      adjoint: (r) => ifft(mul(r, complex(back, mul(back, 0)))),
    };
  };

  it('functions, and complex matrices, agree with real arithmetic', () =>
    holding(async (hold) => {
      const [re, im] = [gaussian(11, 40), gaussian(12, 40)];
      const A = hold(tidy(() => complex(toTensor(re, [5, 8]), toTensor(im, [5, 8]))));
      const [yr, yi] = [gaussian(13, 10), gaussian(14, 10)];
      const Y = hold(tidy(() => complex(toTensor(yr, [2, 5]), toTensor(yi, [2, 5]))));
      const L = await lipschitz(A);
      const { x, objective } = await ista(A, Y, { lambda: 0.5, steps: 3, stepSize: 1 / L });
      hold(x);
      const got = hold(tidy(() => real(x)));
      const gotImaginary = hold(tidy(() => imag(x)));
      for (let b = 0; b < 2; b++) {
        let u = new Float64Array(8);
        let v = new Float64Array(8);
        const residual = () => {
          const [p, q] = [times(re, u, 5, 8), times(re, v, 5, 8)];
          const [s, t] = [times(im, v, 5, 8), times(im, u, 5, 8)];
          return [
            p.map((_, i) => yr[b * 5 + i]! - p[i]! + s[i]!),
            q.map((_, i) => yi[b * 5 + i]! - q[i]! - t[i]!),
          ] as const;
        };
        for (let k = 0; k < 3; k++) {
          const [r, s] = residual();
          const gr = times(re, r, 5, 8, true).map((g, i) => g + times(im, s, 5, 8, true)[i]!);
          const gi = times(re, s, 5, 8, true).map((g, i) => g - times(im, r, 5, 8, true)[i]!);
          const pairs = Array.from(u, (w, i) => [w + gr[i]! / L, v[i]! + gi[i]! / L] as const);
          const factor = pairs.map(([c, d]) => Math.max(1 - 0.5 / L / Math.hypot(c, d), 0));
          u = Float64Array.from(pairs, ([c], i) => c * factor[i]!);
          v = Float64Array.from(pairs, ([, d], i) => d * factor[i]!);
        }
        const [r, s] = residual();
        const norm = Array.from(u, (w, i) => Math.hypot(w, v[i]!)).reduce((p, q) => p + q);
        expect(objective[b]!).toBeCloseTo((dot64(r, r) + dot64(s, s)) / 2 + 0.5 * norm, 3);
        expectTensorClose((await got.data()).slice(b * 8, b * 8 + 8), u, {
          rtol: 1e-3,
          atol: 1e-4,
        });
        expectTensorClose((await gotImaginary.data()).slice(b * 8, b * 8 + 8), v, {
          rtol: 1e-3,
          atol: 1e-4,
        });
      }
    }));

  it('a masked Fourier transform, given by functions', () =>
    holding(async (hold) => {
      const F = fourier(hold);
      const signal = hold(tensor2d([[0, 2, 0, 0, 0, -1, 0, 0]]));
      const Y = hold(tidy(() => F.apply(complex(signal, mul(signal, 0)))));
      const result = await fista(F, Y, { lambda: 0.01, steps: 500, tolerance: 1e-4 });
      hold(result.x);
      expect(result.x.dtype).toBe('complex64');
      expect(result.status).toBe('converged');
      // A partial unitary transform has norm 1.
      expect(await lipschitz({ ...F, inputShape: [8], inputType: 'complex64' })).toBeCloseTo(1, 4);
      const F1 = hold(sparseObjective(F, result.x, Y, { lambda: 0.01 }));
      expect((await F1.data())[0]).toBeCloseTo(result.objective[0]!, 5);
      await expect(lipschitz(F)).rejects.toThrow(/inputShape/);
    }));
});

describe('refusals', () => {
  it('name the argument', () =>
    holding(async (hold) => {
      const [A, Y] = [hold(toTensor<Tensor2D>(a, [M, N])), hold(toTensor<Tensor2D>(y, [B, M]))];
      const wrong = hold(toTensor<Tensor2D>(y.slice(0, 14), [2, 7]));
      const bad = hold(tensor2d([[Number.NaN, 0, 0, 0, 0, 0, 0, 0]]));
      await expect(ista(A, wrong, { lambda: 1 })).rejects.toThrow(
        'ista: y must have shape [*,8], got shape [2,7]',
      );
      await expect(fista(A, Y, { lambda: -1 })).rejects.toThrow(
        /fista: lambda must be .*>= 0, got -1/,
      );
      await expect(iht(A, bad, { lambda: 1 })).rejects.toThrow(
        'iht: y must be finite, got NaN at index 0',
      );
      await expect(ista(A, Y, { lambda: 1, stepSize: -1 })).rejects.toThrow(/stepSize must be/);
      const sizes = hold(tensor1d([0.1, -0.2]));
      await expect(ista(A, Y, { lambda: 1, stepSize: sizes })).rejects.toThrow(
        /stepSize\[1\] must be/,
      );
      await expect(ista(A, Y, { lambda: 1, steps: 3, stepSize: [1, 1] })).rejects.toThrow(
        /one for each of the 3/,
      );
      await expect(ista(A, Y, { lambda: 1, tol: 1 } as never)).rejects.toThrow(
        /unknown option "tol"/,
      );
      await expect(ista(A, Y, { lambda: 1, x0: Y })).rejects.toThrow(/x0 must have shape \[3,14\]/);
      await expect(lasso(A, Y, { lambda: 1, tolerance: 0 })).rejects.toThrow(/tolerance must be/);
      await expect(lassoPath(A, Y, { lambdas: [1, 2] })).rejects.toThrow(/lambdas\[1\] must be/);
      await expect(ista({ apply: (v: Tensor) => v } as never, Y, { lambda: 1 })).rejects.toThrow(
        /A must be a matrix/,
      );
      const broken = { apply: (v: Tensor) => v, adjoint: (v: Tensor) => square(sum(v)) };
      await expect(ista(broken, Y, { lambda: 1 })).rejects.toThrow(/A.adjoint\(y\) must have/);
      expect(() => softThreshold(Y, -1)).toThrow(/threshold must be/);
    }));
});
