/** Distances between clouds of points: against closed forms, the exact solver, and differences in float64. */
import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import {
  grads,
  memory,
  mul,
  type Scalar,
  sum,
  type Tensor,
  tensor,
  tidy,
  train,
  variable,
} from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  exactTransport,
  type HostArray,
  type PointsInput,
  sinkhornDivergence,
  sinkhornPointCloud,
  wasserstein1,
  wasserstein1d,
  wasserstein2,
  wasserstein2Async,
} from '../src/index.js';

const cloud = (seed: number, count: number, d: number, shift = 0): HostArray => {
  const random = seededRandom(seed);
  const data = Float64Array.from({ length: count * d }, () => random.normal() + shift);
  return { shape: [count, d], data };
};

const masses = (seed: number, count: number): Float64Array => {
  const random = seededRandom(seed);
  const raw = Float64Array.from({ length: count }, () => 0.1 + random.uniform());
  const total = raw.reduce((s, x) => s + x, 0);
  return raw.map((x) => x / total);
};

/** Central differences of f in every number of x. */
const differences = (f: (x: Float64Array) => number, x: ArrayLike<number>, h = 1e-5) =>
  Float64Array.from({ length: x.length }, (_, k) => {
    const at = (by: number) => f(Float64Array.from(x, (v, i) => (i === k ? v + by : v)));
    return (at(h) - at(-h)) / (2 * h);
  });

const centred = (x: Float64Array) => {
  const mean = x.reduce((s, v) => s + v, 0) / x.length;
  return x.map((v) => v - mean);
};

interface Disposable {
  readonly values: Float64Array;
  dispose(): void;
}
const onlyValue = (result: Disposable) => {
  result.dispose();
  return result.values[0]!;
};

const square = (x: HostArray, y: HostArray, power: number) => {
  const [m, d] = x.shape as [number, number];
  const n = y.shape[0]!;
  const data = Float64Array.from({ length: m * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    let total = 0;
    for (let k = 0; k < d; k++) total += (x.data[i * d + k]! - y.data[j * d + k]!) ** 2;
    return total ** (power / 2);
  });
  return { shape: [m, n], data };
};

describe('wasserstein1d', () => {
  it('equals the exact solver on the whole matrix, for every p', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e6 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom(1, 1.5, 2, 3),
        (seed, m, n, p) => {
          const [x, y] = [cloud(seed, m, 1), cloud(seed + 1, n, 1)];
          const [a, b] = [masses(seed + 2, m), masses(seed + 3, n)];
          const result = wasserstein1d(x.data, y.data, { a, b, p });
          const exact = exactTransport(square(x, y, p), { a, b });
          expect(result.values[0]!).toBeCloseTo(exact.objective, 10);
          const { entries } = result.solutions[0]!;
          expect(entries.values.length).toBeLessThan(m + n);
          expect(entries.values.reduce((s, t) => s + t, 0)).toBeCloseTo(1, 12);
          exact.dispose();
          result.dispose();
        },
      ),
      { numRuns: 60 },
    );
  });

  it('has the gradients of its inputs, zero masses included', () => {
    const [x, y] = [cloud(1, 5, 1).data as Float64Array, cloud(2, 4, 1).data as Float64Array];
    const a = masses(3, 5);
    const b = Float64Array.of(0.3, 0, 0.5, 0.2);
    const value = (p: Float64Array, q: Float64Array) =>
      onlyValue(wasserstein1d(p, q, { a, b, p: 2 }));
    const result = wasserstein1d(x, y, { a, b, p: 2 });
    const gradients = result.solutions[0]!.gradients();
    expectTensorClose(
      gradients.x,
      differences((p) => value(p, y), x),
    );
    expectTensorClose(
      gradients.y,
      differences((q) => value(x, q), y),
    );
    const byMass = differences(
      (p) => {
        const total = p.reduce((s, v) => s + v, 0);
        return onlyValue(wasserstein1d(x, y, { a: p.map((v) => v / total), b, p: 2 }));
      },
      a,
      1e-6,
    );
    const mean = gradients.a.reduce((s, u, i) => s + u * a[i]!, 0);
    expectTensorClose(
      gradients.a.map((u) => u - mean),
      byMass,
      { rtol: 1e-4, atol: 1e-5 },
    );
    result.dispose();
  });

  it('takes batches of tensors and is on the tape', () => {
    const before = memory().numTensors;
    const x = tensor([0, 1, 5, 3], [2, 2]);
    const y = tensor([2, 2, 1, 4, 4, 4], [2, 3]);
    const b = tensor([0.5, 0.25, 0.25]);
    tidy(() => {
      const { value } = wasserstein1d(x, y, { b });
      expectTensorClose(value, tensor([1.25, 1]));
      const [dx, dy] = grads((p, q) => sum(wasserstein1d(p!, q!, { b }).value))([x, y]);
      expectTensorClose(dx!, tensor([-0.5, -0.5, 0.5, -0.5], [2, 2]));
      expect(dy!.shape).toEqual([2, 3]);
    });
    for (const t of [x, y, b]) t.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it.each([
    [[0, 1], [2], { p: 0.5 }, /p must be/],
    [[0, Number.NaN], [2], {}, /x must be finite/],
    [[], [2], {}, /x must be numbers/],
    [[0, 1], [2], { a: [1, 1] }, /same sum/],
    [[0, 1], [2], { q: 1 }, /unknown option/],
  ])('refuses %j %j %j', (x, y, options, message) => {
    expect(() => wasserstein1d(x, y, options as object)).toThrow(message);
  });
});

