import { describe, expect, it } from 'vitest';
import { bestRestarts, newtonSchulzFlops, restartStability, SCHEDULES } from '../src/index.js';

const { quintic } = SCHEDULES;

describe('bestRestarts', () => {
  it('finds the least spread among all choices', () => {
    const rows = quintic.coefficients;
    const all = [1, 2, 3, 4].map((position) => restartStability(rows, [position]));
    expect(bestRestarts(rows, 1)).toEqual([1 + all.indexOf(Math.min(...all))]);
    expect(bestRestarts(rows, 0)).toEqual([]);
    expect(bestRestarts(rows, 4)).toEqual([1, 2, 3, 4]);
  });

  it('refuses bad arguments', () => {
    expect(() => bestRestarts(quintic.coefficients, 5)).toThrow(/count must be .* <= 4, got 5/);
    expect(() => bestRestarts([], 0)).toThrow(/got no rows/);
    expect(() => bestRestarts(quintic.coefficients, 1, { perturbation: Number.NaN })).toThrow(
      /perturbation must be a finite number/,
    );
    expect(() => restartStability(quintic.coefficients, 2 as unknown as number[])).toThrow(
      TypeError,
    );
  });
});

describe('newtonSchulzFlops', () => {
  it('follows the formulas, whichever side is short', () => {
    const [k, l] = [6, 10];
    const [long, small] = [k * k * l, k ** 3];
    for (const [m, n] of [
      [k, l],
      [l, k],
    ] as const) {
      expect(newtonSchulzFlops(m, n)).toBe(20 * long + 10 * small);
      expect(newtonSchulzFlops(m, n, { form: 'gram' })).toBe(4 * long + 34 * small);
      expect(newtonSchulzFlops(m, n, { form: 'gram', restarts: [2] })).toBe(8 * long + 28 * small);
      expect(newtonSchulzFlops(m, n, { symmetric: true })).toBe(15 * long + 5 * small);
      const symmetric = { form: 'gram', symmetric: true } as const;
      expect(newtonSchulzFlops(m, n, symmetric)).toBe(3 * long + 17 * small);
      expect(newtonSchulzFlops(m, n, { ...symmetric, restarts: [2] })).toBe(6 * long + 14 * small);
      expect(newtonSchulzFlops(m, n, { degree: 3 })).toBe(20 * long);
    }
  });

  it('breaks even at 1.5 for the Gram form', () => {
    const gain = (m: number, n: number) =>
      newtonSchulzFlops(m, n) / newtonSchulzFlops(m, n, { form: 'gram' });
    expect(gain(100, 150)).toBe(1);
    expect(gain(100, 400)).toBeGreaterThan(1.7);
  });

  it('refuses bad arguments', () => {
    expect(() => newtonSchulzFlops(0, 3)).toThrow(/m must be an integer >= 1, got 0/);
    expect(() => newtonSchulzFlops(3, 3, { restarts: [5], form: 'gram' })).toThrow(/restarts\[0\]/);
    expect(() => newtonSchulzFlops(3, 3, { degree: 4 as 3 })).toThrow(/degree must be one of/);
  });
});
