/** What must hold of entropic transport, on the host. */
import { seededRandom } from '@orth/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type SinkhornSettings, solveSinkhorn } from '../src/sinkhornSolver.js';
import type { TransportProblem } from '../src/transportArguments.js';
import {
  cloudProblem,
  dense,
  exact as exactOf,
  maxAbs,
  permuted,
  randomProblem,
  SINKHORN,
  sum,
} from './reference.js';

const solve = (problem: TransportProblem, settings: Partial<SinkhornSettings> = {}) =>
  solveSinkhorn(problem, { ...SINKHORN, ...settings }, undefined);
const planOf = (problem: TransportProblem, solution: ReturnType<typeof solve>) =>
  dense(problem, solution.entries());
const entropy = (x: Float64Array) => -sum(x.map((p) => (p > 0 ? p * Math.log(p) : 0)));

const cases = fc.record({
  seed: fc.integer({ min: 1, max: 1e6 }),
  m: fc.integer({ min: 1, max: 11 }),
  n: fc.integer({ min: 1, max: 11 }),
  epsilon: fc.constantFrom(0.05, 0.3, 2),
  momentum: fc.constantFrom(1, 1.3),
  domain: fc.constantFrom('auto' as const, 'log' as const),
});

describe('balanced Sinkhorn', () => {
  it('meets marginals and closes the gap', () => {
    fc.assert(
      fc.property(cases, ({ seed, m, n, epsilon, momentum, domain }) => {
        const problem = randomProblem(seed, m, n);
        const solution = solve(problem, { epsilon, momentum, domain });
        const { residuals, alpha, beta, objective } = solution;
        expect(solution.converged).toBe(true);
        expect(residuals.columns).toBeLessThan(1.01e-9);
        expect(residuals.rows).toBeLessThan(1e-12);
        expect(Math.abs(residuals.gap)).toBeLessThan(1e-6 * (1 + Math.abs(objective)));
        const plan = planOf(problem, solution);
        const { a, b, cost } = problem;
        plan.forEach((t, e) => {
          const [i, j] = [Math.floor(e / n), e % n];
          const want = a[i]! * b[j]! * Math.exp((alpha[i]! + beta[j]! - cost[e]!) / epsilon);
          expect(t).toBeCloseTo(want, 12);
        });
        const dual = sum(alpha.map((f, i) => f * a[i]!)) + sum(beta.map((g, j) => g * b[j]!));
        expect(objective).toBeCloseTo(dual, 9);
        const primal =
          sum(plan.map((t, e) => t * cost[e]!)) +
          epsilon * sum(plan.map((t, e) => t * Math.log(t / (a[Math.floor(e / n)]! * b[e % n]!))));
        expect(objective).toBeCloseTo(primal, 8);
      }),
      { numRuns: 60 },
    );
  });

  it('raises the dual with every iteration, and shrinks the error geometrically', () => {
    const problem = randomProblem(3, 8, 9);
    const epsilon = 0.1;
    const spread = Math.max(...problem.cost) - Math.min(...problem.cost);
    const rate = Math.tanh(spread / (2 * epsilon)) ** 2;
    let last = -Infinity;
    const exact = solve(problem, { epsilon, tolerance: 1e-13 });
    let error = Infinity;
    for (let maxIterations = 1; maxIterations < 30; maxIterations++) {
      const { objective, beta } = solve(problem, { epsilon, maxIterations, tolerance: 0 });
      expect(objective).toBeGreaterThanOrEqual(last - 1e-14);
      last = objective;
      const differences = beta.map((g, j) => (g - exact.beta[j]!) / epsilon);
      const hilbert = Math.max(...differences) - Math.min(...differences);
      expect(hilbert).toBeLessThanOrEqual((rate + 1e-3) * error + 1e-11);
      error = hilbert;
    }
  });

  it('gives abᵀ for large ε and nearly exact cost for small ε', () => {
    const problem = cloudProblem(2, 9, 7);
    const { a, b } = problem;
    const product = Array.from(a).flatMap((x) => Array.from(b).map((y) => x * y));
    expect(maxAbs(planOf(problem, solve(problem, { epsilon: 1e5 })), product)).toBeLessThan(1e-6);
    const exact = exactOf(problem).objective;
    for (const epsilon of [0.1, 0.02]) {
      const excess = solve(problem, { epsilon }).transportCost - exact;
      expect(excess).toBeGreaterThan(-1e-9);
      expect(excess).toBeLessThan(epsilon * (entropy(a) + entropy(b)));
    }
  });

  it('is finite for costs of ten thousand ε, in both domains alike', () => {
    const problem = randomProblem(5, 12, 12);
    for (const epsilonScaling of [undefined, { start: Number.NaN, factor: 0.5 }]) {
      const settings = { epsilon: 1e-4, maxIterations: 200, epsilonScaling };
      const [auto, log] = [
        solve(problem, settings),
        solve(problem, { ...settings, domain: 'log' }),
      ];
      expect([...auto.alpha, ...auto.beta, auto.objective].every(Number.isFinite)).toBe(true);
      expect(maxAbs(auto.alpha, log.alpha)).toBeLessThan(1e-10);
      expect(auto.residuals.rows).toBeLessThan(1e-10);
      expect(auto.converged).toBe(false);
      expect(auto.reason).toContain('maxIterations');
    }
  });

  it('has the same optimum by way of ε-scaling', () => {
    const problem = cloudProblem(4, 20, 20);
    const plain = solve(problem, { epsilon: 0.01 });
    const scaled = solve(problem, {
      epsilon: 0.01,
      epsilonScaling: { start: Number.NaN, factor: 0.7 },
    });
    expect(scaled.converged).toBe(true);
    expect(scaled.objective).toBeCloseTo(plain.objective, 10);
  });

  it('commutes with permutations and transposition', () => {
    const problem = randomProblem(11, 6, 8);
    const random = seededRandom(1);
    const rows = random.shuffle([0, 1, 2, 3, 4, 5]);
    const columns = random.shuffle([0, 1, 2, 3, 4, 5, 6, 7]);
    const plan = planOf(problem, solve(problem));
    const other = permuted(problem, rows, columns);
    const want = rows.flatMap((i) => columns.map((j) => plan[i * 8 + j]!));
    expect(maxAbs(planOf(other, solve(other)), want)).toBeLessThan(1e-9);
    const { a, b } = problem;
    const flipped: TransportProblem = {
      m: 8,
      n: 6,
      a: b,
      b: a,
      masked: false,
      cost: Float64Array.from(
        { length: 48 },
        (_, e) => problem.cost[(e % 6) * 8 + Math.floor(e / 6)]!,
      ),
    };
    const transposed = planOf(flipped, solve(flipped));
    expect(
      maxAbs(
        transposed,
        plan.map((_, e) => plan[(e % 6) * 8 + Math.floor(e / 6)]!),
      ),
    ).toBeLessThan(1e-8);
  });

  it('allows zero masses and forbidden pairs', () => {
    const problem = randomProblem(12, 5, 5);
    const cost = problem.cost.map((c, e) => (e % 6 !== 0 && e % 4 === 1 ? Infinity : c));
    const a = Float64Array.of(0.5, 0, 0.2, 0.3, 0);
    const b = Float64Array.of(0.4, 0.1, 0.5, 0, 0);
    const masked = { ...problem, cost, a, b, masked: true };
    for (const domain of ['auto', 'log'] as const) {
      const solution = solve(masked, { epsilon: 0.2, domain });
      const plan = planOf(masked, solution);
      expect(solution.converged).toBe(true);
      plan.forEach((t, e) => {
        const [i, j] = [Math.floor(e / 5), e % 5];
        if (cost[e] === Infinity || a[i] === 0 || b[j] === 0) expect(t).toBe(0);
        else expect(t).toBeGreaterThan(0);
      });
      const { alpha, beta, gradientA, gradientB } = solution;
      expect([...alpha, ...beta, ...gradientA!, ...gradientB!].every(Number.isFinite)).toBe(true);
    }
  });

  it('starts warm', () => {
    const problem = cloudProblem(6, 30, 30);
    const settings = { ...SINKHORN, epsilon: 0.02 };
    const cold = solveSinkhorn(problem, settings, undefined);
    for (const init of [{ alpha: cold.alpha }, { beta: cold.beta }, cold]) {
      const { alpha, beta } = init as { alpha?: Float64Array; beta?: Float64Array };
      const warm = solveSinkhorn(problem, settings, { alpha, beta });
      expect(warm.iterations).toBeLessThan(3);
      expect(warm.objective).toBeCloseTo(cold.objective, 9);
    }
  });
});

