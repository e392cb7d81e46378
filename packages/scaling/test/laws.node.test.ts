import { seededRandom } from '@orth/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  dataEfficiency,
  effectiveData,
  fitChinchilla,
  fitPowerLaw,
  fitReciprocal,
  jointAsymptote,
} from '../src/index.js';
import { studentTQuantile } from '../src/laws/studentT.js';

const SIZES = [1, 2, 4, 8, 16, 32, 64, 128];
const quick = { bootstrap: 0 };
const powerLaw = (A: number, alpha: number, E: number) => (x: number) => A * x ** -alpha + E;

describe('fitPowerLaw', () => {
  it('recovers exact laws to 1e-6', () => {
    const laws = fc.record({
      A: fc.double({ min: 0.05, max: 20, noNaN: true }),
      alpha: fc.double({ min: 0.1, max: 2.5, noNaN: true }),
      E: fc.double({ min: 0.05, max: 5, noNaN: true }),
    });
    fc.assert(
      fc.property(laws, ({ A, alpha, E }) => {
        const fit = fitPowerLaw(SIZES, SIZES.map(powerLaw(A, alpha, E)), quick);
        expect(fit.A / A).toBeCloseTo(1, 6);
        expect(fit.alpha / alpha).toBeCloseTo(1, 6);
        expect(fit.E / E).toBeCloseTo(1, 6);
        expect(fit.identified).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  const noisy = (seed: number, deviation = 0.01) => {
    const random = seededRandom(seed);
    return SIZES.map((x) => powerLaw(2, 0.5, 1.5)(x) + random.normal(0, deviation));
  };

  it('scale and shift of the data change A and E alone; order does not matter', () => {
    const y = noisy(1);
    const base = fitPowerLaw(SIZES, y, quick);
    const scaled = fitPowerLaw(
      SIZES.map((x) => 1e9 * x),
      y,
      quick,
    );
    expect(scaled.alpha).toBeCloseTo(base.alpha, 8);
    expect(scaled.E).toBeCloseTo(base.E, 8);
    expect(scaled.A / (base.A * 1e9 ** base.alpha)).toBeCloseTo(1, 6);
    const shifted = fitPowerLaw(
      SIZES,
      y.map((v) => v + 3),
      quick,
    );
    expect(shifted.E).toBeCloseTo(base.E + 3, 7);
    expect(shifted.A).toBeCloseTo(base.A, 7);
    const backwards = fitPowerLaw([...SIZES].reverse(), [...y].reverse(), quick);
    expect(backwards.alpha).toBeCloseTo(base.alpha, 9);
  });

  it('a weight of 2 is a point given twice', () => {
    const y = noisy(2);
    const weights = SIZES.map((_, i) => (i === 3 ? 2 : 1));
    const twice = fitPowerLaw([...SIZES, SIZES[3]!], [...y, y[3]!], quick);
    const weighted = fitPowerLaw(SIZES, y, { ...quick, weights });
    expect(weighted.E).toBeCloseTo(twice.E, 8);
    expect(weighted.alpha).toBeCloseTo(twice.alpha, 8);
  });

  /** Part of 90 % intervals that hold the true asymptote; each data set has a bootstrap seed of its own. */
  const coverage = (runs: number, bootstrap: number) => {
    let hits = 0;
    for (let seed = 0; seed < runs; seed++) {
      const { ci } = fitPowerLaw(SIZES, noisy(100 + seed), { bootstrap, level: 0.9, seed });
      if (ci.E[0] <= 1.5 && 1.5 <= ci.E[1]) hits++;
    }
    return hits / runs;
  };

  it('intervals hold about as often as they say, by either method', () => {
    // Three and a half binomial standard deviations of 300 runs; three of 60.
    const student = coverage(300, 0);
    expect(student).toBeGreaterThan(0.84);
    expect(student).toBeLessThan(0.96);
    const refits = coverage(60, 100);
    expect(refits).toBeGreaterThan(0.78);
    expect(refits).toBeLessThan(0.99);
  });

  it('same seed, same interval; leaving a point out brackets the asymptote', () => {
    const first = fitPowerLaw(SIZES, noisy(3), { bootstrap: 50, seed: 4 });
    expect(fitPowerLaw(SIZES, noisy(3), { bootstrap: 50, seed: 4 }).ci).toEqual(first.ci);
    expect(fitPowerLaw(SIZES, noisy(3), { bootstrap: 50, seed: 5 }).ci).not.toEqual(first.ci);
    expect(first.leaveOneOut![0]).toBeLessThan(first.E);
    expect(first.leaveOneOut![1]).toBeGreaterThan(first.E);
  });

  it('covariance agrees with repeated noise', () => {
    const fits = Array.from({ length: 200 }, (_, i) => fitPowerLaw(SIZES, noisy(500 + i), quick));
    const mean = fits.reduce((s, { E }) => s + E, 0) / fits.length;
    const spread = fits.reduce((s, { E }) => s + (E - mean) ** 2, 0) / (fits.length - 1);
    const predicted = fits.reduce((s, { covariance }) => s + covariance![2]![2]!, 0) / fits.length;
    expect(predicted / spread).toBeGreaterThan(0.7);
    expect(predicted / spread).toBeLessThan(1.4);
  });

  it('robust: one ruined run does not move the law', () => {
    const y = SIZES.map(powerLaw(2, 0.5, 1.5));
    y[5] = y[5]! + 0.8;
    const robust = fitPowerLaw(SIZES, y, { ...quick, robust: true });
    expect(robust.E).toBeCloseTo(1.5, 2);
    expect(Math.abs(fitPowerLaw(SIZES, y, quick).E - 1.5)).toBeGreaterThan(0.1);
  });

  it('says when the asymptote is not determined', () => {
    const three = fitPowerLaw([1, 2, 4], [3, 2.5, 2.2]);
    expect(three.rmse).toBeLessThan(1e-9);
    expect(three.warnings.join()).toMatch(/three points/);
    expect(three.ci.E).toEqual([Number.NaN, Number.NaN]);
    expect(three.covariance).toBeUndefined();
    const rising = fitPowerLaw(SIZES, [...SIZES]);
    expect(rising.identified).toBe(false);
    expect(rising.warnings.join()).toMatch(/does not fall/);
    const straight = fitPowerLaw(
      SIZES,
      SIZES.map(powerLaw(2, 0.3, 0)).map((v, i) => v * (1 - 0.02 * i)),
    );
    expect(straight.E).toBe(0);
    expect(straight.identified).toBe(false);
  });

  it('refuses what cannot be fitted', () => {
    expect(() => fitPowerLaw([1, 2], [3, 2])).toThrow(/fitPowerLaw: x must have at least 3/);
    expect(() => fitPowerLaw([1, 2, 2, 1], [3, 2, 2, 3])).toThrow(/3 distinct values, got 2/);
    expect(() => fitPowerLaw([0, 1, 2], [3, 2, 1])).toThrow(/x\[0\] must be a finite number > 0/);
    expect(() => fitPowerLaw([1, 2, 3], [3, Number.NaN, 1])).toThrow(/y\[1\] must be/);
    expect(() => fitPowerLaw([1, 2, 3], [3, 2])).toThrow(/y must have at least 3 entries/);
    expect(() => fitPowerLaw([1, 2, 3, 4], [3, 2, 1])).toThrow(/y must have as many entries as x/);
    expect(() => fitPowerLaw([1, 2, 3], [3, 2, 1], { level: 1 })).toThrow(/level/);
    expect(() => fitPowerLaw([1, 2, 3], [3, 2, 1], { wieghts: [1] } as never)).toThrow(/unknown/);
    expect(() => fitPowerLaw([1, 2, 3], [3, 2, -1], { robust: true })).toThrow(/y\[2\]/);
    expect(() => fitPowerLaw('abc' as never, [1, 2, 3])).toThrow(TypeError);
  });
});

describe('other laws', () => {
  it('reciprocal: exact, and intervals by either method', () => {
    const y = SIZES.map((x) => 0.4 / x + 2);
    const fit = fitReciprocal(SIZES, y);
    expect(fit.A).toBeCloseTo(0.4, 12);
    expect(fit.E).toBeCloseTo(2, 12);
    expect(fit.evaluate(10)).toBeCloseTo(2.04, 12);
    const noisy = y.map((v, i) => v + (i % 2 ? 0.01 : -0.01));
    for (const bootstrap of [0, 200]) {
      const { ci, E } = fitReciprocal(SIZES, noisy, { bootstrap });
      expect(ci.E[0]).toBeLessThan(E);
      expect(ci.E[1]).toBeGreaterThan(E);
    }
    expect(fitReciprocal([1, 2], [3, 2]).ci.E[0]).toBeNaN();
    expect(() => fitReciprocal([1, 1], [3, 2])).toThrow(/2 distinct/);
  });

  const N = [0.15, 0.3, 0.6, 1.4].flatMap((n) => [n, n, n, n]);
  const D = N.map((_, i) => [0.2, 0.4, 0.8, 1.6][i % 4]!);
  const law = (n: number, d: number) => 0.1 * n ** -0.7 + 0.3 * d ** -0.5 + 2.2;

  it('Chinchilla: exact laws, and intervals around noisy ones', () => {
    const exact = fitChinchilla(
      N,
      D,
      N.map((n, i) => law(n, D[i]!)),
      quick,
    );
    expect(exact.E).toBeCloseTo(2.2, 6);
    expect(exact.alpha).toBeCloseTo(0.7, 6);
    expect(exact.evaluate(1, 1)).toBeCloseTo(2.6, 6);
    const random = seededRandom(1);
    const y = N.map((n, i) => law(n, D[i]!) + random.normal(0, 1e-3));
    const { ci, identified } = fitChinchilla(N, D, y, { bootstrap: 60 });
    expect(identified).toBe(true);
    expect(ci.E[0]).toBeLessThan(2.2);
    expect(ci.E[1]).toBeGreaterThan(2.2);
    expect(ci.E[1] - ci.E[0]).toBeLessThan(0.5);
  });

  it('Chinchilla: too few points or sizes', () => {
    expect(() => fitChinchilla([1, 2, 3, 4], [1, 2, 3, 4], [4, 3, 2, 1])).toThrow(/at least 5/);
    expect(() => fitChinchilla([1, 1, 1, 1, 1], [1, 2, 3, 4, 5], [5, 4, 3, 2, 1])).toThrow(
      /N must have 2 distinct values/,
    );
    const two = fitChinchilla(
      [1, 2, 1, 2, 1, 2],
      [1, 1, 2, 2, 4, 4],
      [5, 4.6, 4.5, 4.1, 4.3, 3.9],
      quick,
    );
    expect(two.identified).toBe(false);
  });

  it("joint: the authors' asymptotes, K first", () => {
    const C = [3.49494141772086, 3.27298134199042, 3.21222776628171, 3.17396615093217];
    const table = [0.15, 0.3, 0.6, 1.4].flatMap((n, i) =>
      [1, 2, 3, 5, 8].map((K) => ({ N: n, K, loss: 0.12 * K ** -0.9 + C[i]! })),
    );
    const joint = jointAsymptote(table.reverse(), quick);
    expect(joint.perN.map(({ N: n }) => n)).toEqual([0.15, 0.3, 0.6, 1.4]);
    joint.perN.forEach(({ law: { E } }, i) => {
      expect(E).toBeCloseTo(C[i]!, 6);
    });
    expect(joint.E).toBeCloseTo(3.169, 3);
    expect(() => jointAsymptote(table.filter(({ K }) => K < 3))).toThrow(
      /3 distinct K for N = 0.15/,
    );
    expect(() => jointAsymptote(table.filter(({ N: n }) => n < 0.4))).toThrow(
      /3 distinct N, got 2/,
    );
  });

  it('effective data inverts the law', () => {
    const fit = { A: 1.2, alpha: 0.4, E: 2.3 };
    for (const d of [0.1, 3, 1000]) {
      expect(effectiveData(powerLaw(fit.A, fit.alpha, fit.E)(d), fit) / d).toBeCloseTo(1, 9);
    }
    const ratio = effectiveData(2.5, fit) / effectiveData(3, fit);
    expect(dataEfficiency(2.5, fit, 3)).toBeCloseTo(ratio, 9);
    expect(() => effectiveData(2.3, fit)).toThrow(/no amount of data/);
    expect(() => dataEfficiency(2.5, fit, 2)).toThrow(/baselineLoss must be > 2.3/);
    expect(() => effectiveData(3, { A: 1, alpha: 0, E: 1 })).toThrow(/law.alpha/);
  });

  it("Student's t quantiles", () => {
    const table = { 1: 12.7062, 2: 4.30265, 3: 3.18245, 5: 2.57058, 10: 2.22814, 30: 2.04227 };
    for (const [degrees, t] of Object.entries(table)) {
      expect(studentTQuantile(0.95, Number(degrees))).toBeCloseTo(t, 3);
    }
  });
});
