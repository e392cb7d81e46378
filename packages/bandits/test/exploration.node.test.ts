import { seededRandom } from '@orth/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  epsilonGreedyProbabilities,
  inverseGapWeighting,
  probabilityFloor,
  reweightedInverseGapWeighting,
  SMALLEST_PREDICTED_LOSS,
  sampleAction,
  softmaxProbabilities,
} from '../src/index.js';
import { chiSquareBound, distance } from './reference.js';

const losses = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 8 });
const gamma = fc.oneof(
  fc.constant(0),
  fc.double({ min: 1e-3, max: 1e9, noNaN: true, noDefaultInfinity: true }),
);
const sum = (p: ArrayLike<number>) => Array.from(p).reduce((a, b) => a + b, 0);
const RULES = { inverseGapWeighting, reweightedInverseGapWeighting };

describe.each(Object.entries(RULES))('%s', (name, rule) => {
  it('gives probabilities that fall with the loss, and at least 1/K to the best', () => {
    fc.assert(
      fc.property(losses, gamma, (y, g) => {
        const p = rule(y, g);
        expect(Math.abs(sum(p) - 1)).toBeLessThan(1e-12);
        const K = y.length;
        const floor = name === 'inverseGapWeighting' ? 0 : SMALLEST_PREDICTED_LOSS;
        const clipped = y.map((v) => Math.max(v, floor));
        const b = clipped.indexOf(Math.min(...clipped));
        expect(p[b]!).toBeGreaterThanOrEqual(1 / K - 1e-12);
        for (let a = 0; a < K; a++) {
          expect(p[a]!).toBeGreaterThanOrEqual(0);
          if (a !== b) expect(p[a]!).toBeLessThanOrEqual(1 / K + 1e-12);
          for (let c = 0; c < K; c++) {
            if (a !== b && c !== b && y[a]! > y[c]!) expect(p[a]!).toBeLessThanOrEqual(p[c]!);
          }
        }
      }),
    );
  });

  it('is uniform at 0, greedy at infinity, one at one arm', () => {
    expect(distance(rule([0.3, 0.9, 0.1], 0), [1 / 3, 1 / 3, 1 / 3])).toBeLessThan(1e-15);
    expect(distance(rule([0.3, 0.9, 0.1], 1e15), [0, 0, 1])).toBeLessThan(1e-12);
    expect([...rule([0.7], 3)]).toEqual([1]);
    // Tied arms keep 1/K each.
    expect(distance(rule([0.2, 0.2, 0.9], 1e15), [2 / 3, 1 / 3, 0])).toBeLessThan(1e-12);
  });

  it('leaves masked arms out as if they were not there', () => {
    const all = rule([0.3, 0.1, 0.8, 0.2], 7, { mask: [1, 0, 1, 1] });
    const rest = rule([0.3, 0.8, 0.2], 7);
    expect([...all]).toEqual([rest[0], 0, rest[1], rest[2]]);
  });
});