describe('unbalanced Sinkhorn', () => {
  const problem = { ...cloudProblem(8, 9, 6), b: new Float64Array(6).fill(0.3) };
  const penalty = {
    kl: (r: number, a: number, rho: number) => rho * (r * Math.log(r / a) - r + a),
  };

  it.each(['auto', 'log'] as const)('closes the gap with KL penalties, %s', (domain) => {
    for (const [rhoA, rhoB] of [
      [0.5, 0.5],
      [0.2, 3],
      [0.5, Infinity],
      [Infinity, 1],
    ] as const) {
      const solution = solve(problem, { rhoA, rhoB, domain });
      expect(solution.converged).toBe(true);
      expect(Math.abs(solution.residuals.gap)).toBeLessThan(1e-8);
      const plan = planOf(problem, solution);
      const { a, b, cost } = problem;
      const rows = a.map((_, i) => sum(plan.subarray(i * 6, i * 6 + 6)));
      const columns = b.map((_, j) => sum(a.map((__, i) => plan[i * 6 + j]!)));
      const divergence = sum(
        plan.map((t, e) => {
          const q = a[Math.floor(e / 6)]! * b[e % 6]!;
          return t * Math.log(t / q) - t + q;
        }),
      );
      const side = (r: Float64Array, mass: Float64Array, rho: number) =>
        rho === Infinity ? 0 : sum(r.map((x, i) => penalty.kl(x, mass[i]!, rho)));
      const primal =
        sum(plan.map((t, e) => t * cost[e]!)) +
        0.1 * divergence +
        side(rows, a, rhoA) +
        side(columns, b, rhoB);
      expect(solution.objective).toBeCloseTo(primal, 8);
      expect(solution.mass).toBeCloseTo(sum(plan), 12);
    }
  });

  it('closes the gap with TV penalties, and cuts potentials at ρ', () => {
    for (const rho of [0.02, 0.1, 0.4]) {
      const solution = solve(problem, { rhoA: rho, rhoB: rho, marginalPenalty: 'tv' });
      expect(solution.converged).toBe(true);
      expect(Math.abs(solution.residuals.gap)).toBeLessThan(1e-6);
      const largest = Math.max(...solution.alpha.map(Math.abs), ...solution.beta.map(Math.abs));
      expect(largest).toBeLessThanOrEqual(rho);
    }
  });

  it('becomes balanced as ρ grows', () => {
    const balanced = { ...problem, b: problem.b.map((x) => x / sum(problem.b)) };
    const want = solve(balanced);
    for (const marginalPenalty of ['kl', 'tv'] as const) {
      const got = solve(balanced, { rhoA: 1e4, rhoB: 1e4, marginalPenalty, maxIterations: 3000 });
      expect(got.objective).toBeCloseTo(want.objective, 4);
      expect(got.residuals.rows).toBeLessThan(1e-3);
    }
  });
});

