import { type Adapter, formatResult, parseFixture, runFixture } from '@orth/testing';
import { add, memory } from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';

const json = (data: unknown[], tolerance = { rtol: 0, atol: 1e-6 }) => ({
  name: 'double',
  op: 'example/double',
  params: {},
  inputs: { x: { shape: [2], dtype: 'float32', data: [1, 2] } },
  outputs: { y: { shape: [2], dtype: 'float32', data } },
  tolerance,
});
const double: Adapter = ({ inputs }) => ({ y: add(inputs.x!, inputs.x!) });

test('a right result is ok, a wrong one names the output, the place and the error', async () => {
  const before = memory().numTensors;
  const adapters = { 'example/double': double };
  expect(formatResult(await runFixture(parseFixture(json([2, 4])), adapters))).toBe(
    'ok double max_err=0.00e+0',
  );
  const wrong = formatResult(await runFixture(parseFixture(json([2, 5])), adapters));
  expect(wrong).toBe('FAIL double output=y max_err=1.00e+0 at 1: got 4, want 5');
  expect(memory().numTensors).toBe(before);
});

test('NaN agrees with NaN only, infinities with themselves only', async () => {
  const give = (y: number[]): Record<string, Adapter> => ({ 'example/double': () => ({ y }) });
  const want = parseFixture(json(['NaN', '-Infinity']));
  expect((await runFixture(want, give([Number.NaN, -Infinity]))).status).toBe('ok');
  expect((await runFixture(want, give([Number.NaN, Infinity]))).status).toBe('fail');
  expect((await runFixture(want, give([0, -Infinity]))).status).toBe('fail');
  const finite = parseFixture(json([1, 2], { rtol: 1, atol: 1 }));
  expect((await runFixture(finite, give([Number.NaN, 2]))).status).toBe('fail');
});

test('an op without an adapter is unknown; a throwing adapter and a missing output fail', async () => {
  const fixture = parseFixture(json([2, 4]));
  expect(formatResult(await runFixture(fixture, {}))).toBe('unknown double op=example/double');
  expect((await runFixture(fixture, { 'example/double': () => ({}) })).output).toBe('y');
  const boom: Adapter = () => {
    throw new Error('boom');
  };
  expect((await runFixture(fixture, { 'example/double': boom })).detail).toBe('boom');
});

test('a damaged fixture is refused with the field at fault', () => {
  const fixture = json([2, 4]);
  expect(() => parseFixture([])).toThrow('a fixture must be an object');
  expect(() => parseFixture({ ...fixture, op: 3 })).toThrow('a name and an op');
  expect(() => parseFixture({ ...fixture, tolerance: {} })).toThrow('double: tolerance');
  expect(() => parseFixture(json([2]))).toThrow('outputs.y: shape [2] needs 2 numbers, got 1');
  expect(() => parseFixture(json([2, 'x']))).toThrow('not a number');
});
