/** The public functions: tensors in and out, gradients, batches, refusals. */
import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import {
  grads,
  memory,
  mul,
  reshape,
  slice,
  stack,
  sum,
  type Tensor,
  tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  quadraticTransport,
  quadraticTransportAsync,
  type SparseTransportOptions,
  sinkhorn,
  sinkhornAsync,
  sparseTransport,
  sparseTransportAsync,
  type TransportResult,
  toSparse,
  transportObjectives,
} from '../src/index.js';
import { centred } from './adapters/shared.js';
import { cloudProblem, randomProblem } from './reference.js';

const cloud = cloudProblem(1, 7, 5);
const host = { shape: [7, 5], data: cloud.cost };
const tensors = () => ({
  C: tensor(Float32Array.from(cloud.cost), [7, 5]),
  a: tensor(Float32Array.from(cloud.a)),
  b: tensor(Float32Array.from(cloud.b)),
});

type Solve = (
  C: Parameters<typeof sparseTransport>[0],
  options: Omit<SparseTransportOptions, 'k' | 'gamma'>,
) => TransportResult;

const SOLVERS: [string, Solve][] = [
  // Certified at this k: without ties the envelope theorem holds.
  ['sparseTransport', (C, o) => sparseTransport(C, { ...o, k: 5, gamma: 1 })],
  ['quadraticTransport', (C, o) => quadraticTransport(C, { ...o, gamma: 1 })],
  ['sinkhorn', (C, o) => sinkhorn(C, { epsilon: 0.1, tolerance: 1e-11, ...o })],
];
const ASYNC = {
  sparseTransport: (C: Tensor, o: object) => sparseTransportAsync(C, { ...o, k: 5, gamma: 1 }),
  quadraticTransport: (C: Tensor, o: object) => quadraticTransportAsync(C, { ...o, gamma: 1 }),
  sinkhorn: (C: Tensor, o: object) => sinkhornAsync(C, { ...o, epsilon: 0.1, tolerance: 1e-11 }),
};

