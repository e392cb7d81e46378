import { checkInteger, checkOneOf } from '@orth/backend';
import { type Tensor2D, tensor2d } from '@tensorflow/tfjs-core';

/**
 * Orthogonal matrix of a discrete cosine transform, `[n, n]`; its **rows** are the basis vectors.
 *
 * Type 2: `Q[i, j] = √(2/n) cos(π i (2j + 1) / 2n)`, row 0 divided by √2, so that `X Qᵀ` is the DCT-II of X's rows. Type 3
 * is the transpose, which is the inverse. Every entry is the float32 nearest to the float64 value.
 *
 * @param n - size, integer >= 1
 * @param type - 2 or 3. Default 2
 * @returns float32, which the caller disposes
 * @throws TypeError or RangeError for a bad argument
 * @see Ahmed, Natarajan, Rao 1974, "Discrete cosine transform"
 */
export function dctMatrix(n: number, type: 2 | 3 = 2): Tensor2D {
  checkInteger('dctMatrix', 'n', n, { min: 1 });
  checkOneOf('dctMatrix', 'type', type, [2, 3]);
  // The angle's integer part is reduced modulo a full turn, 4n, before the cosine: exact for any n.
  const wave = Float64Array.from({ length: 4 * n }, (_, k) => Math.cos((Math.PI * k) / (2 * n)));
  const values = new Float32Array(n * n);
  for (let i = 0; i < n; i++) {
    const scale = Math.sqrt((i === 0 ? 1 : 2) / n);
    for (let j = 0; j < n; j++) {
      const at = type === 2 ? i * n + j : j * n + i;
      values[at] = scale * wave[(i * (2 * j + 1)) % (4 * n)]!;
    }
  }
  return tensor2d(values, [n, n]);
}
