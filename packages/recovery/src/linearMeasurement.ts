import { checkInteger, checkOptions, checkTensor, seededRandom } from '@orth/backend';
import {
  gather,
  keep,
  matMul,
  mul,
  reshape,
  scatterND,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  tensor1d,
  tensor2d,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { type MatrixInput, readMatrixSync } from './denseMatrix.js';

/**
 * `y_i = ⟨A_i, X⟩`, i = 1 … m, as two functions: matrices that are never formed are as good as those that are. Whoever
 * writes one must keep `⟨apply(X), v⟩ = ⟨X, adjoint(v)⟩`.
 */
export interface LinearMeasurement {
  /** Rows of X. */
  readonly rows: number;
  /** Columns of X. */
  readonly columns: number;
  /** Number of measurements. */
  readonly m: number;
  /** `[⟨A_i, X⟩]_i`, shape `[m]`, for X of shape `[rows, columns]`; makes no other tensors that last. */
  apply(X: Tensor2D): Tensor;
  /** `Σ v_i A_i`, shape `[rows, columns]`, for v of shape `[m]`; not symmetrised. */
  adjoint(v: Tensor1D): Tensor;
  /** Frees what it holds. */
  dispose?(): void;
}

/** Demands something with the fields of a {@link LinearMeasurement}. */
export function checkMeasurement(
  caller: string,
  A: unknown,
  symmetric: boolean,
): asserts A is LinearMeasurement {
  const { rows, columns, m, apply, adjoint } = (A ?? {}) as Partial<LinearMeasurement>;
  if (typeof apply !== 'function' || typeof adjoint !== 'function') {
    throw new TypeError(`${caller}: A must have the functions apply and adjoint`);
  }
  for (const [name, size] of Object.entries({ rows, columns, m })) {
    checkInteger(caller, `A.${name}`, size, { min: 1 });
  }
  if (symmetric && rows !== columns) {
    throw new RangeError(
      `${caller}: A must measure square matrices, got ${rows} rows and ${columns} columns`,
    );
  }
}

/**
 * Wraps `[m, rows · columns]` values that it owns from now on. They are kept a second time, transposed: on wasm a row
 * vector times a matrix takes a quarter of the time of a matrix times a column.
 */
function fromFlat(flat: Tensor2D, rows: number, columns: number): LinearMeasurement {
  const held = keep(flat);
  const turned = keep(transpose(flat));
  const [m] = flat.shape;
  return {
    rows,
    columns,
    m,
    apply: (X) => tidy(() => reshape(matMul(reshape(X, [1, rows * columns]), turned), [m])),
    adjoint: (v) => tidy(() => reshape(matMul(reshape(v, [1, m]), held), [rows, columns])),
    dispose() {
      held.dispose();
      turned.dispose();
    },
  };
}

/**
 * Measurement by given matrices.
 *
 * @param A - shape `[m, rows, columns]`, float32; copied
 * @throws TypeError or RangeError for another rank or dtype
 */
export function denseMeasurement(A: Tensor3D): LinearMeasurement {
  checkTensor('denseMeasurement', 'A', A, { rank: 3 });
  const [m, rows, columns] = A.shape;
  return fromFlat(tidy(() => reshape(A, [m, rows * columns]).clone()) as Tensor2D, rows, columns);
}

/**
 * Measurement by matrices of independent N(0, 1) entries; not symmetric, which changes nothing for symmetric X.
 *
 * @param shape - `d` for square matrices, or `[rows, columns]`
 * @param m - measurements, integer >= 1
 * @param options.seed - integer. Default 0
 * @throws TypeError or RangeError for a bad size, seed or option
 */
export function gaussianMeasurement(
  shape: number | readonly [number, number],
  m: number,
  options: { readonly seed?: number } = {},
): LinearMeasurement {
  const caller = 'gaussianMeasurement';
  const [rows, columns] = typeof shape === 'number' ? [shape, shape] : shape;
  checkInteger(caller, 'rows', rows, { min: 1 });
  checkInteger(caller, 'columns', columns, { min: 1 });
  checkInteger(caller, 'm', m, { min: 1 });
  checkOptions(caller, options, ['seed']);
  const random = seededRandom(options.seed ?? 0);
  return fromFlat(random.normalTensor([m, rows * columns]) as Tensor2D, rows, columns);
}

/**
 * Measurement of entries: those where `mask` is not 0, in row-major order. For matrix completion and robust PCA. Reads
 * a tensor synchronously; pass rows of numbers where that cannot be done.
 *
 * @param mask - shape `[rows, columns]`, with at least one entry that is not 0
 * @throws TypeError or RangeError for a bad mask
 */
export function maskMeasurement(mask: MatrixInput): LinearMeasurement {
  const { shape, data } = readMatrixSync('maskMeasurement', 'mask', mask);
  const [rows, columns] = shape;
  const observed = Array.from(data.keys()).filter((i) => data[i] !== 0);
  const m = observed.length;
  if (m === 0) throw new RangeError('maskMeasurement: mask must have an entry that is not 0');
  const size = rows * columns;
  if (m === size) {
    return {
      rows,
      columns,
      m,
      apply: (X) => reshape(X, [m]),
      adjoint: (v) => reshape(v, [rows, columns]),
    };
  }
  const indices = keep(tensor1d(observed, 'int32'));
  const positions = keep(tensor2d(observed, [m, 1], 'int32'));
  return {
    rows,
    columns,
    m,
    apply: (X) => tidy(() => gather(reshape(X, [size]), indices)),
    adjoint: (v) => tidy(() => reshape(scatterND(positions, v, [size]), [rows, columns])),
    dispose() {
      indices.dispose();
      positions.dispose();
    },
  };
}

/**
 * Measurement by rank-one matrices, `y_i = v_iᵀ X v_i`, as in phase retrieval and quantum tomography; `m · d` numbers
 * are kept instead of `m · d²`.
 *
 * @param vectors - one a row, shape `[m, d]`, float32; copied
 * @throws TypeError or RangeError for another rank or dtype
 */
export function rankOneMeasurement(vectors: Tensor2D): LinearMeasurement {
  checkTensor('rankOneMeasurement', 'vectors', vectors, { rank: 2 });
  const held = keep(vectors.clone());
  const [m, d] = vectors.shape;
  return {
    rows: d,
    columns: d,
    m,
    apply: (X) => tidy(() => sum(mul(matMul(held, X), held), 1)),
    adjoint: (v) => tidy(() => matMul(mul(held, reshape(v, [m, 1])), held, true)),
    dispose: () => held.dispose(),
  };
}
