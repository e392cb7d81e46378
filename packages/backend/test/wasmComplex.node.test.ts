/** Complex tensors and Fourier transforms on wasm, against cpu and against their definition. */
import { maxError } from '@orth/testing';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { agrees, data, property, useBoth } from './againstCpu.js';

useBoth();

const z = (a: tf.Tensor, b: tf.Tensor) => tf.complex(a, b);
test('any length, against the definition in float64', async () => {
  await tf.setBackend('wasm');
  await property(
    fc.tuple(fc.integer({ min: 1, max: 130 }), fc.boolean()),
    async ([n, inverse]) => {
      const [a, b] = [data(2, n), data(2, n)];
      const input = z(tf.tensor(a.values, a.shape), tf.tensor(b.values, b.shape));
      const got = (inverse ? tf.ifft(input) : tf.fft(input)).dataSync();
      const want = new Float64Array(4 * n);
      for (let row = 0; row < 2; row++) {
        for (let k = 0; k < n; k++) {
          for (let j = 0; j < n; j++) {
            const angle = ((inverse ? 2 : -2) * Math.PI * ((j * k) % n)) / n;
            const [c, s] = [Math.cos(angle), Math.sin(angle)];
            const [x, y] = [a.values[row * n + j]!, b.values[row * n + j]!];
            want[2 * (row * n + k)]! += (x * c - y * s) / (inverse ? n : 1);
            want[2 * (row * n + k) + 1]! += (x * s + y * c) / (inverse ? n : 1);
          }
        }
      }
      expect(maxError(got, want)).toBeLessThan(4e-7 * Math.max(...want.map(Math.abs), 1));
    },
    60,
  );
});
test('arithmetic, parts and moving of elements', async () => {
  const two = () => [data(2, 3), data(2, 3)];
  await agrees(two(), (a, b) => tf.real(tf.mul(z(a, b), z(b, a))));
  await agrees(two(), (a, b) => tf.imag(tf.add(z(a, b), tf.sub(z(b, a), z(a, a)))));
  await agrees(two(), (a, b) => tf.abs(z(a, b)));
  await agrees(two(), (a, b) => tf.imag(tf.concat([z(a, b), z(b, b)], 1)));
  await agrees(two(), (a, b) => tf.imag(tf.reshape(tf.clone(z(a, b)), [3, 2])));
  await agrees(two(), (a, b) =>
    tf.add(tf.cast(z(a, b), 'float32'), tf.imag(tf.zerosLike(z(a, b)))),
  );
});
test('slice, transpose, stack and broadcasting, which cpu cannot do', async () => {
  await tf.setBackend('wasm');
  const a = z(tf.tensor([1, 2, 3, 4], [2, 2]), tf.tensor([5, 6, 7, 8], [2, 2]));
  expect([...tf.slice(a, [0, 1], [2, 1]).dataSync()]).toEqual([2, 6, 4, 8]);
  expect([...tf.transpose(a).dataSync()]).toEqual([1, 5, 3, 7, 2, 6, 4, 8]);
  expect(tf.stack([a, a]).shape).toEqual([2, 2, 2]);
  expect([...tf.unstack(a)[1]!.dataSync()]).toEqual([3, 7, 4, 8]);
  expect([...tf.onesLike(a).dataSync()]).toEqual([1, 0, 1, 0, 1, 0, 1, 0]);
  const row = z(tf.tensor([0, 1]), tf.tensor([1, 0]));
  expect([...tf.mul(a, row).dataSync()]).toEqual([-5, 1, 2, 6, -7, 3, 4, 8]);
  expect([...tf.mul(a, 2).dataSync()]).toEqual([2, 10, 4, 12, 6, 14, 8, 16]);
});
test('rfft and irfft with their gradients', async () => {
  for (const n of [4, 6, 7, 16, 30]) {
    await agrees([data(2, n)], (x) => {
      const y = tf.spectral.rfft(x);
      return tf.add(tf.real(y), tf.mul(2, tf.imag(y)));
    });
    await agrees([data(2, n), data(2, n)], (a, b) => tf.spectral.irfft(z(a, b)));
  }
  await agrees([data(3, 5), data(3, 5)], (a, b) =>
    tf.abs(tf.ifft(tf.mul(tf.fft(z(a, b)), z(b, a)))),
  );
});
test('a complex tensor moves from cpu to wasm', async () => {
  await tf.setBackend('cpu');
  const a = z(tf.tensor([1, 2]), tf.tensor([3, 4]));
  await tf.setBackend('wasm');
  expect([...tf.real(tf.add(a, a)).dataSync()]).toEqual([2, 4]);
});
