import type { CudaBackend } from '../cudaBackend.js';
import type { ProductPrecision } from '../driver/cudaDriver.js';
import { formatSource, shiftSource } from '../sources/matrices.js';
import type { Storage } from '../sources/types.js';
import type { Batch } from './normalize.js';

/**
 * Products of a batch of matrices `[m, n]` and of square ones on their short side `[k, k]`, in one number format, by
 * addresses: what the iteration is written in. `into` must be none of the factors.
 */
export class Chain {
  readonly storage: Storage;
  private readonly tall: boolean;
  /** Numbers in the whole batch. */
  readonly size: number;
  readonly squareSize: number;

  constructor(
    private readonly backend: CudaBackend,
    private readonly batch: Batch,
    private readonly precision: ProductPrecision,
  ) {
    this.storage = precision === 'bfloat16' ? 'unsigned short' : 'float';
    this.tall = batch.m > batch.n;
    this.size = batch.count * batch.m * batch.n;
    this.squareSize = batch.count * batch.k ** 2;
  }

  /** Bytes of one number. */
  get bytes(): number {
    return this.storage === 'float' ? 4 : 2;
  }

  private multiply(
    sizes: readonly [m: number, n: number, k: number],
    a: number,
    b: number,
    c: number,
    options: { transposeA?: boolean; transposeB?: boolean; alpha?: number; beta?: number },
  ): void {
    const [m, n, k] = sizes;
    this.backend.driver.multiply({
      name: 'newton-schulz',
      a,
      b,
      c,
      m,
      n,
      k,
      transposeA: false,
      transposeB: false,
      alpha: 1,
      beta: 0,
      ...options,
      count: this.batch.count,
      strideA: m * k,
      strideB: k * n,
      strideC: m * n,
      precision: this.precision,
    });
  }

  /** `X Xᵀ` of wide matrices, `Xᵀ X` of tall ones. */
  gram(X: number, into: number): void {
    const { m, n, k } = this.batch;
    const { tall } = this;
    this.multiply([k, k, Math.max(m, n)], X, X, into, { transposeA: tall, transposeB: !tall });
  }

  /** `alpha · A B + beta · add` of square matrices. */
  product(A: number, B: number, into: number, alpha = 1, add?: number, beta = 1): void {
    const { k } = this.batch;
    if (add !== undefined) this.backend.driver.copy(into, add, this.squareSize * this.bytes);
    this.multiply([k, k, k], A, B, into, { alpha, beta: add === undefined ? 0 : beta });
  }

  /** `alpha · P X` on the short side, and `beta · X` added where it is given. */
  apply(P: number, X: number, into: number, alpha = 1, beta = 0): void {
    const { m, n, k } = this.batch;
    if (beta !== 0) this.backend.driver.copy(into, X, this.size * this.bytes);
    const [a, b] = this.tall ? [X, P] : [P, X];
    this.multiply([m, n, k], a, b, into, { alpha, beta });
  }

  /** `factor · A + shift · I`. */
  shift(A: number, into: number, factor: number, shift: number): void {
    const source = shiftSource(this.storage);
    const { squareSize, batch } = this;
    const values = [squareSize, into, A, batch.k, factor, shift];
    this.backend.runEach(source.name, () => source, squareSize, values);
  }

  /** From float32 to the chain's format, or back. */
  convert(from: number, into: number, count: number, direction: 'in' | 'out'): void {
    const source =
      direction === 'in'
        ? formatSource('float', this.storage)
        : formatSource(this.storage, 'float');
    this.backend.runEach(source.name, () => source, count, [count, into, from]);
  }
}
