import { learningRateScale } from '@orth/muon';
import { expect, test } from 'vitest';

test('rules, for outputs and inputs', () => {
  expect(learningRateScale('original', 12, 3)).toBe(2);
  expect(learningRateScale('original', 3, 12)).toBe(1);
  expect(learningRateScale('matchRmsAdamW', 4, 100)).toBeCloseTo(2);
  expect(learningRateScale('matchRmsAdamW', 100, 4)).toBeCloseTo(2);
  expect(learningRateScale('spectral', 3, 12)).toBe(0.5);
  expect(learningRateScale('none', 3, 12)).toBe(1);
  expect(learningRateScale((outSize, inSize) => outSize - inSize, 5, 2)).toBe(3);
});

test('wrong ones are refused', () => {
  expect(() => learningRateScale('double' as never, 1, 1)).toThrow(/one of "original"/);
  expect(() => learningRateScale('none', 0, 1)).toThrow(RangeError);
  expect(() => learningRateScale(() => Number.NaN, 1, 1)).toThrow(RangeError);
});
