import { checkOneOf } from '@orth/backend';
import { dctMatrix } from '@orth/newton-schulz';
import { keep, type Tensor2D, tensor2d } from '@tensorflow/tfjs-core';

/**
 * The orthonormal basis that low-rank optimizers choose vectors from: DCT-II vectors, DCT-III vectors, or a function that
 * gives, for a side of length n, an orthogonal `n × n` matrix (row-major; its rows are the vectors).
 */
export type LowRankBasis = 'dct2' | 'dct3' | ((size: number) => ArrayLike<number>);

/** Greatest deviation from orthogonality. */
const TOLERANCE = 1e-3;

/**
 * Demands a basis of the known kinds.
 * @throws RangeError otherwise
 */
export function checkBasis(caller: string, basis: unknown): asserts basis is LowRankBasis {
  if (typeof basis !== 'function') checkOneOf(caller, 'basis', basis, ['dct2', 'dct3']);
}

/** Basis matrices by size, shared by all layers with that side, and kept until disposed. */
export class DctTables {
  private readonly tables = new Map<LowRankBasis, Map<number, Tensor2D>>();

  /**
   * The basis of a side.
   * @throws RangeError if a function gives something that is not square or not orthogonal
   */
  get(basis: LowRankBasis, size: number): Tensor2D {
    const sizes = this.tables.get(basis) ?? new Map<number, Tensor2D>();
    this.tables.set(basis, sizes);
    const known = sizes.get(size);
    if (known && !known.isDisposed) return known;
    const table = keep(
      typeof basis === 'function'
        ? tensor2d(checkedBasis(basis(size), size), [size, size])
        : dctMatrix(size, basis === 'dct2' ? 2 : 3),
    );
    sizes.set(size, table);
    return table;
  }

  /** Frees all tables. */
  dispose(): void {
    for (const sizes of this.tables.values()) for (const table of sizes.values()) table.dispose();
    this.tables.clear();
  }
}

function checkedBasis(values: ArrayLike<number>, size: number): Float32Array {
  const rule = `basis(${size}) must be an orthogonal ${size} × ${size} matrix`;
  if (values.length !== size * size) {
    throw new RangeError(`${rule}, got ${values.length} numbers`);
  }
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let dot = 0;
      for (let k = 0; k < size; k++) dot += values[i * size + k]! * values[j * size + k]!;
      const error = Math.abs(dot - (i === j ? 1 : 0));
      if (!(error <= TOLERANCE)) {
        throw new RangeError(`${rule}, got |B Bᵀ − I| = ${error} at (${i}, ${j})`);
      }
    }
  }
  return Float32Array.from(values);
}
