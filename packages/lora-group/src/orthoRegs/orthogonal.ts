import { checkInteger, checkOneOf, checkOptions, checkTensor } from '@orth/backend';
import { polar } from '@orth/newton-schulz';
import {
  concat,
  mul,
  pad,
  slice,
  sub,
  type Tensor,
  type Tensor2D,
  tensor2d,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { bjorck } from './bjorck.js';
import { blockReflector } from './blockReflector.js';
import { cayley } from './cayley.js';
import { householder } from './householder.js';
import { matrixExp } from './matrixExp.js';

/** A map from free parameters to orthogonal matrices; see {@link orthogonal}. */
export type OrthogonalMap =
  | 'matrixExp'
  | 'cayley'
  | 'householder'
  | 'blockReflector'
  | 'bjorck'
  | 'polar';

/** All maps. */
export const ORTHOGONAL_MAPS: readonly OrthogonalMap[] = [
  'matrixExp',
  'cayley',
  'householder',
  'blockReflector',
  'bjorck',
  'polar',
];

/** Options of {@link orthogonal}. */
export interface OrthogonalOptions {
  /** Default: `'matrixExp'` for square parameters, `'householder'` for others, as torch's */
  readonly map?: OrthogonalMap;
  /** Steps of `'bjorck'`, integer >= 1. Default 12 */
  readonly steps?: number;
}

/** torch's choice: the exponential where it fits, reflections otherwise. */
export const defaultMap = ([rows, columns]: readonly number[]): OrthogonalMap =>
  rows === columns ? 'matrixExp' : 'householder';

/**
 * A matrix with orthonormal columns (rows, if these are fewer) from free parameters. Differentiable on every backend.
 *
 * - `'matrixExp'`, `'cayley'`: {@link matrixExp} or {@link cayley} of the skew-symmetric `P = S − Sᵀ`, S the strict upper
 *   triangle of `params`; of tall parameters, the first n columns with P's last rows from the rows below. Zero parameters
 *   give the identity. Rotations only
 * - `'householder'`: {@link householder}
 * - `'blockReflector'`: {@link blockReflector}, `[m, m]` from `[m, n]`
 * - `'bjorck'`, `'polar'`: the nearest orthogonal matrix to `params`, by {@link bjorck} or `polar` of `@orth/newton-schulz`
 *
 * @param params - shape `[m, n]`
 * @returns shape `[m, n]`, but for `'blockReflector'`
 * @throws TypeError or RangeError if `params` is no matrix, an option is wrong, or a block reflector's is wide
 * @example
 * const W = orthogonal(params, { map: 'cayley' });
 * @see Lezcano-Casado and Martínez-Rubio 2019, "Cheap Orthogonal Constraints", for the exponential
 */
export function orthogonal(params: Tensor, options: OrthogonalOptions = {}): Tensor2D {
  checkTensor('orthogonal', 'params', params, { rank: 2 });
  checkOptions('orthogonal', options, ['map', 'steps']);
  const { map = defaultMap(params.shape), steps = 12 } = options;
  checkOneOf('orthogonal', 'map', map, ORTHOGONAL_MAPS);
  checkInteger('orthogonal', 'steps', steps, { min: 1 });
  return tidy(() => {
    if (map === 'bjorck') return bjorck(params, { steps }) as Tensor2D;
    if (map === 'polar') return polar(params) as Tensor2D;
    if (map === 'blockReflector') return blockReflector(params) as Tensor2D;
    const wide = params.shape[0]! < params.shape[1]!;
    const tall = wide ? transpose(params) : params;
    const Q = map === 'householder' ? householder(tall) : rotation(tall, map);
    return (wide ? transpose(Q) : Q) as Tensor2D;
  });
}

function rotation(params: Tensor, map: 'matrixExp' | 'cayley'): Tensor {
  const [m, n] = params.shape as [number, number];
  const P = skewOf(params);
  const Q = map === 'matrixExp' ? matrixExp(P) : cayley(P);
  return m === n ? Q : slice(Q, [0, 0], [m, n]);
}

/** `[[S − Sᵀ, Lᵀ], [−L, 0]]` from `[m, n]` parameters: S the strict upper triangle of the first n rows, L the other rows. */
function skewOf(params: Tensor): Tensor {
  const [m, n] = params.shape as [number, number];
  const upper = new Float32Array(n * n);
  for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) upper[i * n + j] = 1;
  const S = mul(slice(params, [0, 0], [n, n]), tensor2d(upper, [n, n]));
  const right = m === n ? S : concat([S, transpose(slice(params, [n, 0], [m - n, n]))], 1);
  const whole = pad(right, [
    [0, m - n],
    [0, 0],
  ]);
  return sub(whole, transpose(whole));
}