describe.each([
  ['wasserstein1', 1, (x: PointsInput, y: PointsInput, o: object) => wasserstein1(x, y, o)],
  [
    'wasserstein2 squared',
    2,
    (x: PointsInput, y: PointsInput, o: object) => wasserstein2(x, y, { ...o, squared: true }),
  ],
  ['wasserstein2', 2, (x: PointsInput, y: PointsInput, o: object) => wasserstein2(x, y, o)],
] as const)('%s', (name, power, distance) => {
  it('is exact and has the gradients of its points and masses', () => {
    const [x, y] = [cloud(4, 7, 3), cloud(5, 6, 3, 0.5)];
    const [a, b] = [masses(6, 7), masses(7, 6)];
    const result = distance(x, y, { a, b });
    const exact = exactTransport(square(x, y, power), { a, b });
    const want = name === 'wasserstein2' ? Math.sqrt(exact.objective) : exact.objective;
    expect(result.values[0]!).toBeCloseTo(want, 10);
    const gradients = result.solutions[0]!.gradients();
    const at = (data: Float64Array) => onlyValue(distance({ shape: [7, 3], data }, y, { a, b }));
    expectTensorClose(gradients.x, differences(at, x.data), { atol: 1e-5 });
    const total = gradients.x.reduce((s, g) => s + g, 0) + gradients.y.reduce((s, g) => s + g, 0);
    expect(total).toBeCloseTo(0, 10);
    exact.dispose();
    result.dispose();
  });

  it('is a metric on clouds: 0, symmetric, triangle inequality', () => {
    const clouds = [cloud(1, 6, 2), cloud(2, 5, 2, 1), cloud(3, 7, 2, -1)] as const;
    const d = (i: 0 | 1 | 2, j: 0 | 1 | 2) => onlyValue(distance(clouds[i], clouds[j], {}));
    expect(d(0, 0)).toBeCloseTo(0, 10);
    expect(d(0, 1)).toBeCloseTo(d(1, 0), 10);
    if (name !== 'wasserstein2 squared') {
      expect(d(0, 2)).toBeLessThanOrEqual(d(0, 1) + d(1, 2) + 1e-12);
    }
  });
});

