import { checkInteger, checkNumber, checkTensor, type Random } from '@orth/backend';
import { type Tensor, tensor2d } from '@tensorflow/tfjs-core';
import {
  innerProducts,
  orthonormalRows,
  randomOrthogonal,
  rowsOf,
  topSvd,
} from './hostMatrices.js';

/**
 * How the factors of a low-rank update start.
 *
 * - `'kaiming'` (PEFT's default): A uniform in ±1/√in, B zero.
 * - `'gaussian'`: A normal with standard deviation 1/r, B zero.
 * - `'orthogonal'`: both random with `A B = 0` up to rounding; needs an even r.
 * - `'random'`: both uniform; the update does not start from 0. For tests.
 * - `'pissa'`: the r greatest singular triplets of the weight.
 * - `'olora'`: the first r columns of a QR decomposition of the weight.
 */
export type LoraInit = 'kaiming' | 'gaussian' | 'orthogonal' | 'random' | 'pissa' | 'olora';

/** All of {@link LoraInit}. */
export const LORA_INITS: readonly LoraInit[] = [
  'kaiming',
  'gaussian',
  'orthogonal',
  'random',
  'pissa',
  'olora',
];

/** Whether factors start from the weight's values, which then have to be read. */
export const startsFromWeight = (init: LoraInit): boolean => init === 'pissa' || init === 'olora';

/** Initial factors, row-major: `A [in, r]`, `B [r, out]`. */
export interface InitialFactors {
  readonly A: Float32Array;
  readonly B: Float32Array;
}

/** A weight's matrix view. */
export interface MatrixSize {
  readonly inSize: number;
  readonly outSize: number;
}

/** Initial factors that do not depend on the weight. */
export function randomFactors(
  init: Exclude<LoraInit, 'pissa' | 'olora'>,
  { inSize, outSize }: MatrixSize,
  r: number,
  random: Random,
): InitialFactors {
  const fill = (size: number, draw: () => number) => Float32Array.from({ length: size }, draw);
  const uniform = (size: number, fanIn: number) =>
    fill(size, () => (2 * random.uniform() - 1) / Math.sqrt(fanIn));
  switch (init) {
    case 'kaiming':
      return { A: uniform(inSize * r, inSize), B: new Float32Array(r * outSize) };
    case 'gaussian':
      return {
        A: fill(inSize * r, () => random.normal(0, 1 / r)),
        B: new Float32Array(r * outSize),
      };
    case 'random':
      return { A: uniform(inSize * r, inSize), B: uniform(r * outSize, r) };
    case 'orthogonal': {
      // A and B live on complementary rows of one orthogonal matrix, a tenth of a standard normal in size.
      const Q = randomOrthogonal(random, r);
      const [odd, even] = [0, 1].map((rest) => Q.filter((_, i) => i % 2 === rest));
      const normals = (rows: number) =>
        rowsOf(
          fill((rows * r) / 2, () => random.normal(0, 0.1)),
          rows,
          r / 2,
        );
      const A = innerProducts(normals(inSize), columns(odd!));
      const B = innerProducts(columns(even!), normals(outSize));
      return { A: flatten(A), B: flatten(B) };
    }
  }
}

const columns = (rows: readonly Float64Array[]) =>
  Array.from({ length: rows[0]!.length }, (_, j) => Float64Array.from(rows, (row) => row[j]!));

function flatten(rows: readonly Float64Array[]): Float32Array {
  const width = rows[0]!.length;
  const flat = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    flat.set(row, i * width);
  });
  return flat;
}

/** Factors from the weight's values, `[in, out]` row-major. */
export function factorsOfWeight(
  init: 'pissa' | 'olora',
  values: ArrayLike<number>,
  { inSize, outSize }: MatrixSize,
  r: number,
  scaling: number,
): InitialFactors {
  const W = rowsOf(values, inSize, outSize);
  if (init === 'olora') {
    // Wᵀ = Q R: its first r columns are the first r rows of W; R = Qᵀ Wᵀ.
    const Q = orthonormalRows(W.slice(0, r));
    return { A: flatten(innerProducts(W, Q)), B: flatten(Q) };
  }
  const { values: sigma, left, right } = topSvd(W, r);
  const root = (rows: readonly Float64Array[]) =>
    rows.map((row, i) => row.map((x) => x * Math.sqrt(sigma[i]! / scaling)));
  return { A: flatten(columns(root(left))), B: flatten(root(right)) };
}

/** Factors taken from a weight, and what they leave of it. */
export interface WeightFactors {
  /** Shape `[in, r]`. */
  readonly A: Tensor;
  /** Shape `[r, out]`. */
  readonly B: Tensor;
  /** `W − s A B`, shape `[in, out]`. */
  readonly residual: Tensor;
}

async function decompose(
  caller: string,
  init: 'pissa' | 'olora',
  W: Tensor,
  r: number,
  scaling: number,
): Promise<WeightFactors> {
  checkTensor(caller, 'W', W, { rank: 2 });
  const [inSize, outSize] = W.shape as [number, number];
  checkInteger(caller, 'r', r, { min: 1, max: Math.min(inSize, outSize) });
  checkNumber(caller, 'scaling', scaling, { above: 0 });
  const values = await W.data();
  const { A, B } = factorsOfWeight(init, values, { inSize, outSize }, r, scaling);
  const residual = Float32Array.from(values);
  for (let i = 0; i < inSize; i++) {
    for (let j = 0; j < outSize; j++) {
      let product = 0;
      for (let k = 0; k < r; k++) product += A[i * r + k]! * B[k * outSize + j]!;
      residual[i * outSize + j]! -= scaling * product;
    }
  }
  return {
    A: tensor2d(A, [inSize, r]),
    B: tensor2d(B, [r, outSize]),
    residual: tensor2d(residual, [inSize, outSize]),
  };
}

/**
 * PiSSA: the r greatest singular triplets of a weight as trainable factors, `s A B`, and the rest of it. Computed on
 * the host in float64, in about `9 min(in, out)³` operations.
 *
 * @param W - shape `[in, out]`; read back
 * @param r - rank, at most min(in, out)
 * @param scaling - `s` > 0. Default 1
 * @returns tensors that the caller disposes
 * @throws (rejects with) TypeError or RangeError for a bad argument
 * @see Meng et al. 2024, "PiSSA: Principal Singular Values and Singular Vectors Adaptation", equations 2–4
 */
export function pissaFactors(W: Tensor, r: number, scaling = 1): Promise<WeightFactors> {
  return decompose('pissaFactors', 'pissa', W, r, scaling);
}

/**
 * OLoRA: with `Wᵀ = Q R`, the first r columns of Q as B and the first r rows of R as A; the rest of the weight is
 * `W − s A B`. On the host, in `O(in · out · r)`.
 *
 * @param W - shape `[in, out]`; read back
 * @param r - rank, at most min(in, out)
 * @param scaling - `s` > 0. Default 1
 * @returns tensors that the caller disposes
 * @throws (rejects with) TypeError or RangeError for a bad argument
 * @see Büyükakyüz 2024, "OLoRA: Orthonormal Low-Rank Adaptation of Large Language Models", algorithm 1
 */
export function oloraFactors(W: Tensor, r: number, scaling = 1): Promise<WeightFactors> {
  return decompose('oloraFactors', 'olora', W, r, scaling);
}
