import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import { describe, expect, it } from 'vitest';
import { factoredForward } from '../src/factoredForward.js';
import { factoredUpdate } from '../src/factoredUpdate.js';
import { FactoredWeights } from '../src/factoredWeights.js';
import { multiply } from '../src/hostProduct.js';
import { type SphericalLossName, sphericalLoss } from '../src/sphericalLoss.js';
import { scalarKernel, wasmKernel } from '../src/tileKernel.js';
import { differences, gaussian, rowsOf } from './reference.js';
import { DenseLayer64 } from './sphericalReference.js';

function weightsOf(D: number, d: number, W: Float32Array): FactoredWeights {
  const weights = new FactoredWeights(D, d, W.slice());
  weights.summarize();
  return weights;
}

/** W as float64, row by row. */
function dense(weights: FactoredWeights): Float64Array {
  const { D, d } = weights;
  const { U, omega } = weights.current;
  const out = new Float64Array(D * d);
  const row = new Float64Array(d);
  for (let c = 0; c < D; c++) {
    weights.readRow(c, row, 0);
    for (let j = 0; j < d; j++) {
      let sum = omega[j]!;
      for (let i = 0; i < d; i++) sum += row[i]! * U[i * d + j]!;
      out[c * d + j] = sum;
    }
  }
  return out;
}

/** Each class has a hidden vector of its own, with noise: what can be learned makes U lose its digits fastest. */
function batchOf(m: number, d: number, D: number, seed: number) {
  const random = seededRandom(seed);
  const labels = Array.from({ length: m }, () => Math.floor(D * random.uniform() ** 2));
  const own = labels.flatMap((c) => Array.from(gaussian(1000 + c, d)));
  const noise = gaussian(seed, m * d, 0.3);
  const hidden = Float64Array.from(own, (x, i) => x + noise[i]!);
  return { m, K: 1, hidden, labels, weights: new Float64Array(m).fill(1 / m) };
}

const largest = (a: ArrayLike<number>) =>
  Array.from(a).reduce((t, x) => Math.max(t, Math.abs(x)), 0);

describe('factored steps', () => {
  it.each([
    ['zLoss', { a: 0.3, b: 5 }, 30, 2, 300],
    ['zLoss', { a: 0.3, b: 5 }, 10, 1.01, 100],
    ['taylorSoftmax', {}, 3, 1.1, 200],
    ['squaredError', {}, 0.01, 3, 200],
    ['sphericalSoftmax', { epsilon: 0.1 }, 0.3, 1.3, 200],
  ] as [SphericalLossName, object, number, number, number][])(
    '%s %o at rate %s, limit %s, equal dense ones over %s steps',
    (name, options, rate, limit, steps) => {
      const [D, d, m] = [200, 16, 12];
      const W0 = gaussian(1, D * d, 0.1);
      const weights = weightsOf(D, d, W0);
      const reference = new DenseLayer64(D, d, W0, name, options);
      const loss = sphericalLoss(name, options);
      for (let t = 0; t < steps; t++) {
        const batch = batchOf(m, d, D, t);
        const forward = factoredForward(weights, loss, batch);
        factoredUpdate(weights, forward, rate, limit);
        const want = reference.step(
          rowsOf(batch.hidden, d),
          batch.labels.map((c) => [c]),
          [...batch.weights],
          rate,
        );
        expectTensorClose(forward.losses, want.losses, { rtol: 1e-5, atol: 1e-5 });
      }
      expect(weights.renormalizations).toBeGreaterThan(2);
      const scale = largest(reference.W);
      expectTensorClose(dense(weights), reference.W, { rtol: 0, atol: 1e-5 * scale });
      // What is kept beside W belongs to it.
      const { Q, columnSums } = weights.current;
      const exact = new FactoredWeights(D, d, Float32Array.from(reference.W));
      exact.summarize();
      expectTensorClose(Q, exact.current.Q, { rtol: 0, atol: 1e-5 * largest(exact.current.Q) });
      const size = Math.max(largest(exact.current.columnSums), 1e-2 * scale * D);
      expectTensorClose(columnSums, exact.current.columnSums, { rtol: 0, atol: 1e-5 * size });
    },
  );

  it('for more examples than dimensions too, and where U becomes singular', () => {
    const [D, d, m] = [30, 4, 9];
    const W0 = gaussian(2, D * d, 0.3);
    const weights = weightsOf(D, d, W0);
    const reference = new DenseLayer64(D, d, W0, 'squaredError');
    const loss = sphericalLoss('squaredError');
    const step = (batch: ReturnType<typeof batchOf>, rate: number) => {
      factoredUpdate(weights, factoredForward(weights, loss, batch), rate, 10);
      const rows = rowsOf(batch.hidden, d);
      reference.step(
        rows,
        batch.labels.map((c) => [c]),
        [...batch.weights],
        rate,
      );
    };
    for (let t = 0; t < 5; t++) step(batchOf(m, d, D, t), 0.02);
    // 2 η |h|² = 1 for one example: a direction of W is wiped out.
    const hidden = Float64Array.from([0.5, -0.5, 0.5, 0.5]);
    step({ m: 1, K: 1, hidden, labels: [3], weights: Float64Array.of(1) }, 0.5);
    for (let t = 5; t < 10; t++) step(batchOf(m, d, D, t), 0.02);
    expect(weights.renormalizations).toBeGreaterThan(0);
    expectTensorClose(dense(weights), reference.W, { rtol: 0, atol: 1e-5 });
  });

  it('keep U and its inverse inverse to each other', () => {
    const [D, d, m] = [50, 8, 5];
    const weights = weightsOf(D, d, gaussian(3, D * d, 0.1));
    const loss = sphericalLoss('zLoss', { a: 0.3, b: 5 });
    for (let t = 0; t < 200; t++) {
      factoredUpdate(weights, factoredForward(weights, loss, batchOf(m, d, D, t)), 0.5, 50);
    }
    const { U, inverse } = weights.current;
    const product = new Float64Array(d * d);
    multiply(d, d, d, { data: inverse, transposed: true }, { data: U }, product);
    const identity = Array.from({ length: d * d }, (_, at) => Number(at % (d + 1) === 0));
    expectTensorClose(product, identity, { rtol: 0, atol: 1e-9 });
  });

  it('touch no row but those of their labels, and take as long for 200,000 classes as for 2,000', () => {
    const [d, m] = [32, 16];
    const loss = sphericalLoss('zLoss', { a: 0.3, b: 10 });
    const time = (D: number) => {
      const weights = weightsOf(D, d, spread(D, d));
      const before = weights.V.slice();
      const touched = new Set<number>();
      const times: number[] = [];
      for (let t = 0; t < 60; t++) {
        const batch = batchOf(m, d, D, t);
        for (const c of batch.labels) touched.add(c);
        const start = performance.now();
        factoredUpdate(weights, factoredForward(weights, loss, batch), 0.01, 10);
        times.push(performance.now() - start);
      }
      expect(weights.renormalizations).toBe(0);
      for (let c = 0; c < D; c++) {
        if (touched.has(c)) continue;
        for (let j = c * d; j < (c + 1) * d; j++) {
          if (weights.V[j] !== before[j]) throw new Error(`row ${c} was touched`);
        }
      }
      return Math.min(...times.slice(20));
    };
    const [small, large] = [time(2000), time(200_000)];
    // A step that went through all rows would take a hundred times as long.
    expect(large).toBeLessThan(4 * small + 0.5);
  });

  it('overflow without changing anything', () => {
    const [D, d] = [20, 4];
    const weights = weightsOf(D, d, gaussian(5, D * d));
    const before = structuredClone({ V: weights.V, ...weights.current });
    const forward = factoredForward(weights, sphericalLoss('squaredError'), batchOf(3, d, D, 1));
    expect(() => factoredUpdate(weights, forward, 1e200, 10)).toThrow(/infinite/);
    expect({ V: weights.V, ...weights.current }).toEqual(before);
  });
});

