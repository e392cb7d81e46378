import { useBackend } from '@orth/backend';
import { expect, test } from 'vitest';

test('in Node, wasm leaves the listeners to errors of the process as they were', async () => {
  const listeners = () =>
    ['uncaughtException', 'unhandledRejection'].map((event) => process.listeners(event as never));
  const before = listeners();
  await useBackend('wasm');
  expect(listeners()).toEqual(before);
});
