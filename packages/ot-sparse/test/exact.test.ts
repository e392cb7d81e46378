/** Exact transport and assignment: what linear programming promises. */
import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import { grads, memory, mul, sum, type Tensor, tensor } from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assignment, exactTransport, exactTransportAsync } from '../src/index.js';

/** Numbers without a tensor, so that the properties run on the host alone. */
const problem = (seed: number, m: number, n: number, levels = 0) => {
  const random = seededRandom(seed);
  const draw = () => (levels > 0 ? random.integer(0, levels) : random.uniform());
  const cost = { shape: [m, n], data: Float64Array.from({ length: m * n }, draw) };
  const masses = (length: number) => {
    const raw = Float64Array.from({ length }, () => Math.max(random.uniform() - 0.2, 0));
    raw[0]! += 0.1;
    const total = raw.reduce((s, x) => s + x, 0);
    return raw.map((x) => x / total);
  };
  return { cost, a: masses(m), b: masses(n), random };
};

const shapes = fc.record({
  seed: fc.integer({ min: 0, max: 1e6 }),
  m: fc.integer({ min: 1, max: 12 }),
  n: fc.integer({ min: 1, max: 12 }),
  levels: fc.constantFrom(0, 1, 3),
});

function checkOptimal(
  cost: { shape: number[]; data: Float64Array },
  a: Float64Array,
  b: Float64Array,
  result: ReturnType<typeof exactTransport>,
) {
  const [m, n] = cost.shape as [number, number];
  const plan = result.planData();
  const { alpha, beta } = result.duals;
  let primal = 0;
  const rows = new Float64Array(m);
  const columns = new Float64Array(n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      const t = plan[i * n + j]!;
      const slack = cost.data[i * n + j]! - alpha[i]! - beta[j]!;
      expect(t).toBeGreaterThanOrEqual(0);
      expect(slack).toBeGreaterThanOrEqual(-1e-9);
      if (t > 0) {
        expect(slack).toBeLessThan(1e-9);
        primal += t * cost.data[i * n + j]!;
      }
      rows[i]! += t;
      columns[j]! += t;
    }
  }
  expectTensorClose(rows, a, { rtol: 0, atol: 1e-12 });
  expectTensorClose(columns, b, { rtol: 0, atol: 1e-12 });
  const dual =
    alpha.reduce((s, u, i) => s + u * a[i]!, 0) + beta.reduce((s, v, j) => s + v * b[j]!, 0);
  expect(Math.abs(primal - dual)).toBeLessThan(1e-9 * (1 + Math.abs(primal)));
  expect(result.objective).toBeCloseTo(primal, 12);
  expect(result.residuals.gap).toBeLessThan(1e-9);
  expect(result.entries().values.length).toBeLessThan(m + n);
  expect(result.converged).toBe(true);
}

