import { checkOneOf, checkTensor } from '@orth/backend';
import {
  add,
  cast,
  concat,
  div,
  floor,
  floorDiv,
  greater,
  greaterEqual,
  less,
  max,
  min,
  mul,
  pad,
  reshape,
  scalar,
  slice,
  split,
  stack,
  sub,
  type Tensor,
  tidy,
  where,
  zerosLike,
} from '@tensorflow/tfjs-core';

/** Bits of a code. */
export type CodeBits = 4 | 8;

/** Rows as small integers. */
export interface QuantizedRows {
  /** Codes packed into 32-bit words, `[…, words]` int32 with `words = wordsOf(m · n, bits)`. */
  readonly codes: Tensor;
  /** Least and greatest value of each row, `[…, m, 2]`. */
  readonly range: Tensor;
}

/** Words that `size` codes take. */
export const wordsOf = (size: number, bits: CodeBits) => Math.ceil((size * bits) / 32);

/**
 * Quantises each row of a matrix evenly between its least and greatest value:
 *
 *     u = (hi − lo) / L,   code = ⌊(x − lo) / u + ½⌋,   L = 2^bits − 1
 *
 * so that no value moves by more than u / 2. Runs on the device.
 *
 * @param x - `[…, m, n]`, float32; not modified
 * @param bits - 4 or 8
 * @returns codes and ranges, which the caller disposes
 * @throws TypeError or RangeError for a wrong tensor or number of bits
 * @see Modoranu et al. 2025, arXiv 2505.17967, quantised error feedback
 */
export function quantizeRows(x: Tensor, bits: CodeBits): QuantizedRows {
  checkOneOf('quantizeRows', 'bits', bits, [4, 8]);
  checkTensor('quantizeRows', 'x', x, { minRank: 2 });
  const [m, n] = x.shape.slice(-2) as [number, number];
  const batch = x.shape.slice(0, -2);
  const count = x.size / (m * n);
  return tidy(() => {
    const lo = min(x, -1, true);
    const hi = max(x, -1, true);
    const unit = div(sub(hi, lo), 2 ** bits - 1);
    const flat = greater(unit, 0);
    const codes = floor(add(div(sub(x, lo), where(flat, unit, add(unit, 1))), 0.5));
    return {
      codes: reshape(pack(reshape(codes, [count, m * n]), bits), [...batch, wordsOf(m * n, bits)]),
      range: concat([lo, hi], -1),
    };
  });
}

/**
 * Inverse of {@link quantizeRows}, up to its rounding: `lo + code · u`.
 * @param shape - of the original, `[…, m, n]`
 * @returns float32, which the caller disposes
 * @throws TypeError or RangeError for tensors that do not belong together
 */
export function dequantizeRows(
  { codes, range }: QuantizedRows,
  shape: readonly number[],
  bits: CodeBits,
): Tensor {
  const caller = 'dequantizeRows';
  checkOneOf(caller, 'bits', bits, [4, 8]);
  const [m, n] = shape.slice(-2) as [number, number];
  const batch = shape.slice(0, -2);
  const words = wordsOf(m * n, bits);
  checkTensor(caller, 'codes', codes, { shape: [...batch, words], dtype: ['int32'] });
  checkTensor(caller, 'range', range, { shape: [...batch, m, 2] });
  return tidy(() => {
    const count = codes.size / words;
    const values = reshape(unpack(reshape(codes, [count, words]), m * n, bits), [...shape]);
    const [lo, hi] = split(range, 2, -1) as [Tensor, Tensor];
    return add(lo, mul(values, div(sub(hi, lo), 2 ** bits - 1)));
  });
}

/** `[b, size]` codes in float32 to `[b, words]` int32; the first code is the highest digit, which carries the sign. */
function pack(codes: Tensor, bits: CodeBits): Tensor {
  const [count, size] = codes.shape as [number, number];
  const digits = 32 / bits;
  const words = wordsOf(size, bits);
  const padded = pad(codes, [
    [0, 0],
    [0, words * digits - size],
  ]);
  const each = cast(reshape(padded, [count, words, digits]), 'int32');
  let word = sub(digit(each, 0), scalar(2 ** (bits - 1), 'int32'));
  for (let d = 1; d < digits; d++)
    word = add(mul(word, scalar(2 ** bits, 'int32')), digit(each, d));
  return word;
}

function digit(codes: Tensor, d: number): Tensor {
  const [count, words] = codes.shape as [number, number];
  return reshape(slice(codes, [0, 0, d], [count, words, 1]), [count, words]);
}

/**
 * Inverse of {@link pack}, as float32. wasm and webgpu divide integers in float32, so a quotient may be off by one: its
 * remainder, computed exactly, tells.
 */
function unpack(words: Tensor, size: number, bits: CodeBits): Tensor {
  const [count, length] = words.shape as [number, number];
  const digits = 32 / bits;
  const codes: Tensor[] = [];
  let rest = words;
  for (let d = digits - 1; d > 0; d--) {
    const base = scalar(2 ** (bits * d), 'int32');
    const quotient = floorDiv(rest, base);
    const remainder = sub(rest, mul(quotient, base));
    const zero = zerosLike(remainder);
    const correction = sub(
      cast(greaterEqual(remainder, add(zero, base)), 'int32'),
      cast(less(remainder, zero), 'int32'),
    );
    codes.push(add(quotient, correction));
    rest = sub(remainder, mul(correction, base));
  }
  codes.push(rest);
  codes[0] = add(codes[0]!, scalar(2 ** (bits - 1), 'int32'));
  const flat = reshape(stack(codes, 2), [count, length * digits]);
  return cast(slice(flat, [0, 0], [count, size]), 'float32');
}
