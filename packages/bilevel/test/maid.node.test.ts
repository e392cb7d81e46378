/** MAID on problems whose answers are known, in float64 on the host. */
import { seededRandom } from '@orth/backend';
import { describe, expect, it } from 'vitest';
import {
  type BilevelProblem,
  conjugateGradient,
  estimateCrossNorm,
  fixedAccuracy,
  Hoag,
  hoag,
  hypergradient,
  hypergradientErrorBound,
  lineSearchValue,
  Maid,
  type MaidStep,
  maid,
  quadraticProblem,
  tvDenoising,
} from '../src/index.js';
import { solveLower } from '../src/maid/lowerSolver.js';
import { symmetricEigen } from '../src/maid/symmetricEigen.js';
import { CountedProblem } from '../src/maid/work.js';
import { distance, normal, randomQuadratic, slope } from './reference.js';

const ones = (n: number) => new Float64Array(n).fill(1);

describe('hypergradient', () => {
  it('approaches the closed form, and its error bound always holds', async () => {
    const problem = randomQuadratic(1, 20, 4);
    const random = seededRandom(2);
    for (let i = 0; i < 100; i++) {
      const theta = normal(random, 4);
      const exact = problem.gradient(theta);
      const [accuracy, residual] = [10 ** (-4 * random.uniform()), 10 ** (-4 * random.uniform())];
      const z = await hypergradient(problem, theta, { accuracy, residual });
      expect(z.converged).toBe(true);
      expect(distance(z.gradient, exact)).toBeLessThanOrEqual(z.errorBound!);
    }
    const theta = normal(random, 4);
    const fine = await hypergradient(problem, theta, { accuracy: 1e-9, residual: 1e-9 });
    expect(distance(fine.gradient, problem.gradient(theta))).toBeLessThan(1e-5);
    const v = normal(random, 4);
    const along = v.reduce((sum, value, i) => sum + value * fine.gradient[i]!, 0);
    expect(slope((t) => problem.value(t), theta, v)).toBeCloseTo(along, 5);
  });

  it('every solver reaches the accuracy; momentum needs fewer iterations', async () => {
    const problem = randomQuadratic(3, 30, 5);
    const theta = ones(5);
    const iterations = new Map<string, number>();
    for (const solver of ['gradientDescent', 'accelerated', 'fista'] as const) {
      const result = await hypergradient(problem, theta, { accuracy: 1e-6, solver });
      expect(distance(result.x, problem.lowerSolution(theta))).toBeLessThanOrEqual(1e-6);
      iterations.set(solver, result.work.gradients);
    }
    expect(iterations.get('accelerated')!).toBeLessThan(iterations.get('gradientDescent')! / 2);
    expect(iterations.get('fista')!).toBeLessThan(iterations.get('gradientDescent')! / 2);
  });

  it('says so when an accuracy is beyond rounding or the limits', async () => {
    const problem = randomQuadratic(3, 30, 5);
    const rounding: BilevelProblem = {
      ...problem,
      lowerGradient: (x, theta) => problem.lowerGradient(x.map(Math.fround) as Float64Array, theta),
    };
    const tight = await hypergradient(rounding, ones(5), { accuracy: 1e-13 });
    expect(tight.converged).toBe(false);
    expect(tight.accuracy).toBeGreaterThan(1e-13);
    const off = distance(tight.x.map(Math.fround), problem.lowerSolution(ones(5)));
    expect(off).toBeLessThanOrEqual(tight.accuracy);
    const short = await hypergradient(problem, ones(5), { accuracy: 1e-6, maxLowerIterations: 3 });
    expect(short.converged).toBe(false);
    expect(short.work.gradients).toBe(4);
  });

  it('‖J‖ from below, closely', async () => {
    const problem = randomQuadratic(4, 20, 4);
    const estimate = await estimateCrossNorm(problem, { x: ones(4), theta: ones(4) });
    expect(estimate / problem.crossNorm).toBeCloseTo(1, 4);
    expect(estimate).toBeLessThanOrEqual(problem.crossNorm * (1 + 1e-6));
  });
});

