import { RealFft2D } from '@orth/operators';
import { expect, it } from 'vitest';
import { dft, gaussian, relativeMax } from './reference.js';

it.each([1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15])('n = %i is the transform by definition', (n) => {
  const fft = new RealFft2D(n);
  const x = gaussian(n, n * n);
  const spectrum = fft.emptySpectrum();
  fft.forward(x, spectrum);
  const want = dft(x, undefined, [n, n]);
  for (let ky = 0; ky < n; ky++) {
    for (let kx = 0; kx < fft.half; kx++) {
      const at = ky * fft.half + kx;
      expect(spectrum.re[at]).toBeCloseTo(want.re[kx * n + ky]!, 10);
      expect(spectrum.im[at]).toBeCloseTo(want.im[kx * n + ky]!, 10);
    }
  }
  const back = new Float64Array(n * n);
  fft.inverse(spectrum, back);
  expect(relativeMax(back, x)).toBeLessThan(1e-14);
});

it('large sizes come back, powers of two and not', () => {
  for (const n of [64, 96, 97]) {
    const fft = new RealFft2D(n);
    const x = gaussian(n, n * n);
    const spectrum = fft.emptySpectrum();
    fft.forward(x, spectrum);
    const back = new Float64Array(n * n);
    fft.inverse(spectrum, back);
    expect(relativeMax(back, x)).toBeLessThan(1e-13);
  }
});

it('drops what no real field has', () => {
  const fft = new RealFft2D(4);
  const spectrum = fft.emptySpectrum();
  spectrum.im[0] = 1;
  const x = new Float64Array(16);
  fft.inverse(spectrum, x);
  expect(Math.max(...x.map(Math.abs))).toBe(0);
});

it('refuses a size that is none', () => {
  expect(() => new RealFft2D(0)).toThrow('RealFft2D: n must be an integer >= 1, got 0');
});
