/** Routing: capacities, counts, permutations, and gradients through the gates. */
import { seededRandom } from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import {
  add,
  broadcastTo,
  grads,
  matMul,
  mean,
  memory,
  mul,
  type Scalar,
  squaredDifference,
  sum,
  type Tensor,
  tensor,
  tidy,
  train,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  auxiliaryLosses,
  expertCapacity,
  mixtureOfExperts,
  type RouteTokensOptions,
  type RoutingMethod,
  routeTokens,
  routeTokensAsync,
} from '../src/index.js';

const METHODS: RoutingMethod[] = ['sparse-ot', 'sinkhorn', 'topk', 'expert-choice', 's-base'];

const scoresOf = (seed: number, shape: number[], skew = 1) => {
  const random = seededRandom(seed);
  const size = shape.reduce((product, n) => product * n, 1);
  const experts = shape.at(-1)!;
  return Float32Array.from(
    { length: size },
    (_, k) => random.normal() + (skew * (k % experts)) / 2,
  );
};

/** Routes numbers and disposes what holds tensors. */
function routed(data: Float32Array, shape: number[], options: RouteTokensOptions) {
  const scores = tensor(data, shape);
  const routing = routeTokens(scores, options);
  const gates = routing.gates.dataSync();
  scores.dispose();
  routing.dispose();
  return { routing, gates };
}

const cases = fc.record({
  seed: fc.integer({ min: 0, max: 1e6 }),
  groups: fc.constantFrom(1, 2),
  tokens: fc.integer({ min: 1, max: 14 }),
  experts: fc.integer({ min: 1, max: 5 }),
  want: fc.integer({ min: 1, max: 3 }),
  capacity: fc.integer({ min: 1, max: 8 }),
  skew: fc.constantFrom(0, 2),
});

