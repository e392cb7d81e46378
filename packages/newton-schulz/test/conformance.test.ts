/** The same small list on every backend, against float64 on the host. */
import { expectTensorClose } from '@orth/testing';
import { grad, memory, mul, sum, type Tensor } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  exactPolarAsync,
  mapSingularValues,
  type OrthogonalizeOptions,
  orthogonalityError,
  orthogonalize,
  polar,
  SCHEDULES,
} from '../src/index.js';
import { frobenius, gaussian, mapSpectrum, toTensor, withSpectrum } from './reference.js';

/** Agreement demanded of every backend: float32 rounding through five steps. */
const TOLERANCE = { rtol: 0, atol: 1e-4 };

const x = withSpectrum(1, 4, 6, [1, 0.7, 0.4, 0.2]);
const muon = SCHEDULES.muon.coefficients;
const mapped = (norm: (values: Float64Array) => number) =>
  mapSpectrum(x, (values) =>
    mapSingularValues(
      muon,
      values.map((s) => s / norm(values)),
    ),
  );

describe('conformance', () => {
  it.each([
    ['standard form', { form: 'standard' }, frobenius],
    ['Gram form', { form: 'gram' }, frobenius],
    [
      'Schatten-4 start',
      { normalization: 'schatten4' },
      (s) => s.reduce((a, v) => a + v ** 4, 0) ** 0.25,
    ],
  ] as [string, OrthogonalizeOptions, (values: Float64Array) => number][])(
    '%s',
    async (_, o, norm) => {
      const count = memory().numTensors;
      const input = toTensor(x);
      const q = orthogonalize(input, o);
      expectTensorClose(await q.data(), mapped(norm), TOLERANCE);
      input.dispose();
      q.dispose();
      expect(memory().numTensors).toBe(count);
    },
  );

  it('huge and tiny inputs', async () => {
    const input = toTensor(x);
    for (const c of [1e-20, 1e20]) {
      const scaled = mul(input, c);
      const q = orthogonalize(scaled, { form: 'standard' });
      expectTensorClose(await q.data(), mapped(frobenius), TOLERANCE);
      scaled.dispose();
      q.dispose();
    }
    input.dispose();
  });

  it('polar factor and gradient', async () => {
    const input = toTensor(x);
    const W = toTensor(gaussian(2, [4, 6]));
    const exact = await exactPolarAsync(input);
    const q = polar(input);
    const error = orthogonalityError(q);
    expectTensorClose(await q.data(), await exact.value.data(), TOLERANCE);
    expect((await error.data())[0]).toBeLessThan(1e-5);
    const got = grad((y: Tensor) => sum(mul(W, polar(y))))(input);
    const want = exact.gradient(W);
    expectTensorClose(await got.data(), await want.data(), TOLERANCE);
    for (const y of [input, W, exact.value, q, error, got, want]) y.dispose();
  });
});
