import { checkTensor } from '@orth/backend';
import {
  gather,
  mul,
  reshape,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tensor1d,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import type { CsrMatrix } from './csrMatrix.js';
import { checkMatrix } from './operator.js';
import { checkSquareMatrix } from './preconditioner.js';

/** Products with a symmetric A on tensors: rows `[batch, n]` to the same shape. */
export type TensorOperator = (x: Tensor2D) => Tensor;

/**
 * A symmetric sparse matrix on the active backend, for products with batches of vectors there: rows padded to the longest
 * (the ELL format), one gather and one sum a product. For matrices whose rows have much the same number of entries.
 */
export class DeviceMatrix {
  readonly n: number;
  private readonly indices: Tensor1D;
  private readonly values: Tensor2D;
  private readonly width: number;

  /** @throws TypeError if `A` is no CsrMatrix; RangeError if it is not square and symmetric */
  constructor(A: CsrMatrix) {
    checkSquareMatrix('DeviceMatrix', A);
    checkMatrix('DeviceMatrix', A);
    const n = A.rows;
    let width = 1;
    for (let i = 0; i < n; i++) {
      width = Math.max(width, A.rowPointers[i + 1]! - A.rowPointers[i]!);
    }
    const indices = new Int32Array(n * width);
    const values = new Float32Array(n * width);
    for (let i = 0; i < n; i++) {
      const from = A.rowPointers[i]!;
      const count = A.rowPointers[i + 1]! - from;
      for (let k = 0; k < count; k++) {
        indices[i * width + k] = A.columnIndices[from + k]!;
        values[i * width + k] = A.values[from + k]!;
      }
    }
    this.n = n;
    this.width = width;
    this.indices = tensor1d(indices, 'int32');
    this.values = tensor2d(values, [n, width]);
  }

  /**
   * A x for each row of `x`.
   * @param x - `[batch, n]`, float32
   * @returns `[batch, n]`
   * @throws TypeError or RangeError for another dtype or shape
   */
  multiply(x: Tensor2D): Tensor2D {
    checkTensor('DeviceMatrix.multiply', 'x', x, { shape: [null, this.n] });
    return tidy(() => {
      const neighbours = reshape(gather(x, this.indices, 1), [x.shape[0], this.n, this.width]);
      return sum(mul(neighbours, this.values), -1) as Tensor2D;
    });
  }

  /** Frees the tensors; may be called twice. */
  dispose(): void {
    this.indices.dispose();
    this.values.dispose();
  }
}
