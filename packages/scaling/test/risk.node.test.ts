import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  krrRisk,
  optimalRidge,
  powerlawFittingRatio,
  powerlawSpectrum,
  rfRisk,
  simulateRf,
} from '../src/index.js';

const task = powerlawSpectrum({ modes: 400, alpha: 1.5, beta: 1.5 });

const problems = fc.record({
  n: fc.integer({ min: 1, max: 300 }),
  k: fc.integer({ min: 1, max: 300 }),
  logRidge: fc.double({ min: -14, max: 8, noNaN: true }),
  noise: fc.double({ min: 0, max: 2, noNaN: true }),
});

describe('the equations', () => {
  it('hold for κ and γ, for spectra of any scale', () => {
    const spectra = fc.array(fc.double({ min: -12, max: 12, noNaN: true }), {
      minLength: 1,
      maxLength: 40,
    });
    fc.assert(
      fc.property(spectra, problems, (logs, { n, k, logRidge }) => {
        const eigenvalues = logs.map(Math.exp);
        const ridge = Math.exp(logRidge);
        const { kappa, gamma } = rfRisk({ eigenvalues, coeffs: logs, n, k, ridge });
        const z = eigenvalues.reduce((s, l) => s + l / (l + gamma), 0);
        expect((z + ridge / kappa) / n).toBeCloseTo(1, 9);
        expect((z + (k * kappa) / gamma) / k).toBeCloseTo(1, 9);
      }),
      { numRuns: 300 },
    );
  });

  it('a flat spectrum has a closed form', () => {
    const [M, n, k, ridge] = [50, 20, 30, 0.3];
    const flat = { eigenvalues: Array(M).fill(1), coeffs: Array(M).fill(0.1) };
    const { gamma, z } = rfRisk({ ...flat, n, k, ridge });
    expect(z).toBeCloseTo(M / (1 + gamma), 12);
  });

  it('n and k are exchangeable where kδ is kept', () => {
    const a = rfRisk({ ...task, n: 30, k: 80, ridge: 0.1 });
    const b = rfRisk({ ...task, n: 80, k: 30, ridge: (0.1 * 80) / 30 });
    expect(b.gamma).toBeCloseTo(a.gamma, 12);
  });
});