describe('conjugate gradients', () => {
  const random = seededRandom(5);
  const n = 6;
  const M = Array.from({ length: n }, () => normal(random, n));
  const H = (v: Float64Array) => {
    const inner = M.map((row) => row.reduce((sum, a, i) => sum + a * v[i]!, 0));
    return v.map((value, i) => value + M.reduce((s, row, k) => s + row[i]! * inner[k]!, 0));
  };

  it('keep the residual, in at most n + 1 iterations', async () => {
    for (let i = 0; i < 20; i++) {
      const b = normal(random, n);
      const { solution, iterations, converged } = await conjugateGradient(H, b, 1e-8);
      expect(converged).toBe(true);
      expect(iterations).toBeLessThanOrEqual(n + 1);
      expect(distance(H(solution), b)).toBeLessThanOrEqual(1.01e-8);
    }
  });

  it('give 0 for a right-hand side within the tolerance', async () => {
    const none = { residualNorm: 0, iterations: 0, converged: true };
    const zero = new Float64Array(n);
    expect(await conjugateGradient(H, zero, 0)).toEqual({ solution: zero, ...none });
    const small = await conjugateGradient(H, new Float64Array(n).fill(1e-3), 1);
    expect(small).toMatchObject({ solution: zero, iterations: 0 });
  });

  it('refuse a matrix that is not positive definite', async () => {
    const minus = (v: Float64Array) => v.map((value) => -value);
    await expect(conjugateGradient(minus, ones(3), 1e-3)).rejects.toThrow(/positive definite/);
  });
});

describe('Maid on quadratics', () => {
  const start = { accuracy: 0.1, residual: 0.1, stepSize: 0.5 };

  it.each([1, 2, 3])('every step decreases the true f as promised, seed %s', async (seed) => {
    const problem = randomQuadratic(seed, 30, 4);
    const run = new Maid(problem, { theta0: ones(4), ...start });
    let before = problem.value(run.theta);
    const seen: MaidStep[] = [];
    await run.run({
      maxIterations: 40,
      onStep: ({ record, step, total }) => {
        const now = problem.value(run.theta);
        expect(now - before).toBeLessThanOrEqual(-0.1 * record.stepSize * record.gradientNorm ** 2);
        expect(record.errorBound!).toBeLessThanOrEqual(0.5 * record.gradientNorm);
        expect([step, total]).toEqual([record.iteration, 40]);
        before = now;
        seen.push(record);
      },
    });
    expect(run.history).toEqual(seen);
    expect(seen).toHaveLength(40);
    for (const [k, step] of seen.entries()) {
      const last = seen[k - 1] ?? { ...start, accuracy: 0.08, stepSize: 0.45 };
      const accuracy = last.accuracy * 1.25 * 0.5 ** step.refinements;
      const atMost = (last.stepSize * 10) / 9;
      expect(step.accuracy).toBeCloseTo(accuracy, 10);
      const halvings = Math.log2(atMost / step.stepSize);
      expect(halvings).toBeCloseTo(Math.round(halvings), 6);
    }
    const { work } = run;
    const lower = seen.reduce((sum, step) => sum + step.lowerIterations, 0);
    const cg = seen.reduce((sum, step) => sum + step.conjugateGradientIterations, 0);
    const solves = work.upperEvaluations;
    expect(work.hessianProducts).toBe(cg);
    expect(work.gradients).toBe(lower + solves);
    expect(seen.at(-1)!.cost).toBe(work.total);
  });

  it('converges to the least-squares solution', async () => {
    const problem = randomQuadratic(7, 40, 2, (random) => random.normal());
    const best = problem.value(problem.minimizer());
    const { theta, reason, history } = await maid(problem, {
      theta0: ones(2),
      tolerance: 1e-7,
      maxIterations: 3000,
    });
    expect(reason).toBe('tolerance');
    expect(problem.value(theta) - best).toBeLessThan(1e-8);
    expect(history.length).toBeLessThan(3000);
  });

  it('does not depend on the accuracy it starts with; a fixed accuracy does', async () => {
    const problem = randomQuadratic(29, 60, 5);
    const options = { theta0: ones(5), stepSize: 0.01, maxIterations: 60 };
    const finals: number[] = [];
    const costs: number[] = [];
    for (const accuracy of [1e-1, 1e-3, 1e-5]) {
      const { theta, work } = await maid(problem, { ...options, accuracy, residual: accuracy });
      finals.push(problem.value(theta));
      costs.push(work.gradients);
    }
    expect(Math.max(...finals) / Math.min(...finals)).toBeLessThan(1.05);
    const rigid = { ...options, accuracy: 1e-5 };
    const fixed = await fixedAccuracy(problem, { ...rigid, stepSize: 'adaptive' });
    expect(Math.min(...costs)).toBeLessThan(fixed.work.gradients);
  });

  it('stops where rounding ends, not with an error', async () => {
    const problem = randomQuadratic(8, 12, 2);
    const rough: BilevelProblem = {
      ...problem,
      precision: 'float32',
      lowerGradient: (x, theta) =>
        Float64Array.from(problem.lowerGradient(x, theta) as Float64Array, Math.fround),
    };
    const { reason, theta, history } = await maid(rough, { theta0: ones(2), maxIterations: 5000 });
    expect(reason).toBe('accuracyFloor');
    expect(Math.min(...history.map((step) => step.accuracy))).toBeGreaterThanOrEqual(1e-5);
    const start = problem.value(ones(2));
    const best = problem.value(problem.minimizer());
    expect((problem.value(theta) - best) / (start - best)).toBeLessThan(1e-3);
  });

  it('a hypergradient that is 0 because x is rough is no end', async () => {
    const clean = Float64Array.from({ length: 20 }, (_, i) => +(i > 9));
    const noisy = clean.map((value, i) => value + 0.2 * Math.sin(7 * i));
    const problem = tvDenoising({ shape: [1, 20], noisy, clean });
    const rough = { theta0: [-3, -3], accuracy: 100 };
    const { history } = await maid(problem, { ...rough, maxIterations: 3 });
    expect(history).toHaveLength(3);
    expect(history[0]!.refinements).toBeGreaterThan(2);
    const baseline = await hoag(problem, { ...rough, decay: 0.5, maxIterations: 15 });
    expect(baseline.history[0]!.stepSize).toBe(0);
    expect(baseline.history.at(-1)!.upper).toBeLessThan(history[0]!.previousUpper);
  });

  it('a trial step into nowhere is taken back', async () => {
    const problem = randomQuadratic(9, 12, 2);
    const fenced: BilevelProblem = {
      ...problem,
      strongConvexity: (theta) =>
        Math.hypot(...theta) > 50 ? Number.NaN : problem.strongConvexity,
    };
    const { history } = await maid(fenced, {
      theta0: ones(2),
      stepSize: 1e6,
      maxIterations: 3,
      maxBacktracks: 60,
    });
    expect(history).toHaveLength(3);
    expect(history[0]!.backtracks).toBeGreaterThan(10);
  });
});

