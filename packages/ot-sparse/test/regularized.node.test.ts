/** What must hold of k-sparse and quadratic transport, on the host. */
import { seededRandom } from '@orth/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compact } from '../src/compactProblem.js';
import { DualObjective } from '../src/dualObjective.js';
import { type RegularizedSettings, solveRegularized } from '../src/regularizedSolver.js';
import type { TransportProblem } from '../src/transportArguments.js';
import {
  cloudProblem,
  dense,
  exact as exactOf,
  maxAbs,
  permuted,
  REGULARIZED,
  randomProblem,
  semiDual,
  sum,
} from './reference.js';

const solve = (problem: TransportProblem, settings: Partial<RegularizedSettings> = {}) =>
  solveRegularized(problem, { ...REGULARIZED, ...settings }, undefined);

const planOf = (problem: TransportProblem, solution: ReturnType<typeof solve>) =>
  dense(problem, solution.entries());

const cases = fc.record({
  seed: fc.integer({ min: 1, max: 1e6 }),
  m: fc.integer({ min: 1, max: 12 }),
  n: fc.integer({ min: 1, max: 12 }),
  k: fc.integer({ min: 1, max: 14 }),
  gamma: fc.constantFrom(0.05, 0.5, 5),
  formulation: fc.constantFrom('semiDual' as const, 'dual' as const),
});
const runs = { numRuns: 60 };

