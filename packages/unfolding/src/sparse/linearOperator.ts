/** Measurement operators: a matrix, or a function and its adjoint. */
import { checkTensor } from '@orth/backend';
import {
  concat,
  customGrad,
  imag,
  keep,
  matMul,
  neg,
  real,
  reshape,
  slice,
  stack,
  Tensor,
  type Tensor2D,
  tidy,
} from '@tensorflow/tfjs-core';
import { type Field, fieldOf, pack, unpack } from './packedComplex.js';

/** A linear map given by functions of batches; the first axis is the batch. */
export interface LinearMap {
  /** `A x` of each sample: `[B, …]` to `[B, …]`, float32 or complex64, e.g. a masked Fourier transform. */
  apply(x: Tensor): Tensor;
  /** `Aᴴ y` of each sample; `Re⟨A x, y⟩ = Re⟨x, Aᴴ y⟩` must hold. Its dtype decides whether x is real or complex. */
  adjoint(y: Tensor): Tensor;
  /** Shape of one sample of x; checked, and needed where no `y` is at hand. */
  readonly inputShape?: readonly number[];
  /** Shape of one sample of y; checked. */
  readonly outputShape?: readonly number[];
  /** dtype of x where no `y` is at hand. Default `'float32'` */
  readonly inputType?: 'float32' | 'complex64';
}

/** A measurement operator: a matrix `[M, N]` (float32 or complex64), or a {@link LinearMap}. */
export type LinearOperator = Tensor | LinearMap;

/** An operator between packed tensors, for batches of one shape. */
export interface BoundOperator {
  readonly inputField: Field;
  readonly outputField: Field;
  /** Packed shape of a batch of x. */
  readonly inputShape: number[];
  apply(x: Tensor): Tensor;
  adjoint(y: Tensor): Tensor;
}

/**
 * Checks an operator.
 * @throws TypeError or RangeError if it is neither a matrix nor a pair of functions
 */
export function checkOperator(caller: string, A: unknown): asserts A is LinearOperator {
  if (A instanceof Tensor) {
    checkTensor(caller, 'A', A, { rank: 2, dtype: ['float32', 'complex64'] });
    return;
  }
  const { apply, adjoint } = (A ?? {}) as Partial<LinearMap>;
  if (typeof apply === 'function' && typeof adjoint === 'function') return;
  throw new TypeError(
    `${caller}: A must be a matrix or an object with the functions apply and adjoint, got ${String(A)}`,
  );
}

/**
 * A complex matrix as the real one `[[Re, −Im], [Im, Re]]` between parts laid side by side, `[2M, 2N]`; a real one as it
 * is.
 */
const packMatrix = (A: Tensor): Tensor2D => {
  if (fieldOf(A) === 'real') return A as Tensor2D;
  const [re, im] = [real(A), imag(A)];
  return concat([concat([re, neg(im)], 1), concat([im, re], 1)], 0) as Tensor2D;
};

/** A checked operator, for use with batches. */
export class Measurement {
  private readonly given: Tensor | undefined;
  private readonly kept: Tensor2D | undefined;
  private readonly map: LinearMap | undefined;
  private readonly inputs = new Map<string, { shape: number[]; field: Field }>();

  /**
   * @param caller - the function named in messages
   * @param own - whether to keep a copy of a matrix until {@link dispose}. Otherwise the caller's is used each time, and
   *   nothing is to be disposed: for functions whose gradients are taken after they returned.
   */
  constructor(
    private readonly caller: string,
    A: LinearOperator,
    own = true,
  ) {
    checkOperator(caller, A);
    if (!(A instanceof Tensor)) {
      this.map = A;
      return;
    }
    this.given = A;
    if (own) this.kept = keep(tidy(() => packMatrix(fieldOf(A) === 'real' ? A.clone() : A)));
  }

  /** Rows and columns of a matrix. */
  get size(): readonly [number, number] | undefined {
    return this.given?.shape as [number, number] | undefined;
  }

  /** The matrix between packed vectors laid flat; undefined for functions. */
  get packedMatrix(): Tensor2D | undefined {
    return this.kept ?? (this.given && packMatrix(this.given));
  }

  /** The map given by functions, if it is one. */
  get linearMap(): LinearMap | undefined {
    return this.map;
  }

  /**
   * Binds to batches like `y`.
   * @param y - `[B, …]`, float32 or complex64
   * @throws TypeError or RangeError if `y` does not fit
   */
  bind(y: Tensor, argument = 'y'): BoundOperator {
    const { caller, size, map } = this;
    checkTensor(caller, argument, y, { minRank: 2, dtype: ['float32', 'complex64'] });
    const outputField = fieldOf(y);
    const B = y.shape[0]!;
    if (size) {
      checkTensor(caller, argument, y, {
        shape: [null, size[0]],
        dtype: this.given!.dtype === 'complex64' ? ['complex64'] : ['float32', 'complex64'],
      });
      const shape = outputField === 'complex' ? [2, B, size[1]] : [B, size[1]];
      return {
        inputField: outputField,
        outputField,
        inputShape: shape,
        apply: (x) => this.multiply(x, outputField, false),
        adjoint: (r) => this.multiply(r, outputField, true),
      };
    }
    const { apply, adjoint, inputShape, outputShape } = map!;
    if (outputShape)
      checkTensor(caller, argument, y, { shape: [null, ...outputShape], dtype: [y.dtype] });
    const key = `${y.dtype} ${y.shape.slice(1)}`;
    let input = this.inputs.get(key);
    if (!input) {
      input = tidy(() => {
        const x = adjoint(y);
        checkTensor(caller, 'A.adjoint(y)', x, {
          minRank: 2,
          dtype: ['float32', 'complex64'],
          shape: [B, ...(inputShape ?? x.shape.slice(1))],
        });
        const back = apply(x);
        checkTensor(caller, 'A.apply(x)', back, { shape: y.shape, dtype: [y.dtype] });
        return { shape: x.shape.slice(1), field: fieldOf(x) };
      });
      this.inputs.set(key, input);
    }
    const inputField = input.field;
    return {
      inputField,
      outputField,
      inputShape: [...(inputField === 'complex' ? [2] : []), B, ...input.shape],
      apply: (x) => tidy(() => pack(apply(unpack(x, inputField)))),
      adjoint: (r) => tidy(() => pack(adjoint(unpack(r, outputField)))),
    };
  }

  private multiply(x: Tensor, field: Field, adjoint: boolean): Tensor {
    return tidy(() => {
      const A = this.packedMatrix!;
      const product = (v: Tensor) => matMul(v as Tensor2D, A, false, !adjoint) as Tensor;
      if (field === 'real') return product(x);
      const [, B, n] = x.shape as [number, number, number];
      const out = this.size![adjoint ? 1 : 0];
      if (this.given!.dtype !== 'complex64') {
        return reshape(product(reshape(x, [2 * B, n])), [2, B, out]);
      }
      const part = (i: number) => reshape(slice(x, [i, 0, 0], [1, B, n]), [B, n]);
      const y = product(concat([part(0), part(1)], 1));
      return stack([slice(y, [0, 0], [B, out]), slice(y, [0, out], [B, out])]);
    });
  }

  /** Frees the copy of a matrix. */
  dispose(): void {
    this.kept?.dispose();
  }
}

/** `A x` of packed tensors with the gradient `Aᴴ dy`, whatever the user's functions are made of. */
export function applyLinear(op: BoundOperator, x: Tensor): Tensor {
  const run = customGrad((v) => ({
    value: op.apply(v as Tensor),
    gradFunc: (dy: Tensor) => op.adjoint(dy),
  }));
  return run(x);
}
