/** Random problems and slow, plain float64 versions of what the package computes. */
import { type Random, seededRandom } from '@orth/backend';
import { solveExact } from '../src/exactSolver.js';
import type { RegularizedSettings } from '../src/regularizedSolver.js';
import type { SinkhornSettings } from '../src/sinkhornSolver.js';
import type { TransportProblem } from '../src/transportArguments.js';

/** Masses that sum to `total`. */
export function randomMasses(random: Random, length: number, total = 1): Float64Array {
  const raw = Float64Array.from({ length }, () => 0.2 + random.uniform());
  const sum = raw.reduce((s, x) => s + x, 0);
  return raw.map((x) => (x * total) / sum);
}

/** A problem with independent costs in [0, 1). */
export function randomProblem(
  seed: number,
  m: number,
  n: number,
  uniform = false,
): TransportProblem {
  const random = seededRandom(seed);
  const cost = Float64Array.from({ length: m * n }, () => random.uniform());
  const masses = (length: number) =>
    uniform ? new Float64Array(length).fill(1 / length) : randomMasses(random, length);
  return { m, n, cost, a: masses(m), b: masses(n), masked: false };
}

/** Two clouds in the unit square and their squared distances. */
export function cloudProblem(seed: number, m: number, n: number): TransportProblem {
  const random = seededRandom(seed);
  const points = (count: number) =>
    Array.from({ length: count }, () => [random.uniform(), random.uniform()] as const);
  const [x, y] = [points(m), points(n)];
  const cost = Float64Array.from(
    x.flatMap(([x0, x1]) => y.map(([y0, y1]) => (x0 - y0) ** 2 + (x1 - y1) ** 2)),
  );
  return { m, n, cost, a: randomMasses(random, m), b: randomMasses(random, n), masked: false };
}

/** Rows and columns in another order. */
export function permuted(
  problem: TransportProblem,
  rows: readonly number[],
  columns: readonly number[],
): TransportProblem {
  const { n, cost, a, b } = problem;
  return {
    ...problem,
    cost: Float64Array.from(rows.flatMap((i) => columns.map((j) => cost[i * n + j]!))),
    a: Float64Array.from(rows, (i) => a[i]!),
    b: Float64Array.from(columns, (j) => b[j]!),
  };
}

export const REGULARIZED: RegularizedSettings = {
  k: Infinity,
  gamma: 1,
  relativeGamma: false,
  formulation: 'semiDual',
  solver: 'lbfgs',
  tolerance: 1e-9,
  functionTolerance: -Infinity,
  maxIterations: 2000,
  memory: 20,
  learningRate: 1e-2,
  start: 'continuation',
  recover: 'last',
  averagingSteps: 2000,
  allowInfeasible: true,
};

export const SINKHORN: SinkhornSettings = {
  epsilon: 0.1,
  relativeEpsilon: 0.05,
  tolerance: 1e-9,
  maxIterations: 20_000,
  epsilonScaling: undefined,
  rhoA: Infinity,
  rhoB: Infinity,
  marginalPenalty: 'kl',
  momentum: 1,
  domain: 'auto',
};

/** The dense plan of a solution. */
export function dense(
  { n, m }: { readonly m: number; readonly n: number },
  {
    rows,
    columns,
    values,
  }: {
    readonly rows: Int32Array;
    readonly columns: Int32Array;
    readonly values: Float64Array;
  },
): Float64Array {
  const plan = new Float64Array(m * n);
  for (let e = 0; e < values.length; e++) plan[rows[e]! * n + columns[e]!]! += values[e]!;
  return plan;
}

/** Projection on {p >= 0, Σp = z, at most k non-zeros}, by sorting. */
export function sortedProjection(v: readonly number[], k: number, z: number): number[] {
  const order = [...v.keys()].sort((i, j) => v[j]! - v[i]! || i - j).slice(0, k);
  let sum = 0;
  let threshold = 0;
  order.forEach((index, r) => {
    sum += v[index]!;
    const candidate = (sum - z) / (r + 1);
    if (v[index]! > candidate) threshold = candidate;
  });
  const p = new Array<number>(v.length).fill(0);
  for (const index of order) p[index] = Math.max(0, v[index]! - threshold);
  return p;
}

/** S(α) of `sparseTransport`, column by column from the projection. */
export function semiDual(
  { m, n, cost, a, b }: TransportProblem,
  k: number,
  gamma: number,
  alpha: ArrayLike<number>,
): number {
  let value = 0;
  for (let i = 0; i < m; i++) value += alpha[i]! * a[i]!;
  for (let j = 0; j < n; j++) {
    const s = Array.from({ length: m }, (_, i) => alpha[i]! - cost[i * n + j]!);
    const t = sortedProjection(
      s.map((x) => x / gamma),
      k,
      b[j]!,
    );
    value -= t.reduce((total, x, i) => total + s[i]! * x - 0.5 * gamma * x * x, 0);
  }
  return value;
}

export const sum = (x: ArrayLike<number>) => Array.from(x).reduce((total, y) => total + y, 0);

export const maxAbs = (x: ArrayLike<number>, y: ArrayLike<number>) =>
  Array.from(x).reduce((most, value, i) => Math.max(most, Math.abs(value - y[i]!)), 0);

/** Exact transport of a problem. */
export const exact = (problem: TransportProblem) =>
  solveExact('test', problem, { method: 'networkSimplex', maxIterations: 1e5 }, undefined, '');
