/**
 * Sparsity-constrained transport: what k does to non-zeros, objective, iterations and feasibility (Liu, Puigcerver, Blondel
 * 2023), what continuation and averaging add, and how sparse quadratic plans are beside entropic ones.
 */
import type { Random } from '@orth/backend';
import {
  exactTransport,
  type HostArray,
  quadraticTransport,
  type SparseTransportOptions,
  sinkhorn,
  sparseTransport,
} from '@orth/ot-sparse';
import type { Claim, Repro, ReproContext, SeedResult } from '../harness/repro.js';

const GAMMA = 0.1;
/** Where the regularisation shows in the cost. */
const LARGE_GAMMA = 10;

interface Clouds {
  readonly cost: HostArray;
  readonly a: Float64Array;
  readonly b: Float64Array;
}

/** Clouds of n points in the unit square, masses between 1/2n and 3/2n before normalisation, squared distances. */
function clouds(random: Random, n: number): Clouds {
  const points = () => Array.from({ length: n }, () => [random.uniform(), random.uniform()]);
  const masses = () => {
    const raw = Float64Array.from({ length: n }, () => 0.5 + random.uniform());
    const total = raw.reduce((sum, x) => sum + x, 0);
    return raw.map((x) => x / total);
  };
  const [x, y] = [points(), points()];
  const data = Float64Array.from(
    x.flatMap(([x0, x1]) => y.map(([y0, y1]) => (x0! - y0!) ** 2 + (x1! - y1!) ** 2)),
  );
  return { cost: { shape: [n, n], data }, a: masses(), b: masses() };
}

/** POT's gallery problem with other means and widths: two discretised Gaussians on 100 bins. */
function gaussians(random: Random): Clouds {
  const size = 100;
  const density = (mean: number, deviation: number) => {
    const raw = Float64Array.from({ length: size }, (_, i) =>
      Math.exp(-((i - mean) ** 2) / (2 * deviation ** 2)),
    );
    const sum = raw.reduce((s, x) => s + x, 0);
    return raw.map((x) => x / sum);
  };
  const data = Float64Array.from(
    { length: size * size },
    (_, e) => (Math.floor(e / size) - (e % size)) ** 2 / (size - 1) ** 2,
  );
  return {
    cost: { shape: [size, size], data },
    a: density(15 + 10 * random.uniform(), 4 + 2 * random.uniform()),
    b: density(55 + 10 * random.uniform(), 8 + 4 * random.uniform()),
  };
}

/** What one solve gave. */
function solve({ cost, a, b }: Clouds, options: SparseTransportOptions) {
  const result = sparseTransport(cost, { a, b, gamma: GAMMA, ...options });
  result.dispose();
  return result.solutions[0]!;
}

const total = (x: Int32Array) => x.reduce((sum, count) => sum + count, 0);

/**
 * Iterations until the objective is within 1e-6 of the best known, by bisection: every run repeats the same path. `most`
 * where that never happens.
 */
