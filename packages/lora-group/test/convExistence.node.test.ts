import { type ConvLayer, orthogonalConvExists } from '@orth/lora-group';
import { describe, expect, test } from 'vitest';

const ask = (
  outChannels: number,
  inChannels: number,
  kernel: number,
  rest: Partial<ConvLayer> = {},
) => orthogonalConvExists({ inChannels, outChannels, kernel, ...rest });

describe('circular', () => {
  test.each([
    [4, 6, 3, 1, true, 'row'],
    [6, 6, 3, 1, true, 'square'],
    [9, 6, 3, 1, true, 'column'],
    [9, 1, 3, 4, true, 'row'],
    [10, 1, 3, 4, false, 'row'],
    [16, 1, 3, 4, false, 'square'],
    [17, 1, 3, 4, false, 'column'],
    [5, 1, 3, 2, true, 'column'],
    [2, 1, 1, 2, false, 'row'],
  ] as const)('M %s, C %s, k %s, S %s: %s, %s', (M, C, kernel, stride, exists, kind) => {
    const found = ask(M, C, kernel, { stride });
    expect(found).toMatchObject({ exists, case: kind, trivial: false });
    expect(found.reason).not.toBe('');
  });

  test('1-D, axes of their own, images smaller than the kernel', () => {
    expect(ask(4, 1, 3, { stride: 4, dim: 1 })).toMatchObject({ exists: false, case: 'square' });
    expect(ask(3, 1, 3, { stride: 4, dim: 1 })).toMatchObject({ exists: true, case: 'row' });
    const uneven = { inChannels: 1, kernel: [1, 5], stride: [2, 1] };
    expect(orthogonalConvExists({ ...uneven, outChannels: 1 }).exists).toBe(true);
    expect(orthogonalConvExists({ ...uneven, outChannels: 2 }).exists).toBe(false);
    // On 2 inputs a kernel of 3 is one of 2, and a stride of 2 gives one output.
    expect(ask(4, 1, 3, { stride: 2, size: 2 })).toMatchObject({ exists: true, case: 'square' });
  });
});

describe('without padding', () => {
  const padding = 'valid';
  test.each([
    [3, 6, 3, 1, undefined, true],
    [7, 6, 3, 1, undefined, false],
    [10, 1, 3, 4, undefined, false],
    [9, 1, 3, 4, undefined, true],
    [9, 1, 3, 3, undefined, true],
    [12, 1, 3, 3, undefined, true],
    [4, 1, 3, 1, 3, true],
    [9, 1, 3, 1, 3, true],
    [12, 1, 3, 1, 3, true],
    [12, 1, 3, 1, 4, true],
    [12, 1, 3, 1, 5, false],
    [12, 1, 3, 3, 9, true],
    [12, 1, 3, 3, 10, false],
    [4, 1, 3, 1, 4, true],
    [5, 1, 3, 1, 4, true],
    [2, 1, 3, 1, 5, false],
  ] as const)('M %s, C %s, k %s, S %s, size %s: %s', (M, C, kernel, stride, size, exists) => {
    const found = ask(M, C, kernel, { stride, padding, ...(size !== undefined && { size }) });
    expect(found.exists).toBe(exists);
  });

  test('what is not known for small images is said to be so', () => {
    const found = ask(13, 6, 5, { padding, dim: 1, size: 7 });
    expect(found.exists).toBeUndefined();
    expect(found.reason).toMatch(/not known/);
  });
});

test('zero padding: the same layers, by trivial kernels only', () => {
  for (const padding of ['same', 'zero'] as const) {
    const found = ask(4, 6, 3, { padding });
    expect(found).toMatchObject({ exists: true, trivial: true, case: 'row' });
    expect(found.reason).toMatch(/1×1/);
    expect(ask(20, 2, 5, { padding, stride: 2 }).reason).toMatch(/block of S/);
    expect(ask(10, 1, 3, { padding, stride: 4 })).toMatchObject({ exists: false });
    expect(ask(4, 6, 1, { padding }).trivial).toBe(false);
  }
});

test.each([
  [{ inChannels: 0 }, /inChannels must be/],
  [{ outChannels: 1.5 }, /outChannels must be/],
  [{ kernel: 0 }, /kernel must be/],
  [{ stride: 0 }, /stride must be/],
  [{ kernel: [3, 3, 3] }, /dim must be one of 1, 2/],
  [{ kernel: [3, 3], size: [4] }, /size must be a number or 2 numbers/],
  [{ stride: 2, size: 5 }, /multiple of the stride/],
  [{ padding: 'valid', size: 2 }, /size must be >= the kernel/],
  [{ padding: 'reflect' }, /padding must be one of/],
  [{ groups: 2 }, /unknown option/],
] as const)('refuses %o', (wrong, message) => {
  const layer = { inChannels: 1, outChannels: 1, kernel: 3, ...wrong } as unknown as ConvLayer;
  expect(() => orthogonalConvExists(layer)).toThrow(message);
});
