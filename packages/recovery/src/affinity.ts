import { checkInteger, checkOneOf, checkOptions } from '@orth/backend';
import { type DenseMatrix, type MatrixInput, readMatrix } from './denseMatrix.js';

async function readSquare(caller: string, C: MatrixInput): Promise<DenseMatrix> {
  const matrix = await readMatrix(caller, 'C', C);
  if (matrix.shape[0] === matrix.shape[1]) return matrix;
  throw new RangeError(`${caller}: C must be square, got shape [${matrix.shape}]`);
}

/** Options of {@link keepLargest}. */
export interface KeepOptions {
  /** How many entries, 1 … n. */
  readonly keep: number;
  /** Of each row or of each column. Default `'column'` */
  readonly of?: 'row' | 'column';
}

/** Zeroes, in each row or column, all but the entries that are largest in size; of those that tie with the last, all stay. */
function retain(C: DenseMatrix, keep: number, of: 'row' | 'column'): DenseMatrix {
  const n = C.shape[0];
  const [along, across] = of === 'row' ? [1, n] : [n, 1];
  const data = new Float64Array(n * n);
  const sizes = new Float64Array(n);
  for (let line = 0; line < n; line++) {
    const start = line * across;
    for (let k = 0; k < n; k++) sizes[k] = Math.abs(C.data[start + k * along]!);
    const bound = sizes.sort()[n - keep]!;
    for (let k = 0; k < n; k++) {
      const at = start + k * along;
      if (Math.abs(C.data[at]!) >= bound) data[at] = C.data[at]!;
    }
  }
  return { shape: C.shape, data };
}

/**
 * A representation matrix without its small entries: in each column (or row) those that are largest in size stay, with
 * their signs; ties with the last of them stay too.
 *
 * @param C - shape `[n, n]`
 * @throws TypeError or RangeError, by rejecting, for a matrix that is not square, or a bad option
 */
export async function keepLargest(C: MatrixInput, options: KeepOptions): Promise<DenseMatrix> {
  checkOptions('keepLargest', options, ['keep', 'of']);
  const { keep, of = 'column' } = options;
  checkOneOf('keepLargest', 'of', of, ['row', 'column']);
  const matrix = await readSquare('keepLargest', C);
  checkInteger('keepLargest', 'keep', keep, { min: 1, max: matrix.shape[0] });
  return retain(matrix, keep, of);
}

/**
 * Affinity of points from their representation: `A = (|C| + |C|ᵀ)/2`, in each column the `keep` largest entries, and the
 * result made symmetric again. On the host, float64.
 *
 * @param C - shape `[n, n]`
 * @param options.keep - entries of a column, 1 … n; the assumed dimension of the subspaces. Default n: all
 * @returns a promise of W, shape `[n, n]`, symmetric, >= 0
 * @throws TypeError or RangeError, by rejecting, for a matrix that is not square, or a bad option
 */
export async function affinity(
  C: MatrixInput,
  options: { readonly keep?: number } = {},
): Promise<DenseMatrix> {
  checkOptions('affinity', options, ['keep']);
  const matrix = await readSquare('affinity', C);
  const n = matrix.shape[0];
  const { keep = n } = options;
  checkInteger('affinity', 'keep', keep, { min: 1, max: n });
  const sizes = matrix.data.map(Math.abs);
  const symmetric = symmetrize({ shape: matrix.shape, data: sizes });
  return keep === n ? symmetric : symmetrize(retain(symmetric, keep, 'column'));
}

function symmetrize({ shape, data }: DenseMatrix): DenseMatrix {
  const n = shape[0];
  return {
    shape,
    data: data.map((x, e) => (x + data[(e % n) * n + Math.floor(e / n)]!) / 2),
  };
}
