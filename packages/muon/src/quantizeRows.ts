import { checkOneOf, checkTensor } from '@orth/backend';
import {
  add,
  cast,
  concat,
  div,
  floor,
  greater,
  max,
  min,
  mul,
  pad,
  reshape,
  slice,
  split,
  stack,
  sub,
  sum,
  type Tensor,
  tensor1d,
  tidy,
  where,
} from '@tensorflow/tfjs-core';

/** Bits of a code. */
export type CodeBits = 4 | 8;

/** Rows as small integers. */
export interface QuantizedRows {
  /** Codes packed into words of 24 bits, `[…, words]` int32: three codes of 8 bits a word, or six of 4. */
  readonly codes: Tensor;
  /** Least and greatest value of each row, `[…, m, 2]`. */
  readonly range: Tensor;
}

/** Bits of a word in use. WebGPU's kernels compute with int32 in float32, and there are no shifts: 24 bits are exact. */
const WORD = 24;

/** Words that `size` codes take. */
export const wordsOf = (size: number, bits: CodeBits) => Math.ceil((size * bits) / WORD);

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

/** `[b, size]` codes in float32 to `[b, words]` int32; the first code is the highest digit. */
function pack(codes: Tensor, bits: CodeBits): Tensor {
  const [count, size] = codes.shape as [number, number];
  const digits = WORD / bits;
  const words = wordsOf(size, bits);
  const padded = pad(codes, [
    [0, 0],
    [0, words * digits - size],
  ]);
  const weights = tensor1d(Array.from({ length: digits }, (_, d) => 2 ** (WORD - bits * (d + 1))));
  return cast(sum(mul(reshape(padded, [count, words, digits]), weights), 2), 'int32');
}

/** Inverse of {@link pack}, as float32. */
function unpack(words: Tensor, size: number, bits: CodeBits): Tensor {
  const [count, length] = words.shape as [number, number];
  const digits = WORD / bits;
  const codes: Tensor[] = [];
  let rest: Tensor = cast(words, 'float32');
  for (let d = digits - 1; d > 0; d--) {
    const base = 2 ** (bits * d);
    const code = floor(mul(rest, 1 / base));
    codes.push(code);
    rest = sub(rest, mul(code, base));
  }
  const flat = reshape(stack([...codes, rest], 2), [count, length * digits]);
  return slice(flat, [0, 0], [count, size]);
}