describe('limits, saving and resuming', () => {
  const problem = randomQuadratic(11, 20, 3);
  const options = { theta0: ones(3), solver: 'fista' } as const;

  it('a budget is kept and the last accepted point returned', async () => {
    const { work, reason, theta, history } = await maid(problem, { ...options, budget: 150 });
    expect(reason).toBe('budget');
    expect(work.total).toBe(150);
    const again = await maid(problem, { ...options, maxIterations: history.length });
    expect(theta).toEqual(again.theta);
  });

  it.each(['Maid', 'Hoag'] as const)(
    '%s: stopped, saved, loaded and continued as if never stopped',
    async (name) => {
      const make = () =>
        name === 'Maid' ? new Maid(problem, options) : new Hoag(problem, options);
      const load = (json: unknown) =>
        name === 'Maid' ? Maid.fromJSON(problem, json) : Hoag.fromJSON(problem, json);
      const whole = await make().run({ maxIterations: 12 });
      for (const stop of [0, 1, 5]) {
        const first = make();
        await first.run({ maxIterations: stop });
        const text = JSON.stringify(first);
        const rest = await load(JSON.parse(text)).run({ maxIterations: 12 });
        expect(rest).toEqual(whole);
      }
      const interrupted = make();
      const controller = new AbortController();
      const stopped = await interrupted.run({
        signal: controller.signal,
        onStep: ({ step }) => {
          if (step === 4) controller.abort();
        },
      });
      expect(stopped).toMatchObject({ reason: 'aborted', iterations: 4 });
      const rest = await interrupted.run({ maxIterations: 12 });
      expect(rest.theta).toEqual(whole.theta);
    },
  );

  it.each(['Maid', 'Hoag'] as const)('%s refuses a damaged state', async (name) => {
    const run = name === 'Maid' ? new Maid(problem, options) : new Hoag(problem, options);
    await run.run({ maxIterations: 3 });
    const good = JSON.parse(JSON.stringify(run));
    const load = (json: unknown) =>
      name === 'Maid' ? Maid.fromJSON(problem, json) : Hoag.fromJSON(problem, json);
    const bad: [object | null, RegExp][] = [
      [null, /state must be/],
      [{ ...good, format: 'orth-x' }, /state must be/],
      [{ ...good, version: 2 }, /version must be 1/],
      [{ ...good, theta: [1, 2] }, /theta must be 3 finite/],
      [{ ...good, x: [1, 2, null] }, /x must be 3 finite/],
      [{ ...good, work: { gradients: 1 } }, /work must/],
      [{ ...good, history: [3] }, /history must/],
      [{ ...good, options: { sover: 'fista' } }, /unknown option/],
    ];
    for (const [json, message] of bad) {
      expect(() => load(json)).toThrow(message);
      expect(() => load(json)).toThrow(/nothing was changed/);
    }
  });

  it('refuses to run twice at once', async () => {
    const run = new Maid(problem, options);
    const first = run.run({ maxIterations: 2 });
    await expect(run.run()).rejects.toThrow(/must end before/);
    await first;
  });
});