describe('sinkhornDivergence', () => {
  const [x, y] = [cloud(8, 8, 2), cloud(9, 6, 2, 0.4)];
  const tight = { tolerance: 1e-11, maxIterations: 50000 };

  it.each([
    [{ blur: 0.5 }],
    [{ blur: 0.3, p: 1 }],
    [{ blur: 0.6, p: 1.5 }],
    [{ blur: 0.5, debias: false }],
    [{ blur: 0.5, reach: 1.5 }],
    [{ blur: 0.5, reach: 2, unequal: true }],
  ])(
    'has gradients in points and masses with %j',
    ({ unequal, ...options }: { blur: number; unequal?: boolean }) => {
      const a = masses(10, 8);
      const b = masses(11, 6).map((mass) => mass * (unequal ? 1.7 : 1));
      const all = { ...options, ...tight };
      const result = sinkhornDivergence(x, y, { a, b, ...all });
      expect(result.converged).toBe(true);
      const gradients = result.solutions[0]!.gradients();
      const at = (p: ArrayLike<number>, q: ArrayLike<number>, w: Float64Array, v: Float64Array) =>
        onlyValue(
          sinkhornDivergence(
            { shape: [8, 2], data: p },
            { shape: [6, 2], data: q },
            { a: w, b: v, ...all },
          ),
        );
      const close = { rtol: 1e-4, atol: 1e-6 };
      expectTensorClose(
        gradients.x,
        differences((p) => at(p, y.data, a, b), x.data),
        close,
      );
      expectTensorClose(
        gradients.y,
        differences((q) => at(x.data, q, a, b), y.data),
        close,
      );
      if ('reach' in options) {
        expectTensorClose(
          gradients.a,
          differences((w) => at(x.data, y.data, w, b), a),
          close,
        );
      } else {
        // Along masses that keep their sum.
        const moved = differences((w) => {
          const total = w.reduce((s, mass) => s + mass, 0);
          return at(
            x.data,
            y.data,
            w.map((mass) => mass / total),
            b,
          );
        }, a);
        const mean = gradients.a.reduce((s, g, i) => s + g * a[i]!, 0);
        expectTensorClose(
          gradients.a.map((g) => g - mean),
          moved,
          close,
        );
      }
      result.dispose();
    },
  );

  it('is 0 for equal clouds, positive and symmetric otherwise', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), fc.constantFrom(0.1, 0.5), (seed, blur) => {
        const [p, q] = [cloud(seed, 5, 2), cloud(seed + 1, 4, 2)];
        const S = (s: HostArray, t: HostArray) =>
          onlyValue(sinkhornDivergence(s, t, { blur, tolerance: 1e-9, maxIterations: 5000 }));
        // An outlier makes plain iterations slow, not wrong.
        expect(S(p, p)).toBeCloseTo(0, 5);
        expect(S(p, q)).toBeGreaterThan(0);
        expect(S(p, q)).toBeCloseTo(S(q, p), 5);
      }),
      { numRuns: 10 },
    );
  });

  it('tends to the squared Wasserstein distance by 2 as the blur shrinks', () => {
    const near = onlyValue(sinkhornDivergence(x, y, { blur: 0.02, maxIterations: 20000 }));
    expect(near).toBeCloseTo(0.5 * onlyValue(wasserstein2(x, y, { squared: true })), 2);
  });

  it('trains points, and leaves no tensors', () => {
    const target = tensor(Float32Array.from(y.data), [6, 2]);
    const before = memory().numTensors;
    const points = variable(tensor(Float32Array.from(x.data), [8, 2]));
    const optimizer = train.sgd(2);
    const loss = () => sinkhornDivergence(points, target, { blur: 0.2 }).value as Scalar;
    const losses: number[] = [];
    for (let step = 0; step < 30; step++) {
      const value = optimizer.minimize(loss, true)!;
      losses.push(value.dataSync()[0]!);
      value.dispose();
    }
    expect(losses.at(-1)!).toBeLessThan(0.2 * losses[0]!);
    points.dispose();
    optimizer.dispose();
    // The initial value of the variable.
    expect(memory().numTensors).toBeLessThanOrEqual(before + 1);
    target.dispose();
  });

  it.each([
    [{ blur: 0 }, /blur/],
    [{ reach: -1 }, /reach/],
    [{ scaling: 1 }, /scaling/],
    [{ p: 0.9 }, /p must/],
    [{ b: [1, 1, 1, 1, 1, 1] }, /same sum/],
    [{ debias: 1 }, /debias/],
  ])('refuses %j', (options, message) => {
    expect(() => sinkhornDivergence(x, y, options as object)).toThrow(message);
  });
});

