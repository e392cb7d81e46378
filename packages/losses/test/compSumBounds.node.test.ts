import { describe, expect, it } from 'vitest';
import { hConsistencyBound, hConsistencyInverse, hConsistencyTransform } from '../src/index.js';

const grid = Array.from({ length: 41 }, (_, i) => i / 40);

describe.each([0, 0.3, 0.9, 1, 1.2, 1.7, 2, 2.5])('H-consistency bounds at tau = %s', (tau) => {
  it.each([2, 10])('%s classes', (classes) => {
    const T = (beta: number) => hConsistencyTransform(beta, { tau, classes });
    const values = grid.map(T);
    expect(values[0]).toBeCloseTo(0, 12);
    for (let i = 1; i < values.length; i++) expect(values[i]!).toBeGreaterThan(values[i - 1]!);
    for (let i = 2; i < values.length; i++) {
      expect(values[i]! - 2 * values[i - 1]! + values[i - 2]!).toBeGreaterThan(-1e-12);
    }
    for (const beta of grid) {
      const regret = T(beta);
      const back = hConsistencyInverse(regret, { tau, classes });
      // T is flat at 0, where rounding of the regret moves β by its root.
      expect(Math.abs(back - beta)).toBeLessThan(1e-6);
      const bound = hConsistencyBound(regret, { tau, classes });
      expect(bound).toBeGreaterThanOrEqual(back - 1e-6);
    }
    expect(hConsistencyInverse(1e9, { tau, classes })).toBe(1);
  });
});

it('two classes, tau = 1 and 0: the known transforms', () => {
  const b = 0.6;
  const logistic = (1.6 / 2) * Math.log(1.6) + (0.4 / 2) * Math.log(0.4);
  expect(hConsistencyTransform(b)).toBeCloseTo(logistic, 12);
  // Exponential loss: 1 − √(1 − β²).
  expect(hConsistencyTransform(b, { tau: 0 })).toBeCloseTo(1 - Math.sqrt(1 - b * b), 12);
});

it('refuses numbers out of range', () => {
  expect(() => hConsistencyTransform(1.1)).toThrow(/beta must be/);
  expect(() => hConsistencyInverse(-1)).toThrow(/regret must be/);
  expect(() => hConsistencyBound(1, { tau: -1 })).toThrow(/tau must be/);
  expect(() => hConsistencyBound(1, { classes: 1 })).toThrow(/classes must be/);
  expect(() => hConsistencyBound(1, { n: 3 } as object)).toThrow(/unknown option "n"/);
});
