import { checkTensor } from '@orth/backend';
import {
  add,
  customGrad,
  getBackend,
  matMul,
  mul,
  reshape,
  sub,
  type Tensor,
  tensor,
  tidy,
  transpose as transposeTensor,
} from '@tensorflow/tfjs-core';
import { type HostMatrices, toHost, transpose } from './hostMatrices.js';
import { type Svd, svd } from './svd.js';

/**
 * The polar factor itself: `U Vᵀ` over the singular values that are not 0, computed on the host in float64.
 *
 * A reference, not for training: it reads `x` back, and takes O(k² l) per matrix, a second at 256 × 256. Use
 * {@link polar} for a converged iteration on the device. Differentiable; at a matrix without full rank, where the polar
 * factor jumps, the gradient is that along matrices of the same rank.
 *
 * @param x - matrix or batch of matrices, shape `[…, m, n]`, float32; not modified
 * @returns shape `[…, m, n]`, float32; `m × n` with orthonormal rows or columns if `x` has full rank
 * @throws TypeError or RangeError if `x` has rank < 2, another dtype, is empty, or holds NaN or an infinity; Error where
 *   the backend cannot be read synchronously (WebGPU outside a browser): use {@link exactPolarAsync} there
 * @example
 * const q = exactPolar(tf.tensor2d([[3, 0], [0, -2]])); // [[1, 0], [0, -1]]
 */
export function exactPolar(x: Tensor): Tensor {
  checkTensor('exactPolar', 'x', x, { minRank: 2 });
  const op = customGrad((input) => {
    const host = toHost('exactPolar', input as Tensor, read(input as Tensor));
    const parts = host.matrices.map((matrix) => svd(matrix, host.k, host.l));
    return {
      value: assemble(parts, host, x.shape),
      gradFunc: (dy: Tensor) => polarGradient(dy, parts, host),
    };
  });
  return op(x);
}

/** What {@link exactPolarAsync} finds. */
export interface ExactPolar {
  /** The polar factor, shape `[…, m, n]`, float32; the caller disposes it. */
  readonly value: Tensor;
  /** Gradient with respect to `x`, given that with respect to `value`; same shape. */
  gradient(dy: Tensor): Tensor;
}

/**
 * {@link exactPolar} for backends that cannot be read synchronously, with its gradient as a function, since tfjs's
 * automatic differentiation does not reach across an `await`.
 * @param x - as for {@link exactPolar}
 * @throws as {@link exactPolar}, by rejecting
 * @example
 * const { value, gradient } = await exactPolarAsync(x);
 */
export async function exactPolarAsync(x: Tensor): Promise<ExactPolar> {
  checkTensor('exactPolarAsync', 'x', x, { minRank: 2 });
  const shape = x.shape;
  const host = toHost('exactPolarAsync', x, await x.data());
  const parts = host.matrices.map((matrix) => svd(matrix, host.k, host.l));
  return {
    value: assemble(parts, host, shape),
    gradient(dy) {
      checkTensor('exactPolarAsync', 'dy', dy, { shape });
      return polarGradient(dy, parts, host);
    },
  };
}

function read(x: Tensor) {
  try {
    return x.dataSync();
  } catch (cause) {
    const message = `exactPolar: backend ${getBackend()} cannot be read synchronously here; use exactPolarAsync or polar`;
    throw new Error(message, { cause });
  }
}

/** `U Vᵀ`, from the first `rank` rows of `Uᵀ` and `Vᵀ`. */
function assemble(parts: readonly Svd[], { k, l, tall }: HostMatrices, shape: number[]): Tensor {
  const all = new Float32Array(parts.length * k * l);
  parts.forEach(({ left, right, rank }, batch) => {
    const Q = new Float64Array(k * l);
    for (let r = 0; r < rank; r++) {
      for (let i = 0; i < k; i++) {
        const u = left[r * k + i]!;
        for (let j = 0; j < l; j++) Q[i * l + j]! += u * right[r * l + j]!;
      }
    }
    all.set(tall ? transpose(Q, k, l) : Q, batch * k * l);
  });
  return tensor(all, shape);
}

/**
 * With `P = Uᵀ dY V`: `U [ S Vᵀ + Σ⁻¹ (Uᵀ dY − P Vᵀ) ]`, where `S_ij = (P_ij − P_ji) / (σ_i + σ_j)`.
 *
 * Derived here. `G = H Q` with `H = U Σ Uᵀ`; differentiating and projecting on `U` and `V`, the part of `dG` within
 * the row space turns `Q` by the antisymmetric solution of `Σ S + S Σ = Uᵀ dG V − Vᵀ dGᵀ U`, the part outside by `Σ⁻¹`.
 * The map is self-adjoint, so it also carries the gradient back. Terms with `σ = 0` have `v = 0` or weight 0.
 */
function polarGradient(dy: Tensor, parts: readonly Svd[], { k, l, tall }: HostMatrices): Tensor {
  return tidy(() => {
    const stack = (pick: (part: Svd) => ArrayLike<number>, shape: number[]) => {
      const size = shape.reduce((product, n) => product * n, 1);
      const all = new Float32Array(parts.length * size);
      parts.forEach((part, batch) => {
        all.set(pick(part), batch * size);
      });
      return tensor(all, [parts.length, ...shape]);
    };
    const inverse = (sum: number) => (sum > 0 ? 1 / sum : 0);
    const positive = ({ values, rank }: Svd) => values.map((v, i) => (i < rank ? v : 0));
    const left = stack((part) => part.left, [k, k]);
    const right = stack((part) => part.right, [k, l]);
    const weights = stack((part) => positive(part).map(inverse), [k, 1]);
    const pairWeights = stack(
      (part) => {
        const sigma = positive(part);
        return Float64Array.from({ length: k * k }, (_, ij) =>
          inverse(sigma[Math.floor(ij / k)]! + sigma[ij % k]!),
        );
      },
      [k, k],
    );

    const batch = reshape(dy, [parts.length, ...(tall ? [l, k] : [k, l])]);
    const W = tall ? transposeTensor(batch, [0, 2, 1]) : batch;
    const T = matMul(left, W);
    const P = matMul(T, right, false, true);
    const S = mul(sub(P, transposeTensor(P, [0, 2, 1])), pairWeights);
    const outside = mul(sub(T, matMul(P, right)), weights);
    // S Vᵀ + … , then U · = (Uᵀ)ᵀ ·
    const gradient = matMul(left, add(matMul(S, right), outside), true, false);
    return reshape(tall ? transposeTensor(gradient, [0, 2, 1]) : gradient, dy.shape);
  });
}
