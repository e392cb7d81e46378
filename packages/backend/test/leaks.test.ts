import { assertNoLeaks, measureLeaks } from '@orth/backend';
import { add, dispose, ones, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';

test('counts what is left, in tensors and bytes', async () => {
  const kept: Tensor[] = [];
  const report = await measureLeaks(() => {
    kept.push(ones([2, 3]), ones([4]));
    ones([5]).dispose();
  });
  expect(report).toEqual({ tensors: 2, bytes: 40 });
  expect(await measureLeaks(() => dispose(kept))).toEqual({ tensors: -2, bytes: -40 });
});

test('waits for asynchronous work', async () => {
  const work = async () => {
    await Promise.resolve();
    ones([3]);
  };
  expect((await measureLeaks(work)).tensors).toBe(1);
});

test('assertNoLeaks passes the result on, or says how much was left', async () => {
  const x = ones([2]);
  expect(await assertNoLeaks(() => tidy(() => [...add(x, 1).dataSync()]))).toEqual([2, 2]);
  await expect(assertNoLeaks(() => add(x, 1))).rejects.toThrow(
    'assertNoLeaks: 1 tensors (8 bytes) were left behind',
  );
  const failing = () => {
    throw new Error('from the work');
  };
  await expect(assertNoLeaks(failing)).rejects.toThrow('from the work');
});
