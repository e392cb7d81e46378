import {
  checkBoolean,
  checkFinite,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkTensor,
} from '@orth/backend';
import { ones, tensor, tensor1d, zeros } from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';

test('numbers: the rule, the bounds and the value are in the message', () => {
  checkNumber('f', 'a', 0.5, { above: 0, max: 1 });
  expect(() => checkNumber('f', 'a', 0, { above: 0, max: 1 })).toThrow(
    new RangeError('f: a must be a finite number > 0 and <= 1, got 0'),
  );
  expect(() => checkNumber('f', 'a', 1, { min: 0, below: 1 })).toThrow(
    new RangeError('f: a must be a finite number >= 0 and < 1, got 1'),
  );
  expect(() => checkNumber('f', 'a', Number.NaN)).toThrow(
    new RangeError('f: a must be a finite number, got NaN'),
  );
  expect(() => checkNumber('f', 'a', '1')).toThrow(
    new TypeError('f: a must be a finite number, got "1"'),
  );
  expect(() => checkNumber('f', 'a', undefined)).toThrow(TypeError);
});

test('a number passes exactly when it is within the bounds', () => {
  const bound = fc.double({ noNaN: true, noDefaultInfinity: true });
  fc.assert(
    fc.property(fc.double(), bound, bound, (value, min, below) => {
      const inside = Number.isFinite(value) && value >= min && value < below;
      const check = () => checkNumber('f', 'a', value, { min, below });
      if (inside) expect(check).not.toThrow();
      else expect(check).toThrow(RangeError);
    }),
  );
});

test('integers', () => {
  checkInteger('f', 'n', -3);
  expect(() => checkInteger('f', 'n', 1.5)).toThrow(
    new RangeError('f: n must be an integer, got 1.5'),
  );
  expect(() => checkInteger('f', 'n', 0, { min: 1 })).toThrow(
    new RangeError('f: n must be an integer >= 1, got 0'),
  );
  expect(() => checkInteger('f', 'n', null)).toThrow(TypeError);
});

test('booleans and choices', () => {
  checkBoolean('f', 'b', false);
  expect(() => checkBoolean('f', 'b', 1)).toThrow(
    new TypeError('f: b must be true or false, got 1'),
  );
  checkOneOf('f', 'c', 'x', ['x', 'y']);
  expect(() => checkOneOf('f', 'c', 'X', ['x', 'y'])).toThrow(
    new RangeError('f: c must be one of "x", "y", got "X"'),
  );
});

test('options: unknown names, and what is no options object', () => {
  checkOptions('f', { a: 1 }, ['a', 'b']);
  expect(() => checkOptions('f', { aa: 1 }, ['a', 'b'])).toThrow(
    new TypeError('f: unknown option "aa"; known are a, b'),
  );
  for (const bad of [undefined, null, 3, [1, 2], 'text']) {
    expect(() => checkOptions('f', bad, ['a'])).toThrow(/^f: options must be an object, got /);
  }
});

test('tensors: kind, dtype, rank, shape, emptiness, life', () => {
  const x = ones([2, 3]);
  checkTensor('f', 'x', x, { rank: 2, shape: [2, null] });
  checkTensor('f', 'x', zeros([0, 3]), { allowEmpty: true });
  expect(() => checkTensor('f', 'x', [1, 2])).toThrow(
    new TypeError('f: x must be a tensor, got [1, 2]'),
  );
  expect(() => checkTensor('f', 'x', tensor1d([1], 'int32'))).toThrow(
    new TypeError('f: x must have dtype float32, got int32'),
  );
  expect(() => checkTensor('f', 'x', x, { rank: 3 })).toThrow(
    new RangeError('f: x must have rank 3, got shape [2,3]'),
  );
  expect(() => checkTensor('f', 'x', x, { minRank: 3 })).toThrow(
    new RangeError('f: x must have rank >= 3, got shape [2,3]'),
  );
  expect(() => checkTensor('f', 'x', x, { shape: [null, 4] })).toThrow(
    new RangeError('f: x must have shape [*,4], got shape [2,3]'),
  );
  expect(() => checkTensor('f', 'x', x, { shape: [2, 3, null] })).toThrow(RangeError);
  expect(() => checkTensor('f', 'x', zeros([0, 3]))).toThrow(
    new RangeError('f: x must not be empty, got shape [0,3]'),
  );
  x.dispose();
  expect(() => checkTensor('f', 'x', x)).toThrow('f: x must not be disposed');
});

test('finite entries: the first that is not, by index', () => {
  checkFinite('f', 'x', [0, -1, 1e300]);
  checkFinite('f', 'x', tensor([[1, 2]]));
  expect(() => checkFinite('f', 'x', [1, Number.NaN, Infinity])).toThrow(
    new RangeError('f: x must be finite, got NaN at index 1'),
  );
  expect(() => checkFinite('f', 'x', tensor([[1, 2, -Infinity]]))).toThrow(
    new RangeError('f: x must be finite, got -Infinity at index 2'),
  );
});

test('whatever comes as a value, the message is the rule and not a failure to print it', () => {
  class Thing {}
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  const values: [unknown, string][] = [
    [new Thing(), 'an instance of Thing'],
    [Object.create(null), 'an instance of an unknown class'],
    [circular, 'an object with the keys ["self"]'],
    [10n, '10'],
    [() => 1, 'a function'],
    [Symbol('s'), 'Symbol(s)'],
    [Array(100).fill(1), '[1, 1, 1, 1, 1, 1, 1, 1, …]'],
    [ones([2]), 'a float32 tensor of shape [2]'],
  ];
  for (const [value, shown] of values) {
    expect(() => checkBoolean('f', 'b', value)).toThrow(
      new TypeError(`f: b must be true or false, got ${shown}`),
    );
  }
});