describe('Hoag', () => {
  const problem = randomQuadratic(12, 20, 3);

  it.each([
    ['geometric', (k: number) => 0.1 * 0.8 ** k],
    ['quadratic', (k: number) => 0.1 / (k + 1) ** 2],
    ['cubic', (k: number) => 0.1 / (k + 1) ** 3],
    ['fixed', () => 0.1],
  ] as const)('%s schedule', async (schedule, want) => {
    const run = { theta0: ones(3), schedule, decay: 0.8, maxIterations: 6 };
    const { history } = await hoag(problem, run);
    for (const [k, step] of history.entries()) expect(step.accuracy).toBeCloseTo(want(k), 12);
  });

  it('takes a step back when the upper level grew by a fifth', async () => {
    const { history } = await hoag(problem, { theta0: ones(3), maxIterations: 60, accuracy: 1e-4 });
    const rejected = history.findIndex((step) => step.rejected);
    expect(rejected).toBeGreaterThan(0);
    expect(history[rejected]!.stepSize).toBeCloseTo(history[rejected - 1]!.stepSize / 2, 12);
    expect(history.at(-1)!.upper).toBeLessThan(history[0]!.upper);
  });

  it('keeps bounds and fixed steps', async () => {
    const run = { theta0: ones(3), stepSize: 0.5, bounds: [-0.1, 0.2] as const, maxIterations: 5 };
    const { theta, history } = await fixedAccuracy(problem, run);
    expect(Math.max(...theta)).toBeLessThanOrEqual(0.2);
    expect(Math.min(...theta)).toBeGreaterThanOrEqual(-0.1);
    expect(new Set(history.map((step) => step.stepSize))).toEqual(new Set([0.5]));
  });
});

