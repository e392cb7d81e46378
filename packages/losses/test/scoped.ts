import { memory, tidy } from '@tensorflow/tfjs-core';
import { expect } from 'vitest';

/** Runs a check in a scope of its own, which must leave no tensor behind. */
export function scoped(check: () => void): void {
  const before = memory().numTensors;
  tidy(() => {
    check();
  });
  expect(memory().numTensors).toBe(before);
}
