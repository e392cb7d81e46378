import { expectTensorClose, maxError } from '@orth/testing';
import { grad, mul, sum, type Tensor, tensor, tidy, zeros } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  mapSingularValues,
  type OrthogonalizeOptions,
  orthogonalize,
  SCHEDULES,
} from '../src/index.js';
import { frobenius, gaussian, mapSpectrum, toTensor, withSpectrum } from './reference.js';

const scoped = (check: () => void) =>
  tidy(() => {
    check();
  });

/** Central differences of a function of a host matrix, in float64. */
function differences(loss: (data: Float64Array) => number, at: Float32Array, h = 1e-6): number[] {
  return Array.from(at, (_, i) => {
    const shifted = (by: number) => Float64Array.from(at, (v, j) => (j === i ? v + by : v));
    return (loss(shifted(h)) - loss(shifted(-h))) / (2 * h);
  });
}

const shapes = [
  [3, 5],
  [5, 3],
  [4, 4],
] as const;

describe('the gradient of orthogonalize', () => {
  it.each(['muon', 'quintic', 'polarExpress', 'simple', 'cubic5'] as const)(
    'of %s is that of the map of singular values',
    (method) => {
      const { coefficients, safety } = SCHEDULES[method];
      for (const [m, n] of shapes) {
        const x = withSpectrum(3, m, n, [1, 0.8, 0.4, 0.3].slice(0, Math.min(m, n)));
        const w = gaussian(4, [m, n]).data;
        const loss = (data: Float64Array, norm: (values: Float64Array) => number) => {
          const q = mapSpectrum(
            { shape: [m, n], data: data as unknown as Float32Array },
            (values) =>
              mapSingularValues(
                coefficients,
                values.map((s) => s / norm(values) / safety),
              ),
          );
          return q.reduce((total, value, i) => total + value * w[i]!, 0);
        };
        const schatten = (values: Float64Array) =>
          values.reduce((total, s) => total + s ** 4, 0) ** (1 / 4);
        for (const normalization of ['frobenius', 'schatten4'] as const) {
          const norm = normalization === 'frobenius' ? frobenius : schatten;
          const want = differences((data) => loss(data, norm), x.data);
          const size = Math.max(...want.map(Math.abs));
          for (const form of ['standard', 'gram'] as const) {
            scoped(() => {
              const f = (y: Tensor) => orthogonalize(y, { method, normalization, form });
              const got = grad((y) => sum(mul(tensor(w, [m, n]), f(y))))(toTensor(x));
              expectTensorClose(got, want, { rtol: 0, atol: 1e-3 * size });
            });
          }
        }
      }
    },
  );

  it.each(['aol', 'spectral', 'none'] as const)(
    'agrees with differences for the %s start',
    (normalization) => {
      for (const [m, n] of shapes) {
        const x = withSpectrum(5, m, n, [0.9, 0.6, 0.5, 0.3].slice(0, Math.min(m, n)));
        const o: OrthogonalizeOptions = { method: 'classic5', steps: 2, normalization };
        scoped(() => {
          const W = toTensor(gaussian(6, [m, n]));
          const loss = (y: Tensor) => sum(mul(W, orthogonalize(y, o)));
          const got = grad(loss)(toTensor(x));
          const inFloat32 = (data: Float64Array) =>
            loss(tensor(Float32Array.from(data), [m, n])).dataSync()[0]!;
          // Differences of float32 values: a wide step, hence a coarse comparison.
          expectTensorClose(got, differences(inFloat32, x.data, 1e-2), { rtol: 0, atol: 2e-2 });
        });
      }
    },
  );

  it('is inverse to the scale of the input, and has no part along it', () => {
    const x = gaussian(1, [4, 6]);
    scoped(() => {
      const W = toTensor(gaussian(2, [4, 6]));
      const gradient = grad((y: Tensor) => sum(mul(W, orthogonalize(y))));
      const want = gradient(toTensor(x));
      for (const power of [-60, -10, 10, 60]) {
        const scaled = gradient(mul(toTensor(x), 2 ** power));
        expectTensorClose(mul(scaled, 2 ** power), want, { rtol: 0, atol: 1e-5 });
      }
      const along = sum(mul(want, toTensor(x))).dataSync()[0]!;
      expect(Math.abs(along)).toBeLessThan(1e-4 * frobenius(want.dataSync()) * frobenius(x.data));
    });
  });

  it('is finite at a zero matrix, for every start', () => {
    for (const normalization of ['frobenius', 'schatten4', 'aol', 'spectral', 'none'] as const) {
      scoped(() => {
        const got = grad((y: Tensor) => sum(orthogonalize(y, { normalization })))(zeros([2, 3]));
        expect([...got.dataSync()].every(Number.isFinite)).toBe(true);
      });
    }
  });

  it('can be differentiated again', () => {
    const [m, n] = [2, 3];
    const x = withSpectrum(7, m, n, [1, 0.6]);
    scoped(() => {
      const W = toTensor(gaussian(8, [m, n]));
      const V = toTensor(gaussian(9, [m, n]));
      const first = grad((y: Tensor) => sum(mul(W, orthogonalize(y, { method: 'classic5' }))));
      const along = (y: Tensor) => sum(mul(V, first(y)));
      const second = grad(along)(toTensor(x));
      const want = differences(
        (data) => along(tensor(Float32Array.from(data), [m, n])).dataSync()[0]!,
        x.data,
        1e-2,
      );
      expect(maxError(second, zeros([m, n]))).toBeGreaterThan(0.1);
      expectTensorClose(second, want, { rtol: 2e-2, atol: 2e-2 });
    });
  });
});