describe('exactTransport', () => {
  it('plans are feasible and potentials prove them optimal, zero masses and ties included', () => {
    fc.assert(
      fc.property(shapes, ({ seed, m, n, levels }) => {
        const { cost, a, b } = problem(seed, m, n, levels);
        const result = exactTransport(cost, { a, b });
        checkOptimal(cost, a, b, result);
        result.dispose();
      }),
      { numRuns: 150 },
    );
  });

  it('is exact on larger, degenerate problems', () => {
    for (const [m, n, levels] of [
      [60, 90, 2],
      [90, 60, 0],
      [64, 64, 4],
    ] as const) {
      const { cost } = problem(m, m, n, levels);
      const [a, b] = [new Float64Array(m).fill(n), new Float64Array(n).fill(m)];
      const result = exactTransport(cost, { a, b });
      checkOptimal(cost, a, b, result);
      for (const flow of result.entries().values) expect(flow).toBe(Math.round(flow));
      result.dispose();
    }
  });

  it('costs no more than any other plan and moves with a permutation', () => {
    fc.assert(
      fc.property(shapes, ({ seed, m, n }) => {
        const { cost, a, b, random } = problem(seed, m, n);
        const result = exactTransport(cost, { a, b });
        const independent = cost.data.reduce(
          (s, c, k) => s + c * a[Math.floor(k / n)]! * b[k % n]!,
          0,
        );
        expect(result.objective).toBeLessThanOrEqual(independent + 1e-12);
        const rows = random.shuffle([...a.keys()]);
        const columns = random.shuffle([...b.keys()]);
        const permuted = exactTransport(
          {
            shape: [m, n],
            data: rows.flatMap((i) => columns.map((j) => cost.data[i * n + j]!)),
          },
          { a: rows.map((i) => a[i]!), b: columns.map((j) => b[j]!) },
        );
        expect(permuted.objective).toBeCloseTo(result.objective, 10);
        const plan = result.planData();
        const want = rows.flatMap((i) => columns.map((j) => plan[i * n + j]!));
        expectTensorClose(permuted.planData(), want, { rtol: 0, atol: 1e-12 });
        result.dispose();
        permuted.dispose();
      }),
      { numRuns: 60 },
    );
  });

  it('keeps off forbidden pairs, and refuses when they leave no plan', () => {
    fc.assert(
      fc.property(shapes, ({ seed, m, n }) => {
        const { cost, a, b, random } = problem(seed, m, n);
        // The plan of other costs is feasible, so its pairs may stay while others are forbidden.
        const allowed = exactTransport(problem(seed + 1, m, n).cost, { a, b });
        const feasible = allowed.planData();
        const masked = cost.data.map((c, k) =>
          feasible[k] === 0 && random.uniform() < 0.6 ? Infinity : c,
        );
        const result = exactTransport({ shape: [m, n], data: masked }, { a, b });
        checkOptimal({ shape: [m, n], data: masked }, a, b, result);
        result.dispose();
        allowed.dispose();
      }),
      { numRuns: 60 },
    );
    const C = { shape: [3, 3], data: [0, 1, Infinity, 0, 1, Infinity, 1, Infinity, 1] };
    const blocked = {
      shape: [3, 3],
      data: [0, Infinity, Infinity, 0, Infinity, Infinity, 1, 1, 1],
    };
    exactTransport(C).dispose();
    for (const method of ['networkSimplex', 'assignment'] as const) {
      expect(() => exactTransport(blocked, { method })).toThrow(/forbidden pairs/);
    }
  });

  it('assignment and simplex agree, and a warm start ends at the same plan', () => {
    const { cost } = problem(5, 40, 40);
    const results = [
      exactTransport(cost, { method: 'assignment' }),
      exactTransport(cost, { method: 'networkSimplex' }),
    ] as const;
    expectTensorClose(results[0].planData(), results[1].planData(), { rtol: 0, atol: 1e-12 });
    for (const result of results) result.dispose();
  });

  it('starts at the plan of given potentials, and from those of a similar problem', () => {
    const { cost, a, b } = problem(5, 40, 50);
    const cold = exactTransport(cost, { a, b });
    const { alpha, beta } = cold.duals;
    const warm = exactTransport(cost, { a, b, init: { beta } });
    const fromRows = exactTransport(cost, { a, b, init: { alpha } });
    const near = { shape: [40, 50], data: cost.data.map((c, k) => c + 1e-3 * Math.sin(k)) };
    const moved = exactTransport(near, { a, b, init: { alpha, beta } });
    const wanted = exactTransport(near, { a, b });
    expect(warm.iterations).toBe(0);
    for (const result of [warm, fromRows]) {
      expectTensorClose(result.planData(), cold.planData(), { rtol: 0, atol: 1e-12 });
    }
    expectTensorClose(moved.planData(), wanted.planData(), { rtol: 0, atol: 1e-12 });
    expect(moved.iterations).toBeLessThan(0.5 * wanted.iterations);
    for (const result of [cold, warm, fromRows, moved, wanted]) result.dispose();
  });

  it('says so when it was stopped, with a gap that bounds the error', () => {
    const { cost, a, b } = problem(3, 30, 30);
    const best = exactTransport(cost, { a, b });
    const stopped = exactTransport(cost, { a, b, maxIterations: 5 });
    expect(stopped.converged).toBe(false);
    expect(stopped.iterations).toBe(5);
    expect(stopped.objective - best.objective).toBeLessThanOrEqual(stopped.residuals.gap);
    expect(stopped.marginalError).toBeLessThan(1e-12);
    best.dispose();
    stopped.dispose();
  });

  it('has the gradients of the envelope theorem, in batches and with shared masses', async () => {
    const before = memory().numTensors;
    const random = seededRandom(8);
    const C = random.uniformTensor([2, 4, 5]);
    const a = tensor([0.11, 0.24, 0.28, 0.37]);
    const b = tensor([0.31, 0.16, 0.06, 0.2, 0.27]);
    const weights = tensor([1, -2]);
    const loss = (c: Tensor, p: Tensor, q: Tensor) =>
      sum(mul(weights, exactTransport(c, { a: p, b: q }).value));
    const [dC, da, db] = grads(loss)([C, a, b]) as [Tensor, Tensor, Tensor];
    const solved = await exactTransportAsync(C, { a, b });
    expectTensorClose(
      solved.value,
      Float32Array.from(solved.solutions, (s) => s.objective),
    );
    const plan = solved.plan();
    expectTensorClose(dC, mul(plan, tensor([1, -2], [2, 1, 1])));
    const attached = grads((c, p, q) => sum(mul(weights, solved.attach(c!, { a: p!, b: q! }))))([
      C,
      a,
      b,
    ]);
    expectTensorClose(attached[0]!, dC);
    // Along directions that keep the masses in balance, against differences of the exact value.
    const value = (p: number[], q: number[]) => {
      const results = exactTransport({ shape: [2, 4, 5], data: C.dataSync() }, { a: p, b: q });
      const [first, second] = results.solutions;
      results.dispose();
      return first!.objective - 2 * second!.objective;
    };
    const h = 1e-6;
    const [A, B] = [Array.from(a.dataSync()), Array.from(b.dataSync())];
    const shifted = (x: number[], i: number, by: number) =>
      x.map((v, k) => v + (k === i ? by : k === 0 ? -by : 0));
    const [ga, gb] = [da.dataSync(), db.dataSync()];
    for (let i = 1; i < 4; i++) {
      const slope = (value(shifted(A, i, h), B) - value(shifted(A, i, -h), B)) / (2 * h);
      expect(ga[i]! - ga[0]!).toBeCloseTo(slope, 4);
    }
    for (let j = 1; j < 5; j++) {
      const slope = (value(A, shifted(B, j, h)) - value(A, shifted(B, j, -h))) / (2 * h);
      expect(gb[j]! - gb[0]!).toBeCloseTo(slope, 4);
    }
    solved.dispose();
    for (const x of [C, a, b, weights, dC, da, db, plan, ...attached]) x.dispose();
    // tidy of grads disposed the values made inside.
    expect(memory().numTensors).toBeLessThanOrEqual(before + 12);
  });

  it.each([
    [{ shape: [2, 2], data: [0, Number.NaN, 1, 0] }, {}, /cost must be finite/],
    [{ shape: [2, 2], data: [0, -Infinity, 1, 0] }, {}, /cost must be finite/],
    [{ shape: [2, 2], data: [0, 1, 1, 0] }, { a: [0.5, -0.5] }, /a must be finite and >= 0/],
    [{ shape: [2, 2], data: [0, 1, 1, 0] }, { a: [0.5, 0.6] }, /same sum/],
    [{ shape: [2, 2], data: [0, 1, 1, 0] }, { a: [0, 0] }, /positive sum/],
    [{ shape: [0, 2], data: [] }, {}, /must not be empty/],
    [{ shape: [2, 2], data: [0, 1, 1, 0] }, { maxIterations: 0 }, /maxIterations/],
    [{ shape: [2, 2], data: [0, 1, 1, 0] }, { methd: 'auto' }, /unknown option/],
    [{ shape: [1, 2], data: [0, 1] }, { method: 'assignment' }, /method must/],
    [{ shape: [2, 2], data: [0, 1, 1, 0] }, { init: { beta: [1, Number.NaN] } }, /init.beta/],
  ])('refuses %j %j', (cost, options, message) => {
    const before = memory().numTensors;
    expect(() => exactTransport(cost, options as object)).toThrow(message);
    expect(memory().numTensors).toBe(before);
  });
});