describe('risks', () => {
  it('0 <= train <= test, finite, and the paper formula', () => {
    fc.assert(
      fc.property(problems, ({ n, k, logRidge, noise }) => {
        const ridge = Math.exp(logRidge);
        const r = rfRisk({ ...task, n, k, ridge, noise });
        expect(r.trainRisk).toBeGreaterThanOrEqual(0);
        expect(r.trainRisk).toBeLessThanOrEqual(r.testRisk * (1 + 1e-12));
        const { gamma, kappa, z, q } = r;
        const bias = task.eigenvalues.reduce((s, l, i) => {
          const part = gamma / (l + gamma) - (kappa * l * k) / ((l + gamma) ** 2 * (k - q));
          return s + part * task.coeffs[i]! ** 2;
        }, noise);
        const want = bias / (1 - (q * (k - 2 * z) + z * z) / (n * (k - q)));
        // Near the threshold the formula itself loses digits; ours does not.
        if (Math.abs(n - k) > 3 || ridge > 0.01) expect(r.testRisk / want).toBeCloseTo(1, 5);
      }),
      { numRuns: 200 },
    );
  });

  it('scaling the kernel and the ridge changes κ and γ alone', () => {
    const scaled = { ...task, eigenvalues: task.eigenvalues.map((l) => 1e6 * l) };
    const a = rfRisk({ ...task, n: 40, k: 90, ridge: 0.01, noise: 0.1 });
    const b = rfRisk({ ...scaled, n: 40, k: 90, ridge: 1e4, noise: 0.1 });
    expect(b.testRisk).toBeCloseTo(a.testRisk, 11);
    expect(b.trainRisk).toBeCloseTo(a.trainRisk, 11);
    expect(b.kappa / 1e6).toBeCloseTo(a.kappa, 11);
    expect(b.gamma / 1e6).toBeCloseTo(a.gamma, 11);
  });

  it('many features are the kernel, and the order of modes does not matter', () => {
    const krr = krrRisk({ ...task, n: 50, ridge: 0.01, noise: 0.1 });
    const many = rfRisk({ ...task, n: 50, k: 1e9, ridge: 0.01, noise: 0.1 });
    const infinite = rfRisk({ ...task, n: 50, k: Infinity, ridge: 0.01, noise: 0.1 });
    expect(many.testRisk / krr.testRisk).toBeCloseTo(1, 6);
    expect(infinite.testRisk).toBe(krr.testRisk);
    const backwards = {
      eigenvalues: [...task.eigenvalues].reverse(),
      coeffs: [...task.coeffs].reverse(),
    };
    expect(krrRisk({ ...backwards, n: 50, ridge: 0.01, noise: 0.1 }).testRisk).toBeCloseTo(
      krr.testRisk,
      12,
    );
    expect(krr.learnabilities.reduce((s, l) => s + l, 0)).toBeCloseTo(50 - 0.01 / krr.kappa, 9);
  });

  it('limits: no ridge, huge ridge, peak at n = k', () => {
    const ridgeless = rfRisk({ ...task, n: 40, k: 100, ridge: 0, noise: 0.2 });
    const small = rfRisk({ ...task, n: 40, k: 100, ridge: 1e-14, noise: 0.2 });
    expect(ridgeless.z).toBeCloseTo(40, 10);
    expect(ridgeless.testRisk).toBeCloseTo(small.testRisk, 9);
    expect(ridgeless.trainRisk).toBe(0);
    const power = task.coeffs.reduce((s, v) => s + v * v, 0.2);
    const huge = rfRisk({ ...task, n: 40, k: 100, ridge: 1e12, noise: 0.2 });
    expect(huge.testRisk).toBeCloseTo(power, 8);
    expect(huge.trainRisk).toBeCloseTo(power, 8);
    const [before, peak, after] = rfRisk({
      ...task,
      n: 64,
      k: [50, 64, 80],
      ridge: 1e-4,
      noise: 0.2,
    }) as { testRisk: number }[];
    expect(peak!.testRisk).toBeGreaterThan(2 * Math.max(before!.testRisk, after!.testRisk));
  });

  it('modes that no kernel sees are never learnt; all modes seen is an exact fit', () => {
    const blind = { eigenvalues: [1, 0.5, 0], coeffs: [1, 1, 2] };
    const seen = { eigenvalues: [1, 0.5], coeffs: [1, 1] };
    expect(krrRisk({ ...blind, n: 1, ridge: 0.1 }).testRisk).toBeCloseTo(
      krrRisk({ ...seen, n: 1, ridge: 0.1, noise: 4 }).testRisk,
      12,
    );
    const exact = rfRisk({ ...seen, n: 10, k: 20, ridge: 0 });
    expect(exact).toMatchObject({ gamma: 0, kappa: 0, testRisk: 0, trainRisk: 0, z: 2 });
    // Least squares with 10 samples and 2 unknowns: σ²·n/(n − 2), and the residual σ²(n − 2)/n.
    const noisy = rfRisk({ ...seen, n: 10, k: 20, ridge: 0, noise: 1 });
    expect(noisy.testRisk).toBeCloseTo(10 / 8, 12);
    expect(noisy.trainRisk).toBeCloseTo(8 / 10, 12);
  });

  it('a tail stands for the modes that are not listed', () => {
    const shape = { alpha: 1.3, beta: 1.2 };
    const long = powerlawSpectrum({ modes: 300_000, tail: true, ...shape });
    const short = powerlawSpectrum({ modes: 1000, tail: true, ...shape });
    const cut = powerlawSpectrum({ modes: 1000, ...shape });
    const of = (t: typeof long) => krrRisk({ ...t, n: 200, ridge: 0.01, noise: 0.1 });
    expect(of(short).testRisk / of(long).testRisk).toBeCloseTo(1, 6);
    expect(of(short).kappa / of(long).kappa).toBeCloseTo(1, 6);
    expect(of(cut).testRisk / of(long).testRisk).toBeLessThan(0.9);
  });

  it('agrees with an experiment', () => {
    for (const problem of [
      { n: 48, k: 150, ridge: 0.01 },
      { n: 48, k: 20, ridge: 0.1 },
      { n: 48, k: Infinity, ridge: 0 },
    ]) {
      const all = { ...task, ...problem, noise: 0.25 };
      const measured = simulateRf({ ...all, trials: 30, seed: 1 });
      const theory = rfRisk(all);
      const bound = 4 * measured.testRisk.standardError + 0.03 * theory.testRisk;
      expect(Math.abs(measured.testRisk.mean - theory.testRisk)).toBeLessThan(bound);
      const slack = 4 * measured.trainRisk.standardError + 0.05 * theory.trainRisk + 1e-20;
      expect(Math.abs(measured.trainRisk.mean - theory.trainRisk)).toBeLessThan(slack);
    }
  });

  it('a million modes in well under a second', () => {
    const large = powerlawSpectrum({ modes: 1_000_000, alpha: 1.5, beta: 1.5 });
    const { kappa, gamma, z } = rfRisk({ ...large, n: 1000, k: 2000, ridge: 1e-6, noise: 0.1 });
    expect(z + 1e-6 / kappa).toBeCloseTo(1000, 6);
    expect(z + (2000 * kappa) / gamma).toBeCloseTo(2000, 6);
  });

  it('refuses bad input', () => {
    const good = { eigenvalues: [1, 0.5, 0.1], coeffs: [1, 1, 1], n: 2, k: 4, ridge: 0.1 };
    const bad: [object, RegExp][] = [
      [{ eigenvalues: [1, -0.5, 0.1] }, /rfRisk: eigenvalues\[1\] must be a finite number >= 0/],
      [{ eigenvalues: [1, Number.NaN, 0.1] }, /eigenvalues\[1\]/],
      [{ eigenvalues: [0, 0, 0] }, /must not all be 0/],
      [{ coeffs: [1, 1] }, /coeffs must have as many entries as eigenvalues \(3\), got 2/],
      [{ coeffs: [1, Infinity, 1] }, /coeffs\[1\]/],
      [{ n: 0 }, /n must be a finite number > 0/],
      [{ k: -1 }, /k must be/],
      [{ ridge: -1 }, /ridge must be/],
      [{ noise: Number.NaN }, /noise must be/],
      [{ n: 2, k: 2, ridge: 0 }, /ridge must be > 0 where/],
      [{ n: [1, 2], k: [1, 2, 3] }, /k must have as many entries as n \(2\), got 3/],
      [{ n: [] }, /n must not be empty/],
      [{ tail: { alpha: 1, beta: 2 } }, /tail.alpha/],
      [{ rigde: 1 }, /unknown option "rigde"/],
    ];
    for (const [change, message] of bad) {
      expect(() => rfRisk({ ...good, ...change } as never)).toThrow(message);
    }
    expect(() => simulateRf({ ...good, trials: 0 })).toThrow(/trials/);
  });
});