describe('TV denoising', () => {
  const random = seededRandom(13);
  const cases = [
    { shape: [2, 9], weights: 'single', smoothing: 'learned' },
    { shape: [2, 3, 4], weights: 'single', smoothing: 0.1 },
    { shape: [2, 4, 3], weights: 'perPosition', smoothing: 'learned' },
    { shape: [1, 1, 5], weights: 'perPosition', smoothing: 0.3 },
  ] as const;

  it.each(cases)('derivatives agree with differences, %o', async ({ shape, ...rest }) => {
    const size = (shape as readonly number[]).reduce((a, b) => a * b, 1);
    const [noisy, clean] = [normal(random, size), normal(random, size)];
    const problem = tvDenoising({ shape, noisy, clean, ...rest });
    const [x, v, w] = [normal(random, size), normal(random, size), normal(random, size)];
    const theta = normal(random, problem.thetaSize, 0.3);
    const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
      Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0);
    const gradient = (at: Float64Array, t: Float64Array) =>
      problem.lowerGradient(at, t) as Float64Array;
    const h = (at: Float64Array) => reference(at, noisy, theta, shape, rest);
    expect(dot(gradient(x, theta), v)).toBeCloseTo(slope(h, x, v), 6);
    const Hv = (await problem.hessianProduct(x, theta, v)) as Float64Array;
    expect(dot(Hv, w)).toBeCloseTo(
      slope((at) => dot(gradient(at, theta), w), x, v),
      6,
    );
    const u = normal(random, theta.length);
    const Jv = (await problem.crossProduct(x, theta, v)) as Float64Array;
    expect(dot(Jv, u)).toBeCloseTo(
      slope((t) => dot(gradient(x, t), v), theta, u),
      6,
    );
    const curvature = dot(v, Hv) / dot(v, v);
    expect(curvature).toBeGreaterThanOrEqual(1);
    expect(curvature).toBeLessThanOrEqual(
      (problem.smoothness as (t: Float64Array) => number)(theta),
    );
    const { value, gradient: g } = await problem.upper(x);
    expect(value).toBeCloseTo(distance(x, clean) ** 2 / 2 / shape[0], 10);
    expect(dot(g, v)).toBeCloseTo(
      slope((at) => distance(at, clean) ** 2 / 2 / shape[0], x, v),
      6,
    );
  });

  /** h by its definition. */
  function reference(
    x: Float64Array,
    y: Float64Array,
    theta: Float64Array,
    shape: readonly number[],
    { weights, smoothing }: { weights: string; smoothing: number | string },
  ): number {
    const [count, rows, columns] = shape.length === 3 ? shape : [shape[0], 1, shape[1]];
    const nu = smoothing === 'learned' ? Math.exp(theta.at(-1)!) : (smoothing as number);
    let total = distance(x, y) ** 2 / 2;
    for (let image = 0; image < count!; image++) {
      for (let r = 0; r < rows!; r++) {
        for (let c = 0; c < columns!; c++) {
          const p = r * columns! + c;
          const at = (dr: number, dc: number) => x[(image * rows! + r + dr) * columns! + c + dc]!;
          const right = c + 1 < columns! ? at(0, 1) - at(0, 0) : 0;
          const down = r + 1 < rows! ? at(1, 0) - at(0, 0) : 0;
          const weight = Math.exp(theta[weights === 'single' ? 0 : p]!);
          total += weight * Math.hypot(right, down, nu);
        }
      }
    }
    return total;
  }

  it('a learned weight denoises a step better than none', async () => {
    const clean = Float64Array.from({ length: 64 }, (_, i) => (i < 30 ? 0 : 1));
    const noisy = clean.map((value) => value + 0.2 * random.normal());
    const problem = tvDenoising({ shape: [1, 64], noisy, clean });
    const { history } = await maid(problem, { theta0: [-3, -3], maxIterations: 20 });
    const before = distance(noisy, clean) ** 2 / 2;
    expect(history.at(-1)!.upper).toBeLessThan(before / 4);
    for (const step of history) expect(step.upper).toBeLessThan(step.previousUpper);
  });
});

