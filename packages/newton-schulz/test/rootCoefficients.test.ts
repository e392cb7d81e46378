import { describe, expect, it } from 'vitest';
import { coefficientError, fitCoefficients } from '../src/fitCoefficients.js';
import { FITTED_COEFFICIENTS } from '../src/fittedCoefficients.js';
import { nelderMead } from '../src/nelderMead.js';
import {
  adaptiveCoefficients,
  ROOT_COEFFICIENTS,
  rootCoefficients,
} from '../src/rootCoefficients.js';
import { SCHEDULES } from '../src/schedules.js';
import { marchenkoPastur } from '../src/spectra.js';

const MUON = SCHEDULES.muon.coefficients[0]!;

describe('nelderMead', () => {
  it('finds the minimum of Rosenbrock’s function', () => {
    const f = ([x = 0, y = 0]: readonly number[]) => (1 - x) ** 2 + 100 * (y - x * x) ** 2;
    const found = nelderMead(f, [-1.2, 1], { maxIterations: 500, tolerance: 1e-14 });
    expect(found.point[0]).toBeCloseTo(1, 4);
    expect(found.point[1]).toBeCloseTo(1, 4);
  });

  it('treats NaN as infinitely bad', () => {
    const f = ([x = 0]: readonly number[]) => (x < 1 ? Number.NaN : (x - 3) ** 2);
    expect(nelderMead(f, [2], { maxIterations: 200, tolerance: 1e-12 }).point[0]).toBeCloseTo(3, 4);
  });
});

describe('marchenkoPastur', () => {
  it('has unit norm and the edges of the law', () => {
    for (const [k, l] of [
      [64, 64],
      [64, 256],
      [2048, 8192],
    ] as const) {
      const values = marchenkoPastur(k, l);
      const square = values.reduce((sum, s) => sum + s * s, 0) * (k / values.length);
      expect(square).toBeCloseTo(1, 10);
      const y = Math.sqrt(k / l);
      expect(values[0]! * Math.sqrt(k)).toBeGreaterThanOrEqual(1 - y);
      expect(values.at(-1)! * Math.sqrt(k)).toBeLessThanOrEqual(1 + y);
      expect(values.at(-1)! * Math.sqrt(k)).toBeGreaterThan(0.95 * (1 + y));
    }
  });
});

describe('fitCoefficients', () => {
  it('is never worse than Muon’s triple', () => {
    for (const shape of [
      [1, 1],
      [4, 4],
      [8, 200],
      [100, 40],
      [64, 64],
    ] as const) {
      const { error, errorDefault } = fitCoefficients({ shape });
      expect(error).toBeLessThanOrEqual(errorDefault);
    }
  });

  it('brings Gaussian 64 × 256 from 0.22 to below 0.02', () => {
    const fit = fitCoefficients({ shape: [64, 256], mix: { decay: 0 } });
    expect(fit.errorDefault).toBeCloseTo(0.22, 1);
    expect(fit.error).toBeLessThan(0.02);
  });

  it('repeats with its seed and uses samples', () => {
    const shape = [6, 9] as const;
    expect(fitCoefficients({ shape, seed: 3 })).toEqual(fitCoefficients({ shape, seed: 3 }));
    const samples = [[0.9, 0.3, 0.3]];
    const own = fitCoefficients({ shape, samples, mix: { gaussian: 0, decay: 0 } });
    expect(coefficientError(own.coefficients, samples)).toBeCloseTo(own.error, 10);
  });

  it('refuses bad arguments', () => {
    const shape = [4, 4] as const;
    expect(() => fitCoefficients({ shape, steps: 0 })).toThrow(RangeError);
    expect(() => fitCoefficients({ shape: [4] as never })).toThrow(TypeError);
    expect(() => fitCoefficients({ shape, mix: { gauss: 1 } as object })).toThrow('unknown option');
    expect(() => fitCoefficients({ shape, mix: { gaussian: 0, decay: 0 } })).toThrow(RangeError);
    expect(() => fitCoefficients({ shape, samples: [[3]] })).toThrow(RangeError);
    expect(() => coefficientError([1, 2], [[1]])).toThrow(RangeError);
  });
});

describe('rootCoefficients', () => {
  it('gives the published rows whichever way round, else Muon’s', () => {
    expect(rootCoefficients(8192, 2048)).toEqual([2.9794, -3.6674, 1.6207]);
    expect(rootCoefficients(64, 256)).toEqual(MUON);
    expect(() => rootCoefficients(0, 4)).toThrow(RangeError);
    expect(() => rootCoefficients(4, 4, 'fit' as 'fitted')).toThrow(RangeError);
  });

  it('has published rows that beat Muon’s on Gaussian spectra', () => {
    for (const [key, row] of Object.entries(ROOT_COEFFICIENTS)) {
      const [k, l] = key.split('x').map(Number) as [number, number];
      const spectra = [marchenkoPastur(k, l)];
      expect(coefficientError(row, spectra)).toBeLessThan(coefficientError(MUON, spectra));
    }
  });

  it('holds in its table what the fit gives, and fits other shapes once', () => {
    for (const key of ['32x64', '768x3072']) {
      const shape = key.split('x').map(Number) as [number, number];
      fitCoefficients({ shape }).coefficients.forEach((c, i) => {
        expect(FITTED_COEFFICIENTS[key]![i]).toBeCloseTo(c, 3);
      });
    }
    expect(adaptiveCoefficients(2048, 2048)).toEqual(ROOT_COEFFICIENTS['2048x2048']);
    expect(adaptiveCoefficients(10, 30)).toBe(adaptiveCoefficients(30, 10));
  });
});