describe('the optimal ridge', () => {
  it('is optimal, and more samples and features always help', () => {
    for (const noise of [0, 0.3]) {
      let before = Infinity;
      for (const k of [10, 30, 64, 100, 300, Infinity]) {
        const best = optimalRidge({ ...task, n: 64, k, noise });
        expect(best.testRisk).toBeLessThan(before);
        before = best.testRisk;
        const at = (ridge: number) => rfRisk({ ...task, n: 64, k, ridge, noise }).testRisk;
        if (best.ridge > 0) {
          expect(at(best.ridge)).toBeCloseTo(best.testRisk, 7);
          for (const factor of [0.5, 2]) {
            expect(at(best.ridge * factor)).toBeGreaterThan(best.testRisk);
          }
        } else expect(at(1e-4)).toBeGreaterThan(best.testRisk);
      }
      before = Infinity;
      for (const n of [5, 20, 64, 100, 200]) {
        const { testRisk } = optimalRidge({ ...task, n, k: 64, noise });
        expect(testRisk).toBeLessThan(before);
        before = testRisk;
      }
    }
  });

  it('fitting ratio: the theorem, its threshold, and large finite tasks', () => {
    const easy = { alpha: 1.3, beta: 1.6 };
    const threshold = (1.6 - 1.3) / (1.3 * 0.3);
    expect(powerlawFittingRatio({ ...easy, relativeNoise: threshold * 0.99 })).toMatchObject({
      fittingRatio: 0,
      obligatoryOverfitting: true,
    });
    const above = powerlawFittingRatio({ ...easy, relativeNoise: 1 });
    expect(above.fittingRatio).toBeGreaterThan(0);
    expect(above.obligatoryOverfitting).toBe(false);
    const curve = [0, 0.001, above.fittingRatio, 0.05, 0.5].map((r) => above.relativeTestRisk(r));
    expect(curve[2]).toBeCloseTo(1, 12);
    expect(Math.min(...curve)).toBe(curve[2]);
    const hard = powerlawSpectrum({ modes: 20_000, alpha: 1.8, beta: 1.5 });
    const unit = krrRisk({ ...hard, n: 100, ridge: 0 }).testRisk;
    for (const relativeNoise of [0, 0.1, 1, 5]) {
      const found = optimalRidge({ ...hard, n: 100, noise: relativeNoise * unit });
      const { fittingRatio } = powerlawFittingRatio({ alpha: 1.8, beta: 1.5, relativeNoise });
      expect(Math.abs(found.fittingRatio - fittingRatio)).toBeLessThan(0.02);
    }
    expect(() => powerlawFittingRatio({ alpha: 1.5, beta: 4 })).toThrow(/beta/);
    expect(() => above.relativeTestRisk(1)).toThrow(/fittingRatio/);
    expect(() => optimalRidge({ ...task, n: [1, 2] as never })).toThrow(/n must be a number/);
  });
});
