import { eye, mul, scalar, stack, tensor, tidy, transpose, zeros } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  exactPolar,
  orthogonalityError,
  polarError,
  singularValueSummary,
  singularValues,
  spectralError,
} from '../src/index.js';
import { toTensor, withSpectrum } from './reference.js';

const values = [2, 1.5, 0.5];
const wide = () => toTensor(withSpectrum(1, 3, 5, values));

describe('error metrics', () => {
  it('follow from the singular values', () => {
    tidy(() => {
      const x = wide();
      const rms = (f: (s: number) => number) =>
        Math.sqrt(values.reduce((total, s) => total + f(s) ** 2, 0) / 3);
      for (const y of [x, transpose(x)]) {
        expect(orthogonalityError(y).shape).toEqual([]);
        expect(orthogonalityError(y).dataSync()[0]).toBeCloseTo(
          rms((s) => s * s - 1),
          5,
        );
        expect(polarError(y, exactPolar(y)).dataSync()[0]).toBeCloseTo(
          rms((s) => s - 1),
          5,
        );
      }
      return scalar(0);
    });
  });

  it('are one number a matrix', async () => {
    const x = tidy(() => stack([eye(3), mul(eye(3), 2)]));
    tidy(() => {
      expect([...orthogonalityError(x).dataSync()]).toEqual([0, 3]);
      expect([...polarError(x, stack([eye(3), eye(3)])).dataSync()]).toEqual([0, 1]);
      return scalar(0);
    });
    expect([...(await singularValues(x))]).toEqual([1, 1, 1, 2, 2, 2]);
    expect(await spectralError(x)).toBe(1);
    x.dispose();
  });

  it('summarise singular values', async () => {
    const x = wide();
    (await singularValues(x)).forEach((value, i) => {
      expect(value).toBeCloseTo(values[i]!, 6);
    });
    const summary = await singularValueSummary(x);
    expect(summary.largest).toBeCloseTo(2, 6);
    expect(summary.smallest).toBeCloseTo(0.5, 6);
    expect(summary.condition).toBeCloseTo(4, 5);
    expect(summary.spectralError).toBeCloseTo(1, 6);
    expect(summary.rmsError).toBeCloseTo(Math.sqrt((1 + 0.25 + 0.25) / 3), 6);
    expect(summary.rank).toBe(3);
    x.dispose();
    const singular = tensor([1, 2, 2, 4], [2, 2]);
    expect((await singularValueSummary(singular)).rank).toBe(1);
    singular.dispose();
  });

  it('refuse what is no batch of matrices', async () => {
    const x = zeros([3]);
    const y = zeros([2, 2]);
    expect(() => orthogonalityError(x)).toThrow(/orthogonalityError: x must have rank >= 2/);
    expect(() => polarError(y, x)).toThrow(/reference must have shape \[2,2\], got shape \[3\]/);
    await expect(singularValues(x)).rejects.toThrow(/singularValues: x must have rank >= 2/);
    await expect(spectralError(mul(y, Number.NaN))).rejects.toThrow(/must be finite, got NaN/);
    x.dispose();
    y.dispose();
  });
});