function spread(D: number, d: number): Float32Array {
  const some = gaussian(6, 1009, 0.1);
  return Float32Array.from({ length: D * d }, (_, i) => some[i % 1009]!);
}

describe('renormalisation', () => {
  it('visits all rows only when its maps are many, and changes W by rounding alone', () => {
    const [D, d] = [40, 3];
    const weights = weightsOf(D, d, gaussian(7, D * d));
    const random = seededRandom(1);
    let visits = 0;
    for (let t = 0; t < 100; t++) {
      const { U, omega } = weights.current;
      for (let i = 0; i < d * d; i++) U[i] = Number(i % (d + 1) === 0) + 0.05 * random.normal();
      for (let j = 0; j < d; j++) omega[j] = 0.1 * random.normal();
      const before = dense(weights);
      const pending = weights.maps.count;
      weights.renormalize();
      if (weights.maps.count <= pending) visits++;
      expectTensorClose(dense(weights), before, { rtol: 1e-5, atol: 1e-6 });
      // Some rows are younger than others.
      const row = new Float64Array(d);
      const c = random.integer(0, D - 1);
      weights.readRow(c, row, 0);
      weights.writeRow(c, row, 0);
    }
    expect(visits).toBe(Math.floor(100 / 16));
  });
});

describe('sphericalLoss', () => {
  it.each([
    ['zLoss', { a: 0.7, b: 2 }],
    ['taylorSoftmax', {}],
    ['sphericalSoftmax', { epsilon: 0.01 }],
    ['squaredError', {}],
  ] as [SphericalLossName, object][])(
    '%s has the partial derivatives of its value',
    (name, options) => {
      const { evaluate } = sphericalLoss(name, options);
      const at = [1.3, 40, -3];
      const f = ([target, q, s]: number[]) => evaluate(target!, q!, s!, 12).loss;
      const { target, squares, sum } = evaluate(1.3, 40, -3, 12);
      expectTensorClose([target, squares, sum], differences(f, at), { rtol: 1e-6, atol: 1e-8 });
    },
  );
});

describe('products', () => {
  it('are the same in WebAssembly as in JavaScript, bit for bit, and right', () => {
    const wasm = wasmKernel();
    expect(wasm).toBeDefined();
    for (const [m, n, k] of [
      [1, 1, 1],
      [4, 8, 16],
      [5, 3, 7],
      [9, 13, 2],
      [64, 33, 40],
      [200, 130, 70],
    ] as const) {
      const A = Float64Array.from(gaussian(m, m * k));
      const B = Float64Array.from(gaussian(n, k * n));
      const C = Float64Array.from(gaussian(k, m * n));
      const results = [wasm!, scalarKernel()].map((kernel) => {
        const out = C.slice();
        multiply(m, n, k, { data: A }, { data: B }, out, 1, -2, kernel);
        return out;
      });
      expect(results[0]).toEqual(results[1]);
      const want = Array.from({ length: m * n }, (_, at) => {
        let sum = 0;
        for (let p = 0; p < k; p++) sum += A[Math.floor(at / n) * k + p]! * B[p * n + (at % n)]!;
        return C[at]! - 2 * sum;
      });
      expectTensorClose(results[0]!, want, { rtol: 1e-12, atol: 1e-12 });
    }
  });
});
