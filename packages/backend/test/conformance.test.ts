import { add, grad, square, sum, tensor1d } from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';

test('adds', async () => {
  const x = tensor1d([1, 2]);
  expect([...(await add(x, x).data())]).toEqual([2, 4]);
  expect([...(await grad((y) => sum(square(y)))(x).data())]).toEqual([2, 4]);
});
