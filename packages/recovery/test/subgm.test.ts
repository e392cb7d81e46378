import { measureLeaks, seededRandom } from '@orth/backend';
import {
  denseMeasurement,
  detectOutliers,
  estimateRank,
  gaussianMeasurement,
  type LinearMeasurement,
  maskMeasurement,
  matrixSensing,
  randomOrthogonal,
  rankOneMeasurement,
  robustLoss,
  robustPca,
  scaledSubgradient,
  signRipEstimate,
  spectralInit,
  spectralInitRectangular,
  subgm,
  subgmRectangular,
} from '@orth/recovery';
import { expectTensorClose, maxError } from '@orth/testing';
import {
  add,
  matMul,
  memory,
  mul,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tensor1d,
  tensor2d,
  tensor3d,
  transpose,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';

const random = seededRandom(11);
const gaussian = (shape: number[]) => random.normalTensor(shape);
const dot = (x: Tensor, y: Tensor) => {
  const [a, b] = [x.dataSync(), y.dataSync()];
  return Array.from(a).reduce((total, v, i) => total + v * b[i]!, 0);
};

const relative = (got: Tensor, want: Tensor) => {
  const [g, w] = [got.dataSync(), want.dataSync()];
  const norm = (f: (i: number) => number) =>
    Math.sqrt(Array.from(w).reduce((total, _, i) => total + f(i) ** 2, 0));
  return norm((i) => g[i]! - w[i]!) / norm((i) => w[i]!);
};

/** A small problem that is solved in a few hundred steps. */
const small = (more: object = {}) =>
  matrixSensing({ d: 8, rank: 2, m: 160, outliers: 0.2, seed: 3, ...more });
const SHORT = { steps: 600, rho: 0.985 };

describe('measurements', () => {
  const mask = [
    [1, 0, 1, 1],
    [0, 0, 1, 0],
    [1, 1, 0, 1],
  ];
  const kinds: [string, () => LinearMeasurement][] = [
    ['gaussian', () => gaussianMeasurement([3, 4], 7)],
    ['mask', () => maskMeasurement(mask)],
    ['full mask', () => maskMeasurement(mask.map((row) => row.map(() => 1)))],
    ['rank one', () => rankOneMeasurement(gaussian([6, 4]) as Tensor2D)],
  ];

  it.each(kinds)('%s: the adjoint is the adjoint', (_, make) => {
    const A = make();
    const [X, v] = [gaussian([A.rows, A.columns]), gaussian([A.m])];
    const [Ax, Av] = [A.apply(X as Tensor2D), A.adjoint(v as Tensor1D)];
    expect(Ax.shape).toEqual([A.m]);
    expect(Av.shape).toEqual([A.rows, A.columns]);
    expect(dot(Ax, v)).toBeCloseTo(dot(X, Av), 4);
    for (const x of [X, v, Ax, Av]) x.dispose();
    A.dispose?.();
  });

  it('read entries in row-major order, and refuse what cannot be', () => {
    const A = maskMeasurement(mask);
    const X = tensor2d([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [3, 4]);
    const y = A.apply(X);
    expect(Array.from(y.dataSync())).toEqual([1, 3, 4, 7, 9, 10, 12]);
    expect(() => maskMeasurement([[0, 0]])).toThrow(/an entry that is not 0/);
    expect(() => denseMeasurement(X as never)).toThrow(/rank 3/);
    expect(() => gaussianMeasurement(0, 3)).toThrow(/rows must be/);
    expect(() => rankOneMeasurement(y as never)).toThrow(/rank 2/);
    for (const x of [X, y, A]) x.dispose?.();
  });
});

describe('robustLoss', () => {
  it('has the subgradient of central differences, away from kinks', () => {
    const A = gaussianMeasurement(5, 30, { seed: 4 });
    const [U, y] = [gaussian([5, 2]) as Tensor2D, gaussian([30]) as Tensor1D];
    const { value, residual, Q } = robustLoss(A, y, U);
    const gradient = mul(matMul(Q, U), 2);
    const matrices = tensor2d(
      Array.from({ length: 30 }, (_, i) => {
        const unit = tensor1d(Array.from({ length: 30 }, (__, j) => (i === j ? 1 : 0)));
        const row = A.adjoint(unit);
        const numbers = Array.from(row.dataSync());
        unit.dispose();
        row.dispose();
        return numbers;
      }),
    );
    const [a, yy, u] = [matrices, y, U].map((x) => Float64Array.from(x.dataSync()));
    const f = (v: Float64Array) => {
      let total = 0;
      for (let i = 0; i < 30; i++) {
        let z = -yy![i]!;
        for (let r = 0; r < 5; r++) {
          for (let c = 0; c < 5; c++) {
            z += a![i * 25 + 5 * r + c]! * (v[2 * r]! * v[2 * c]! + v[2 * r + 1]! * v[2 * c + 1]!);
          }
        }
        total += Math.abs(z) / 30;
      }
      return total;
    };
    const want = u!.map((_, e) => {
      const shifted = (h: number) => f(u!.map((x, i) => (i === e ? x + h : x)));
      return (shifted(1e-7) - shifted(-1e-7)) / 2e-7;
    });
    expectTensorClose(gradient, want, { rtol: 1e-4, atol: 1e-4 });
    expectTensorClose(value, [f(u!)], { rtol: 1e-5 });
    for (const x of [U, y, value, residual, Q, gradient, matrices, A]) x.dispose?.();
  });

  it('does not change when the matrices are symmetrised', () => {
    const matrices = gaussian([9, 3, 3]);
    const symmetric = mul(add(matrices, transpose(matrices, [0, 2, 1])), 0.5);
    const [U, y] = [gaussian([3, 2]) as Tensor2D, gaussian([9]) as Tensor1D];
    const both = [matrices, symmetric].map((x) => denseMeasurement(x as never));
    const [a, b] = both.map((A) => robustLoss(A, y, U));
    expectTensorClose(a!.Q, b!.Q, { atol: 1e-6 });
    expectTensorClose(a!.value, b!.value, { atol: 1e-5 });
    expect(() => robustLoss(both[0]!, y, gaussian([4, 2]) as Tensor2D)).toThrow(
      /U must have shape/,
    );
    for (const x of [
      matrices,
      symmetric,
      U,
      y,
      ...both,
      ...Object.values(a!),
      ...Object.values(b!),
    ]) {
      x.dispose?.();
    }
  });
});

describe('subgm', () => {
  it('recovers exactly with the right rank, finds the outliers and the rank', async () => {
    const { A, y, X: truth, corrupted, dispose } = small();
    const { U, X, history, converged, reason, iterations, medianResidual } = await subgm(A, y, {
      rank: 2,
      truth,
      ...SHORT,
    });
    expect(relative(X, truth)).toBeLessThan(1e-4);
    expect(history.at(-1)!.relError).toBeCloseTo(relative(X, truth), 5);
    expect([converged, reason, iterations]).toEqual([true, 'steps', 600]);
    expect(medianResidual).toBeLessThan(1e-3);
    const outliers = await detectOutliers(A, y, { X });
    expect(Array.from(outliers.indices)).toEqual(Array.from(corrupted));
    const over = await subgm(A, y, { rank: 8, alpha: 1e-4, ...SHORT });
    expect((await estimateRank(over.U)).rank).toBe(2);
    for (const x of [U, X, over.U, over.X]) x.dispose();
    dispose();
  });

  it('the error that an over-specified rank leaves shrinks with alpha', async () => {
    const { A, y, X: truth, dispose } = small();
    const errors: number[] = [];
    for (const alpha of [1e-1, 1e-5]) {
      const { U, X } = await subgm(A, y, { rank: 8, alpha, truth, ...SHORT });
      errors.push(relative(X, truth));
      U.dispose();
      X.dispose();
    }
    expect(errors[1]).toBeLessThan(errors[0]! / 10);
    expect(errors[1]).toBeLessThan(1e-3);
    dispose();
  });

  it('U₀R gives U_tR, and scaled data scaled factors', async () => {
    const { A, y, dispose } = small();
    const U0 = mul(gaussian([8, 3]), 0.1) as Tensor2D;
    const R = randomOrthogonal(3, { seed: 5 });
    const turned = matMul(U0, R) as Tensor2D;
    const run = (init: Tensor2D, measurements: Tensor, more = {}) =>
      subgm(A, measurements, { rank: 3, init, steps: 6, ...more });
    const [plain, rotated] = [await run(U0, y), await run(turned, y)];
    const want = matMul(plain.U, R);
    expectTensorClose(rotated.U, want, { atol: 1e-5 });
    const [four, two] = [mul(y, 4), mul(U0, 2) as Tensor2D];
    const scaled = await run(two, four);
    const doubled = mul(plain.U, 2);
    expectTensorClose(scaled.U, doubled, { atol: 1e-5 });
    const polyak = await run(U0, y, { schedule: 'polyak', eta0: 0.2 });
    const scaledPolyak = await run(two, four, { schedule: 'polyak', eta0: 0.05 });
    const doubledPolyak = mul(polyak.U, 2);
    expectTensorClose(scaledPolyak.U, doubledPolyak, { atol: 1e-5 });
    const results = [plain, rotated, scaled, polyak, scaledPolyak].flatMap(({ U, X }) => [U, X]);
    for (const x of [U0, R, turned, want, four, two, doubled, doubledPolyak, ...results])
      x.dispose();
    dispose();
  });

  it('takes every schedule and start', async () => {
    const { A, y, X: truth, dispose } = small({ outliers: 0 });
    const errors: Record<string, number> = {};
    const runs = {
      polyak: { schedule: 'polyak' },
      polyakKnown: { schedule: 'polyakKnown', init: 'gaussian', alpha: 0.1 },
      own: { schedule: (t: number) => 0.3 * 0.985 ** t },
      relative: { relativeAlpha: true, rho: 0.985 },
      large: { rho: 1 },
    } as const;
    for (const [name, options] of Object.entries(runs)) {
      const { U, X } = await subgm(A, y, { rank: 2, steps: 600, ...options });
      errors[name] = relative(X, truth);
      U.dispose();
      X.dispose();
    }
    const { large, ...others } = errors;
    for (const error of Object.values(others)) expect(error).toBeLessThan(1e-3);
    // With ρ = 1 steps of η₀ never settle.
    expect(large).toBeGreaterThan(1e-2);
    dispose();
  });

  it('a polyak step into wrong data is reported, not passed off as a solution', async () => {
    const { A, y, dispose } = small();
    const blown = await subgm(A, y, { rank: 2, schedule: 'polyak', eta0: 50, steps: 300 });
    expect(blown.reason).toBe('diverged');
    expect(blown.converged).toBe(false);
    expect(blown.U.dataSync().every(Number.isFinite)).toBe(true);
    const controller = new AbortController();
    const stopped = await subgm(A, y, {
      rank: 2,
      signal: controller.signal,
      onStep: ({ iteration }) => {
        if (iteration === 7) controller.abort();
      },
    });
    expect([stopped.reason, stopped.iterations]).toEqual(['aborted', 8]);
    for (const { U, X } of [blown, stopped]) for (const x of [U, X]) x.dispose();
    dispose();
  });

  it('stops where nothing is left to change', async () => {
    const A = denseMeasurement(tensor3d([[[1]]]));
    const { U, X, reason, converged } = await subgm(A, [4], { rank: 1, init: [[2]] });
    expect([reason, converged, X.dataSync()[0]]).toEqual(['stationary', true, 4]);
    for (const x of [U, X, A]) x.dispose?.();
  });

  it('rank-one measurements without a matrix', async () => {
    const vectors = gaussian([120, 6]) as Tensor2D;
    const A = rankOneMeasurement(vectors);
    const x = tensor2d([1, -1, 0.5, 0, 0.3, 2], [6, 1]);
    const truth = matMul(x, x, false, true) as Tensor2D;
    const y = A.apply(truth);
    const { U, X } = await subgm(A, y, { rank: 1, steps: 600, rho: 0.98, alpha: 0.01 });
    expect(relative(X, truth)).toBeLessThan(1e-3);
    for (const z of [vectors, x, truth, y, U, X, A]) z.dispose?.();
  });

  it('refuses wrong arguments and leaves nothing behind', async () => {
    const { A, y, dispose } = small();
    const before = memory().numTensors;
    const refuse = (options: object, why: RegExp, measured: Tensor | number[] = y) =>
      expect(subgm(A, measured, { rank: 2, ...options } as never)).rejects.toThrow(why);
    await refuse({ rank: 0 }, /rank must be an integer >= 1 and <= 8/);
    await refuse({ rank: 9 }, /rank must be/);
    await refuse({ alpha: 0 }, /alpha must be/);
    await refuse({ rho: 0 }, /rho must be/);
    await refuse({ rho: 1.1 }, /rho must be/);
    await refuse({ eta0: 0 }, /eta0 must be/);
    await refuse({ schedule: 'constant' }, /schedule must be one of/);
    await refuse({ schedule: () => -1 }, /schedule\(0\) must be/);
    await refuse({ init: 'zeros' }, /init must be one of/);
    await refuse({ init: [[1, 2]] }, /init must have shape \[8,2\]/);
    await refuse({ init: Array(8).fill([0, 0]) }, /all zeros/);
    await refuse({ truth: [[1]] }, /truth must have shape \[8,8\]/);
    await refuse({ step: 1 }, /unknown option "step"/);
    await refuse({}, /160 entries, got 2/, [1, 2]);
    await refuse({}, /y must be finite, got NaN at index 0/, Array(160).fill(Number.NaN));
    await refuse({}, /y must not be all zeros/, Array(160).fill(0));
    const wide = gaussianMeasurement([2, 3], 4);
    await expect(subgm(wide, [1, 1, 1, 1], { rank: 1 })).rejects.toThrow(/square matrices/);
    await expect(subgm({} as never, y, { rank: 1 })).rejects.toThrow(/apply and adjoint/);
    wide.dispose?.();
    expect(memory().numTensors).toBe(before);
    const { tensors } = await measureLeaks(() => subgm(A, y, { rank: 2, steps: 60 }));
    expect(tensors).toBe(2);
    dispose();
  });
});

describe('spectral start', () => {
  it('has size alpha², whatever the rank beyond the positive eigenvalues', async () => {
    const { A, y, dispose } = small({ outliers: 0 });
    const U = await spectralInit(A, y, { rank: 8, alpha: 0.01 });
    const product = matMul(U, U, false, true);
    const size = Math.sqrt(dot(product, product));
    expect(size).toBeGreaterThan(0.8e-4);
    expect(size).toBeLessThan(1.01e-4);
    const { L, R } = await spectralInitRectangular(A, y, { rank: 2, alpha: 0.01 });
    expect([L.shape, R.shape]).toEqual([
      [8, 2],
      [8, 2],
    ]);
    expect(dot(L, L)).toBeCloseTo(dot(R, R), 8);
    await expect(spectralInit(A, y, { rank: 9 })).rejects.toThrow(/rank must be/);
    for (const x of [U, product, L, R]) x.dispose();
    dispose();
  });
});

describe('rectangular matrices', () => {
  it('are recovered from Gaussian measurements', async () => {
    const { A, y, X: truth, dispose } = small({ d: [6, 9], m: 220 });
    const run = await subgmRectangular(A, y, { rank: 2, ...SHORT });
    expect(relative(run.X, truth)).toBeLessThan(1e-3);
    const again = await subgmRectangular(A, y, { rank: 2, steps: 3, init: { L: run.L, R: run.R } });
    const random = await subgmRectangular(A, y, { rank: 2, steps: 3, init: 'gaussian' });
    await expect(subgmRectangular(A, y, { rank: 2, init: { L: run.L, R: run.L } })).rejects.toThrow(
      /R must have shape \[9,2\]/,
    );
    for (const { L, R, X } of [run, again, random]) for (const x of [L, R, X]) x.dispose();
    dispose();
  });

  it('scaled subgradients do not see the condition number', async () => {
    const errors: number[] = [];
    for (const conditionNumber of [1, 50]) {
      const { A, y, X: truth, dispose } = small({ rank: 3, m: 220, conditionNumber });
      const { L, R, X, converged } = await scaledSubgradient(A, y, { rank: 3, steps: 600 });
      expect(converged).toBe(true);
      errors.push(relative(X, truth));
      for (const x of [L, R, X]) x.dispose();
      dispose();
    }
    for (const error of errors) expect(error).toBeLessThan(1e-4);
    const { A, y, X: truth, dispose } = small({ outliers: 0 });
    const known = await scaledSubgradient(A, y, { rank: 2, schedule: 'polyakKnown', steps: 150 });
    expect(relative(known.X, truth)).toBeLessThan(1e-4);
    await expect(scaledSubgradient(A, y, { rank: 2, lambda: 0 })).rejects.toThrow(/lambda must/);
    for (const x of [known.L, known.R, known.X]) x.dispose();
    dispose();
  });
});

describe('robustPca', () => {
  it.each(['subgm', 'scaled'] as const)(
    'splits, and fills in what is missing: %s',
    async (method) => {
      const [rows, columns] = [30, 24];
      const [a, b] = [gaussian([rows, 2]), gaussian([columns, 2])];
      const truth = matMul(a, b, false, true) as Tensor2D;
      const clean = Array.from(truth.dataSync());
      const errors = clean.map(() => (random.uniform() < 0.1 ? random.normal(0, 10) : 0));
      const seen = clean.map(() => (random.uniform() < 0.85 ? 1 : 0));
      const before = memory().numTensors;
      const found = await robustPca(
        { shape: [rows, columns], data: clean.map((x, i) => x + errors[i]!) },
        {
          rank: 2,
          mask: { shape: [rows, columns], data: seen },
          method,
        },
      );
      expect(relative(found.lowRank, truth)).toBeLessThan(1e-4);
      const gross = errors.map((e, i) => e * seen[i]!);
      expect(maxError(found.sparse, gross)).toBeLessThan(1e-3);
      expect([found.rank, found.converged]).toEqual([2, true]);
      for (const x of [found.lowRank, found.sparse, found.L, found.R]) x.dispose();
      expect(memory().numTensors).toBe(before);
      for (const x of [a, b, truth]) x.dispose();
    },
  );

  it('refuses wrong arguments', async () => {
    await expect(robustPca([[1, Number.NaN]], { rank: 1 })).rejects.toThrow(/Y must be finite/);
    await expect(robustPca([[1, 2]], { rank: 2 })).rejects.toThrow(/rank must be/);
    await expect(robustPca([[1, 2]], { rank: 1, mask: [[1]] })).rejects.toThrow(/mask must have/);
    await expect(robustPca([[1, 2]], { rank: 1, method: 'scaled', alpha: 1 })).rejects.toThrow(
      /alpha must be absent/,
    );
  });
});

describe('estimates', () => {
  it('of the rank: gaps, tolerance, full', async () => {
    const matrix = (values: number[]) =>
      values.map((v, i) => values.map((_, j) => (i === j ? v : 0)));
    const of = 'matrix' as const;
    expect((await estimateRank(matrix([5, 3, 0.01, 0.005]), { of })).rank).toBe(2);
    expect(await estimateRank(matrix([5, 3, 2]), { of })).toMatchObject({ rank: 3, gap: Infinity });
    expect((await estimateRank(matrix([5, 3, 2, 0]), { of })).rank).toBe(3);
    expect((await estimateRank(matrix([5, 3, 1]), { of, tolerance: 0.5 })).rank).toBe(2);
    // A factor's singular values are squared.
    expect((await estimateRank(matrix([1, 0.2]), {})).rank).toBe(1);
    await expect(estimateRank([[0]])).rejects.toThrow(/all zeros/);
    await expect(estimateRank([[1]], { tolerance: 2 })).rejects.toThrow(/tolerance/);
  });

  it('of Sign-RIP: φ near √(2/π), δ smaller for more measurements', async () => {
    const deltas: number[] = [];
    for (const m of [100, 1600]) {
      const A = gaussianMeasurement(8, m, { seed: 1 });
      const { delta, phi } = await signRipEstimate(A, { rank: 2, trials: 8 });
      expect(Math.abs(phi - Math.sqrt(2 / Math.PI))).toBeLessThan(0.15);
      deltas.push(delta);
      A.dispose?.();
    }
    expect(deltas[1]).toBeLessThan(deltas[0]! / 2);
  });

  it('matrixSensing keeps to its options', () => {
    expect(() => matrixSensing({ d: 3, rank: 4, m: 5 })).toThrow(/rank must be/);
    expect(() => matrixSensing({ d: 3, rank: 1, m: 5, outliers: 1 })).toThrow(/outliers/);
    const { y, X, A, corrupted, dispose } = small({ outliers: 0, noise: 0.1 });
    const clean = A.apply(X);
    expect(corrupted.length).toBe(0);
    expect(maxError(clean, y)).toBeLessThan(0.6);
    expect(maxError(clean, y)).toBeGreaterThan(0);
    clean.dispose();
    dispose();
  });
});