function iterationsTo(problem: Clouds, k: number, best: number, most: number): number {
  const reached = (maxIterations: number) =>
    solve(problem, { k, start: 'zeros', maxIterations }).objective >= best - 1e-6;
  if (!reached(most)) return most;
  let [low, high] = [0, most];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (reached(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/** ε at which Sinkhorn's plan costs as much as `wanted`, and that plan's non-zeros above 1e-12. */
function entropicNonzeros({ cost, a, b }: Clouds, wanted: number): number {
  let [low, high] = [1e-3, 1];
  let nonzeros = 0;
  for (let step = 0; step < 12; step++) {
    const epsilon = Math.sqrt(low * high);
    const result = sinkhorn(cost, { a, b, epsilon, tolerance: 1e-4, maxIterations: 5000 });
    nonzeros = result.entries().values.filter((t) => t > 1e-12).length;
    if (result.transportCost > wanted) high = epsilon;
    else low = epsilon;
    result.dispose();
  }
  return nonzeros;
}

export const repro: Repro = {
  system: 'ot-sparse',
  description:
    'what k does to non-zeros, objective, iterations and feasibility of a transport plan',
  async *claims({ quick, seeds, random, onProgress }: ReproContext) {
    const n = quick ? 32 : 64;
    const setting = `clouds of ${n} and ${n} points in the unit square, γ = ${GAMMA}, L-BFGS, float64`;
    const overSeeds = (what: string, one: (problem: Clouds) => Omit<SeedResult, 'seed'>) =>
      seeds.map((seed) => {
        onProgress(`${what}, seed ${seed}`);
        return { seed, ...one(clouds(random(seed), n)) };
      });
    const claim = (parts: Omit<Claim, 'setting'> & { setting?: string }): Claim => ({
      setting,
      ...parts,
    });

    for (const k of [1, 2, 4, 8]) {
      yield claim({
        claim: `no column has more than k = ${k} non-zeros`,
        baseline: 'k',
        ours: 'most non-zeros of a column',
        results: overSeeds(`non-zeros, k = ${k}`, (problem) => ({
          baseline: k,
          ours: Math.max(...solve(problem, { k }).nonzerosPerColumn),
        })),
        effect: 'ratio',
        expectation: { of: 'everySeed', atMost: 1 },
      });
    }
    yield claim({
      claim: 'k = 2 leaves fewer non-zeros than quadratic transport',
      baseline: 'non-zeros, quadratic',
      ours: 'non-zeros, k = 2',
      results: overSeeds('non-zeros', (problem) => ({
        baseline: total(solve(problem, { k: n }).nonzerosPerColumn),
        ours: total(solve(problem, { k: 2 }).nonzerosPerColumn),
      })),
      effect: 'ratio',
      expectation: { of: 'everySeed', below: 1 },
    });
    for (const k of [1, 2, 4]) {
      yield claim({
        claim: `the objective for k = ${k} is not below the one for ${2 * k}: it falls as k grows`,
        baseline: `objective, k = ${2 * k}`,
        ours: `objective, k = ${k}`,
        results: overSeeds(`objective, k = ${k}`, (problem) => ({
          baseline: solve(problem, { k: 2 * k }).objective,
          ours: solve(problem, { k }).objective,
        })),
        effect: 'difference',
        expectation: { of: 'everySeed', atLeast: -1e-8 },
      });
    }
    yield claim({
      claim: 'k = 1 comes within 1 % of its limit, exact cost + (γ/2)Σb², from below',
      baseline: 'exact cost + (γ/2)Σb²',
      ours: 'objective, k = 1',
      results: overSeeds('limit of k = 1', (problem) => {
        const exact = exactTransport(problem.cost, { a: problem.a, b: problem.b });
        exact.dispose();
        const squares = problem.b.reduce((sum, mass) => sum + mass * mass, 0);
        return {
          baseline: exact.objective + (GAMMA / 2) * squares,
          ours: solve(problem, { k: 1 }).objective,
        };
      }),
      effect: 'ratio',
      expectation: { of: 'everySeed', atLeast: 0.99, atMost: 1 + 1e-9 },
    });
    const most = 2000;
    for (const [small, large] of [
      [1, 4],
      [2, 8],
    ] as const) {
      yield claim({
        claim: `k = ${large} needs fewer iterations than k = ${small}: the objective is smoother`,
        setting: `${setting}, from zeros; iterations until the objective is within 1e-6 of its best, at most ${most}`,
        baseline: `iterations, k = ${small}`,
        ours: `iterations, k = ${large}`,
        results: overSeeds(`iterations, k = ${small} and ${large}`, (problem) => {
          const count = (k: number) =>
            iterationsTo(problem, k, solve(problem, { k }).objective, most);
          return { baseline: count(small), ours: count(large) };
        }),
        effect: 'ratio',
        expectation: { of: 'mean', below: 1 },
      });
    }
    yield claim({
      claim: 'ties: the rows are less wrong for k = 8 than for k = 1, by a factor of 10 or more',
      baseline: '‖T1 − a‖₁, k = 1',
      ours: '‖T1 − a‖₁, k = 8',
      results: overSeeds('row error', (problem) => ({
        baseline: solve(problem, { k: 1 }).residuals.rows,
        ours: solve(problem, { k: 8 }).residuals.rows,
      })),
      effect: 'ratio',
      expectation: { of: 'everySeed', atMost: 0.1 },
    });
    yield claim({
      claim: 'continuation in k ends at least as high as a start at zeros',
      baseline: 'objective, k = 2, from zeros',
      ours: 'objective, k = 2, continuation',
      results: overSeeds('continuation', (problem) => ({
        baseline: solve(problem, { k: 2, start: 'zeros' }).objective,
        ours: solve(problem, { k: 2 }).objective,
      })),
      effect: 'difference',
      expectation: { of: 'everySeed', atLeast: -1e-9 },
    });
    const averagingSteps = quick ? 5000 : 20_000;
    yield claim({
      claim: 'averaging makes the rows of k = 2 right to a tenth or less of the error before',
      setting: `${setting}, ${averagingSteps} subgradient steps`,
      baseline: '‖T1 − a‖₁, last plan',
      ours: '‖T1 − a‖₁, averaged plan',
      results: overSeeds('averaging', (problem) => ({
        baseline: solve(problem, { k: 2 }).residuals.rows,
        ours: solve(problem, { k: 2, recover: 'average', averagingSteps }).residuals.rows,
      })),
      effect: 'ratio',
      expectation: { of: 'everySeed', atMost: 0.1 },
    });
    const bins = `1-D: 100 bins, two Gaussians, (x − y)²/max, γ = ${GAMMA}, L-BFGS, float64`;
    const overBins = (what: string, one: (problem: Clouds) => Omit<SeedResult, 'seed'>) =>
      seeds.map((seed) => {
        onProgress(`${what}, seed ${seed}`);
        return { seed, ...one(gaussians(random(seed))) };
      });
    const quadraticOptimum = (problem: Clouds) =>
      solve(problem, { k: 100, maxIterations: 5000 }).objective;
    yield claim({
      claim:
        'from zeros, 500 iterations for k = 2 end below the quadratic optimum, where no maximum is',
      setting: bins,
      baseline: 'quadratic optimum',
      ours: 'objective, k = 2, from zeros',
      results: overBins('bins from zeros', (problem) => ({
        baseline: quadraticOptimum(problem),
        ours: solve(problem, { k: 2, start: 'zeros', maxIterations: 500 }).objective,
      })),
      effect: 'difference',
      expectation: { of: 'everySeed', below: 0 },
    });
    yield claim({
      claim: 'continuation does not',
      setting: bins,
      baseline: 'quadratic optimum',
      ours: 'objective, k = 2, continuation',
      results: overBins('bins with continuation', (problem) => ({
        baseline: quadraticOptimum(problem),
        ours: solve(problem, { k: 2 }).objective,
      })),
      effect: 'difference',
      expectation: { of: 'everySeed', atLeast: 0 },
    });
    yield claim({
      claim:
        'a quadratic plan has half or less of the non-zeros of the entropic plan of the same cost',
      setting: `clouds of ${n} and ${n} points, γ = ${LARGE_GAMMA}; Sinkhorn's ε by bisection, non-zeros above 1e-12`,
      baseline: 'non-zeros, Sinkhorn',
      ours: 'non-zeros, quadratic',
      results: overSeeds('entropic', (problem) => {
        const { cost, a, b } = problem;
        const quadratic = quadraticTransport(cost, { a, b, gamma: LARGE_GAMMA });
        quadratic.dispose();
        return {
          baseline: entropicNonzeros(problem, quadratic.transportCost),
          ours: quadratic.entries().values.length,
        };
      }),
      effect: 'ratio',
      expectation: { of: 'everySeed', atMost: 0.5 },
    });
  },
};
