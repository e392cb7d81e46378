import { checkTensor } from '@orth/backend';
import {
  add,
  div,
  eye,
  matMul,
  mul,
  pad,
  slice,
  square,
  sub,
  sum,
  type Tensor,
  tensor2d,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';

/** 1 where `test(row, column)`. */
function mask(rows: number, columns: number, test: (i: number, j: number) => boolean): Tensor {
  const values = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) values[i * columns + j] = test(i, j) ? 1 : 0;
  }
  return tensor2d(values, [rows, columns]);
}

/**
 * The first n columns of a product of reflections `Π_i (I − τ_i v_i v_iᵀ)`, `τ_i = 2 / ‖v_i‖²`: a matrix with orthonormal columns,
 * every such matrix up to signs of columns. `v_i` is column i of `h` with 1 on the diagonal and 0 above it, whatever `h` holds
 * there.
 *
 * The product is `I − V T Vᵀ` with a triangular T, built in `log₂ n` doublings by products alone. Differentiable.
 *
 * @param h - shape `[m, n]`, m >= n
 * @returns shape `[m, n]`; of determinant `(−1)ⁿ` if square
 * @throws TypeError or RangeError if `h` is no matrix, or has more columns than rows
 * @example
 * const Q = householder(tf.randomNormal([7, 3]));
 * @see Schreiber and Van Loan 1989, "A Storage-Efficient WY Representation"; `torch.linalg.householder_product`
 */
export function householder(h: Tensor): Tensor {
  checkTensor('householder', 'h', h, { rank: 2 });
  const [m, n] = h.shape as [number, number];
  if (m < n) {
    throw new RangeError(
      `householder: h must have no more columns than rows, got shape [${m},${n}]`,
    );
  }
  return tidy(() => {
    const unit = pad(eye(n), [
      [0, m - n],
      [0, 0],
    ]);
    const V = add(
      mul(
        h,
        mask(m, n, (i, j) => i > j),
      ),
      unit,
    );
    const gram = matMul(V, V, true, false);
    let T: Tensor = mul(eye(n), div(2, sum(square(V), 0, true)));
    // Two neighbouring groups of reflections, (T₁, T₂), make one: its upper right block is −T₁ (V₁ᵀ V₂) T₂.
    for (let width = 1; width < n; width *= 2) {
      const pairs = mask(n, n, (i, j) => {
        const [left, right] = [Math.floor(i / width), Math.floor(j / width)];
        return left % 2 === 0 && right === left + 1;
      });
      T = sub(T, matMul(matMul(T, mul(gram, pairs)), T));
    }
    const top = slice(V, [0, 0], [n, n]);
    return sub(unit, matMul(V, matMul(T, transpose(top))));
  });
}
