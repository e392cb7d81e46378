import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  cansCoefficients,
  mapSingularValues,
  oddMinimaxQuintic,
  polarExpressCoefficients,
  SCHEDULES,
} from '../src/index.js';

const interval = fc
  .tuple(
    fc.double({ min: 1e-4, max: 0.99, noNaN: true }),
    fc.double({ min: 0.1, max: 3, noNaN: true }),
  )
  .map(([ratio, u]) => [ratio * u, u] as const);

const at = (row: readonly number[], x: number) => mapSingularValues([row], [x])[0]!;

describe('oddMinimaxQuintic', () => {
  it('errs equally, with alternating sign, at four points', () => {
    fc.assert(
      fc.property(interval, ([l, u]) => {
        const [a, b, c] = oddMinimaxQuintic(l, u);
        const root = Math.sqrt(9 * b * b - 20 * a * c);
        const q = Math.sqrt((-3 * b - root) / (10 * c));
        const r = Math.sqrt((-3 * b + root) / (10 * c));
        const errors = [l, q, r, u].map((x) => 1 - at([a, b, c], x));
        expect(l < q && q < r && r < u).toBe(true);
        errors.forEach((error, i) => {
          expect(Math.abs(error - (i % 2 ? -1 : 1) * errors[0]!)).toBeLessThan(1e-10);
        });
      }),
    );
  });

  it('nears the Taylor quintic where the interval is a point', () => {
    const near = oddMinimaxQuintic(0.9999, 1.0001);
    [15 / 8, -10 / 8, 3 / 8].forEach((want, i) => {
      expect(near[i]).toBeCloseTo(want, 6);
    });
    expect(oddMinimaxQuintic(2 - 1e-6, 2)).toEqual([15 / 16, -10 / 64, 3 / 256]);
  });

  // Computed with 60 digits. By elimination in float64 the first has four digits.
  it.each([
    [1 - 1e-5, 1 + 1e-5, [1.8750000001054687, -1.2500000001171874, 0.3750000000117186]],
    [0.5, 0.5001, [3.749625058583674, -9.997000693603155, 11.994001837053846]],
    [1e-6, 1, [8.514258082455063, -25.281575954766765, 18.76730935805362]],
  ])('keeps its digits on [%d, %d]', (lower, upper, want) => {
    oddMinimaxQuintic(lower, upper).forEach((value, i) => {
      expect(Math.abs(value / want[i]! - 1)).toBeLessThan(1e-11);
    });
  });

  it('refuses a bad interval', () => {
    expect(() => oddMinimaxQuintic(1, 1)).toThrow(/lower must be .* < 1, got 1/);
    expect(() => oddMinimaxQuintic(0, 1)).toThrow(RangeError);
  });
});

describe('polarExpressCoefficients', () => {
  it('gives the published table', () => {
    const rows = polarExpressCoefficients();
    rows.forEach((row, t) => {
      row.forEach((value, i) => {
        expect(value).toBeCloseTo(SCHEDULES.polarExpress.coefficients[t]![i]!, 9);
      });
    });
  });

  it('comes closer to 1 with every further step', () => {
    const s = Array.from({ length: 400 }, (_, i) => 10 ** (-3 + (3 * i) / 399));
    const errors = [3, 4, 5, 6, 7].map((steps) => {
      const rows = polarExpressCoefficients({ steps, safety: 0, cushion: 0 });
      return Math.max(...mapSingularValues(rows, s).map((p) => Math.abs(1 - p)));
    });
    errors.slice(1).forEach((error, i) => {
      expect(error).toBeLessThan(errors[i]!);
    });
    expect(errors.at(-1)).toBeLessThan(1e-6);
  });

  it('refuses bad options', () => {
    expect(() => polarExpressCoefficients({ steps: 0 })).toThrow(RangeError);
    expect(() => polarExpressCoefficients({ lower: 1 })).toThrow(RangeError);
    expect(() => polarExpressCoefficients({ cushion: -1 })).toThrow(RangeError);
    expect(() => polarExpressCoefficients({ length: 3 } as object)).toThrow(
      /unknown option "length"/,
    );
  });
});

describe('cansCoefficients', () => {
  it('gives cubics that err equally at three points', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-4, max: 0.9, noNaN: true }), (lower) => {
        const [[a, b]] = cansCoefficients({ lower, steps: 1, degree: 3 }) as [[number, number]];
        const top = Math.sqrt(-a / (3 * b));
        const errors = [lower, top, 1].map((x) => 1 - at([a, b], x));
        errors.forEach((error, i) => {
          expect(Math.abs(error - (i % 2 ? -1 : 1) * errors[0]!)).toBeLessThan(1e-12);
        });
      }),
    );
  });

  it('of degree 5 is Polar Express without its safety measures', () => {
    const cans = cansCoefficients({ lower: 0.1, steps: 3 });
    const express = polarExpressCoefficients({ lower: 0.1, steps: 3, safety: 0, cushion: 0 });
    cans.flat().forEach((value, i) => {
      expect(value).toBeCloseTo(express.flat()[i]!, 9);
    });
  });

  it('refuses another degree', () => {
    const rows = cansCoefficients({ lower: 1e-20, steps: 60, degree: 5 });
    // Of a number as small, 1 − E would keep nothing.
    expect(mapSingularValues(rows, [1e-20])[0]).toBeCloseTo(1, 12);
    expect(() => cansCoefficients({ degree: 7 as 5 })).toThrow(/degree must be one of 3, 5, got 7/);
  });
});
