import { checkInteger, checkNumber, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import {
  abs,
  cast,
  greaterEqual,
  matMul,
  mul,
  oneHot,
  relu,
  sign,
  sub,
  sum,
  type Tensor2D,
  tidy,
  topk,
  transpose,
} from '@tensorflow/tfjs-core';

/** How codes are made sparse; neither `k` nor `threshold`: not at all. */
export interface SparseCodeOptions {
  /** Keep the k entries of each sample that are largest in size, 1 … N. */
  readonly k?: number;
  /** Keep entries of at least this size, >= 0. */
  readonly threshold?: number;
  /** With `threshold`: leave what is kept as it is, or shrink it by the threshold. Default `'hard'` */
  readonly mode?: 'hard' | 'soft';
}

/**
 * Codes `Z = DᵀY` of an orthogonal dictionary, made sparse: for such a `D` the best k-term codes are the k largest.
 *
 * @param D - atoms as columns, shape `[N, N]`
 * @param Y - samples as columns, shape `[N, B]`
 * @returns shape `[N, B]`
 * @throws TypeError or RangeError for shapes that do not fit, a bad option, or both `k` and `threshold`
 */
export function encodeSparse(D: Tensor2D, Y: Tensor2D, options: SparseCodeOptions = {}): Tensor2D {
  checkTensor('encode', 'D', D, { rank: 2 });
  const [n, atoms] = D.shape;
  checkTensor('encode', 'Y', Y, { shape: [n, null] });
  checkOptions('encode', options, ['k', 'threshold', 'mode']);
  const { k, threshold, mode = 'hard' } = options;
  if (k !== undefined) checkInteger('encode', 'k', k, { min: 1, max: atoms });
  if (threshold !== undefined) checkNumber('encode', 'threshold', threshold, { min: 0 });
  checkOneOf('encode', 'mode', mode, ['hard', 'soft']);
  if (k !== undefined && threshold !== undefined) {
    throw new RangeError('encode: threshold must be absent where k is given');
  }
  if (options.mode !== undefined && threshold === undefined) {
    throw new RangeError('encode: mode must be absent where threshold is not given');
  }
  return tidy(() => {
    const Z = matMul(D, Y, true) as Tensor2D;
    if (k !== undefined && k < atoms) {
      const rows = transpose(Z);
      const { indices } = topk(abs(rows), k, false);
      // Not in int32, for which tfjs's WebGPU kernel does not compile.
      const mask = sum(oneHot(cast(indices, 'int32'), atoms, 1, 0, 'float32'), 1);
      return transpose(mul(rows, mask)) as Tensor2D;
    }
    if (threshold === undefined) return Z;
    if (mode === 'soft') return mul(sign(Z), relu(sub(abs(Z), threshold))) as Tensor2D;
    return mul(Z, cast(greaterEqual(abs(Z), threshold), 'float32')) as Tensor2D;
  });
}

/**
 * Samples `D Z`.
 *
 * @param D - atoms as columns, shape `[N, N]`
 * @param Z - codes as columns, shape `[N, B]`
 * @returns shape `[N, B]`
 * @throws TypeError or RangeError for shapes that do not fit
 */
export function decodeSparse(D: Tensor2D, Z: Tensor2D): Tensor2D {
  checkTensor('decode', 'D', D, { rank: 2 });
  checkTensor('decode', 'Z', Z, { shape: [D.shape[1], null] });
  return matMul(D, Z);
}
