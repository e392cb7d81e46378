import { checkTensor } from '@orth/backend';
import {
  add,
  customGrad,
  div,
  eye,
  matMul,
  mul,
  reshape,
  sub,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';

/**
 * Newton steps for `(I + QᵀQ)⁻¹`. Their error squares at each step and begins at `1 − 2 / (2 + ‖Q‖²/2)`: 18 steps reach
 * float32 rounding for norms up to 180, where rotations long stopped changing.
 */
const INVERSE_STEPS = 18;

/**
 * The Cayley transform `(I − P/2)⁻¹ (I + P/2)` of skew-symmetric matrices: rotations without an eigenvalue −1, the identity
 * for `P = 0`, and there of the same derivative as `exp(P)`. By products alone, so on every backend without reading back;
 * good to float32 rounding for Frobenius norms of P up to 360. Differentiable.
 *
 * @param P - skew-symmetric, shape `[…, n, n]`; not checked to be so
 * @returns shape `[…, n, n]`
 * @throws TypeError or RangeError if `P` is not square
 * @example
 * const Q = cayley(skewSymmetric(v));
 */
export function cayley(P: Tensor): Tensor {
  const n = checkSquare('cayley', 'P', P);
  return tidy(() => reshape(cayleyBlocks(mul(reshape(P, [-1, n, n]), -0.5), eye(n)), P.shape));
}

/** Demands square matrices; their size. */
export function checkSquare(caller: string, name: string, x: unknown): number {
  checkTensor(caller, name, x, { minRank: 2 });
  const [rows, columns] = x.shape.slice(-2) as [number, number];
  if (rows === columns) return rows;
  throw new RangeError(
    `${caller}: ${name} must be square in its last axes, got shape [${x.shape}]`,
  );
}

/**
 * `(I − Q)(I + Q)⁻¹ = 2X − I`, `X = (I + Q)⁻¹ = (I − Q)(I + QᵀQ)⁻¹`, for `[blocks, n, n]`. Since `dR = −2 X dQ X`, its gradient
 * is `−2 Xᵀ dR Xᵀ`.
 */
export function cayleyBlocks(Q: Tensor, identity: Tensor): Tensor {
  const op = customGrad((input, save) => {
    const skew = input as Tensor;
    const inverse = tidy(() => {
      const M = add(identity, matMul(skew, skew, true, false));
      // Eigenvalues of M lie in [1, 1 + ‖Q‖²/2], as those of a skew matrix come in pairs.
      const bound = mul(sum(mul(skew, skew), [1, 2], true), 0.5);
      let X: Tensor = mul(identity, div(2, add(bound, 2)));
      for (let step = 0; step < INVERSE_STEPS; step++) {
        X = matMul(X, sub(mul(identity, 2), matMul(M, X)));
      }
      return matMul(sub(identity, skew), X);
    });
    (save as (tensors: Tensor[]) => void)([inverse]);
    return {
      value: tidy(() => sub(mul(inverse, 2), identity)),
      gradFunc: (dR: Tensor, saved: Tensor[]) => {
        const X = saved[0]!;
        return mul(matMul(matMul(X, dR, true, false), X, false, true), -2);
      },
    };
  });
  return op(Q);
}