describe.each(METHODS)('routeTokens by %s', (method) => {
  it('never exceeds a capacity, and its numbers agree with each other', () => {
    fc.assert(
      fc.property(cases, ({ seed, groups, tokens, experts, want, capacity, skew }) => {
        const k = Math.min(want, experts);
        const shape = [groups, tokens, experts];
        const options = { method, k, capacity, batchPriority: seed % 2 === 0 };
        const { routing, gates } = routed(scoresOf(seed, shape, skew), shape, options);
        const { report, tokenIndex, plan } = routing;
        const counts = new Int32Array(groups * tokens);
        for (let g = 0; g < groups; g++) {
          for (let e = 0; e < experts; e++) {
            const at = (g * experts + e) * capacity;
            const slots = [...tokenIndex.subarray(at, at + capacity)].filter((s) => s >= 0);
            expect(new Set(slots).size).toBe(slots.length);
            expect(slots.length).toBeLessThanOrEqual(capacity);
            const kept = new Set(slots);
            for (let s = 0; s < tokens; s++) {
              const gate = gates[(g * tokens + s) * experts + e]!;
              expect(gate > 0).toBe(kept.has(s));
              if (kept.has(s)) counts[g * tokens + s]!++;
            }
            if (method === 'expert-choice') {
              expect(slots.length).toBe(Math.min(capacity, tokens));
            }
            if (method === 'sparse-ot') {
              let [mass, nonzeros] = [0, 0];
              for (let s = 0; s < tokens; s++) {
                const t = plan![(g * tokens + s) * experts + e]!;
                mass += t;
                if (t > 0) nonzeros++;
              }
              expect(mass).toBeCloseTo(tokens / experts, 9);
              expect(nonzeros).toBeLessThanOrEqual(capacity);
            }
          }
        }
        expect([...counts]).toEqual([...report.expertsPerToken]);
        expect(report.dropped).toBe(counts.filter((count) => count === 0).length);
        const kept = counts.reduce((total, count) => total + count, 0);
        expect(report.tokensPerExpert.reduce((total, count) => total + count, 0)).toBe(kept);
        if (method === 'topk' || method === 's-base') {
          expect(report.droppedChoices + kept).toBe(groups * tokens * k);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('is equivariant to permutations of tokens and experts', () => {
    const [tokens, experts] = [12, 4];
    const data = scoresOf(7, [tokens, experts], 1);
    const random = seededRandom(1);
    const rows = random.shuffle([...Array(tokens).keys()]);
    const columns = random.shuffle([...Array(experts).keys()]);
    const moved = Float32Array.from(
      rows.flatMap((s) => columns.map((e) => data[s * experts + e]!)),
    );
    const options = { method, k: 2, capacity: 5, batchPriority: true };
    const plain = routed(data, [tokens, experts], options).gates;
    const permuted = routed(moved, [tokens, experts], options).gates;
    const want = rows.flatMap((s) => columns.map((e) => plain[s * experts + e]!));
    expectTensorClose(permuted, want);
  });

  it('is finite for equal scores, and balances them', () => {
    const { routing, gates } = routed(new Float32Array(32), [8, 4], { method, k: 1, capacity: 2 });
    for (const gate of gates) expect(Number.isFinite(gate)).toBe(true);
    if (method === 'sparse-ot' || method === 'expert-choice' || method === 'sinkhorn') {
      expect([...routing.report.tokensPerExpert]).toEqual([2, 2, 2, 2]);
    }
  });

  it('lets gradients flow through the gates of what was kept, and into experts and tokens', () => {
    const before = memory().numTensors;
    const shape = [2, 5, 3];
    const data = scoresOf(3, shape);
    const w = scoresOf(4, shape, 0);
    const x = scoresOf(5, [2, 5, 2], 0);
    const W = scoresOf(6, [3, 2, 2], 0);
    const options = { method, k: 2, capacity: 3 } as const;
    const experts = (t: Tensor, kernel: Tensor) => matMul(t, broadcastTo(kernel, [2, 3, 2, 2]));
    tidy(() => {
      const inputs = [tensor(data, shape), tensor(x, [2, 5, 2]), tensor(W, [1, 3, 2, 2])];
      const frozen = routeTokens(inputs[0]!, options);
      const loss = (scores: Tensor, tokens: Tensor, kernel: Tensor) => {
        const routing = routeTokens(scores, options);
        const output = routing.combine(experts(routing.dispatch(tokens), kernel));
        return add(sum(mul(output, output)), sum(mul(routing.gates, tensor(w, shape)))) as Scalar;
      };
      const found = grads(loss as never)(inputs) as Tensor[];
      // The same with the choices frozen, written in float64.
      const kept = Float64Array.from(frozen.gates.dataSync(), (gate) => (gate > 0 ? 1 : 0));
      const reference = (p: Float64Array, q: Float64Array, r: Float64Array) =>
        plainLoss(p, q, r, kept, w);
      const all = [data, x, W].map((part) => Float64Array.from(part));
      all.forEach((part, which) => {
        const slopes = part.map((_, k) => {
          const at = (by: number) => {
            const moved = all.map((y, i) =>
              i === which ? y.map((v, j) => (j === k ? v + by : v)) : y,
            ) as [Float64Array, Float64Array, Float64Array];
            return reference(...moved);
          };
          return (at(1e-5) - at(-1e-5)) / 2e-5;
        });
        expectTensorClose(found[which]!.dataSync(), slopes, { rtol: 1e-3, atol: 1e-3 });
      });
    });
    expect(memory().numTensors).toBe(before);
  });

  it('is the same asynchronously, with gates that attach', async () => {
    const shape = [1, 6, 3];
    const scores = tensor(scoresOf(9, shape), shape);
    const options = { method, capacity: 2 };
    const [now, later] = [routeTokens(scores, options), await routeTokensAsync(scores, options)];
    expect([...later.tokenIndex]).toEqual([...now.tokenIndex]);
    expectTensorClose(later.gates, now.gates);
    const gradient = (gates: (s: Tensor) => Tensor) =>
      grads((s: Tensor) => sum(mul(gates(s), gates(s))))([scores])[0]!;
    const [a, b] = [
      gradient((s) => later.attach(s)),
      gradient((s) => routeTokens(s, options).gates),
    ];
    expectTensorClose(a, b);
    expect(() => later.attach(tensor([[1]]))).toThrow(/scores must have shape/);
    for (const t of [scores, now, later, a, b]) t.dispose();
  });
});

/** Loss of the gradient test in float64: two groups of five tokens, three experts, width two. */
function plainLoss(
  scores: Float64Array,
  x: Float64Array,
  W: Float64Array,
  kept: Float64Array,
  w: ArrayLike<number>,
): number {
  let total = 0;
  for (let row = 0; row < 10; row++) {
    const logits = [0, 1, 2].map((e) => scores[row * 3 + e]!);
    const norm = logits.reduce((s, v) => s + Math.exp(v), 0);
    const output = [0, 0];
    logits.forEach((logit, e) => {
      const gate = (kept[row * 3 + e]! * Math.exp(logit)) / norm;
      total += gate * w[row * 3 + e]!;
      for (const o of [0, 1]) {
        for (const i of [0, 1]) {
          output[o]! += gate * x[row * 2 + i]! * W[(e * 2 + i) * 2 + o]!;
        }
      }
    });
    total += output[0]! ** 2 + output[1]! ** 2;
  }
  return total;
}

describe('routeTokens', () => {
  it('sparse-ot serves more tokens than token choice where experts are not equally liked', () => {
    const shape = [4, 128, 8];
    const data = scoresOf(11, shape, 0.6);
    const [sparse, top] = (['sparse-ot', 'topk'] as const).map(
      (method) => routed(data, shape, { method }).routing.report,
    );
    expect(sparse!.dropped).toBeLessThan(0.5 * top!.dropped);
    expect(sparse!.loadVariation).toBeLessThan(top!.loadVariation);
  });

  it('has at most k experts a token when sparsity is perToken, and fills slots on demand', () => {
    const data = scoresOf(12, [9, 4]);
    const options = { method: 'sparse-ot', sparsity: 'perToken', k: 2 } as const;
    const { routing } = routed(data, [9, 4], options);
    for (let s = 0; s < 9; s++) {
      const row = routing.plan!.slice(4 * s, 4 * s + 4);
      expect(row.filter((t) => t > 0).length).toBeLessThanOrEqual(2);
      expect(row.reduce((total, t) => total + t, 0)).toBeCloseTo(1, 9);
    }
    const filled = routed(data, [9, 4], { method: 'sparse-ot', capacity: 9, fill: 'zeroWeight' });
    expect(filled.routing.report.filledShare).toBe(1);
    expect(
      routed(data, [9, 4], { method: 'sparse-ot', capacity: 9 }).routing.report.filledShare,
    ).toBeLessThan(1);
    const byPlan = routed(data, [9, 4], { method: 'sinkhorn', capacity: 2, combine: 'plan' });
    byPlan.gates.forEach((gate, at) => {
      expect(gate === 0 || Math.abs(gate - byPlan.routing.plan![at]!) < 1e-6).toBe(true);
    });
  });

  it('adds noise that depends on the seed, and orders by certainty on demand', () => {
    const data = scoresOf(13, [16, 4]);
    const noisy = (seed: number) =>
      routed(data, [16, 4], { method: 'topk', noiseStd: 4, seed }).gates;
    expectTensorClose(noisy(1), noisy(1), { rtol: 0, atol: 0 });
    expect(() => expectTensorClose(noisy(1), noisy(2))).toThrow();
    // All prefer expert 0, the last most: with priority it is the one that stays.
    const same = Float32Array.from([1, 0, 2, 0, 3, 0]);
    const first = routed(same, [3, 2], { method: 'topk', capacity: 1 });
    const surest = routed(same, [3, 2], { method: 'topk', capacity: 1, batchPriority: true });
    expect([...first.routing.tokenIndex]).toEqual([0, -1]);
    expect([...surest.routing.tokenIndex]).toEqual([2, -1]);
  });

  it('computes capacities', () => {
    expect(expertCapacity(128, 8)).toBe(16);
    expect(expertCapacity(24, 6, 2)).toBe(8);
    expect(expertCapacity(10, 4, 1, 1)).toBe(3);
    expect(() => expertCapacity(0, 4)).toThrow(/assignments/);
    expect(() => expertCapacity(10, 4, 0)).toThrow(/factor/);
  });

  it.each([
    [[4, 3], { method: 'topk', k: 4 }, /k must be/],
    [[4, 3], { method: 'topk', k: 0 }, /k must be/],
    [[4, 3], { method: 'topk', k: 1.5 }, /k must be/],
    [[4, 3], { method: 'topk', capacity: 0 }, /capacity must be/],
    [[4, 3], { method: 'best' }, /method must be one of/],
    [[12], { method: 'topk' }, /rank >= 2/],
    [[4, 3], { method: 'topk', combine: 'plan' }, /combine must be/],
    [[4, 3], { method: 'sparse-ot', gamma: 0 }, /gamma/],
    [[4, 3], { method: 'sparse-ot', steps: 3 }, /unknown option/],
    [[4, 3], {}, /method must be/],
  ])('refuses %j %j', (shape, options, message) => {
    const scores = tensor(new Float32Array(12), shape);
    const before = memory().numTensors;
    expect(() => routeTokens(scores, options as never)).toThrow(message);
    expect(memory().numTensors).toBe(before);
    scores.dispose();
  });

  it('refuses scores that are not finite', () => {
    const scores = tensor([0, Number.NaN, 1, 2], [2, 2]);
    expect(() => routeTokens(scores, { method: 'sparse-ot' })).toThrow(/scores must be finite/);
    scores.dispose();
  });
});

describe('auxiliaryLosses', () => {
  it('are least for even use, and differentiable', () => {
    tidy(() => {
      const even = tensor([9, 0, 0, 9, 9, 0, 0, 9], [4, 2]);
      const uneven = tensor([9, 0, 9, 0, 9, 0, 0, 9], [4, 2]);
      for (const name of ['importance', 'load', 'gshard'] as const) {
        const value = (scores: Tensor) => auxiliaryLosses(scores)[name].dataSync()[0]!;
        expect(value(even)).toBeLessThan(value(uneven));
      }
      expect(auxiliaryLosses(even).importance.dataSync()[0]).toBeCloseTo(0, 6);
      const data = scoresOf(21, [2, 6, 3]);
      const random = seededRandom(2);
      const noise = tensor(
        data.map(() => 0.3 * random.normal()),
        [2, 6, 3],
      );
      const options = (s: Tensor) => ({ k: 2, noiseStd: 1.5, noisyScores: add(s, noise) });
      for (const name of ['importance', 'load', 'gshard'] as const) {
        const loss = (s: Tensor) => auxiliaryLosses(s, options(s))[name];
        const [got] = grads(loss)([tensor(data, [2, 6, 3])]);
        const at = (k: number, by: number) =>
          loss(
            tensor(
              data.map((v, i) => (i === k ? v + by : v)),
              [2, 6, 3],
            ),
          ).dataSync()[0]!;
        for (const k of [0, 7, 20]) {
          const slope = (at(k, 1e-2) - at(k, -1e-2)) / 2e-2;
          expect(Math.abs(got!.dataSync()[k]! - slope)).toBeLessThan(2e-3 + 0.03 * Math.abs(slope));
        }
      }
      const alone = auxiliaryLosses(tensor([1, -2, 3], [3, 1]));
      const values = [alone.importance, alone.load, alone.gshard].map((x) => x.dataSync()[0]);
      expect(values).toEqual([0, 0, 1]);
      expect(() => auxiliaryLosses(even, { k: 3 })).toThrow(/k must be/);
      expect(() => auxiliaryLosses(even, { noiseStd: 0 })).toThrow(/noiseStd/);
    });
  });
});

describe('mixtureOfExperts', () => {
  it.each(METHODS)('trains with %s and leaves no tensors', (method) => {
    const random = seededRandom(5);
    // Two kinds of tokens, each with a linear map of its own.
    const kinds = Array.from({ length: 16 }, () => random.integer(0, 1));
    const inputs = kinds.map((kind) => [random.normal() + (kind ? 3 : -3), random.normal(), 1]);
    const x = tensor(inputs.flat(), [16, 3]);
    const y = tensor(
      inputs.flatMap(([p, q], s) => (kinds[s] ? [p! + q!, -q!] : [p! - q!, 2 * q!])),
      [16, 2],
    );
    const before = memory().numTensors;
    const make = (shape: number[], size: number): Variable => {
      const initial = random.normalTensor(shape, 0, size);
      const result = variable(initial);
      initial.dispose();
      return result;
    };
    const [gate, kernel] = [make([3, 2], 0.1), make([2, 3, 2], 0.3)];
    const optimizer = train.adam(0.05);
    let report = { dropped: 0 };
    const loss = () => {
      const { output, routing } = mixtureOfExperts(
        {
          x,
          scores: matMul(x, gate as Tensor as never),
          experts: (tokens) => matMul(tokens, kernel as Tensor),
        },
        { method, capacityFactor: 1.5, multipleOf: 1 },
      );
      report = routing.report;
      return mean(squaredDifference(output, y)) as Scalar;
    };
    const losses: number[] = [];
    for (let step = 0; step < 60; step++) {
      const value = optimizer.minimize(loss, true)!;
      losses.push(value.dataSync()[0]!);
      value.dispose();
    }
    expect(losses.at(-1)!).toBeLessThan(0.5 * losses[0]!);
    expect(report.dropped).toBeLessThanOrEqual(16);
    optimizer.dispose();
    gate.dispose();
    kernel.dispose();
    expect(memory().numTensors).toBe(before);
    x.dispose();
    y.dispose();
  });

  it('refuses tokens that do not fit the scores', () => {
    const [x, scores] = [tensor([1, 2], [2, 1]), tensor([1, 2, 3], [3, 1])];
    const parts = { x, scores, experts: (t: Tensor) => t };
    expect(() => mixtureOfExperts(parts, { method: 'topk' })).toThrow(/x must have shape \[3,\*\]/);
    expect(() =>
      mixtureOfExperts({ ...parts, x: scores, experts: 1 as never }, { method: 'topk' }),
    ).toThrow(/experts must be a function/);
    x.dispose();
    scores.dispose();
  });
});
