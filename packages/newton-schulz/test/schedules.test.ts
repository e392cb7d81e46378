import { describe, expect, it } from 'vitest';
import { mapSingularValues, SCHEDULES, type ScheduleName } from '../src/index.js';

/** Range of the composed map over [0.01, 1] and over [0.001, 1], and its slope at 0: measured when specified. */
const RANGES: [ScheduleName, [number, number], [number, number], number][] = [
  ['muon', [0.682, 1.134], [0.471, 1.202], 485],
  ['quintic', [0.978, 1.032], [0.475, 1.145], 493],
  ['polarExpress', [0.859, 1.141], [0.847, 1.141], 970],
  ['cans', [0.884, 1.12], [0.884, 1.12], 1049],
  ['cubic5', [0.774, 1.3], [0.119, 1.3], 119],
  ['simple', [1, 1], [1, 1], 4096],
  ['deepseekV4', [1, 1.001], [1, 1.001], 7.9e4],
  ['classic5', [0.228, 1], [0.023, 1], 23],
];

const spaced = (from: number) =>
  Float64Array.from({ length: 20_001 }, (_, i) => from ** (1 - i / 20_000));

describe('SCHEDULES', () => {
  it.each(RANGES)('%s maps singular values into its range', (name, from2, from3, slope) => {
    const { coefficients, safety } = SCHEDULES[name];
    const range = (from: number) => {
      const mapped = mapSingularValues(
        coefficients,
        spaced(from).map((s) => s / safety),
      );
      return [mapped.reduce((a, b) => Math.min(a, b)), mapped.reduce((a, b) => Math.max(a, b))];
    };
    range(0.01).forEach((bound, i) => {
      expect(Math.abs(bound - from2[i]!)).toBeLessThan(2e-3);
    });
    range(0.001).forEach((bound, i) => {
      expect(Math.abs(bound - from3[i]!)).toBeLessThan(2e-3);
    });
    const gain = coefficients.reduce((product, [a = 0]) => product * a, 1) / safety;
    expect(Math.abs(gain / slope - 1)).toBeLessThan(1e-2);
  });

  it('aol keeps singular values near 1 near 1', () => {
    const mapped = mapSingularValues(SCHEDULES.aol.coefficients, spaced(0.9));
    expect(Math.min(...mapped)).toBeGreaterThan(0.93);
    expect(Math.max(...mapped)).toBeLessThan(1.05);
  });
});

describe('mapSingularValues', () => {
  it('composes rows of either length, the first one first', () => {
    const [y] = mapSingularValues(
      [
        [2, -1.5, 0.5],
        [1.5, -0.5],
      ],
      [0.5],
    );
    const first = 0.5 * (2 - 1.5 * 0.25 + 0.5 * 0.0625);
    expect(y).toBe(first * (1.5 - 0.5 * first * first));
  });

  it('refuses rows of another length', () => {
    expect(() => mapSingularValues([[1]], [1])).toThrow(
      /coefficients must be .* got 1 numbers at 0/,
    );
  });
});
