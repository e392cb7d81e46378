import { expectTensorClose, maxError } from '@orth/testing';
import { grad, memory, mul, sum, tensor, tidy, transpose, zeros } from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  exactPolar,
  exactPolarAsync,
  orthogonalityError,
  orthogonalize,
  polar,
} from '../src/index.js';
import { gaussian, mapSpectrum, toTensor, withSpectrum } from './reference.js';

const shapes = fc.record({
  seed: fc.integer({ min: 0, max: 1e6 }),
  shape: fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 2, maxLength: 3 }),
});
const spread = (count: number, lower: number) =>
  Array.from({ length: count }, (_, i) => lower ** (count === 1 ? 0 : i / (count - 1)));
const scoped = (check: () => void) =>
  tidy(() => {
    check();
  });

describe('exactPolar', () => {
  it('is U Vᵀ over the singular values that are not 0', () => {
    fc.assert(
      fc.property(shapes, ({ seed, shape }) => {
        const x = gaussian(seed, shape);
        scoped(() => {
          const q = exactPolar(toTensor(x));
          expect(q.shape).toEqual(shape);
          expectTensorClose(
            q,
            mapSpectrum(x, (s) => s.map(() => 1)),
          );
          expect(Math.max(...orthogonalityError(q).dataSync())).toBeLessThan(1e-6);
        });
      }),
    );
  });

  it('leaves the null space of a matrix without full rank', () => {
    scoped(() => {
      const q = exactPolar(tensor([3, 0, 0, 0, 0, 0], [2, 3]));
      expectTensorClose(q, [1, 0, 0, 0, 0, 0]);
      expect(maxError(exactPolar(zeros([3, 2])), zeros([3, 2]))).toBe(0);
      const twice = exactPolar(tensor([1, 2, 1, 2], [2, 2]));
      const h = 1 / Math.sqrt(10);
      expectTensorClose(twice, [h, 2 * h, h, 2 * h]);
    });
  });

  it('works from 1e−30 to 1e30', () => {
    const x = gaussian(5, [4, 6]);
    scoped(() => {
      const want = exactPolar(toTensor(x));
      for (const c of [1e-30, 1e30]) expectTensorClose(exactPolar(mul(toTensor(x), c)), want);
    });
  });

  it('has the gradient that finite differences give', () => {
    for (const [m, n] of [
      [3, 5],
      [5, 3],
      [4, 4],
    ] as const) {
      const x = withSpectrum(3, m, n, spread(Math.min(m, n), 0.3));
      const w = gaussian(4, [m, n]).data;
      const loss = (data: Float32Array | Float64Array) => {
        const q = mapSpectrum({ shape: [m, n], data: data as Float32Array }, (s) => s.map(() => 1));
        return q.reduce((total, value, i) => total + value * w[i]!, 0);
      };
      const want = Array.from(x.data, (_, i) => {
        const shifted = (h: number) => Float64Array.from(x.data, (v, j) => (j === i ? v + h : v));
        return (loss(shifted(1e-5)) - loss(shifted(-1e-5))) / 2e-5;
      });
      scoped(() => {
        const W = tensor(w, [m, n]);
        const gradient = (f: typeof polar) => grad((y) => sum(mul(W, f(y))))(toTensor(x));
        expectTensorClose(gradient(exactPolar), want, { rtol: 1e-4, atol: 1e-5 });
        expectTensorClose(
          gradient((y) => polar(y)),
          want,
          { rtol: 1e-4, atol: 1e-4 },
        );
        const exact = (y: Parameters<typeof polar>[0]) => orthogonalize(y, { method: 'exact' });
        expectTensorClose(gradient(exact), want, { rtol: 1e-4, atol: 1e-5 });
      });
    }
  });

  it('has a gradient along matrices of the same rank', () => {
    // Of u vᵀ the polar factor depends on the directions of u and v alone, and not on its length.
    scoped(() => {
      const x = tensor([1, 0, 2, 2, 2, 0, 4, 4, -2, 0, -4, -4], [3, 4]);
      const W = toTensor(gaussian(9, [3, 4]));
      const gradient = grad((y) => sum(mul(W, exactPolar(y))))(x);
      expect(Math.abs(sum(mul(gradient, x)).dataSync()[0]!)).toBeLessThan(1e-5);
      expect(Number.isFinite(maxError(gradient, zeros([3, 4])))).toBe(true);
    });
  });

  it('answers asynchronously, with its gradient', async () => {
    const count = memory().numTensors;
    const x = toTensor(gaussian(1, [2, 5, 3]));
    const W = toTensor(gaussian(2, [2, 5, 3]));
    const { value, gradient } = await exactPolarAsync(x);
    scoped(() => {
      expect(maxError(value, exactPolar(x))).toBe(0);
      const want = grad((y) => sum(mul(W, exactPolar(y))))(x);
      expect(maxError(gradient(W), want)).toBe(0);
      expect(() => gradient(zeros([5, 3]))).toThrow(
        /dy must have shape \[2,5,3\], got shape \[5,3\]/,
      );
    });
    value.dispose();
    x.dispose();
    W.dispose();
    expect(memory().numTensors).toBe(count);
    await expect(exactPolarAsync(x)).rejects.toThrow(/must not be disposed/);
  });
});