describe('k-sparse transport', () => {
  it('keeps k, columns, weak duality and its promises, whatever the instance', () => {
    fc.assert(
      fc.property(cases, ({ seed, m, n, k, gamma, formulation }) => {
        const problem = randomProblem(seed, m, n);
        const solution = solve(problem, { k, gamma, formulation, maxIterations: 300 });
        const plan = planOf(problem, solution);
        const { residuals, nonzerosPerColumn, objective, alpha } = solution;
        for (let j = 0; j < n; j++) {
          const column = Array.from({ length: m }, (_, i) => plan[i * n + j]!);
          expect(column.every((t) => t >= 0)).toBe(true);
          expect(column.filter((t) => t > 0).length).toBe(nonzerosPerColumn[j]);
          expect(nonzerosPerColumn[j]).toBeLessThanOrEqual(k);
          if (formulation === 'semiDual') expect(sum(column)).toBeCloseTo(problem.b[j]!, 12);
        }
        if (formulation === 'semiDual') {
          expect(objective).toBeCloseTo(semiDual(problem, k, gamma, alpha), 9);
        }
        const rows = problem.a.map((mass, i) => sum(plan.subarray(i * n, (i + 1) * n)) - mass);
        expect(sum(rows.map(Math.abs))).toBeCloseTo(residuals.rows, 12);
        const primal =
          sum(plan.map((t, e) => t * problem.cost[e]!)) + (gamma / 2) * sum(plan.map((t) => t * t));
        expect(primal - objective).toBeCloseTo(residuals.gap, 10);
        const error = residuals.rows + residuals.columns;
        if (solution.converged) expect(error).toBeLessThanOrEqual(1.01e-9);
        if (solution.certified) {
          expect(error).toBeLessThanOrEqual(1.01e-9);
          expect(Math.abs(residuals.gap)).toBeLessThan(1e-5 * (1 + Math.abs(objective)));
        }
      }),
      runs,
    );
  });

  it('is concave, with the gradient that the plan gives', () => {
    fc.assert(
      fc.property(cases, ({ seed, m, n, k, gamma }) => {
        const problem = randomProblem(seed, m, n);
        const random = seededRandom(seed);
        const point = () => Float64Array.from({ length: m }, () => random.normal());
        const [x, y] = [point(), point()];
        const S = (alpha: Float64Array) => semiDual(problem, k, gamma, alpha);
        const middle = x.map((value, i) => (value + y[i]!) / 2);
        expect(S(middle)).toBeGreaterThanOrEqual((S(x) + S(y)) / 2 - 1e-10);
      }),
      runs,
    );
  });

  it('equals quadratic transport where k reaches m', () => {
    for (const [m, n] of [
      [6, 9],
      [9, 6],
      [1, 5],
      [5, 1],
    ] as const) {
      const problem = randomProblem(m * 10 + n, m, n);
      const quadratic = solve(problem, { gamma: 0.3 });
      for (const k of [m, m + 3]) {
        const sparse = solve(problem, { k, gamma: 0.3 });
        expect(maxAbs(planOf(problem, sparse), planOf(problem, quadratic))).toBeLessThan(1e-9);
        expect(sparse.objective).toBe(quadratic.objective);
      }
    }
  });

  it('has a value that does not rise with k and is never below the quadratic one', () => {
    for (const seed of [1, 2, 3]) {
      const problem = cloudProblem(seed, 20, 20);
      const values = [20, 8, 4, 2, 1].map((k) => solve(problem, { k, gamma: 0.1 }).objective);
      for (let i = 1; i < values.length; i++) {
        expect(values[i]).toBeGreaterThanOrEqual(values[i - 1]! - 1e-8);
      }
    }
  });

  it('has at k = 1 the value of exact transport and (γ/2)Σb²', () => {
    const gamma = 0.05;
    for (const seed of [1, 2, 3]) {
      const problem = cloudProblem(seed, 12, 15);
      const exact = exactOf(problem);
      const limit = exact.objective + (gamma / 2) * sum(problem.b.map((b) => b * b));
      // Exactly there at the exact potentials, and never above anywhere.
      expect(semiDual(problem, 1, gamma, exact.alpha)).toBeCloseTo(limit, 12);
      const { objective } = solve(problem, { k: 1, gamma });
      expect(objective).toBeLessThanOrEqual(limit + 1e-12);
      expect(objective).toBeGreaterThan(limit - 2e-3 * limit);
    }
  });

  it('commutes with permutations, and does not see u1ᵀ + 1vᵀ in the cost', () => {
    fc.assert(
      fc.property(cases, ({ seed, m, n, gamma }) => {
        const random = seededRandom(seed);
        const problem = randomProblem(seed, m, n);
        const plan = planOf(problem, solve(problem, { gamma }));
        const rows = random.shuffle([...Array(m).keys()]);
        const columns = random.shuffle([...Array(n).keys()]);
        const other = permuted(problem, rows, columns);
        const want = rows.flatMap((i) => columns.map((j) => plan[i * n + j]!));
        expect(maxAbs(planOf(other, solve(other, { gamma })), want)).toBeLessThan(1e-7);
        const u = Array.from({ length: m }, () => random.normal());
        const v = Array.from({ length: n }, () => random.normal());
        const cost = problem.cost.map((c, e) => c + u[Math.floor(e / n)]! + v[e % n]!);
        const shifted = { ...problem, cost };
        expect(maxAbs(planOf(shifted, solve(shifted, { gamma })), plan)).toBeLessThan(1e-7);
      }),
      { numRuns: 25 },
    );
  });

  it('leaves rows and columns without mass empty', () => {
    for (const formulation of ['semiDual', 'dual'] as const) {
      const problem = randomProblem(4, 6, 5);
      problem.a[2] = 0;
      problem.b[0] = 0;
      const total = sum(problem.a) / sum(problem.b);
      const balanced = { ...problem, b: problem.b.map((b) => b * total) };
      const solution = solve(balanced, { k: 3, gamma: 0.5, formulation });
      const plan = planOf(balanced, solution);
      expect(sum(plan.subarray(10, 15))).toBe(0);
      expect([0, 1, 2, 3, 4, 5].every((i) => plan[i * 5] === 0)).toBe(true);
      expect([...solution.alpha, ...solution.beta].every(Number.isFinite)).toBe(true);
      // Dual feasibility of the missing ones: no mass would flow there.
      for (let j = 0; j < 5; j++) {
        if (balanced.b[j] === 0) continue;
        const slack = balanced.cost[10 + j]! - solution.alpha[2]! - solution.beta[j]!;
        expect(slack).toBeGreaterThan(-1e-12);
      }
    }
  });

  it('respects forbidden pairs exactly', () => {
    const problem = randomProblem(6, 8, 8);
    const random = seededRandom(6);
    const cost = problem.cost.map((c, e) => (e % 9 !== 0 && random.uniform() < 0.5 ? Infinity : c));
    const masked = { ...problem, cost, masked: true, b: problem.a };
    for (const formulation of ['semiDual', 'dual'] as const) {
      const solution = solve(masked, { gamma: 0.2, formulation });
      const plan = planOf(masked, solution);
      expect(plan.every((t, e) => t === 0 || cost[e] !== Infinity)).toBe(true);
      expect(solution.certified).toBe(true);
      // The same with costs so high that nobody pays them.
      const priced = { ...masked, cost: cost.map((c) => Math.min(c, 1e3)), masked: false };
      expect(maxAbs(planOf(priced, solve(priced, { gamma: 0.2 })), plan)).toBeLessThan(1e-7);
    }
  });

  it('gets the marginals right by averaging where ties make them wrong', () => {
    const problem = cloudProblem(1, 8, 8);
    const last = solve(problem, { k: 2, gamma: 0.1 });
    const average = solve(problem, {
      k: 2,
      gamma: 0.1,
      recover: 'average',
      averagingSteps: 20_000,
    });
    expect(last.residuals.rows).toBeGreaterThan(1e-2);
    expect(last.certified).toBe(false);
    expect(last.converged).toBe(false);
    expect(Math.max(...last.nonzerosPerColumn)).toBeLessThanOrEqual(2);
    expect(average.residuals.rows).toBeLessThan(1e-3);
    expect(average.residuals.columns).toBeLessThan(1e-12);
    expect(Math.abs(average.residuals.gap)).toBeLessThan(1e-3);
    expect(Math.max(...average.nonzerosPerColumn)).toBeLessThanOrEqual(4);
  });

  // POT's gallery instance plot_OT_1D; values in float64 from a long run with continuation.
  it.each([
    [8, 0.1663508],
    [4, 0.166355],
    [3, 0.1663944],
  ])('reaches the optimum of two Gaussians on 100 bins, k = %i', (k, value) => {
    const size = 100;
    const gaussian = (mean: number, deviation: number) => {
      const raw = Float64Array.from({ length: size }, (_, i) =>
        Math.exp(-((i - mean) ** 2) / (2 * deviation ** 2)),
      );
      return raw.map((x) => x / sum(raw));
    };
    const cost = Float64Array.from(
      { length: size * size },
      (_, e) => (Math.floor(e / size) - (e % size)) ** 2 / 99 ** 2,
    );
    const bins = { m: size, n: size, cost, a: gaussian(20, 5), b: gaussian(60, 10), masked: false };
    const { objective, nonzerosPerColumn } = solve(bins, { k, gamma: 0.1 });
    expect(Math.abs(objective - value)).toBeLessThan(4e-7);
    expect(Math.max(...nonzerosPerColumn)).toBeLessThanOrEqual(k);
  });

  it('starts warm', () => {
    const problem = cloudProblem(3, 30, 30);
    const settings = { ...REGULARIZED, gamma: 0.5 };
    const cold = solveRegularized(problem, settings, undefined);
    const moved = { ...problem, cost: problem.cost.map((c, e) => c * (1 + 1e-4 * (e % 7))) };
    const warm = solveRegularized(moved, settings, { alpha: cold.alpha });
    const again = solveRegularized(moved, settings, undefined);
    expect(warm.iterations).toBeLessThan(0.8 * again.iterations);
    expect(warm.objective).toBeCloseTo(again.objective, 10);
    const same = solveRegularized(problem, settings, { alpha: cold.alpha, beta: cold.beta });
    expect(same.iterations).toBe(0);
    const fromBeta = solveRegularized(problem, settings, { beta: cold.beta });
    expect(fromBeta.objective).toBeCloseTo(cold.objective, 10);
  });

  it('climbs with Adam, by about the learning rate a step', () => {
    const problem = randomProblem(9, 20, 10);
    const after = (maxIterations: number) =>
      solve(problem, { k: 4, solver: 'adam', maxIterations, start: 'zeros' });
    const [none, some, many] = [after(0), after(20), after(400)];
    expect(some.objective).toBeGreaterThan(none.objective);
    expect(many.objective).toBeGreaterThan(some.objective);
    expect(Math.max(...some.alpha.map(Math.abs))).toBeLessThan(20 * 1.5e-2);
    expect(some.converged).toBe(false);
    expect(some.reason).toContain('maxIterations');
  });
});