describe('invariances', () => {
  it('of inverse gap weighting under a shift, of the reweighted under a scale', () => {
    const y = [0.31, 0.12, 0.55, 0.48];
    const moved = inverseGapWeighting(
      y.map((v) => v + 0.25),
      13,
    );
    expect(distance(moved, inverseGapWeighting(y, 13))).toBeLessThan(1e-14);
    const scaled = reweightedInverseGapWeighting(
      y.map((v) => v * 0.5),
      13,
    );
    expect(distance(scaled, reweightedInverseGapWeighting(y, 13))).toBeLessThan(1e-14);
  });

  it('bounds regret by estimation error and 2(K − 1)/γ, for any predictions and truth', () => {
    const values = fc.double({ min: -3, max: 3, noNaN: true });
    const pairs = fc.array(fc.tuple(values, values), { minLength: 2, maxLength: 8 });
    const positive = fc.double({ min: 1e-2, max: 1e4, noNaN: true });
    fc.assert(
      fc.property(pairs, positive, (both, g) => {
        const predicted = both.map(([a]) => a);
        const truth = both.map(([, b]) => b);
        const p = inverseGapWeighting(predicted, g);
        const least = Math.min(...truth);
        const regret = truth.reduce((total, f, a) => total + p[a]! * (f - least), 0);
        const error = truth.reduce((total, f, a) => total + p[a]! * (predicted[a]! - f) ** 2, 0);
        expect(regret - (g / 4) * error).toBeLessThanOrEqual((2 * (both.length - 1)) / g + 1e-9);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('everyday rules', () => {
  it('share the greedy mass among ties', () => {
    const p = epsilonGreedyProbabilities([0.2, 0.1, 0.1, 0.9], 0.2);
    expect(distance(p, [0.05, 0.45, 0.45, 0.05])).toBeLessThan(1e-15);
    const masked = epsilonGreedyProbabilities([0.2, 0.1, 0.1, 0.9], 0.3, { mask: [1, 0, 1, 1] });
    expect(distance(masked, [0.1, 0, 0.8, 0.1])).toBeLessThan(1e-15);
  });

  it('weigh by exponentials without overflow', () => {
    const p = softmaxProbabilities([-1e6, -1e6 + 0.1, 5], 0.1);
    expect(distance(p, [1 / (1 + Math.exp(-1)), 1 / (1 + Math.E), 0])).toBeLessThan(1e-9);
  });

  it('raise to a floor by the nearest point', () => {
    fc.assert(
      fc.property(losses, fc.double({ min: 0, max: 1, noNaN: true }), (y, m) => {
        const p = softmaxProbabilities(y, 0.1);
        const q = probabilityFloor(p, m);
        const floor = m / y.length;
        expect(Math.abs(sum(q) - 1)).toBeLessThan(1e-9);
        for (const value of q) expect(value).toBeGreaterThanOrEqual(floor - 1e-12);
        // Nearest point of a convex set: ⟨p − q, z − q⟩ ≤ 0 for every z in it; its corners are enough.
        for (let corner = 0; corner < y.length; corner++) {
          const inner = Array.from(q).reduce((total, value, a) => {
            const z = floor + (a === corner ? 1 - m : 0);
            return total + (p[a]! - value) * (z - value);
          }, 0);
          expect(inner).toBeLessThanOrEqual(1e-9);
        }
      }),
    );
  });

  it('work by rows and in place', () => {
    const y = Float64Array.from([0.1, 0.4, 0.9, 0.2, 0.3, 0.3]);
    const rows = inverseGapWeighting(y, 5, { actionCount: 3 });
    expect([...rows.slice(3)]).toEqual([...inverseGapWeighting(y.slice(3), 5)]);
    expect(inverseGapWeighting(y, 5, { actionCount: 3, out: y })).toBe(y);
    expect(distance(y, rows)).toBe(0);
  });

  it('refuse bad input by name', () => {
    expect(() => inverseGapWeighting([0.1], -1)).toThrow(
      'inverseGapWeighting: gamma must be a finite number >= 0, got -1',
    );
    expect(() => inverseGapWeighting([Number.NaN], 1)).toThrow('predictedLoss must be finite');
    expect(() => inverseGapWeighting([1, 2, 3], 1, { actionCount: 2 })).toThrow('rows of 2');
    expect(() => inverseGapWeighting([1, 2], 1, { mask: [0, 0] })).toThrow('leave an action');
    expect(() => softmaxProbabilities([1], 0)).toThrow('temperature');
    expect(() => epsilonGreedyProbabilities([1], 1.1)).toThrow('epsilon');
    expect(() => probabilityFloor([1], 2)).toThrow('minimum');
    expect(() => inverseGapWeighting([1], 1, { maks: [1] } as never)).toThrow('unknown option');
  });
});

describe('sampleAction', () => {
  it('takes the first action whose cumulative probability exceeds u', () => {
    const p = [0.25, 0, 0.5, 0.25];
    expect([0, 0.2499, 0.25, 0.7499, 0.75, 0.9999].map((u) => sampleAction(p, u))).toEqual([
      0, 0, 2, 2, 3, 3,
    ]);
    // Rounding may leave the sum below 1.
    expect(sampleAction([0.5, 0.4999999, 0], 1 - 1e-12)).toBe(1);
  });

  // False alarms: one in a million runs with other seeds.
  it('draws actions as often as their probabilities say', () => {
    const random = seededRandom(5);
    const p = inverseGapWeighting([0.2, 0.35, 0.3, 0.9, 0.21], 12);
    const n = 200_000;
    const counts = new Float64Array(p.length);
    for (let i = 0; i < n; i++) counts[sampleAction(p, random.uniform())]!++;
    const statistic = counts.reduce((t, c, a) => t + (c - n * p[a]!) ** 2 / (n * p[a]!), 0);
    expect(statistic).toBeLessThan(chiSquareBound(p.length - 1));
  });
});