describe('derivatives with respect to the masses', () => {
  // Central differences of the objective along changes that balanced problems allow.
  it.each([
    ['balanced', {}],
    ['KL', { rhoA: 0.4, rhoB: 0.7 }],
    ['TV', { rhoA: 0.1, rhoB: 0.2, marginalPenalty: 'tv' as const }],
  ])('are right: %s', (_, settings) => {
    const problem = cloudProblem(9, 5, 4);
    problem.a[1] = 0;
    const a = problem.a.map((x) => (1.7 * x) / sum(problem.a));
    const b = problem.b.map((x) => 1.7 * x);
    const value = (x: Float64Array, y: Float64Array) =>
      solve({ ...problem, a: x, b: y }, { ...settings, tolerance: 1e-12 }).objective;
    const { gradientA, gradientB } = solve({ ...problem, a, b }, { ...settings, tolerance: 1e-12 });
    const h = 1e-5;
    const moved = (x: Float64Array, i: number, by: number) =>
      x.map((v, e) => (e === i ? v + by : v));
    for (const i of [0, 2, 3, 4]) {
      for (let j = 0; j < 4; j++) {
        // Mass added to a row and a column at once keeps balanced problems balanced.
        const difference =
          (value(moved(a, i, h), moved(b, j, h)) - value(moved(a, i, -h), moved(b, j, -h))) /
          (2 * h);
        expect(difference).toBeCloseTo(gradientA![i]! + gradientB![j]!, 5);
      }
    }
    // One-sided where there is no mass to take away.
    const onto = (value(moved(moved(a, 1, h), 0, -h), b) - value(a, b)) / h;
    expect(onto).toBeCloseTo(gradientA![1]! - gradientA![0]!, 2);
  });
});
