import { checkNumber, checkTensor } from '@orth/backend';
import { matMul, mul, reshape, type Tensor, tidy, transpose } from '@tensorflow/tfjs-core';

/** Block factors, and what their shapes say. */
export interface GraloraFactors {
  /** Shape `[k, in/k, r]`. */
  readonly A: Tensor;
  /** Shape `[k, r, out/k]`, `r` a multiple of `k`. */
  readonly B: Tensor;
}

/** Demands factors whose shapes belong together. */
function checkGralora(caller: string, { A, B }: GraloraFactors, scaling: number): void {
  checkTensor(caller, 'A', A, { rank: 3 });
  const [k, , r] = A.shape as [number, number, number];
  checkTensor(caller, 'B', B, { shape: [k, r, null] });
  checkNumber(caller, 'scaling', scaling);
  if (r % k === 0) return;
  throw new RangeError(
    `${caller}: A must have a rank (last axis) divisible by its k = ${k} blocks, got ${r}`,
  );
}

/**
 * The update of GraLoRA: `k × k` blocks, of which block `(i, j)` is `s A_i[:, slice j] B_j[slice i, :]`, the slices
 * having `r / k` ranks each. As many parameters as LoRA of rank `r`, and a rank of up to `k r`.
 *
 * @param factors - `A [k, in/k, r]` and `B [k, r, out/k]`
 * @param scaling - `s`; PEFT has `alpha / r`. Default 1
 * @returns shape `[in, out]`
 * @throws TypeError or RangeError if the shapes do not belong together, or `r` is not divisible by `k`
 * @see Jung et al. 2025, "GraLoRA: Granular Low-Rank Adaptation", section 3
 */
export function graloraDelta(factors: GraloraFactors, scaling = 1): Tensor {
  checkGralora('graloraDelta', factors, scaling);
  const { A, B } = factors;
  const [k, rows, r] = A.shape as [number, number, number];
  const columns = B.shape[2]!;
  const slice = r / k;
  return tidy(() => {
    const left = transpose(reshape(A, [k, rows, k, slice]), [0, 2, 1, 3]);
    const right = transpose(reshape(B, [k, k, slice, columns]), [1, 0, 2, 3]);
    const blocks = matMul(
      reshape(left, [k * k, rows, slice]),
      reshape(right, [k * k, slice, columns]),
    );
    const inPlace = transpose(reshape(blocks, [k, k, rows, columns]), [0, 2, 1, 3]);
    return mul(reshape(inPlace, [k * rows, k * columns]), scaling);
  });
}

/**
 * `x` times {@link graloraDelta}, which is not formed: `r (in + out)` products a row, as LoRA has.
 *
 * @param x - shape `[…, in]`
 * @returns shape `[…, out]`
 * @throws as {@link graloraDelta}, and if `x` does not fit
 */
export function graloraApply(x: Tensor, factors: GraloraFactors, scaling = 1): Tensor {
  checkGralora('graloraApply', factors, scaling);
  const { A, B } = factors;
  const [k, rows, r] = A.shape as [number, number, number];
  const columns = B.shape[2]!;
  checkTensor('graloraApply', 'x', x, {
    shape: [...x.shape.slice(0, -1).map(() => null), k * rows],
    allowEmpty: true,
  });
  return tidy(() => {
    const blocks = transpose(reshape(x, [-1, k, rows]), [1, 0, 2]);
    const hidden = reshape(matMul(blocks, A), [k, -1, k, r / k]);
    const exchanged = reshape(transpose(hidden, [2, 1, 0, 3]), [k, -1, r]);
    const y = transpose(matMul(exchanged, B), [1, 0, 2]);
    return mul(reshape(y, [...x.shape.slice(0, -1), k * columns]), scaling);
  });
}
