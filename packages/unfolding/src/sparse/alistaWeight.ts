/** The matrix of ALISTA, from the dictionary alone. */
import { checkFinite, checkTensor } from '@orth/backend';
import { type Tensor2D, tensor2d } from '@tensorflow/tfjs-core';

/** Pivots of the Gram matrix below this part of its largest diagonal entry count as 0 (float32 input). */
const RANK_TOLERANCE = 1e-10;

/**
 * `W = G A D` with `G = (A Aᵀ)⁻¹` and the diagonal D that makes `wᵢᵀ aᵢ = 1`: of all W with unit diagonal of `WᵀA` it has
 * the least `‖WᵀA‖_F`. The paper minimises the largest off-diagonal entry; this relaxation has a closed form. Computed on
 * the host in float64.
 *
 * @param A - dictionary `[M, N]`, `M <= N`, of full row rank and without a zero column
 * @returns `[M, N]`
 * @throws TypeError or RangeError if A does not fit, has not full row rank, or has a zero column
 * @see Liu, Chen, Wang, Yin 2019, "ALISTA", eq. 14; closed form of the Frobenius relaxation derived here
 */
export async function alistaWeight(A: Tensor2D): Promise<Tensor2D> {
  const caller = 'alistaWeight';
  checkTensor(caller, 'A', A, { rank: 2 });
  const [M, N] = A.shape;
  const a = await A.data();
  checkFinite(caller, 'A', a);
  const L = choleskyOfGram(a, M, N);
  if (!L) {
    throw new RangeError(`${caller}: A must have full row rank, got a singular A Aᵀ of size ${M}`);
  }
  // Column by column: G aᵢ by two triangular systems, then scaled.
  const W = new Float32Array(M * N);
  const g = new Float64Array(M);
  for (let i = 0; i < N; i++) {
    for (let r = 0; r < M; r++) {
      let s = a[r * N + i]!;
      for (let k = 0; k < r; k++) s -= L[r * M + k]! * g[k]!;
      g[r] = s / L[r * M + r]!;
    }
    for (let r = M - 1; r >= 0; r--) {
      let s = g[r]!;
      for (let k = r + 1; k < M; k++) s -= L[k * M + r]! * g[k]!;
      g[r] = s / L[r * M + r]!;
    }
    let scale = 0;
    for (let r = 0; r < M; r++) scale += a[r * N + i]! * g[r]!;
    if (!(scale > 0)) {
      throw new RangeError(`${caller}: A must have no zero column, got one at ${i}`);
    }
    for (let r = 0; r < M; r++) W[r * N + i] = g[r]! / scale;
  }
  return tensor2d(W, [M, N]);
}

/** Lower Cholesky factor of `A Aᵀ`, row-major; undefined if it is singular. */
function choleskyOfGram(a: ArrayLike<number>, M: number, N: number): Float64Array | undefined {
  const L = new Float64Array(M * M);
  let largest = 0;
  for (let r = 0; r < M; r++) {
    for (let c = 0; c <= r; c++) {
      let s = 0;
      for (let i = 0; i < N; i++) s += a[r * N + i]! * a[c * N + i]!;
      L[r * M + c] = s;
    }
    largest = Math.max(largest, L[r * M + r]!);
  }
  for (let r = 0; r < M; r++) {
    for (let c = 0; c <= r; c++) {
      let s = L[r * M + c]!;
      for (let k = 0; k < c; k++) s -= L[r * M + k]! * L[c * M + k]!;
      if (c < r) L[r * M + c] = s / L[c * M + c]!;
      else if (s > RANK_TOLERANCE * largest) L[r * M + r] = Math.sqrt(s);
      else return undefined;
    }
  }
  return L;
}
