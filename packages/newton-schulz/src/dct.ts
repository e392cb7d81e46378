import { checkInteger, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  complex,
  gather,
  getBackend,
  imag,
  matMul,
  mul,
  real,
  reshape,
  spectral,
  sub,
  type Tensor,
  tensor1d,
  tidy,
  transpose,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { dctMatrix } from './dctMatrix.js';

/** How a discrete cosine transform is computed: by a matrix product, or by a fast Fourier transform. */
export type DctTransform = 'auto' | 'matmul' | 'fft';

/** The choices of {@link DctTransform}. */
export const DCT_TRANSFORMS: readonly DctTransform[] = ['auto', 'matmul', 'fft'];

/** Options of {@link dct}. */
export interface DctOptions {
  /** The axis to transform; negative ones count from the end. Default −1 */
  readonly axis?: number;
  /** 2, or 3, its inverse. Default 2 */
  readonly type?: 2 | 3;
  /**
   * `'matmul'` costs O(n²) a vector, `'fft'` O(n log n), where the backend's Fourier transform does (on webgpu and webgl
   * it does not, and the product is taken). `'auto'` takes the product below n = 2048. Default `'auto'`
   */
  readonly transform?: DctTransform;
}

/** Size from which `'auto'` takes the Fourier transform: shorter products are faster in every backend measured. */
const FFT_FROM = 2048;

/** Backends whose Fourier transform is a direct sum: no faster than a product, and less exact. */
const SLOW_FOURIER = new Set(['webgpu', 'webgl']);

/** What is used for a length, on the active backend. */
export function chooseTransform(transform: DctTransform, n: number): 'matmul' | 'fft' {
  if (transform === 'matmul' || SLOW_FOURIER.has(getBackend())) return 'matmul';
  return transform === 'fft' || n >= FFT_FROM ? 'fft' : 'matmul';
}

/**
 * Orthonormal discrete cosine transform along one axis, of any length: DCT-II, or its inverse DCT-III.
 *
 * @param x - rank >= 1, float32; not modified
 * @returns the same shape; for a matrix and axis −1: `X Qᵀ` (type 2) or `X Q` (type 3) with `Q = dctMatrix(n)`
 * @throws TypeError or RangeError for a bad tensor or option
 * @example
 * const coefficients = dct(x);
 * const same = dct(coefficients, { type: 3 });
 * @see Makhoul 1980, "A fast cosine transform in one and two dimensions"
 */
export function dct(x: Tensor, options: DctOptions = {}): Tensor {
  checkOptions('dct', options, ['axis', 'type', 'transform']);
  checkTensor('dct', 'x', x, { minRank: 1 });
  const { axis = -1, type = 2, transform = 'auto' } = options;
  checkInteger('dct', 'axis', axis, { min: -x.rank, below: x.rank });
  checkOneOf('dct', 'type', type, [2, 3]);
  checkOneOf('dct', 'transform', transform, DCT_TRANSFORMS);
  const last = x.rank - 1;
  const along = axis < 0 ? axis + x.rank : axis;
  const order = x.shape.map((_, i) => (i === along ? last : i === last ? along : i));
  return tidy(() => {
    const moved = along === last ? x : transpose(x, order);
    const n = x.shape[along]!;
    const rows = reshape(moved, [x.size / n, n]);
    const y =
      chooseTransform(transform, n) === 'matmul'
        ? matMul(rows, dctMatrix(n, type), false, true)
        : type === 2
          ? forward(rows, n)
          : backward(rows, n);
    const back = reshape(y, moved.shape);
    return along === last ? back : transpose(back, order);
  });
}

/** Evens ascending, then odds descending: the order in which a DCT-II of length n is the real part of a twisted DFT. */
export function makhoulOrder(n: number): Int32Array {
  const half = Math.ceil(n / 2);
  return Int32Array.from({ length: n }, (_, i) => (i < half ? 2 * i : 2 * (n - i) - 1));
}

/** cos and sin of `π k / 2n`, times a factor for each k. */
function twist(n: number, factor: (k: number) => number) {
  const angle = (k: number) => (Math.PI * k) / (2 * n);
  const cos = Float32Array.from({ length: n }, (_, k) => factor(k) * Math.cos(angle(k)));
  const sin = Float32Array.from({ length: n }, (_, k) => factor(k) * Math.sin(angle(k)));
  return { cos: tensor1d(cos), sin: tensor1d(sin) };
}

/** What makes row k of the transform a unit vector. */
const unit = (n: number) => (k: number) => Math.sqrt((k === 0 ? 1 : 2) / n);

/** `y_k = Re(e^{−iπk/2n} V_k)·unit_k` with `V` the DFT of the reordered row. */
function forward(rows: Tensor, n: number): Tensor {
  const v = gather(rows, tensor1d(makhoulOrder(n), 'int32'), 1);
  const V = spectral.fft(complex(v, zerosLike(v)));
  const { cos, sin } = twist(n, unit(n));
  return add(mul(real(V), cos), mul(imag(V), sin));
}

/** The inverse: since v is real, `V_k = e^{iπk/2n} (c_k − i c_{n−k})` with `c_k = y_k / unit_k` and `c_n = 0`. */
function backward(rows: Tensor, n: number): Tensor {
  const c = mul(rows, tensor1d(Float32Array.from({ length: n }, (_, k) => 1 / unit(n)(k))));
  const mirror = Int32Array.from({ length: n }, (_, k) => (n - k) % n);
  const notFirst = tensor1d(Float32Array.from({ length: n }, (_, k) => (k === 0 ? 0 : 1)));
  const d = mul(gather(c, tensor1d(mirror, 'int32'), 1), notFirst);
  const { cos, sin } = twist(n, () => 1);
  const V = complex(add(mul(c, cos), mul(d, sin)), sub(mul(c, sin), mul(d, cos)));
  const v = real(spectral.ifft(V));
  const place = new Int32Array(n);
  makhoulOrder(n).forEach((from, i) => {
    place[from] = i;
  });
  return gather(v, tensor1d(place, 'int32'), 1);
}