describe('assignment', () => {
  it('equals transport of equal masses, and its potentials prove it, square or not', () => {
    fc.assert(
      fc.property(shapes, fc.boolean(), ({ seed, m, n, levels }, maximize) => {
        const { cost } = problem(seed, m, n, levels);
        const sign = maximize ? -1 : 1;
        const { columnOfRow, totals, u, v, value } = assignment(cost, { maximize });
        const chosen = [...columnOfRow].filter((j) => j >= 0);
        expect(chosen.length).toBe(Math.min(m, n));
        expect(new Set(chosen).size).toBe(chosen.length);
        for (let i = 0; i < m; i++) {
          for (let j = 0; j < n; j++) {
            const slack = sign * (cost.data[i * n + j]! - u[i]! - v[j]!);
            expect(slack).toBeGreaterThan(-1e-9);
            if (columnOfRow[i] === j) expect(slack).toBeLessThan(1e-9);
          }
          if (columnOfRow[i]! < 0) expect(u[i]! + 0).toBe(0);
        }
        const proof = u.reduce((s, x) => s + x, 0) + v.reduce((s, x) => s + x, 0);
        expect(totals[0]!).toBeCloseTo(proof, 9);
        value.dispose();
      }),
      { numRuns: 150 },
    );
  });

  it('goes on with the simplex where paths take long', () => {
    const random = seededRandom(2);
    const points = Array.from({ length: 360 }, () => random.normal());
    for (const [m, n] of [
      [180, 180],
      [150, 180],
    ] as const) {
      const data = Float64Array.from({ length: m * n }, (_, k) => {
        const [i, j] = [Math.floor(k / n), k % n];
        return (points[i]! - points[180 + j]! - 1) ** 2;
      });
      const { columnOfRow, totals, u, v, value } = assignment({ shape: [m, n], data });
      expect(new Set(columnOfRow).size).toBe(m);
      const proof = u.reduce((s, x) => s + x, 0) + v.reduce((s, x) => s + x, 0);
      expect(totals[0]!).toBeCloseTo(proof, 7);
      for (let k = 0; k < data.length; k++) {
        expect(data[k]! - u[Math.floor(k / n)]! - v[k % n]!).toBeGreaterThan(-1e-9);
      }
      value.dispose();
    }
  });

  it('is differentiable, batched, and refuses what it cannot do', () => {
    const C = tensor([1, 2, 2, 1, 5, 1, 1, 5], [2, 2, 2]);
    const [dC] = grads((c: Tensor) => sum(mul(assignment(c).value, tensor([1, 3]))))([C]);
    expectTensorClose(dC!, tensor([1, 0, 0, 1, 0, 3, 3, 0], [2, 2, 2]));
    C.dispose();
    dC!.dispose();
    const data = [0, Infinity, 0, Infinity];
    expect(() => assignment({ shape: [2, 2], data })).toThrow(/forbidden pairs/);
    expect(() => assignment({ shape: [2, 2], data: [0, Number.NaN, 0, 1] })).toThrow(/finite/);
    expect(() => assignment({ shape: [4], data: [0, 1, 0, 1] })).toThrow(/rank/);
  });
});