describe('quadratic transport', () => {
  it('spreads evenly as γ grows, and costs as little as exact transport as it vanishes', () => {
    const problem = randomProblem(2, 7, 5, true);
    const large = solve(problem, { gamma: 1e6 });
    expect(maxAbs(planOf(problem, large), new Float64Array(35).fill(1 / 35))).toBeLessThan(1e-6);
    const exact = exactOf(problem);
    const small = solve(problem, { gamma: 1e-4 });
    expect(small.transportCost).toBeCloseTo(exact.objective, 4);
    expect(small.transportCost).toBeGreaterThanOrEqual(exact.objective - 1e-8);
  });

  it('is a_i b_j-free: γ → ∞ gives a_i/n + b_j/m − Σa/(mn)', () => {
    const problem = randomProblem(5, 6, 4);
    const { m, n, a, b } = problem;
    const want = Array.from(a).flatMap((x) =>
      Array.from(b).map((y) => x / n + y / m - 1 / (m * n)),
    );
    expect(Math.min(...want)).toBeGreaterThan(0);
    expect(maxAbs(planOf(problem, solve(problem, { gamma: 1e6 })), want)).toBeLessThan(1e-6);
  });

  it('has the same optimum in both formulations and from both solvers', () => {
    const problem = cloudProblem(7, 15, 10);
    const [semi, dual] = [solve(problem), solve(problem, { formulation: 'dual' })];
    expect(semi.certified && dual.certified).toBe(true);
    expect(dual.objective).toBeCloseTo(semi.objective, 9);
    expect(maxAbs(planOf(problem, semi), planOf(problem, dual))).toBeLessThan(1e-8);
    const adam = solve(problem, { solver: 'adam', maxIterations: 3000, learningRate: 3e-3 });
    expect(adam.objective).toBeCloseTo(semi.objective, 5);
  });

  it('has a dual whose gradient is Lipschitz with (m + n)/γ: ascent by γ/(m + n) never raises it', () => {
    const problem = randomProblem(6, 8, 5);
    const gamma = 0.7;
    const objective = new DualObjective(compact(problem), gamma, 8, true);
    const x = new Float64Array(13);
    const gradient = new Float64Array(13);
    const norms: number[] = [];
    for (let step = 0; step < 3000; step++) {
      objective.evaluate(x, gradient);
      norms.push(Math.hypot(...gradient));
      for (let i = 0; i < 13; i++) x[i]! -= (gamma / 13) * gradient[i]!;
    }
    for (let t = 1; t < norms.length; t++) {
      expect(norms[t]).toBeLessThanOrEqual(norms[t - 1]! + 1e-14);
    }
    expect(norms.at(-1)).toBeLessThan(1e-6);
  });

  it('does not depend on units with relativeGamma', () => {
    const problem = randomProblem(8, 9, 9);
    const scaled = {
      ...problem,
      cost: problem.cost.map((c) => 1000 * c),
      a: problem.a.map((x) => 5 * x),
      b: problem.b.map((x) => 5 * x),
    };
    const settings = { gamma: 0.1, relativeGamma: true };
    const [plan, other] = [
      planOf(problem, solve(problem, settings)),
      planOf(scaled, solve(scaled, settings)),
    ];
    expect(
      maxAbs(
        plan.map((t) => 5 * t),
        other,
      ),
    ).toBeLessThan(1e-7);
  });

  it('says so where γ is lost beside the costs', () => {
    const problem = randomProblem(12, 4, 3);
    for (const formulation of ['semiDual', 'dual'] as const) {
      for (const gamma of [1e-13, 1e-18, 1e-30]) {
        const solution = solve(problem, { k: 4, gamma, formulation });
        expect(solution.residuals.rows + solution.residuals.columns).toBeGreaterThan(1e-9);
        expect(solution.converged).toBe(false);
        if (formulation === 'semiDual') expect(solution.reason).toMatch(/gamma too small/);
      }
      expect(solve(problem, { k: 4, gamma: 1e-6, formulation }).converged).toBe(true);
    }
  });

  it('keeps its digits with large costs', () => {
    const problem = randomProblem(3, 10, 10);
    const large = { ...problem, cost: problem.cost.map((c) => 1e4 + c) };
    const [want, got] = [solve(problem, { gamma: 1e-3 }), solve(large, { gamma: 1e-3 })];
    expect(maxAbs(planOf(problem, want), planOf(large, got))).toBeLessThan(1e-5);
  });
});
