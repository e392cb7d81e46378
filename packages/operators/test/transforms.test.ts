import { fft2, fft3, ifft2, ifft3, irfft2, irfft3, rfft2, rfft3 } from '@orth/operators';
import { expectTensorClose } from '@orth/testing';
import { add, grad, memory, square, sum, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { dft, gaussian, halfOf, toTensor } from './reference.js';

const TOLERANCE = { rtol: 1e-5, atol: 1e-4 };

describe.each([[[5, 7]], [[8, 6]], [[1, 4]], [[13, 1]], [[3, 4, 5]], [[2, 1, 6]]])(
  'over %j',
  (shape) => {
    const size = shape.reduce((p, n) => p * n, 1);
    const [a, b] = [gaussian(1, size), gaussian(2, size)];
    const three = shape.length === 3;
    const [forward, inverse] = three ? [fft3, ifft3] : [fft2, ifft2];
    const [realForward, realInverse] = three ? [rfft3, irfft3] : [rfft2, irfft2];

    it('complex: the definition, and back', () => {
      const before = memory().numTensors;
      tidy(() => {
        const z = { re: toTensor(a, shape), im: toTensor(b, shape) };
        const own = forward(z);
        const want = dft(a, b, shape);
        expectTensorClose(own.re, want.re, TOLERANCE);
        expectTensorClose(own.im, want.im, TOLERANCE);
        const back = inverse(own);
        expectTensorClose(back.re, a, TOLERANCE);
        expectTensorClose(back.im, b, TOLERANCE);
      });
      expect(memory().numTensors).toBe(before);
    });

    it('real: the kept half, and back, in a batch', () => {
      tidy(() => {
        const x = toTensor([...a, ...b], [2, ...shape]);
        const own = realForward(x);
        const n = shape.at(-1)!;
        const wants = [a, b].map((v) => dft(v, undefined, shape));
        expectTensorClose(
          own.re,
          wants.flatMap((w) => halfOf(w.re, n)),
          TOLERANCE,
        );
        expectTensorClose(
          own.im,
          wants.flatMap((w) => halfOf(w.im, n)),
          TOLERANCE,
        );
        expectTensorClose(realInverse(own, n), x, TOLERANCE);
      });
    });

    it('gradient of Σ|x̂|² is 2Nx (Parseval)', () => {
      tidy(() => {
        const f = (x: Tensor) => {
          const z = forward({ re: x, im: toTensor(b, shape) });
          return add(sum(square(z.re)), sum(square(z.im)));
        };
        const own = grad(f)(toTensor(a, shape));
        expectTensorClose(
          own,
          a.map((v) => 2 * size * v),
          { rtol: 1e-4, atol: 1e-3 },
        );
      });
    });
  },
);

it('second derivatives exist', () => {
  tidy(() => {
    const f = (x: Tensor) => sum(square(square(rfft2(x).re)));
    const second = grad((x: Tensor) => sum(square(grad(f)(x))));
    const x = gaussian(3, 4);
    const value = (v: Float64Array) => {
      const { re } = dft(v, undefined, [2, 2]);
      // Σ re⁴ has gradient 4 Tᵀ re³ with the real, symmetric T of the 2×2 transform.
      const g = dft(
        re.map((r) => 4 * r ** 3),
        undefined,
        [2, 2],
      ).re;
      return g.reduce((s, r) => s + r * r, 0);
    };
    const want = x.map((_, i) => {
      const at = (h: number) => value(x.map((v, j) => v + (i === j ? h : 0)));
      return (at(1e-5) - at(-1e-5)) / 2e-5;
    });
    expectTensorClose(second(toTensor(x, [2, 2])), want, { rtol: 1e-3, atol: 1e-2 });
  });
});

it('refuses what it cannot transform', () => {
  tidy(() => {
    const x = toTensor([1, 2, 3], [3]);
    expect(() => rfft2(x)).toThrow('rfft2: x must have rank >= 2, got shape [3]');
    const m = toTensor([1, 2, 3, 4], [2, 2]);
    expect(() => fft2({ re: m, im: x })).toThrow('fft2: z.im must have shape [2,2]');
    expect(() => irfft2({ re: m, im: m }, 5)).toThrow('length must be 2 or 3');
  });
});