describe('sinkhornPointCloud', () => {
  const [x, y] = [cloud(12, 30, 2), cloud(13, 25, 2, 0.5)];
  const [a, b] = [masses(14, 30), masses(15, 25)];
  const options = { epsilon: 0.2, a, b, tolerance: 1e-10, maxIterations: 20000 } as const;

  it.each(['squaredEuclidean', 'euclidean', 'cosine'] as const)(
    'online and kept costs agree for %s; marginals, gradients and map are those of the plan',
    (cost) => {
      const kept = sinkhornPointCloud(x, y, { ...options, cost, online: false });
      const online = sinkhornPointCloud(x, y, { ...options, cost, online: true });
      expect(online.converged).toBe(true);
      expect(online.values[0]!).toBeCloseTo(kept.values[0]!, 12);
      // Potentials up to a constant: the levels of ε differ.
      expectTensorClose(centred(online.duals.alpha), centred(kept.duals.alpha), { atol: 1e-8 });
      const solution = online.solutions[0]!;
      const ones = new Float64Array(25).fill(1);
      expectTensorClose(solution.apply(ones, 1).product, a, { atol: 1e-9 });
      // Primal and dual values agree.
      expect(solution.transportCost()).toBeLessThan(solution.value);
      const value = (data: Float64Array) =>
        onlyValue(sinkhornPointCloud({ shape: [30, 2], data }, y, { ...options, cost }));
      expectTensorClose(
        solution.gradients().x.slice(0, 4),
        differences(value, x.data).slice(0, 4),
        { rtol: 1e-4, atol: 1e-6 },
      );
      const map = online.barycentricMap();
      const { product, sums } = solution.apply(y.data as Float64Array, 2);
      expectTensorClose(
        map.dataSync(),
        product.map((v, k) => v / sums[Math.floor(k / 2)]!),
      );
      for (const t of [map, kept, online]) t.dispose();
    },
  );

  it('takes a cost of your own, with and without its gradient', () => {
    const own = {
      cost: (p: Float64Array, q: Float64Array) => (p[0]! - q[0]!) ** 2 + (p[1]! - q[1]!) ** 2,
      addGradient(
        p: Float64Array,
        q: Float64Array,
        weight: number,
        dp: Float64Array,
        dq: Float64Array,
      ) {
        for (let k = 0; k < 2; k++) {
          dp[k]! += 2 * weight * (p[k]! - q[k]!);
          dq[k]! -= 2 * weight * (p[k]! - q[k]!);
        }
      },
    };
    const mine = sinkhornPointCloud(x, y, { ...options, cost: own });
    const named = sinkhornPointCloud(x, y, options);
    expect(mine.values[0]!).toBeCloseTo(named.values[0]!, 10);
    expectTensorClose(mine.solutions[0]!.gradients().y, named.solutions[0]!.gradients().y, {
      atol: 1e-8,
    });
    const bare = sinkhornPointCloud(x, y, { ...options, cost: { cost: own.cost } });
    expect(() => bare.solutions[0]!.gradients()).toThrow(/addGradient/);
    for (const result of [mine, named, bare]) result.dispose();
  });

  it('starts from the potentials of a similar problem; zero masses and tiny ε are fine', () => {
    const cold = sinkhornPointCloud(x, y, options);
    const warm = sinkhornPointCloud(x, y, { ...options, init: cold.duals });
    expect(warm.iterations).toBeLessThan(5);
    const holes = a.map((mass, i) => (i % 3 === 0 ? 0 : mass));
    const rest = holes.reduce((s, mass) => s + mass, 0);
    const sharp = sinkhornPointCloud(x, y, {
      epsilon: 1e-3,
      a: holes.map((mass) => mass / rest),
      b: b.map((mass, j) => (j === 0 ? 0 : mass / (1 - b[0]!))),
      epsilonScaling: false,
      maxIterations: 30,
    });
    const { alpha, beta } = sharp.solutions[0]!;
    for (const potential of [...alpha, ...beta]) expect(Number.isFinite(potential)).toBe(true);
    expect(sharp.converged).toBe(false);
    for (const result of [cold, warm, sharp]) result.dispose();
  });

  it('is unbalanced with rho, and nearly balanced with a large one', () => {
    const unequal = { ...options, b: b.map((mass) => 2 * mass), rho: 0.5 };
    const result = sinkhornPointCloud(x, y, unequal);
    const gradients = result.solutions[0]!.gradients();
    const value = (data: Float64Array) =>
      onlyValue(sinkhornPointCloud(x, y, { ...unequal, b: data }));
    expectTensorClose(gradients.b, differences(value, unequal.b), { rtol: 1e-4, atol: 1e-6 });
    const large = sinkhornPointCloud(x, y, { ...options, rho: 1e6 });
    const balanced = sinkhornPointCloud(x, y, options);
    expect(large.values[0]!).toBeCloseTo(balanced.values[0]!, 4);
    expectTensorClose(centred(large.duals.alpha), centred(balanced.duals.alpha), { atol: 1e-3 });
    for (const r of [result, large, balanced]) r.dispose();
  });

  it.each([
    [{}, /epsilon/],
    [{ epsilon: -1 }, /epsilon/],
    [{ epsilon: 1, cost: 'l1' }, /cost/],
    [{ epsilon: 1, cost: {} }, /cost/],
    [{ epsilon: 1, rho: 0 }, /rho/],
    [{ epsilon: 1, init: { alpha: [1], beta: [1] } }, /init.alpha/],
    [{ epsilon: 1, epsilonScaling: { factor: 1 } }, /epsilonScaling.factor/],
    [{ epsilon: 1, epsilonScaling: 0.5 }, /epsilonScaling/],
    [{ epsilon: 1, lazy: true }, /unknown option/],
  ])('refuses %j', (bad, message) => {
    expect(() => sinkhornPointCloud(x, y, bad as never)).toThrow(message);
  });

  it('refuses clouds that do not fit, and attaches to tensors that do', async () => {
    expect(() => wasserstein1(cloud(1, 3, 2), cloud(2, 3, 3))).toThrow(/y must have shape/);
    expect(() => wasserstein1({ shape: [1, 1], data: [Infinity] }, cloud(2, 3, 1))).toThrow(
      /x must be finite/,
    );
    const p = tensor([0, 0, 1, 1, 2, 2, 3, 3], [2, 2, 2]);
    const q = tensor([0, 1, 1, 2, 2, 3, 4, 4], [2, 2, 2]);
    const result = await wasserstein2Async(p, q);
    const [dp] = grads((s: Tensor) => sum(mul(result.attach(s, q), tensor([1, 2]))))([p]);
    expect(dp!.shape).toEqual([2, 2, 2]);
    expect(() => result.attach(tensor([[1]]), tensor([[1]]))).toThrow(/attach/);
    for (const t of [p, q, dp!]) t.dispose();
    result.dispose();
  });
});