describe('polar', () => {
  it('brings every singular value above its lower bound to 1', () => {
    fc.assert(
      fc.property(shapes, ({ seed, shape }) => {
        const [m, n] = shape.slice(-2) as [number, number];
        const x = withSpectrum(seed, m, n, spread(Math.min(m, n), 1e-4));
        scoped(() => {
          const q = polar(toTensor(x));
          expect(orthogonalityError(q).dataSync()[0]).toBeLessThan(2e-5);
          // The factor itself is as ill-conditioned as the matrix.
          expectTensorClose(q, exactPolar(toTensor(x)), { rtol: 0, atol: 5e-3 });
        });
      }),
      { numRuns: 50 },
    );
    scoped(() => {
      const x = toTensor(withSpectrum(2, 20, 30, spread(20, 0.05)));
      expectTensorClose(polar(x), exactPolar(x), { rtol: 0, atol: 1e-5 });
      expectTensorClose(polar(transpose(x)), transpose(polar(x)), { rtol: 0, atol: 1e-5 });
    });
  });

  it('takes fewer steps when asked for less', () => {
    scoped(() => {
      const x = toTensor(withSpectrum(6, 10, 12, spread(10, 0.2)));
      const error = (o: Parameters<typeof polar>[1]) =>
        orthogonalityError(polar(x, o)).dataSync()[0]!;
      expect(error({ lower: 0.02, maxSteps: 2 })).toBeGreaterThan(1e-2);
      expect(error({ lower: 0.02, tolerance: 1e-2 })).toBeLessThan(2e-2);
      expect(error({ lower: 0.02, tolerance: 1e-6 })).toBeLessThan(5e-6);
    });
  });

  it.each([1e-16, 1e-300])('ends at a tolerance of %d, beyond float64', (tolerance) => {
    scoped(() => {
      const x = tensor([3, 1, 0, -2], [2, 2]);
      expectTensorClose(polar(x, { tolerance, lower: 0.3 }), exactPolar(x), { atol: 2e-6 });
    });
  });

  it('gives zeros for zeros', () => {
    scoped(() => expect(maxError(polar(zeros([2, 3])), zeros([2, 3]))).toBe(0));
  });

  it('refuses bad arguments', () => {
    scoped(() => {
      const x = zeros([2, 2]);
      expect(() => polar(x, { tolerance: 0 })).toThrow(/tolerance must be .* > 0, got 0/);
      expect(() => polar(x, { lower: 1 })).toThrow(/lower must be .* < 1, got 1/);
      expect(() => polar(x, { maxSteps: 0 })).toThrow(/maxSteps must be an integer >= 1/);
      expect(() => polar(x, { steps: 3 } as object)).toThrow(/unknown option "steps"/);
      expect(() => polar(zeros([3]))).toThrow(/rank >= 2/);
      expect(() => exactPolar(zeros([3]))).toThrow(/exactPolar: x must have rank >= 2/);
    });
  });
});
