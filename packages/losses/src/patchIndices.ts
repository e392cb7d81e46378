/** Which patches a mask hides, as indices. */
import { checkInteger, checkOptions, checkTensor } from '@orth/backend';
import {
  add,
  cast,
  gather,
  mul,
  range,
  reshape,
  sub,
  type Tensor,
  tidy,
  topk,
} from '@tensorflow/tfjs-core';
import { type LossOptions, shouldCheckValues } from './lossArguments.js';

/**
 * Demands a mask `[N, L]` of zeros and ones, `masked` ones in each row where values are checked.
 * @throws TypeError or RangeError otherwise
 */
export function checkMask(
  caller: string,
  mask: Tensor,
  masked: number,
  checkValues: boolean,
): void {
  checkTensor(caller, 'mask', mask, { rank: 2, dtype: ['int32'] });
  if (!checkValues) return;
  const L = mask.shape[1]!;
  const values = mask.dataSync();
  for (let row = 0; row < values.length; row += L) {
    let ones = 0;
    for (let j = row; j < row + L; j++) {
      if (values[j] !== 0 && values[j] !== 1) {
        throw new RangeError(`${caller}: mask must hold 0 and 1, got ${values[j]} at index ${j}`);
      }
      ones += values[j]!;
    }
    if (ones !== masked) {
      throw new RangeError(
        `${caller}: mask must have ${masked} ones in each row, got ${ones} in row ${row / L}`,
      );
    }
  }
}

/** Options of {@link patchIndices}. */
export interface PatchIndicesOptions extends Pick<LossOptions, 'checkValues'> {
  /** Ones in each row of the mask, M. No default: it decides the shape of the result. */
  readonly masked: number;
}

/** What {@link patchIndices} gives, int32, increasing in each row. */
export interface PatchIndices {
  /** Shape `[N, M]`. */
  readonly masked: Tensor;
  /** Shape `[N, L − M]`. */
  readonly visible: Tensor;
}

/**
 * Indices of the masked and of the visible patches, in the order in which an encoder and a decoder take them.
 *
 * @param mask - shape `[N, L]`, int32, 1 = masked, equally many in each row
 * @returns the caller disposes both
 * @throws TypeError for an unknown option or another dtype; RangeError for `masked` outside [1, L − 1], and, where values
 *   are checked, for other entries or rows of other sums
 */
export function patchIndices(mask: Tensor, options: PatchIndicesOptions): PatchIndices {
  const caller = 'patchIndices';
  checkTensor(caller, 'mask', mask, { rank: 2, dtype: ['int32'] });
  checkOptions(caller, options, ['masked', 'checkValues']);
  const L = mask.shape[1]!;
  const { masked } = options;
  checkInteger(caller, 'masked', masked, { min: 1, max: L - 1 });
  checkMask(caller, mask, masked, shouldCheckValues(caller, options.checkValues));
  return tidy(() => ({
    masked: indicesOfOnes(mask, masked),
    visible: indicesOfOnes(sub(1, mask), L - masked),
  }));
}

/** Positions of the `count` ones of each row, increasing; int32, shape `[N, count]`. */
export function indicesOfOnes(mask: Tensor, count: number): Tensor {
  return tidy(() => {
    const L = mask.shape[1]!;
    // Ones before zeros, and among equals the first before the last: no two keys are equal.
    const keys = add(mul(cast(mask, 'float32'), L), range(L - 1, -1, -1, 'float32'));
    return topk(keys, count).indices;
  });
}

/**
 * Takes from each image the patches (or tokens) at its own indices. Differentiable in `x`.
 *
 * @param x - shape `[N, L, D]`
 * @param indices - int32, shape `[N, M]`, each in [0, L)
 * @returns shape `[N, M, D]`
 * @throws TypeError or RangeError for another dtype or shape
 */
export function gatherPatches(x: Tensor, indices: Tensor): Tensor {
  const caller = 'gatherPatches';
  checkTensor(caller, 'x', x, { rank: 3, dtype: ['float32', 'int32'] });
  const [N, L, D] = x.shape as [number, number, number];
  checkTensor(caller, 'indices', indices, { shape: [N, null], dtype: ['int32'] });
  return tidy(() => {
    const first = reshape(range(0, N * L, L, 'int32'), [N, 1]);
    const flat = reshape(add(indices, first), [indices.size]);
    return reshape(gather(reshape(x, [N * L, D]), flat), [N, indices.shape[1]!, D]);
  });
}
