import { registerFusedKernel } from '@orth/backend';
import { maxError } from '@orth/testing';
import { getBackend, grad, mul, sum, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type IterateAttributes,
  type OrthogonalizeAttributes,
  orthogonalize,
} from '../src/index.js';
import { iterate } from '../src/iterate.js';
import { orthogonalizeBatch } from '../src/orthogonalize.js';
import { gaussian, toTensor } from './reference.js';

const removals: (() => void)[] = [];
afterEach(() => {
  for (const remove of removals.splice(0)) remove();
});

describe('a kernel registered by a backend', () => {
  it.each(['newton-schulz/iterate', 'newton-schulz/orthogonalize'])(
    'for %s runs in its place, and the gradient stays',
    (name) => {
      tidy(() => {
        const x = toTensor(gaussian(1, [2, 3, 5]));
        const W = toTensor(gaussian(2, [2, 3, 5]));
        const options = { method: 'quintic', normalization: 'schatten4' } as const;
        const gradient = grad((y: Tensor) => sum(mul(W, orthogonalize(y, options))));
        const [value, slope] = [orthogonalize(x, options), gradient(x)];
        const calls: [Tensor[], IterateAttributes | OrthogonalizeAttributes][] = [];
        removals.push(
          registerFusedKernel(name, getBackend(), (inputs, attributes: OrthogonalizeAttributes) => {
            calls.push([inputs, attributes]);
            const op = name === 'newton-schulz/iterate' ? iterate : orthogonalizeBatch;
            return op.definition.reference(inputs, attributes);
          }),
        );
        expect(maxError(orthogonalize(x, options), value)).toBe(0);
        expect(calls).toHaveLength(1);
        const [inputs, attributes] = calls[0]!;
        expect(inputs[0]!.shape).toEqual([2, 3, 5]);
        expect(attributes).toMatchObject({ form: 'auto', restarts: [4] });
        expect(attributes.coefficients).toHaveLength(5);
        expect(maxError(gradient(x), slope)).toBeLessThan(1e-4 * Math.max(...slope.dataSync()));
        return value;
      });
    },
  );
});
