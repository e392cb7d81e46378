import { checkInteger } from '@orth/backend';
import { add, concat, mul, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { rowsOf, topSvd } from '../lora/hostMatrices.js';
import type { InitialFactors } from '../lora/initializers.js';
import type { LoraModule } from './loraModule.js';
import type { Target } from './target.js';

/**
 * How adapters become one: `'cat'`, their factors side by side, the exact weighted sum; `'svd'`, its best approximation of
 * a given rank; `'linear'`, sums of factors of equal rank, which adds products of one adapter's A with another's B.
 */
export type Combination = 'cat' | 'svd' | 'linear';

/** Factors and rank of a combination. */
export interface Combined {
  readonly factors: InitialFactors;
  readonly r: number;
}

/** A module with the weight it counts by. */
export interface Weighted {
  readonly module: LoraModule;
  readonly weight: number;
}

async function read(A: Tensor, B: Tensor): Promise<Combined> {
  const [a, b] = await Promise.all([A.data(), B.data()]);
  const r = A.shape[1]!;
  A.dispose();
  B.dispose();
  return { factors: { A: Float32Array.from(a), B: Float32Array.from(b) }, r };
}

/** `[A_1 | A_2 | …]` and `[w_1 s_1 B_1; w_2 s_2 B_2; …]`. */
function concatenated(parts: readonly Weighted[]): { A: Tensor; B: Tensor } {
  return tidy(() => {
    const joined = parts.map(({ module, weight }) => {
      const { A, B } = module.joined();
      return { A, B: mul(B, weight * module.scaling) };
    });
    return {
      A: concat(
        joined.map(({ A }) => A),
        1,
      ),
      B: concat(
        joined.map(({ B }) => B),
        0,
      ),
    };
  });
}

/** Weighted sums of factors: `Σ √|w s| A`, `Σ ±√|w s| B`. */
function summed(parts: readonly Weighted[]): { A: Tensor; B: Tensor } {
  return tidy(() => {
    const total = (list: readonly Tensor[]) => list.reduce((x, y) => add(x, y));
    const size = ({ module, weight }: Weighted) => Math.sqrt(Math.abs(weight * module.scaling));
    return {
      A: total(parts.map((part) => mul(part.module.joined().A, size(part)))),
      B: total(
        parts.map((part) => mul(part.module.joined().B, Math.sign(part.weight) * size(part))),
      ),
    };
  });
}

/**
 * Demands that adapters can be combined in this way.
 * @throws RangeError naming the target at fault
 */
export function checkCombination(
  caller: string,
  { path, inSize, outSize }: Target,
  parts: readonly Weighted[],
  combination: Combination,
  rank: number | undefined,
): void {
  if (combination === 'svd') {
    const max = Math.min(inSize, outSize);
    checkInteger(caller, `rank for ${path}`, rank ?? defaultRank(parts, max), { min: 1, max });
  } else if (combination === 'linear') {
    const ranks = new Set(parts.map(({ module }) => module.fileScale().r));
    if (ranks.size > 1) {
      throw new RangeError(
        `${caller}: adapters must have one rank at ${path} to be combined by 'linear', got ${[...ranks]}`,
      );
    }
  }
}

const defaultRank = (parts: readonly Weighted[], max: number) =>
  Math.min(max, Math.max(...parts.map(({ module }) => module.fileScale().r)));

/** The factors of a combination at one target; their scale is 1. */
export async function combine(
  target: Target,
  parts: readonly Weighted[],
  combination: Combination,
  rank: number | undefined,
): Promise<Combined> {
  if (combination === 'linear') {
    const { A, B } = summed(parts);
    return read(A, B);
  }
  const { A, B } = concatenated(parts);
  const all = await read(A, B);
  if (combination === 'cat') return all;
  const { inSize, outSize } = target;
  const r = rank ?? defaultRank(parts, Math.min(inSize, outSize));
  const product = multiply(all, inSize, outSize);
  const { values, left, right } = topSvd(rowsOf(product, inSize, outSize), r);
  return {
    r,
    factors: {
      A: Float32Array.from({ length: inSize * r }, (_, at) => left[at % r]![Math.floor(at / r)]!),
      B: Float32Array.from(
        { length: r * outSize },
        (_, at) =>
          values[Math.floor(at / outSize)]! * right[Math.floor(at / outSize)]![at % outSize]!,
      ),
    },
  };
}

function multiply({ factors: { A, B }, r }: Combined, rows: number, columns: number): Float64Array {
  const product = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < r; k++) {
      const a = A[i * r + k]!;
      for (let j = 0; j < columns; j++) product[i * columns + j]! += a * B[k * columns + j]!;
    }
  }
  return product;
}
