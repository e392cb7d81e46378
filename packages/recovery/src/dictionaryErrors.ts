import { checkNumber, checkOptions } from '@orth/backend';
import { type DenseMatrix, type MatrixInput, multiply, readMatrix } from './denseMatrix.js';

async function correlations(caller: string, D: MatrixInput, D0: MatrixInput) {
  const [learnt, truth] = await Promise.all([
    readMatrix(caller, 'D', D),
    readMatrix(caller, 'D0', D0),
  ]);
  const [n, columns] = truth.shape;
  if (n !== columns || `${learnt.shape}` !== `${truth.shape}`) {
    const got = `got shapes [${learnt.shape}] and [${truth.shape}]`;
    throw new RangeError(`${caller}: D and D0 must be square and of one shape, ${got}`);
  }
  return { learnt, product: multiply(truth, learnt, true), n };
}

/**
 * `1 − ‖D0ᵀD‖_p^p / N`: 0 where the atoms are the true ones up to order and sign, below 1 for every orthogonal `D`.
 *
 * @param D - learnt dictionary, orthogonal, shape `[N, N]`
 * @param D0 - true dictionary, shape `[N, N]`
 * @param options.p - exponent, > 2. Default 4
 * @returns a promise of a number, computed on the host in float64
 * @throws TypeError or RangeError, by rejecting, for shapes that do not fit or entries that are not finite
 */
export async function dictionaryError(
  D: MatrixInput,
  D0: MatrixInput,
  options: { readonly p?: number } = {},
): Promise<number> {
  checkOptions('dictionaryError', options, ['p']);
  const { p = 4 } = options;
  checkNumber('dictionaryError', 'p', p, { above: 2 });
  const { product, n } = await correlations('dictionaryError', D, D0);
  return 1 - product.data.reduce((total, c) => total + Math.abs(c) ** p, 0) / n;
}

const columnNorms = ({ shape: [rows, columns], data }: DenseMatrix) =>
  Float64Array.from({ length: columns }, (_, j) => {
    let total = 0;
    for (let i = 0; i < rows; i++) total += data[i * columns + j]! ** 2;
    return Math.sqrt(total);
  });

/**
 * `1 − mean_j max_i |⟨d0_i, d_j⟩| / ‖d_j‖`: how far learnt atoms are from the nearest true one; for any square `D`.
 *
 * @param D - learnt dictionary, no column zero, shape `[N, N]`
 * @param D0 - true dictionary with unit columns, shape `[N, N]`
 * @returns a promise of a number, computed on the host in float64
 * @throws as {@link dictionaryError}, and RangeError for a zero column
 */
export async function atomError(D: MatrixInput, D0: MatrixInput): Promise<number> {
  const { learnt, product, n } = await correlations('atomError', D, D0);
  const norms = columnNorms(learnt);
  let total = 0;
  for (let j = 0; j < n; j++) {
    if (norms[j] === 0) {
      throw new RangeError(`atomError: D must have no zero column, got one at index ${j}`);
    }
    let most = 0;
    for (let i = 0; i < n; i++) most = Math.max(most, Math.abs(product.data[i * n + j]!));
    total += most / norms[j]!;
  }
  return 1 - total / n;
}