describe.each(SOLVERS)('%s', (name, solve) => {
  it('has gradients that agree with differences in float64', () => {
    const { C, a, b } = tensors();
    const f = (x: Tensor, y: Tensor, z: Tensor) => mul(3, solve(x, { a: y, b: z }).value);
    const [dC, da, db] = grads(f)([C, a, b]) as [Tensor, Tensor, Tensor];
    const value = (data: Float64Array, p = cloud.a, q = cloud.b) =>
      solve({ shape: [7, 5], data }, { a: p, b: q }).objective;
    const h = 1e-5;
    const moved = (x: Float64Array, changes: Record<number, number>) =>
      x.map((v, e) => v + (changes[e] ?? 0));
    const want = Array.from(
      cloud.cost,
      (_, e) =>
        (3 * (value(moved(cloud.cost, { [e]: h })) - value(moved(cloud.cost, { [e]: -h })))) /
        (2 * h),
    );
    expectTensorClose(dC, want, { rtol: 1e-3, atol: 2e-5 });
    // Mass moved from the first row (column) to another: the only changes that stay balanced.
    const ofRows = Array.from(cloud.a, (_, i) =>
      i === 0
        ? 0
        : (3 *
            (value(cloud.cost, moved(cloud.a, { 0: -h, [i]: h })) -
              value(cloud.cost, moved(cloud.a, { 0: h, [i]: -h })))) /
          (2 * h),
    );
    expectTensorClose(centred(da.dataSync()), centred(ofRows), { rtol: 1e-3, atol: 1e-4 });
    const ofColumns = Array.from(cloud.b, (_, j) =>
      j === 0
        ? 0
        : (3 *
            (value(cloud.cost, cloud.a, moved(cloud.b, { 0: -h, [j]: h })) -
              value(cloud.cost, cloud.a, moved(cloud.b, { 0: h, [j]: -h })))) /
          (2 * h),
    );
    expectTensorClose(centred(db.dataSync()), centred(ofColumns), { rtol: 1e-3, atol: 1e-4 });
    for (const x of [C, a, b, dC, da, db]) x.dispose();
  });

  it('gives plan, sparse plan, marginals and potentials that agree, and leaves nothing behind', () => {
    const before = memory().numTensors;
    const { C, a, b } = tensors();
    const result = solve(C, { a, b });
    expect(result.converged).toBe(true);
    expect(result.reason).toBe(result.solutions[0]!.reason);
    expect(result.solutions[0]!.reason).toContain('tolerance');
    const plan = result.plan();
    expect(plan.shape).toEqual([7, 5]);
    expectTensorClose(plan, result.planData(), { rtol: 1e-6, atol: 1e-9 });
    const { indices, values, shape } = result.sparsePlan();
    expect(shape).toEqual([7, 5]);
    const rebuilt = new Float32Array(35);
    const [at, data] = [indices.dataSync(), values.dataSync()];
    data.forEach((t, e) => {
      rebuilt[at[2 * e]! * 5 + at[2 * e + 1]!] = t;
    });
    expectTensorClose(rebuilt, plan.dataSync(), { rtol: 0, atol: 0 });
    const again = toSparse(plan);
    expect(again.values.size).toBe(values.size);
    const { rows, columns } = result.marginals();
    expectTensorClose(rows, a, { atol: 1e-6 });
    expectTensorClose(columns, b, { atol: 1e-6 });
    const { alpha, beta } = result.potentials();
    expect([alpha.shape, beta.shape]).toEqual([[7], [5]]);
    expect(result.value.shape).toEqual([]);
    expect(result.value.dataSync()[0]).toBeCloseTo(result.objective, 6);
    expect(result.marginalError).toBeLessThan(1e-8);
    expect(Math.abs(result.residuals.gap)).toBeLessThan(1e-6);
    const made = [indices, values, again.indices, again.values, rows, columns, alpha, beta, plan];
    for (const x of [...made, C, a, b]) x.dispose();
    result.dispose();
    result.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it('solves a batch as its problems one by one, with gradients of each', () => {
    const problems = [1, 2, 3, 4].map((seed) => cloudProblem(seed, 4, 6));
    const before = memory().numTensors;
    const each = problems.map(({ cost }) => tensor(Float32Array.from(cost), [4, 6]));
    const C = tidy(() => reshape(stack(each), [2, 2, 4, 6]));
    const a = tensor(Float32Array.from(problems[0]!.a));
    const weights = tensor([1, 2, 3, 4], [2, 2]);
    const [dC, da] = grads((x: Tensor, y: Tensor) => sum(mul(weights, solve(x, { a: y }).value)))([
      C,
      a,
    ]) as [Tensor, Tensor];
    const result = solve(C, { a });
    expect(result.shape).toEqual([2, 2, 4, 6]);
    expect(result.value.shape).toEqual([2, 2]);
    const wantA = new Float64Array(4);
    each.forEach((x, index) => {
      const [one, ofA] = grads((y: Tensor, z: Tensor) => solve(y, { a: z }).value)([x, a]) as [
        Tensor,
        Tensor,
      ];
      const single = solve(x, { a });
      expect(result.solutions[index]!.objective).toBe(single.objective);
      const part = tidy(() =>
        mul(1 / (index + 1), reshape(slice(reshape(dC, [4, 24]), [index, 0], [1, 24]), [4, 6])),
      );
      expectTensorClose(part, one, { rtol: 1e-5, atol: 1e-8 });
      ofA.dataSync().forEach((v, i) => {
        wantA[i]! += (index + 1) * v;
      });
      for (const y of [one, ofA, part]) y.dispose();
      single.dispose();
    });
    expectTensorClose(da, wantA, { rtol: 1e-4, atol: 1e-5 });
    const { indices, values, shape } = result.sparsePlan();
    expect(shape).toEqual([2, 2, 4, 6]);
    expect(indices.shape).toEqual([values.size, 4]);
    const last = indices.dataSync().slice(-4, -2);
    expect([...last]).toEqual([1, 1]);
    for (const x of [...each, C, a, weights, dC, da, indices, values]) x.dispose();
    result.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it('takes host arrays, plain arrays and warm starts, and gives the same', async () => {
    const { C, a, b } = tensors();
    const want = solve(host, { a: cloud.a, b: cloud.b });
    const plain = solve(host, { a: [...cloud.a], b: { shape: [5], data: cloud.b } });
    expect(plain.objective).toBe(want.objective);
    const single = solve(C, { a, b });
    expect(single.objective).toBeCloseTo(want.objective, 6);
    const warm = solve(C, { a, b, init: single.duals });
    expect(warm.iterations).toBeLessThan(Math.max(2, single.iterations));
    const potentials = single.potentials();
    const tensorWarm = solve(C, { a, b, init: potentials });
    expect(tensorWarm.objective).toBeCloseTo(want.objective, 6);
    const later = await ASYNC[name as keyof typeof ASYNC](C, { a, b, init: potentials });
    expect(later.objective).toBe(tensorWarm.objective);
    const results: TransportResult[] = [want, plain, single, warm, tensorWarm, later];
    for (const result of results) result.dispose();
    for (const x of [C, a, b, potentials.alpha, potentials.beta]) x.dispose();
  });

  it('becomes a loss after an asynchronous solve', async () => {
    const { C, a, b } = tensors();
    const solved = await ASYNC[name as keyof typeof ASYNC](C, { a, b });
    const attached = grads((x: Tensor, y: Tensor, z: Tensor) => solved.attach(x, { a: y, b: z }));
    const direct = grads((x: Tensor, y: Tensor, z: Tensor) => solve(x, { a: y, b: z }).value);
    const [got, want] = [attached([C, a, b]), direct([C, a, b])];
    got.forEach((x, i) => {
      expectTensorClose(x, want[i]!, { rtol: 1e-6, atol: 1e-8 });
    });
    expect(() => solved.attach(a)).toThrow('attach: cost must');
    for (const x of [...got, ...want, C, a, b]) x.dispose();
    solved.dispose();
  });

  it('refuses bad arguments before it makes anything', () => {
    const before = memory().numTensors;
    const bad =
      (data: number[], options: object = {}, shape = [2, 2]) =>
      () =>
        solve({ shape, data }, options);
    const good = [0, 1, 1, 0];
    expect(bad([0, Number.NaN, 1, 0])).toThrow(`${name}: cost must be finite, or Infinity where`);
    expect(bad([0, -Infinity, 1, 0])).toThrow('got -Infinity at index 1');
    expect(bad([Infinity, Infinity, 1, 0])).toThrow('got only Infinity in row 0');
    expect(bad([Infinity, 1, Infinity, 0])).toThrow('got only Infinity in column 0');
    expect(bad(good, { a: [-0.5, 1.5] })).toThrow(`${name}: a must be finite and >= 0, got -0.5`);
    expect(bad(good, { b: [Number.NaN, 1] })).toThrow(
      `${name}: b must be finite and >= 0, got NaN`,
    );
    expect(bad(good, { a: [0, 0] })).toThrow(`${name}: a must have a positive sum, got 0`);
    expect(bad(good, { a: [1, 1] })).toThrow(
      'a and b must have the same sum to 0.001 of it, got 2 and 1',
    );
    expect(bad(good, { a: [1, 1, 1] })).toThrow('a must have shape [2], got 3 numbers');
    expect(bad(good, { b: 'x' })).toThrow(TypeError);
    expect(bad([], {}, [0, 2])).toThrow('cost must not be empty, got shape [0,2]');
    expect(bad([1, 2], {}, [2])).toThrow('cost must have rank >= 2');
    expect(bad(good, {}, [3, 2])).toThrow('must have 6 numbers for shape [3,2], got 4');
    expect(bad(good, { tolerance: -1 })).toThrow('tolerance must be a finite number >= 0');
    expect(bad(good, { maxIterations: 1.5 })).toThrow('maxIterations must be an integer');
    expect(bad(good, { regularisation: 1 })).toThrow('unknown option "regularisation"');
    expect(bad(good, { init: {} })).toThrow('init must have alpha or beta');
    expect(bad(good, { init: { alpha: [1] } })).toThrow('init.alpha must have shape [2]');
    expect(bad(good, { init: { alpha: [1, Infinity] } })).toThrow('init.alpha must be finite');
    expect(() => solve([[0, 1]] as never, {})).toThrow('cost must be a tensor');
    expect(memory().numTensors).toBe(before);
  });
});

describe('options', () => {
  const C = { shape: [3, 2], data: [0, 1, 1, 0, 2, 2] };

  it('of sparseTransport are checked', () => {
    const bad = (options: object) => () => sparseTransport(C, options as never);
    for (const k of [0, -1, 1.5, Number.NaN, undefined])
      expect(bad({ k })).toThrow(/k must be an integer/);
    expect(bad({ k: 1 })).toThrow(
      'k must be >= 2 to give each of 3 rows with mass a place in 2 columns',
    );
    sparseTransport(C, { k: 1, allowInfeasible: true }).dispose();
    expect(bad({ k: 2, gamma: 0 })).toThrow('gamma must be a finite number > 0, got 0');
    expect(bad({ k: 2, formulation: 'primal' })).toThrow('formulation must be one of');
    expect(bad({ k: 2, solver: 'sgd' })).toThrow('solver must be one of');
    expect(bad({ k: 2, recover: 'mean' })).toThrow('recover must be one of');
    expect(() => sparseTransport(C, undefined as never)).toThrow('options must be an object');
  });

  it('of quadraticTransport have no k', () => {
    expect(() => quadraticTransport(C, { k: 2 } as never)).toThrow('unknown option "k"');
  });

  it('of sinkhorn are checked', () => {
    const bad = (options: object) => () => sinkhorn(C, options as never);
    expect(bad({ epsilon: 0 })).toThrow('epsilon must be a finite number > 0');
    expect(bad({ epsilon: 1, relativeEpsilon: 1 })).toThrow('must not be given beside epsilon');
    expect(bad({ rho: 0 })).toThrow('rho must be a finite number > 0, got 0');
    expect(bad({ rhoA: Number.NaN })).toThrow('rhoA must be');
    expect(bad({ momentum: 2 })).toThrow('momentum must be a finite number >= 1 and < 2');
    expect(bad({ marginalPenalty: 'l2' })).toThrow('marginalPenalty must be one of');
    expect(bad({ epsilonScaling: { factor: 1 } })).toThrow('epsilonScaling.factor must be');
    expect(bad({ epsilonScaling: { steps: 1 } })).toThrow('unknown option "steps"');
    // Masses may differ where marginals are penalised.
    sinkhorn(C, { rho: 1, a: [1, 1, 1] }).dispose();
    const relative = sinkhorn(C, { relativeEpsilon: 0.5 });
    expect(relative.solutions[0]!.epsilon).toBeCloseTo(0.5 * Math.sqrt(4 / 6), 12);
    relative.dispose();
  });

  it('of transportObjectives are checked', () => {
    expect(() => transportObjectives(C, {} as never)).toThrow('alpha must be given');
    expect(() => transportObjectives({ shape: [1, 1, 1], data: [1] }, { alpha: [0] })).toThrow(
      'cost must have rank 2',
    );
    const { semiDual, dual } = transportObjectives(C, { alpha: [0, 0, 0], k: 1 });
    expect(dual).toBeUndefined();
    expect([...semiDual.plan]).toEqual([0.5, 0, 0, 0.5, 0, 0]);
  });
});

describe('a certified k-sparse problem', () => {
  it('says so, and one with ties does not', () => {
    const random = seededRandom(1);
    const { cost } = randomProblem(1, 6, 6);
    const C = { shape: [6, 6], data: cost };
    const loose = sparseTransport(C, { k: 6, gamma: 1 });
    expect(loose.solutions[0]!.certified).toBe(true);
    const tied = sparseTransport(
      { shape: [4, 4], data: Float64Array.from({ length: 16 }, () => random.integer(0, 1)) },
      { k: 1, gamma: 0.5 },
    );
    expect(tied.solutions[0]!.tieMargin).toBeGreaterThanOrEqual(0);
    expect(tied.solutions[0]!.certified).toBe(tied.converged);
    loose.dispose();
    tied.dispose();
  });
});
