/** Tables of complex exponentials as real matrices: a discrete Fourier transform is then a product of matrices. */
import { type Tensor2D, tensor2d } from '@tensorflow/tfjs-core';

/**
 * Integer frequencies of a transform of length `n` in its usual order: 0 … ⌈n/2⌉ − 1, then −⌊n/2⌋ … −1.
 */
export function frequencies(n: number): number[] {
  return Array.from({ length: n }, (_, k) => (k < Math.ceil(n / 2) ? k : k - n));
}

/** The integers from `start` up to, without, `end`. */
export const range = (start: number, end: number): number[] =>
  Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i);

/** How many frequencies a real transform of length `n` keeps: ⌊n/2⌋ + 1. */
export const halfLength = (n: number): number => Math.floor(n / 2) + 1;

/** How often frequency `k` of a half spectrum stands in the whole one: once for 0 and n/2, else twice. */
export const multiplicity = (k: number, n: number): number => (k === 0 || 2 * k === n ? 1 : 2);

/** What a table multiplies: entry (j, k) is `factor(j, k) · exp(sign · 2πi · rows[j] · columns[k] / n)`. */
export interface TableSpec {
  readonly n: number;
  readonly sign: 1 | -1;
  readonly rows: readonly number[];
  readonly columns: readonly number[];
  /** Complex factor of an entry, as [real, imaginary]. Default 1 */
  readonly factor?: (row: number, column: number) => readonly [number, number];
  /** The input is real: only the rows that take its real part are made. */
  readonly realInput?: boolean;
  /** Of the output only the real part is wanted. */
  readonly realOutput?: boolean;
}

const CACHE_LIMIT = 64;
const cache = new Map<string, Float32Array>();

/**
 * The matrix of a transform on rows that hold all real parts, then all imaginary parts: with `a + ib` an entry,
 * `[[a, b], [−b, a]]`. Angles are reduced modulo a full turn as integers, in float64, before the cosine.
 *
 * Values are kept on the host by `key`, so that making the tensor again costs a copy.
 *
 * @param key - names the spec; equal keys must mean equal specs
 */
export function fourierTable(key: string, makeSpec: () => TableSpec): Tensor2D {
  const known = cache.get(key);
  if (known) return asTensor(known);
  const { n, sign, rows, columns, factor, realInput, realOutput } = makeSpec();
  const [height, width] = [rows.length, columns.length];
  const outHeight = realInput ? height : 2 * height;
  const outWidth = realOutput ? width : 2 * width;
  // Two leading numbers carry the shape, so that the cache needs one array a table.
  const data = new Float32Array(2 + outHeight * outWidth);
  data[0] = outHeight;
  data[1] = outWidth;
  const put = (i: number, j: number, value: number) => {
    if (i < outHeight && j < outWidth) data[2 + i * outWidth + j] = value;
  };
  const turn = Float64Array.from({ length: n }, (_, k) => Math.cos((2 * Math.PI * k) / n));
  const turned = Float64Array.from({ length: n }, (_, k) => Math.sin((2 * Math.PI * k) / n));
  rows.forEach((row, j) => {
    columns.forEach((column, k) => {
      const steps = (((sign * row * column) % n) + n) % n;
      const [re, im] = [turn[steps]!, turned[steps]!];
      const [f, g] = factor ? factor(row, column) : [1, 0];
      const [a, b] = [f * re - g * im, f * im + g * re];
      put(j, k, a);
      put(j, width + k, b);
      put(height + j, k, -b);
      put(height + j, width + k, a);
    });
  });
  if (cache.size >= CACHE_LIMIT) cache.delete(cache.keys().next().value!);
  cache.set(key, data);
  return asTensor(data);
}

function asTensor(data: Float32Array): Tensor2D {
  return tensor2d(data.subarray(2), [data[0]!, data[1]!]);
}