describe('bad input', () => {
  const problem = randomQuadratic(14, 10, 2);
  const theta0 = [1, 1];
  const wrong: [object, RegExp][] = [
    [{ theta0: [1] }, /theta0 must have length 2, got 1/],
    [{ theta0: [1, Number.NaN] }, /theta0 must be finite/],
    [{}, /theta0 must be given/],
    [{ theta0, x0: [1] }, /x0 must have length 2/],
    [{ theta0, accuracy: 0 }, /accuracy must be a finite number > 0, got 0/],
    [{ theta0, residual: -1 }, /residual must/],
    [{ theta0, stepSize: 0 }, /stepSize must/],
    [{ theta0, stepDecrease: 1 }, /stepDecrease must be a finite number > 0 and < 1/],
    [{ theta0, stepIncrease: 1 }, /stepIncrease must be a finite number > 1/],
    [{ theta0, accuracyDecrease: 0 }, /accuracyDecrease must/],
    [{ theta0, accuracyIncrease: 0.5 }, /accuracyIncrease must/],
    [{ theta0, sufficientDecrease: 0.6 }, /0 < sufficientDecrease < descentFraction < 1/],
    [{ theta0, maxBacktracks: 0 }, /maxBacktracks must be an integer >= 1/],
    [{ theta0, solver: 'newton' }, /solver must be one of/],
    [{ theta0, descentTest: 'on' }, /descentTest must be one of/],
    [{ theta0, eps: 0.1 }, /unknown option "eps"/],
  ];

  it.each(wrong)('%o', async (options, message) => {
    await expect(maid(problem, options as never)).rejects.toThrow(message);
  });

  it('problems that break their promises', async () => {
    const run = (change: Partial<BilevelProblem>) => maid({ ...problem, ...change }, { theta0 });
    await expect(run({ strongConvexity: 0 })).rejects.toThrow(/strongConvexity must .* > 0, got 0/);
    await expect(run({ smoothness: 1e-9 })).rejects.toThrow(/smoothness must be .* >= /);
    await expect(run({ strongConvexity: () => -1 })).rejects.toThrow(/strongConvexity at theta/);
    await expect(run({ upperSmoothness: -1 })).rejects.toThrow(/upperSmoothness/);
    await expect(run({ xSize: 0 })).rejects.toThrow(/xSize/);
    await expect(run({ upper: undefined as never })).rejects.toThrow(/upper must be a function/);
    const short = () => new Float64Array(1);
    await expect(run({ lowerGradient: short })).rejects.toThrow(
      /lowerGradient must give 2 numbers/,
    );
    const nan = () => new Float64Array(2).fill(Number.NaN);
    await expect(run({ lowerGradient: nan })).rejects.toThrow(/lowerGradient must be finite/);
    const value = () => ({ value: Number.NaN, gradient: new Float64Array(2) });
    await expect(run({ upper: value })).rejects.toThrow(/upper-level function must be finite/);
    const minus = (_x: Float64Array, _t: Float64Array, v: Float64Array) => v.map((a) => -a);
    await expect(run({ hessianProduct: minus })).rejects.toThrow(/positive definite/);
    const { crossNorm: _, ...unbounded } = problem;
    const asked = maid(unbounded, { theta0, descentTest: 'bound' });
    await expect(asked).rejects.toThrow(/descentTest must be 'off' where the problem lacks/);
  });

  it('of the others', async () => {
    await expect(hoag(problem, { theta0, decay: 2 })).rejects.toThrow(/decay must/);
    await expect(hoag(problem, { theta0, bounds: [1, 0] })).rejects.toThrow(/bounds must be/);
    const scheduled = { theta0, schedule: 'cubic' } as never;
    await expect(fixedAccuracy(problem, scheduled)).rejects.toThrow(/unknown option "schedule"/);
    await expect(hypergradient(problem, [1])).rejects.toThrow(/theta must have length 2/);
    await expect(hypergradient(problem, [1, 1], { accuracy: -1 })).rejects.toThrow(/accuracy/);
    const run = new Maid(problem, { theta0 });
    await expect(run.run({ maxIterations: -1 })).rejects.toThrow(/maxIterations/);
    await expect(run.run({ budget: 0 })).rejects.toThrow(/budget/);
    await expect(run.run({ steps: 3 } as never)).rejects.toThrow(/unknown option "steps"/);
    expect(() => hypergradientErrorBound({} as never)).toThrow(/accuracy must/);
    expect(() => lineSearchValue({ extra: 1 } as never)).toThrow(/unknown option/);
    const A = [
      [1, 0],
      [0, 1],
    ];
    const data = { A1: A, b1: [1, 2], A2: A, A3: A, b2: [1, 2] };
    expect(() => quadraticProblem({ ...data, b2: [1] })).toThrow(/must fit/);
    expect(() =>
      quadraticProblem({
        ...data,
        A2: [
          [1, 1],
          [1, 1],
        ],
      }),
    ).toThrow(/full column rank/);
    expect(() => quadraticProblem({ ...data, A1: [[1], [1, 2]] })).toThrow(/rows of one length/);
    const tv = { shape: [1, 3], noisy: [1, 2, 3], clean: [1, 2, 3] };
    expect(() => tvDenoising({ ...tv, shape: [3] })).toThrow(/shape must be/);
    expect(() => tvDenoising({ ...tv, noisy: [1] })).toThrow(/noisy must have 3 numbers/);
    expect(() => tvDenoising({ ...tv, smoothing: 0 })).toThrow(/smoothing must/);
  });
});

it('lower solver: unbounded work ends with the best point', async () => {
  const problem = randomQuadratic(15, 20, 3);
  const counted = new CountedProblem('test', problem);
  const { strongConvexity: mu, smoothness: L } = problem;
  const start = new Float64Array(3);
  const r = await solveLower(counted, ones(3), start, 0, { mu, L }, 'accelerated', 1e6);
  expect(r.converged).toBe(false);
  expect(r.iterations).toBeLessThan(5000);
  expect(r.gradientNorm).toBeLessThan(1e-11);
});

it('eigenvalues of a symmetric matrix', () => {
  const random = seededRandom(16);
  const n = 7;
  const A = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) A[i * n + j] = A[j * n + i] = random.normal();
  const { values, vectors } = symmetricEigen(A, n);
  for (let k = 0; k < n; k++) {
    const v = vectors.subarray(k * n, (k + 1) * n);
    const Av = Array.from({ length: n }, (_, i) =>
      v.reduce((sum, value, j) => sum + A[i * n + j]! * value, 0),
    );
    expect(
      distance(
        Av,
        v.map((value) => value * values[k]!),
      ),
    ).toBeLessThan(1e-12);
    if (k) expect(values[k]!).toBeGreaterThanOrEqual(values[k - 1]!);
  }
});
